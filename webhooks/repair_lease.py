"""Who looks after the hooks of a door, and until when. Time is the database's, for all processes the same.

A claimed registration carries a token, and ``reconcile_at`` is the end of the lease. Whatever is found is written in a
transaction that asks for the token first, so a worker that wakes after its lease was given to another writes nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection as database
from django.db import transaction
from django.db.models import DateTimeField, ExpressionWrapper, QuerySet, Value, Window
from django.db.models.expressions import Combinable
from django.db.models.functions import Now, RowNumber

from connections.models import IntegrationConnection
from webhooks.lookup import OPEN_REGISTRATIONS
from webhooks.models import WatchedHook, WebhookRegistration

# Longer than the run of any one door; prolonged with everything that is written.
LEASE = timedelta(minutes=5)


class LeaseLost(Exception):
    """Another worker holds the registration now, or it was closed; nothing of this one is written any more."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A registration held under a lease."""

    registration_id: uuid.UUID
    token: uuid.UUID


def from_now(length: timedelta) -> Combinable:
    """The database's clock plus ``length``."""
    return ExpressionWrapper(Now() + Value(length), output_field=DateTimeField())


def claim_due(limit: int) -> list[Claim]:
    """Take up to ``limit`` due doors with hooks, tenants in turn, those that waited longest first."""
    turn = Window(RowNumber(), partition_by="tenant_id", order_by="reconcile_at")
    waiting = _due().annotate(turn=turn).order_by("turn", "reconcile_at")
    chosen = list(waiting.values_list("pk", flat=True)[:limit])
    token = uuid.uuid4()
    with transaction.atomic():
        # Asked again under the lock: another worker may have been first.
        free = _due().filter(pk__in=chosen).order_by("pk")
        locked = free.select_for_update(skip_locked=database.features.has_select_for_update_skip_locked)
        taken = set(locked.values_list("pk", flat=True))
        WebhookRegistration.objects.filter(pk__in=taken).update(
            reconcile_token=token, reconcile_at=from_now(LEASE), updated_at=Now()
        )
    return [Claim(key, token) for key in chosen if key in taken]


@contextmanager
def holding(claim: Claim, connection_id: uuid.UUID) -> Iterator[datetime]:
    """A transaction of the holder, which prolongs the lease; yields the database's time.

    Raises ``LeaseLost`` if the registration is another's by now, or closed.
    """
    with transaction.atomic():
        # Connection before registration, as everywhere: what is written refers to both.
        owner = IntegrationConnection.objects.select_for_update(no_key=True).filter(pk=connection_id)
        now: datetime | None = owner.annotate(now=Now()).values_list("now", flat=True).first()
        held = _held(claim).filter(status__in=OPEN_REGISTRATIONS)
        if now is None or not held.update(reconcile_at=from_now(LEASE), updated_at=Now()):
            raise LeaseLost
        yield now


def release(claim: Claim, due_in: timedelta) -> None:
    """Give it back, due again after so long; nothing happens if it is another's by now."""
    _held(claim).update(reconcile_token=None, reconcile_at=from_now(due_in), updated_at=Now())


def make_due(registration_ids: Sequence[uuid.UUID]) -> int:
    """Have these looked at now, except those a worker is busy with."""
    idle = WebhookRegistration.objects.filter(pk__in=registration_ids, reconcile_token=None)
    WatchedHook.objects.filter(registration__in=idle).update(checked_at=None, updated_at=Now())
    return idle.update(reconcile_at=Now(), updated_at=Now())


def _held(claim: Claim) -> QuerySet[WebhookRegistration]:
    held: QuerySet[WebhookRegistration] = WebhookRegistration.objects.filter(
        pk=claim.registration_id, reconcile_token=claim.token
    )
    return held


def _due() -> QuerySet[WebhookRegistration]:
    # As the index has it.
    doors: QuerySet[WebhookRegistration] = WebhookRegistration.objects.filter(
        status__in=OPEN_REGISTRATIONS, reconcile_at__lte=Now()
    )
    return doors.exclude(provider_hooks={})
