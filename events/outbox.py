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

import structlog
from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.db.models.functions import Now

from events.claiming import Batch, claim, held, release, wake_next
from events.compression import pack_text
from events.envelope import SCHEMA_VERSION
from events.forwarder import PRODUCER_REFUSED, Forwarder, ForwardingFailed, Result, forwarder
from events.mapping import Sealed, seal_event
from events.models import AdapterEvent, DeliveryAttempt, DeliveryStatus, SignalProducer, Source
from events.producers import forget_producers, registered, unregistered
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
    if target.needs_producers:
        batch.producers = registered(event.connection_id for event in batch.events)
    for tenant_id, events in by_tenant.items():
        _deliver_tenant(target, tenant_id, events, batch, done)
    wake_next(batch.finished)
    return done


def _drop_superseded(batch: Batch, done: Delivered) -> list[AdapterEvent]:
    """Leave out what another road tells as well: one happening, one signal.

    A polled event gives way to any webhook of the same happening, because the webhook says more, even where it says
    that another webhook tells it; a webhook gives way to a polled event of the same signal type that is already
    delivered, and of two polled ones of the same type the second gives way. A list shows states: a polled event that
    knows only of an update gives way to a polled one that knows which, and if it was delivered first it stands for one
    that does. What was delivered before is asked for again, so it goes again.
    """
    told = _told_of([event for event in batch.events if event.happening and event.delivered_at is None])
    kept = []
    for event in batch.events:
        told_by = None
        if event.happening and event.delivered_at is None:
            told_by = told[event.connection_id, event.happening].stand_in(event)
        if told_by is None:
            kept.append(event)
            continue
        done.superseded += held(batch, [event]).update(
            delivery_status=DeliveryStatus.IGNORED,
            ignored_reason=_same_happening(told_by.pk),
            lease_token=None,
            updated_at=Now(),
        )
        batch.finished.append(event)
    return kept


class _Happening:
    """All rows that tell of one happening."""

    def __init__(self) -> None:
        self.twins: list[AdapterEvent] = []
        self._spent: set[str] = set()

    def add(self, row: AdapterEvent) -> None:
        if row.delivery_status == DeliveryStatus.IGNORED and row.signal_id is not None:
            self._spent.add(row.ignored_reason)
        else:
            self.twins.append(row)

    def stand_in(self, event: AdapterEvent) -> AdapterEvent | None:
        """The row that tells in the event's place, or ``None``."""
        for twin in self.twins:
            if _supersedes(twin, event):
                return twin
        # Two workers that look at once agree which of several it is: the first to come.
        first = min((twin.pk for twin in self.twins if not _is_vague(twin)), default=event.pk)
        if _is_vague(event) or event.pk != first:
            return None
        delivered = (t for t in self.twins if _is_vague(t) and t.delivery_status == DeliveryStatus.DELIVERED)
        return next((twin for twin in delivered if _same_happening(twin.pk) not in self._spent), None)


def _told_of(events: Sequence[AdapterEvent]) -> dict[tuple[uuid.UUID, str], _Happening]:
    found: dict[tuple[uuid.UUID, str], _Happening] = defaultdict(_Happening)
    if events:
        rows = AdapterEvent.objects.filter(
            connection_id__in={e.connection_id for e in events}, happening__in={e.happening for e in events}
        ).exclude(delivery_status=DeliveryStatus.DEAD)
        needed = ("connection_id", "happening", "source", "signal_type", "signal_id", "delivery_status")
        for row in rows.only(*needed, "ignored_reason"):
            found[row.connection_id, row.happening].add(row)
    return found


def _supersedes(twin: AdapterEvent, event: AdapterEvent) -> bool:
    told = twin.delivery_status in (DeliveryStatus.DELIVERED, DeliveryStatus.IGNORED)
    if twin.source == Source.WEBHOOK:
        # A webhook gives way to no poll that waits, so the poll may give way before the webhook is delivered.
        return event.source != Source.WEBHOOK
    if twin.signal_type == event.signal_type:
        return told or (event.source != Source.WEBHOOK and twin.pk < event.pk)
    return event.source != Source.WEBHOOK and _is_vague(event) and not _is_vague(twin)


def _is_vague(row: AdapterEvent) -> bool:
    """Whether it was read from a list that knew no more than that something changed."""
    return row.source in (Source.POLL, Source.BACKFILL) and row.signal_type.endswith("_updated")


def _same_happening(told_by: uuid.UUID) -> str:
    return f"Same happening as event {told_by}."


def _deliver_tenant(
    target: Forwarder, tenant_id: str, events: list[AdapterEvent], batch: Batch, done: Delivered
) -> None:
    sealed: dict[uuid.UUID, Sealed] = {}
    for event in events:
        try:
            sealed[event.pk] = seal_event(event)
        except MappingFailed as error:
            _mark_failed(batch, event, Result("dead", "MAPPING_FAILED", str(error)), done)
    ready = [event for event in events if event.pk in sealed]
    if not ready:
        return
    try:
        if target.needs_producers:
            ready = _known_producers(target, tenant_id, ready, batch, done)
        if ready:
            _send(target, tenant_id, ready, sealed, batch, done)
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
    for connection, signal_types in unregistered(events, batch.producers):
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
    if late:
        release(batch, [event for event in events if event.connection_id in late])
    for event in events:
        if event.connection_id in refused:
            _mark_failed(batch, event, refused[event.connection_id], done)
    return [event for event in events if event.connection_id not in late | refused.keys()]


def _send(
    target: Forwarder,
    tenant_id: str,
    events: Sequence[AdapterEvent],
    sealed: dict[uuid.UUID, Sealed],
    batch: Batch,
    done: Delivered,
) -> None:
    """Send; a request refused as a whole is halved until the one at fault stands alone."""
    if batch.time_is_up:
        release(batch, events)
        return
    try:
        results = target.send(tenant_id, [sealed[event.pk] for event in events])
    except ForwardingFailed as error:
        if error.retryable:
            raise
        if len(events) == 1:
            _mark_failed(batch, events[0], Result("dead", error.code, str(error)), done)
            return
        middle = len(events) // 2
        for half in (events[:middle], events[middle:]):
            _send(target, tenant_id, half, sealed, batch, done)
        return
    _mark_delivered(
        batch, [(e, sealed[e.pk]) for e, r in zip(events, results, strict=True) if r.outcome == "delivered"], done
    )
    lost = [(e, r) for e, r in zip(events, results, strict=True) if r.outcome != "delivered"]
    if forgotten := {e.connection_id for e, r in lost if r.outcome == "register"}:
        forget_producers(forgotten)
    for event, result in lost:
        _mark_failed(batch, event, result, done)


_MARK = """
UPDATE adapter_events AS e SET delivery_status = 'delivered', delivered_at = CURRENT_TIMESTAMP,
    updated_at = CURRENT_TIMESTAMP, lease_token = NULL, last_error_code = '', envelope = {0}, signal_type = {1},
    signal_id = {2}
"""
# All in one statement, the rows locked in the order in which everybody locks them.
_MARK_ALL = f"""
WITH mine AS MATERIALIZED (
    SELECT event_id FROM adapter_events WHERE event_id = ANY(%s) AND lease_token = %s ORDER BY event_id FOR UPDATE
)
{_MARK.format("d.envelope", "d.signal_type", "d.signal_id")}
FROM mine JOIN unnest(%s::uuid[], %s::bytea[], %s::text[], %s::uuid[]) AS d (event_id, envelope, signal_type, signal_id)
    USING (event_id)
WHERE e.event_id = mine.event_id
"""  # noqa: S608 - put together from the text above
_MARK_EACH = _MARK.format("%s", "%s", "%s") + "WHERE event_id = %s AND lease_token = %s"


def _mark_delivered(batch: Batch, pairs: list[tuple[AdapterEvent, Sealed]], done: Delivered) -> None:
    if not pairs:
        return
    keys = [event.pk for event, _ in pairs]
    kept = [pack_text(sealed.text) for _, sealed in pairs]
    types = [sealed.envelope["signal_type"] for _, sealed in pairs]
    ids = [uuid.UUID(sealed.envelope["signal_id"]) for _, sealed in pairs]
    if database.vendor == "postgresql":
        with database.cursor() as cursor:
            cursor.execute(_MARK_ALL, [keys, batch.token, keys, kept, types, ids])
            done.delivered += max(cursor.rowcount, 0)
    else:
        tokens = [batch.token.hex] * len(keys)
        rows = list(zip(kept, types, (i.hex for i in ids), (key.hex for key in keys), tokens, strict=True))
        with transaction.atomic(), database.cursor() as cursor:
            cursor.executemany(_MARK_EACH, rows)
            done.delivered += max(cursor.rowcount, 0)
    batch.finished += [event for event, _ in pairs]


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
        if marked and (dead or event.attempts <= ATTEMPTS_KEPT):
            DeliveryAttempt.objects.create(
                tenant_id=event.tenant_id,
                event=event,
                number=event.attempts,
                error_code=result.code,
                error=result.message,
            )
    if marked and dead:
        batch.finished.append(event)
        done.dead += 1
        log.error("delivery.dead", tenant_id=event.tenant_id, event_id=str(event.pk), code=result.code)
    elif marked:
        done.failed += 1


def _pause(attempts: int, retry_after_seconds: float | None) -> float:
    """Seconds until the next try: doubling with jitter, never before the neighbour asked for."""
    limit = SHORT_PAUSE_LIMIT_SECONDS if attempts <= SHORT_PAUSES else LONG_PAUSE_LIMIT_SECONDS
    pause = min(limit, FIRST_PAUSE_SECONDS * 2 ** min(attempts - 1, 20)) * random.uniform(0.5, 1.0)  # noqa: S311
    return float(max(pause, min(retry_after_seconds or 0.0, 3600.0)))
