"""Reading a window of the past beside live polling: asked for, claimed, read part by part, visible.

A backfill has its own position and never touches a cursor. It goes through the same budget, the same
dedupe keys and the same kind of lease; it is last in line: a few pages of a few backfills a tick.
"""

from __future__ import annotations

import time
import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from connections import history
from connections.errors import ServiceError
from connections.models import IntegrationConnection
from connections.runtime import adapter_for
from polling import reading
from polling.backfill_runner import run_once
from polling.cursors import parts_of
from polling.lease import from_now, new_token
from polling.models import UNFINISHED, Backfill, BackfillStatus
from polling.runner import RunResult

PAGES_A_RUN = 10
RUNS_A_TICK = 5
TICK_SECONDS = 8.0
UNFINISHED_A_CONNECTION = 10
WAITING_LOOKED_AT = 100
# A client's clock may be a little ahead of ours.
CLOCK_SKEW = timedelta(seconds=60)


def start_backfill(connection: IntegrationConnection, since: datetime, until: datetime, *, actor: str) -> Backfill:
    """Ask for everything between ``since`` and ``until``, both in the past and with a time zone.

    Raises ``ServiceError``: 400 for a window that cannot be, 409 if the connection cannot be polled.
    """
    if not reading.may_poll(connection):
        message = "Only an active connection with polling switched on can be backfilled."
        raise ServiceError("CONNECTION_NOT_ACTIVE", message, {"status": connection.status}, status=409)
    now = timezone.now()
    if timezone.is_naive(since) or timezone.is_naive(until):
        raise ServiceError("VALIDATION_FAILED", "since and until need a time zone.")
    if until > now + CLOCK_SKEW:
        raise ServiceError("VALIDATION_FAILED", "until must not be in the future.", {"until": until.isoformat()})
    until = min(until, now)
    if since >= until:
        raise ServiceError("VALIDATION_FAILED", "since must be before until.", {"since": since.isoformat()})
    with transaction.atomic():
        # The lock makes counting and creating one step.
        IntegrationConnection.objects.select_for_update(no_key=True).get(pk=connection.pk)
        if Backfill.objects.filter(connection=connection, status__in=UNFINISHED).count() >= UNFINISHED_A_CONNECTION:
            message = f"The connection has {UNFINISHED_A_CONNECTION} unfinished backfills; wait or cancel one."
            raise ServiceError("TOO_MANY_BACKFILLS", message, status=409)
        backfill: Backfill = Backfill.objects.create(
            tenant_id=connection.tenant_id,
            connection=connection,
            since=since,
            until=until,
            requested_by=actor[:200],
            parts_total=len(parts_of(adapter_for(connection), connection.settings)),
            next_run_at=now,
        )
        detail = f"{since.isoformat()} to {until.isoformat()}"
        history.record(connection, "backfill_started", actor=actor, detail=detail)
    return backfill


def cancel_backfill(backfill: Backfill, *, actor: str) -> None:
    """Stop it where it is; what was read stays. Raises ``ServiceError`` (409) if it has ended already."""
    with transaction.atomic():
        cancelled = Backfill.objects.filter(pk=backfill.pk, status__in=UNFINISHED).update(
            status=BackfillStatus.CANCELLED, lease_token=None, completed_at=Now(), updated_at=Now()
        )
        if not cancelled:
            raise ServiceError("BACKFILL_ENDED", "The backfill has already ended.", status=409)
        history.record(backfill.connection, "backfill_cancelled", actor=actor, detail=str(backfill))


def run_due() -> list[RunResult]:
    """One tick: a few pages of a few backfills, no more than one of each tenant while others wait."""
    ends_at = time.monotonic() + TICK_SECONDS
    results = []
    for backfill_id, token in claim_due(RUNS_A_TICK):
        if time.monotonic() >= ends_at:
            _due_again(backfill_id, token)
            continue
        results.append(run_once(backfill_id, token, pages=PAGES_A_RUN))
    return results


def claim_due(limit: int) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """Take up to ``limit`` due backfills, tenants in turn; returns ids and their lease tokens."""
    due = _due().order_by("next_run_at").values_list("pk", "tenant_id")[:WAITING_LOOKED_AT]
    turns: dict[str, int] = {}
    ranked = []
    for backfill_id, tenant_id in due:
        turns[tenant_id] = turns.get(tenant_id, -1) + 1
        ranked.append((turns[tenant_id], backfill_id))
    claims = []
    for _, backfill_id in sorted(ranked, key=lambda row: row[0])[:limit]:
        token = new_token()
        # Asked again in the statement that takes it: another worker may have been first.
        ends_at = from_now(settings.POLL_LEASE_SECONDS)
        if _due().filter(pk=backfill_id).update(lease_token=token, next_run_at=ends_at, updated_at=Now()):
            claims.append((backfill_id, token))
    return claims


def _due() -> QuerySet[Backfill]:
    return Backfill.objects.filter(status__in=UNFINISHED, next_run_at__lte=Now())


def _due_again(backfill_id: uuid.UUID, token: uuid.UUID) -> None:
    Backfill.objects.filter(pk=backfill_id, lease_token=token).update(
        lease_token=None, next_run_at=Now(), updated_at=Now()
    )
