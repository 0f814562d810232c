"""Rows to messages: claim, commit, network, commit.

A row is due at its ``next_attempt_at``. A claim sets a lease with a token, and a result is written only where the token
still stands: a sender that dies, or wakes late, leaves the same message to be sent again.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from django.db import transaction
from django.db.models import DateTimeField, ExpressionWrapper, F, QuerySet, Value, Window
from django.db.models.expressions import Combinable
from django.db.models.functions import Now, RowNumber

from connections.outbox_models import OutboxRow

log = structlog.get_logger(__name__)

Row = TypeVar("Row", bound=OutboxRow)

RUN_SECONDS = 10.0
LEASE_SECONDS = 60
FIRST_PAUSE_SECONDS = 5.0
PAUSE_LIMIT_SECONDS = 600.0
WISH_LIMIT_SECONDS = 3600.0
# How long the others wait when the service itself, or a tenant's token, is in trouble.
REST_SECONDS = 30.0


class NotTaken(Exception):
    """A message was not taken; the text says why and holds no secret.

    ``for_all``: the service itself is in trouble, so no other message would be taken either. ``for_tenant``: none of
    this tenant. ``final``: the same message would never be taken.
    """

    def __init__(
        self,
        message: str,
        *,
        for_all: bool = False,
        for_tenant: bool = False,
        final: bool = False,
        retry_after_seconds: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.for_all = for_all
        self.for_tenant = for_tenant
        self.final = final
        self.retry_after_seconds = retry_after_seconds


@dataclass(slots=True)
class Sent:
    """What a run came to. ``put_off``: claimed, and left for another run."""

    claimed: int = 0
    taken: int = 0
    failed: int = 0
    put_off: int = 0


def claim(rows: QuerySet[Row], token: uuid.UUID, *, limit: int, **changes: Any) -> list[Row]:
    """Lease what is due of ``rows``, tenants in turn; ``changes`` are written with the lease.

    One sender at a time: a slow service must not take every worker.
    """
    table = rows.model._default_manager
    if table.filter(lease_token__isnull=False, next_attempt_at__gt=Now()).exists():
        return []
    due = table.filter(next_attempt_at__lte=Now())
    turn = Window(RowNumber(), partition_by=F("tenant_id"), order_by=F("next_attempt_at").asc())
    chosen = due.annotate(turn=turn).order_by("turn", "next_attempt_at").values_list("pk", flat=True)
    keys = list(chosen[:limit])
    if not keys:
        return []
    with transaction.atomic():
        free = list(due.filter(pk__in=keys).select_for_update(skip_locked=True).values_list("pk", flat=True))
        table.filter(pk__in=free).update(
            lease_token=token,
            next_attempt_at=from_now(timedelta(seconds=LEASE_SECONDS)),
            attempts=F("attempts") + 1,
            updated_at=Now(),
            **changes,
        )
    held = {row.pk: row for row in rows.filter(lease_token=token)}
    return [held[key] for key in keys if key in held]


def send_each(
    rows: Sequence[Row],
    token: uuid.UUID,
    *,
    tell: Callable[[Row], int],
    failed: Callable[[Row, NotTaken], None],
) -> Sent:
    """Send claimed rows one after the other, for ``RUN_SECONDS``; what was not tried is handed back.

    ``tell`` sends one, writes its result and returns how many rows that changed; it raises ``NotTaken``.
    """
    ends_at = time.monotonic() + RUN_SECONDS
    done = Sent(claimed=len(rows))
    left = list(rows)
    while left:
        if time.monotonic() >= ends_at:
            done.put_off += hand_back(left, token, seconds=0.0)
            break
        row = left.pop(0)
        try:
            done.taken += _guarded(tell, row)
        except NotTaken as error:
            done.failed += 1
            failed(row, error)
            rest = max(REST_SECONDS, min(error.retry_after_seconds, WISH_LIMIT_SECONDS))
            concerned = [
                other for other in left if error.for_all or (error.for_tenant and other.tenant_id == row.tenant_id)
            ]
            done.put_off += hand_back(concerned, token, seconds=rest)
            left = [other for other in left if other not in concerned]
    return done


def hand_back(rows: Sequence[OutboxRow], token: uuid.UUID, *, seconds: float) -> int:
    """Give up the lease of rows that were not tried; they are due again in so many seconds."""
    if not rows:
        return 0
    mine = type(rows[0])._default_manager.filter(pk__in=[row.pk for row in rows], lease_token=token)
    return mine.update(
        lease_token=None,
        next_attempt_at=from_now(timedelta(seconds=seconds)),
        attempts=F("attempts") - 1,
        updated_at=Now(),
    )


def next_try(row: OutboxRow, error: NotTaken) -> Combinable:
    """When a message that failed is due again: doubling with jitter, never before the service asked for."""
    pause = min(PAUSE_LIMIT_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(row.attempts - 1, 20))
    jittered = pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
    return from_now(timedelta(seconds=max(jittered, min(error.retry_after_seconds, WISH_LIMIT_SECONDS))))


def from_now(length: timedelta) -> Combinable:
    """The database's clock plus ``length``."""
    return ExpressionWrapper(Now() + Value(length), output_field=DateTimeField())


def _guarded(tell: Callable[[Row], int], row: Row) -> int:
    try:
        return tell(row)
    except NotTaken:
        raise
    except Exception as error:  # one message must not keep the others
        log.exception("message_fault", table=row._meta.db_table, tenant_id=row.tenant_id, key=str(row.pk))
        raise NotTaken(f"It could not be told ({type(error).__name__}).") from None
