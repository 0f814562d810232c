"""Replay of many events: counted first, then done in batches, each of which is remembered."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import connection as database
from django.db import transaction
from django.db.models import Count, F, OuterRef, Subquery
from django.db.models.functions import Now

from connections.errors import ServiceError
from events.models import AdapterEvent, AdapterEventQuerySet, DeliveryStatus, Replay, ReplayStatus
from events.services import replay
from providers.console.filters import first_key_at

log = structlog.get_logger(__name__)

ROWS_A_BATCH = 1000
RUNNING_A_TENANT = 3
_CLOCKS_DIFFER = timedelta(hours=1)
_NOTHING = uuid.UUID(int=0)

# How a condition reads as one of the table.
LOOKUPS = {
    "connection_id": "connection_id",
    "provider_id": "provider_id",
    "signal_type": "signal_type",
    "status": "delivery_status",
    "source": "source",
    "last_error_code": "last_error_code",
    "since": "received_at__gte",
    "until": "received_at__lt",
}


@dataclass(frozen=True, slots=True)
class Found:
    """Events of one status and cause that a replay would take."""

    status: str
    cause: str
    number: int


def matching(tenant_id: str, conditions: Mapping[str, Any]) -> AdapterEventQuerySet:
    """The tenant's events that meet all conditions, without the ignored ones; an empty tenant is every tenant."""
    rows: AdapterEventQuerySet = AdapterEvent.objects.exclude(delivery_status=DeliveryStatus.IGNORED)
    if tenant_id:
        rows = rows.for_tenant(tenant_id)
    for name, value in conditions.items():
        rows = rows.filter(**{LOOKUPS[name]: value})
    # Keys are times of our hosts' clocks: a range of them spares reading what is older or newer.
    if "since" in conditions:
        rows = rows.filter(pk__gte=first_key_at(_moment(conditions["since"]), shift=-_CLOCKS_DIFFER))
    if "until" in conditions:
        rows = rows.filter(pk__lt=first_key_at(_moment(conditions["until"]), shift=_CLOCKS_DIFFER))
    return rows


def preview(tenant_id: str, conditions: Mapping[str, Any]) -> list[Found]:
    """How many events a replay would take, by status and cause, the largest number first."""
    rows = matching(tenant_id, conditions).order_by().values_list("delivery_status", "last_error_code")
    return [Found(*row) for row in rows.annotate(number=Count("pk")).order_by("-number", "delivery_status")]


def start_replay(tenant_id: str, conditions: Mapping[str, Any], *, actor: str) -> Replay:
    """Ask for a replay of all that match now. The first batch is done at once, the others by the task.

    Raises ``ServiceError`` (409) while the tenant has three running; replays of all tenants count by themselves.
    """
    _refuse_too_many(tenant_id)
    rows = matching(tenant_id, conditions)
    keys = rows.values_list("pk", flat=True)
    first, last = keys.order_by("pk").first(), keys.order_by("-pk").first()
    asked = Replay(
        tenant_id=tenant_id,
        conditions={name: str(value) for name, value in conditions.items()},
        actor=actor[:200],
        matched=rows.order_by().count(),
        position=uuid.UUID(int=first.int - 1) if first else _NOTHING,
        last_event_id=last or _NOTHING,
    )
    with transaction.atomic():
        _lock(tenant_id)
        # Again: what was asked for while this one counted is running by now.
        _refuse_too_many(tenant_id)
        asked.save(force_insert=True)
    log.info("replay.started", replay_id=str(asked.pk), tenant_id=tenant_id, matched=asked.matched, actor=actor)
    run_batch(asked.pk)
    asked.refresh_from_db()
    return asked


def run_batch(replay_id: uuid.UUID | None = None) -> int | None:
    """The next up to 1000 events of the unfinished replay whose turn it is, or of this one, in one transaction.

    Tenants take turns: the one whose replays were worked on longest ago is next. Returns how many were made
    due, or ``None`` if there is nothing to do or other workers are at it. Which events are meant is read from
    the conditions as they hold now: one that was delivered meanwhile is not replayed by a replay of dead ones.
    """
    running = Replay.objects.filter(status=ReplayStatus.RUNNING)
    of_tenant = running.filter(tenant_id=OuterRef("tenant_id")).order_by("-updated_at")
    in_turn = running.order_by(Subquery(of_tenant.values("updated_at")[:1]), "updated_at", "pk")
    skip = database.features.has_select_for_update_skip_locked
    asked: Replay | None = None
    try:
        with transaction.atomic():
            waiting = in_turn.filter(pk=replay_id) if replay_id else in_turn
            asked = waiting.select_for_update(skip_locked=skip).first()
            return None if asked is None else _replay_next(asked)
    except Exception:
        if asked is not None:
            # Its turn is over all the same: one that always fails must not keep the others from theirs.
            Replay.objects.filter(pk=asked.pk).update(updated_at=Now())
        raise


def _replay_next(asked: Replay) -> int:
    meant = matching(asked.tenant_id, asked.conditions)
    ahead = meant.filter(pk__gt=asked.position, pk__lte=asked.last_event_id)
    keys = list(ahead.order_by("pk").values_list("pk", flat=True)[:ROWS_A_BATCH])
    done = replay(meant.filter(pk__in=keys), actor=asked.actor)
    over = len(keys) < ROWS_A_BATCH
    Replay.objects.filter(pk=asked.pk).update(
        replayed=F("replayed") + done,
        position=keys[-1] if keys else asked.position,
        status=ReplayStatus.COMPLETED if over else ReplayStatus.RUNNING,
        updated_at=Now(),
    )
    if over:
        log.info("replay.completed", replay_id=str(asked.pk), tenant_id=asked.tenant_id, replayed=asked.replayed + done)
    return done


def _refuse_too_many(tenant_id: str) -> None:
    if Replay.objects.filter(tenant_id=tenant_id, status=ReplayStatus.RUNNING).count() >= RUNNING_A_TENANT:
        message = f"{RUNNING_A_TENANT} replays are still running; ask again when one of them is done."
        raise ServiceError("TOO_MANY_REPLAYS", message, status=409)


def _lock(tenant_id: str) -> None:
    """Make counting and creating one step, until the transaction ends. A tenant has no row that could be locked."""
    if database.vendor == "postgresql":
        with database.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"event_replays:{tenant_id}"])


def _moment(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)
