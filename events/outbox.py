"""Due rows to delivered rows: claim, commit, network, commit.

No transaction spans the network. A result is written only where the claim's token still stands, so a worker
that wakes after its lease changes nothing and the row is simply due again.
"""

from __future__ import annotations

import random
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connection as database
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now

from events.claiming import Batch, claim, held, release, wake_next
from events.compression import pack
from events.envelope import SCHEMA_VERSION
from events.forwarder import PRODUCER_REFUSED, Forwarder, ForwardingFailed, Result, forwarder
from events.mapping import build_envelope
from events.models import AdapterEvent, DeliveryAttempt, DeliveryStatus, SignalProducer, Source
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
    parked: int = 0


def deliver_batch(*, limit: int | None = None) -> Delivered:
    """Claim up to ``limit`` due events, deliver them a tenant at a time, and mark each by its own result."""
    batch = claim(limit or settings.DELIVERY_BATCH_SIZE)
    done = Delivered(claimed=len(batch.events), parked=batch.parked)
    by_tenant: dict[str, list[AdapterEvent]] = defaultdict(list)
    for event in _drop_superseded(batch, done):
        by_tenant[event.tenant_id].append(event)
    target = forwarder()
    for tenant_id, events in by_tenant.items():
        _deliver_tenant(target, tenant_id, events, batch, done)
    return done


def _drop_superseded(batch: Batch, done: Delivered) -> list[AdapterEvent]:
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
        with transaction.atomic():
            done.superseded += held(batch, [event]).update(
                delivery_status=DeliveryStatus.IGNORED,
                ignored_reason=f"Same happening as event {told_by.pk}.",
                lease_token=None,
                updated_at=Now(),
            )
            wake_next([event])
    return kept


def _supersedes(twin: AdapterEvent, event: AdapterEvent) -> bool:
    if (twin.source == Source.WEBHOOK) == (event.source == Source.WEBHOOK):
        return False
    if twin.signal_type != event.signal_type:
        # Such a webhook never gives way to the poll, so the poll may give way before the webhook is delivered.
        return twin.source == Source.WEBHOOK
    return twin.delivery_status in (DeliveryStatus.DELIVERED, DeliveryStatus.IGNORED) or twin.pk < event.pk


def _deliver_tenant(
    target: Forwarder, tenant_id: str, events: list[AdapterEvent], batch: Batch, done: Delivered
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
    target: Forwarder, tenant_id: str, events: list[AdapterEvent], batch: Batch, done: Delivered
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
    release(batch, [event for event in events if event.connection_id in late])
    for event in events:
        if event.connection_id in refused:
            _mark_failed(batch, event, refused[event.connection_id], done)
    return [event for event in events if event.connection_id not in late | refused.keys()]


def _send(
    target: Forwarder,
    tenant_id: str,
    events: Sequence[AdapterEvent],
    envelopes: dict[uuid.UUID, dict[str, Any]],
    batch: Batch,
    done: Delivered,
) -> None:
    """Send; a request refused as a whole is halved until the one at fault stands alone."""
    if batch.time_is_up:
        release(batch, events)
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


def _mark_delivered(batch: Batch, pairs: list[tuple[AdapterEvent, dict[str, Any]]], done: Delivered) -> None:
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
        wake_next([event for event, _ in pairs])


def _prepared(name: str, value: Any) -> Any:
    """A value as the engine in use wants it in raw SQL."""
    column = AdapterEvent._meta.get_field(name)
    assert isinstance(column, models.Field)  # noqa: S101 - only plain columns are asked for
    return column.get_db_prep_save(value, database)


def _mark_failed(
    batch: Batch, event: AdapterEvent, result: Result, done: Delivered, *, retry_after_seconds: float | None = None
) -> None:
    dead = result.outcome == "dead" or event.pk in batch.last_tries
    with transaction.atomic():
        marked = held(batch, [event]).update(
            delivery_status=DeliveryStatus.DEAD if dead else DeliveryStatus.FAILED,
            next_attempt_at=Now() + timedelta(seconds=_pause(event.attempts, retry_after_seconds)),
            lease_token=None,
            last_error_code=result.code,
            last_error=result.message,
            updated_at=Now(),
        )
        if marked and dead:
            wake_next([event])
        if marked and (dead or event.attempts <= ATTEMPTS_KEPT):
            DeliveryAttempt.objects.create(
                tenant_id=event.tenant_id,
                event=event,
                number=event.attempts,
                error_code=result.code,
                error=result.message,
            )
    if marked and dead:
        done.dead += 1
        log.error("delivery.dead", tenant_id=event.tenant_id, event_id=str(event.pk), code=result.code)
    elif marked:
        done.failed += 1


def _pause(attempts: int, retry_after_seconds: float | None) -> float:
    """Seconds until the next try: doubling with jitter, never before the neighbour asked for."""
    limit = SHORT_PAUSE_LIMIT_SECONDS if attempts <= SHORT_PAUSES else LONG_PAUSE_LIMIT_SECONDS
    pause = min(limit, FIRST_PAUSE_SECONDS * 2 ** min(attempts - 1, 20)) * random.uniform(0.5, 1.0)  # noqa: S311
    return float(max(pause, min(retry_after_seconds or 0.0, 3600.0)))
