"""Due rows to delivered rows: claim, commit, network, commit.

No transaction spans the network. A claim pushes ``next_attempt_at`` to the end of its lease and sets a
fencing token; a result is written only where the token still stands, so a worker that wakes after its
lease changes nothing and the row is simply due again.
"""

from __future__ import annotations

import random
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connection as database
from django.db import models, transaction
from django.db.models import Exists, ExpressionWrapper, F, OuterRef, Q
from django.db.models.functions import Coalesce, Now

from events.compression import pack
from events.envelope import SCHEMA_VERSION
from events.forwarder import PRODUCER_REFUSED, Forwarder, ForwardingFailed, Result, forwarder
from events.mapping import build_envelope
from events.models import UNDELIVERED, AdapterEvent, DeliveryAttempt, DeliveryStatus, SignalProducer, Source
from events.producers import forget_producers, unregistered
from providers.errors import MappingFailed

log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS = 1.0
SHORT_PAUSE_LIMIT_SECONDS = 30.0
LONG_PAUSE_LIMIT_SECONDS = 600.0
SHORT_PAUSES = 20  # about ten minutes: a restart of the neighbour is over by then
ATTEMPTS_KEPT = 10


@dataclass(slots=True)
class Delivered:
    """What one batch came to."""

    claimed: int = 0
    delivered: int = 0
    failed: int = 0
    dead: int = 0
    superseded: int = 0


@dataclass(slots=True)
class _Batch:
    token: uuid.UUID
    ends_at: float  # monotonic
    events: list[AdapterEvent] = field(default_factory=list)
    last_tries: set[uuid.UUID] = field(default_factory=set)

    @property
    def time_is_up(self) -> bool:
        """Whether one more call could outlast the lease."""
        return time.monotonic() + settings.PM3_TIMEOUT_SECONDS > self.ends_at


def deliver_batch(*, limit: int | None = None) -> Delivered:
    """Claim up to ``limit`` due events, deliver them a tenant at a time, and mark each by its own result."""
    batch = _claim(limit or settings.DELIVERY_BATCH_SIZE)
    done = Delivered(claimed=len(batch.events))
    by_tenant: dict[str, list[AdapterEvent]] = defaultdict(list)
    for event in _drop_superseded(batch, done):
        by_tenant[event.tenant_id].append(event)
    target = forwarder()
    for tenant_id, events in by_tenant.items():
        _deliver_tenant(target, tenant_id, events, batch, done)
    return done


def _claim(limit: int) -> _Batch:
    token = uuid.uuid4()
    earlier = AdapterEvent.objects.filter(
        connection_id=OuterRef("connection_id"),
        ordering_key=OuterRef("ordering_key"),
        delivery_status__in=UNDELIVERED,
        event_id__lt=OuterRef("event_id"),
    )
    due = (
        AdapterEvent.objects.filter(delivery_status__in=UNDELIVERED, next_attempt_at__lte=Now())
        .filter(Q(ordering_key="") | ~Exists(earlier))
        .order_by("next_attempt_at")
        .select_for_update(skip_locked=database.features.has_select_for_update_skip_locked)
    )
    ends_at = time.monotonic() + settings.DELIVERY_LEASE_SECONDS
    with transaction.atomic():
        keys = list(due.values_list("pk", flat=True)[:limit])
        AdapterEvent.objects.filter(pk__in=keys).update(
            lease_token=token,
            next_attempt_at=Now() + timedelta(seconds=settings.DELIVERY_LEASE_SECONDS),
            first_attempt_at=Coalesce("first_attempt_at", Now()),
            attempts=F("attempts") + 1,
            updated_at=Now(),
        )
    tried_for_long = Q(first_attempt_at__lte=Now() - timedelta(hours=settings.DELIVERY_GIVE_UP_HOURS))
    events = (
        AdapterEvent.objects.filter(pk__in=keys, lease_token=token)
        .select_related("connection")
        # The database's clock decides: a host whose own clock jumped must not give an event up.
        .annotate(last_try=ExpressionWrapper(tried_for_long, output_field=models.BooleanField()))
        # By receipt, so that one entity's events reach the neighbour as they came in.
        .order_by("pk")
    )
    rows = list(events)
    return _Batch(token, ends_at, rows, {event.pk for event in rows if event.last_try})


def _held(batch: _Batch, events: Sequence[AdapterEvent]) -> Any:
    return AdapterEvent.objects.filter(pk__in=[e.pk for e in events], lease_token=batch.token)


def _release(batch: _Batch, events: Sequence[AdapterEvent]) -> None:
    """Hand back what there was no time for."""
    _held(batch, events).update(lease_token=None, next_attempt_at=Now(), attempts=F("attempts") - 1, updated_at=Now())


def _drop_superseded(batch: _Batch, done: Delivered) -> list[AdapterEvent]:
    """Leave out what another road tells as well: one happening, one signal.

    A polled event gives way to any webhook of the same happening, because the webhook says more, even where
    it says that another webhook tells it; a webhook gives way only to a polled event of the same signal type
    that came first or is already delivered. What was delivered before is asked for again, so it goes again.
    """
    telling = [event for event in batch.events if event.happening and event.delivered_at is None]
    twins: dict[tuple[uuid.UUID, str], list[AdapterEvent]] = defaultdict(list)
    if telling:
        found = AdapterEvent.objects.filter(
            connection_id__in={e.connection_id for e in telling}, happening__in={e.happening for e in telling}
        ).exclude(
            Q(delivery_status=DeliveryStatus.DEAD) | Q(delivery_status=DeliveryStatus.IGNORED, signal_id__isnull=False)
        )
        for twin in found.only("connection_id", "happening", "source", "signal_type", "delivery_status"):
            twins[twin.connection_id, twin.happening].append(twin)
    kept = []
    for event in batch.events:
        rivals = twins[event.connection_id, event.happening] if event.delivered_at is None else []
        told_by = next((twin for twin in rivals if _supersedes(twin, event)), None)
        if told_by is None:
            kept.append(event)
            continue
        done.superseded += _held(batch, [event]).update(
            delivery_status=DeliveryStatus.IGNORED,
            ignored_reason=f"Same happening as event {told_by.pk}.",
            lease_token=None,
            updated_at=Now(),
        )
    return kept


def _supersedes(twin: AdapterEvent, event: AdapterEvent) -> bool:
    if (twin.source == Source.WEBHOOK) == (event.source == Source.WEBHOOK):
        return False
    if twin.signal_type != event.signal_type:
        # Such a webhook never gives way to the poll, so the poll may give way before the webhook is delivered.
        return twin.source == Source.WEBHOOK
    return twin.delivery_status in (DeliveryStatus.DELIVERED, DeliveryStatus.IGNORED) or twin.pk < event.pk


def _deliver_tenant(
    target: Forwarder, tenant_id: str, events: list[AdapterEvent], batch: _Batch, done: Delivered
) -> None:
    envelopes: dict[uuid.UUID, dict[str, Any]] = {}
    for event in events:
        try:
            envelopes[event.pk] = build_envelope(event)
        except MappingFailed as error:
            _mark_failed(batch, event, Result("dead", "MAPPING_FAILED", str(error)), done)
    ready = [event for event in events if event.pk in envelopes]
    if not ready:
        return
    try:
        if target.needs_producers:
            ready = _known_producers(target, tenant_id, ready, batch, done)
        if ready:
            _send(target, tenant_id, ready, envelopes, batch, done)
    except ForwardingFailed as error:
        result = Result("retry", error.code, str(error))
        for event in ready:
            _mark_failed(batch, event, result, done, retry_after_seconds=error.retry_after_seconds)
        log.warning("delivery.failed", tenant_id=tenant_id, events=len(ready), code=error.code)


def _known_producers(
    target: Forwarder, tenant_id: str, events: list[AdapterEvent], batch: _Batch, done: Delivered
) -> list[AdapterEvent]:
    """Register producers where needed; the events whose producer was refused wait, the others go on."""
    refused: dict[uuid.UUID, Result] = {}
    late: set[uuid.UUID] = set()
    for connection, signal_types in unregistered(events):
        if batch.time_is_up:
            late.add(connection.pk)
            continue
        try:
            target.register(tenant_id, str(connection.pk), connection.display_name, signal_types)
        except ForwardingFailed as error:
            if error.code != PRODUCER_REFUSED:
                raise
            refused[connection.pk] = Result("retry", error.code, str(error))
            continue
        SignalProducer.objects.update_or_create(
            connection=connection,
            defaults={"tenant_id": tenant_id, "signal_types": signal_types, "schema_version": SCHEMA_VERSION},
        )
    _release(batch, [event for event in events if event.connection_id in late])
    for event in events:
        if event.connection_id in refused:
            _mark_failed(batch, event, refused[event.connection_id], done)
    return [event for event in events if event.connection_id not in late | refused.keys()]


def _send(
    target: Forwarder,
    tenant_id: str,
    events: Sequence[AdapterEvent],
    envelopes: dict[uuid.UUID, dict[str, Any]],
    batch: _Batch,
    done: Delivered,
) -> None:
    """Send; a request refused as a whole is halved until the one at fault stands alone."""
    if batch.time_is_up:
        _release(batch, events)
        return
    try:
        results = target.send(tenant_id, [envelopes[event.pk] for event in events])
    except ForwardingFailed as error:
        if error.retryable:
            raise
        if len(events) == 1:
            _mark_failed(batch, events[0], Result("dead", error.code, str(error)), done)
            return
        middle = len(events) // 2
        for half in (events[:middle], events[middle:]):
            _send(target, tenant_id, half, envelopes, batch, done)
        return
    _mark_delivered(
        batch, [(e, envelopes[e.pk]) for e, r in zip(events, results, strict=True) if r.outcome == "delivered"], done
    )
    lost = [(e, r) for e, r in zip(events, results, strict=True) if r.outcome != "delivered"]
    forget_producers({e.connection_id for e, r in lost if r.outcome == "register"})
    for event, result in lost:
        _mark_failed(batch, event, result, done)


def _mark_delivered(batch: _Batch, pairs: list[tuple[AdapterEvent, dict[str, Any]]], done: Delivered) -> None:
    if not pairs:
        return
    rows = [
        (
            _prepared("envelope", pack(envelope)),
            envelope["signal_type"],
            _prepared("signal_id", uuid.UUID(envelope["signal_id"])),
            _prepared("event_id", event.pk),
            _prepared("lease_token", batch.token),
        )
        for event, envelope in pairs
    ]
    # One pipelined statement a row: bulk_update's CASE costs more than the rows are worth.
    with transaction.atomic(), database.cursor() as cursor:
        cursor.executemany(
            "UPDATE adapter_events SET delivery_status = 'delivered', delivered_at = CURRENT_TIMESTAMP, "
            "updated_at = CURRENT_TIMESTAMP, lease_token = NULL, last_error_code = '', envelope = %s, "
            "signal_type = %s, signal_id = %s WHERE event_id = %s AND lease_token = %s",
            rows,
        )
        done.delivered += max(cursor.rowcount, 0)


def _prepared(name: str, value: Any) -> Any:
    """A value as the engine in use wants it in raw SQL."""
    column = AdapterEvent._meta.get_field(name)
    assert isinstance(column, models.Field)  # noqa: S101 - only plain columns are asked for
    return column.get_db_prep_save(value, database)


def _mark_failed(
    batch: _Batch, event: AdapterEvent, result: Result, done: Delivered, *, retry_after_seconds: float | None = None
) -> None:
    dead = result.outcome == "dead" or event.pk in batch.last_tries
    with transaction.atomic():
        held = _held(batch, [event]).update(
            delivery_status=DeliveryStatus.DEAD if dead else DeliveryStatus.FAILED,
            next_attempt_at=Now() + timedelta(seconds=_pause(event.attempts, retry_after_seconds)),
            lease_token=None,
            last_error_code=result.code,
            last_error=result.message,
            updated_at=Now(),
        )
        if held and (dead or event.attempts <= ATTEMPTS_KEPT):
            DeliveryAttempt.objects.create(
                tenant_id=event.tenant_id,
                event=event,
                number=event.attempts,
                error_code=result.code,
                error=result.message,
            )
    if held and dead:
        done.dead += 1
        log.error("delivery.dead", tenant_id=event.tenant_id, event_id=str(event.pk), code=result.code)
    elif held:
        done.failed += 1


def _pause(attempts: int, retry_after_seconds: float | None) -> float:
    """Seconds until the next try: doubling with jitter, never before the neighbour asked for."""
    limit = SHORT_PAUSE_LIMIT_SECONDS if attempts <= SHORT_PAUSES else LONG_PAUSE_LIMIT_SECONDS
    pause = min(limit, FIRST_PAUSE_SECONDS * 2 ** min(attempts - 1, 20)) * random.uniform(0.5, 1.0)  # noqa: S311
    return float(max(pause, min(retry_after_seconds or 0.0, 3600.0)))
