"""Recording what came in, and reading it back: the one way into ``adapter_events``."""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from operator import itemgetter
from typing import Any

import structlog
import uuid6
from django.conf import settings
from django.db import connection as database
from django.db import models, transaction
from django.db.models.functions import Now

from connections.models import IntegrationConnection
from events.bulk_insert import insert_many
from events.compression import pack_text
from events.envelope import signal_id
from events.mapping import build_envelope
from events.metrics import count_stored
from events.models import AdapterEvent, AdapterEventQuerySet, DeliveryStatus, IntakeTally, Source, SpentSignature
from events.single_insert import insert_one
from providers.errors import MappingFailed
from providers.redaction import redacted_json
from providers.spi import ProviderEvent

log = structlog.get_logger(__name__)

_ROWS_A_STATEMENT = 200


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one call stored: ids of new rows; repetitions changed nothing."""

    event_ids: tuple[uuid.UUID, ...]
    duplicates: int

    @property
    def new(self) -> int:
        return len(self.event_ids)


def record(
    connection: IntegrationConnection,
    events: Sequence[ProviderEvent],
    source: Source,
    *,
    signature_hash: bytes | None = None,
    registration_id: uuid.UUID | None = None,
    proof: str = "",
) -> Recorded:
    """Store the events of one request or page, each at most once, and tally what came in.

    One statement a chunk, ``ON CONFLICT DO NOTHING``: the unique keys (dedupe key, signature) are the only
    gate, so two processes cannot both win. May run inside the caller's transaction. With
    ``signature_hash`` the events are one signed request: one new row carries the signature, and if the
    signature is known, none is stored. ``registration_id`` and ``proof`` tell of the door, for webhooks.
    """
    if not events:
        return Recorded((), 0)
    common = {
        "connection_id": connection.pk,
        "tenant_id": connection.tenant_id,
        "provider_id": connection.provider_id,
        "source": source.value,
        "registration_id": registration_id,
        "proof": proof,
    }
    # Unique keys are taken in one order by everybody: two overlapping pages cannot wait for each other.
    told = sorted((_values(connection.pk, event) for event in events), key=itemgetter("dedupe_key"))
    inserted = _store(common, told, signature_hash)
    stored = set(inserted)
    kinds = Counter(values["signal_type"] for values in told if values["event_id"] in stored)
    for signal_type, number in kinds.items():
        count_stored(connection.provider_id, connection.tenant_id, source, signal_type, number)
    return Recorded(tuple(inserted), len(told) - len(inserted))


def _store(common: dict[str, Any], told: list[dict[str, Any]], signature_hash: bytes | None) -> Sequence[uuid.UUID]:
    if database.vendor == "postgresql" and len(told) == 1:
        return [told[0]["event_id"]] if insert_one({**common, **told[0], "signature_hash": signature_hash}) else []
    if database.vendor == "postgresql" and signature_hash is None:
        # A single statement is its own transaction; an explicit one would cost a quarter of the throughput.
        return insert_many(common, told)
    rows = [AdapterEvent(**common, **values) for values in told]
    with transaction.atomic():
        inserted = _insert_all(rows) if signature_hash is None else _insert_signed(rows, signature_hash)
        tally(common["connection_id"], received=len(rows), duplicate=len(rows) - len(inserted))
    return inserted


def hold_back(event_ids: Sequence[uuid.UUID], seconds: int) -> None:
    """Deliver what says no more than that something changed only after so long: a webhook that says what may come."""
    vague = AdapterEvent.objects.filter(
        pk__in=event_ids, delivery_status=DeliveryStatus.PENDING, signal_type__endswith="_updated"
    )
    vague.exclude(happening="").update(next_attempt_at=Now() + timedelta(seconds=seconds))


def replay(queryset: AdapterEventQuerySet, *, actor: str) -> int:
    """Make events due for delivery again, whatever became of them, and return how many.

    The signal keeps its id, so the ingestion service sees a redelivery, not a second signal. Ignored
    events stay ignored: there is no signal to send. For a number that may be locked at once; ``events.replays``
    takes any number in batches.
    """
    with transaction.atomic():
        # In the order in which everybody locks them.
        rows = queryset.exclude(delivery_status=DeliveryStatus.IGNORED).order_by("pk").select_for_update(of=("self",))
        number = AdapterEvent.objects.filter(pk__in=list(rows.values_list("pk", flat=True))).update(
            delivery_status=DeliveryStatus.PENDING,
            next_attempt_at=Now(),
            first_attempt_at=None,
            lease_token=None,
            last_error_code="",
            last_error="",
            updated_at=Now(),
        )
    log.info("events.replayed", actor=actor, events=number)
    return number


def envelope_of(event: AdapterEvent) -> dict[str, Any] | None:
    """The envelope as delivered, or as it would be delivered now; ``None`` if it becomes no signal."""
    if event.envelope:
        sealed: dict[str, Any] = event.sealed
        return sealed
    if event.delivery_status == DeliveryStatus.IGNORED:
        return None
    try:
        return build_envelope(event)
    except MappingFailed:
        return None


def is_known(connection_id: uuid.UUID, signature_hash: bytes) -> bool:
    """Whether a delivery with this signature was told before, under whatever id."""
    same = {"connection_id": connection_id, "signature_hash": signature_hash}
    return AdapterEvent.objects.filter(**same).exists() or SpentSignature.objects.filter(**same).exists()


def spend(connection_id: uuid.UUID, signature_hash: bytes, delivery_id: str = "") -> None:
    """Remember the signature of a delivery that told nothing new, and its id, unless an event carries it."""
    if not is_known(connection_id, signature_hash):
        spent = SpentSignature(
            connection_id=connection_id, signature_hash=signature_hash, delivery_id=_text(delivery_id, 200)
        )
        SpentSignature.objects.bulk_create([spent], ignore_conflicts=True)


def tally(connection_id: uuid.UUID, *, received: int, duplicate: int) -> None:
    """Note what came in where no row tells of it, in the caller's transaction if there is one."""
    IntakeTally.objects.create(connection_id=connection_id, received=received, duplicate=duplicate)


def _values(connection_id: uuid.UUID, event: ProviderEvent) -> dict[str, Any]:
    """The row of one event, by column; what is neither here nor the same for all has its default."""
    becomes_signal = event.signal_type is not None
    dedupe_key = _key(event.dedupe_key)
    return {
        "event_id": uuid6.uuid7(),
        "provider_event_type": _text(event.event_type, 120),
        "dedupe_key": dedupe_key,
        "happening": _key(event.happening),
        "ordering_key": _key(event.ordering_key),
        "correlation_id": _text(event.correlation_id, 200),
        "occurred_at": event.occurred_at,
        "payload": pack_text(redacted_json(event.payload, emails=settings.REDACT_EMAILS)),
        "delivery_status": (DeliveryStatus.PENDING if becomes_signal else DeliveryStatus.IGNORED).value,
        "ignored_reason": _text(event.ignored_reason, 200),
        "signal_id": signal_id(connection_id, dedupe_key) if becomes_signal else None,
        "signal_type": str(event.signal_type) if event.signal_type else "",
    }


def _insert_signed(rows: list[AdapterEvent], signature_hash: bytes) -> list[uuid.UUID]:
    """Insert the rows of one signed request, unless the signature was seen before.

    The first row that is new carries it: another delivery may have told some of the events already.
    """
    if SpentSignature.objects.filter(connection_id=rows[0].connection_id, signature_hash=signature_hash).exists():
        return []
    while rows:
        bearer, *rows = rows
        bearer.signature_hash = signature_hash
        if inserted := _insert([bearer]):
            return inserted + _insert_all(rows)
        told = AdapterEvent.objects.filter(connection_id=bearer.connection_id)
        if not rows or told.filter(signature_hash=signature_hash).exists():
            return []
        keys = [row.dedupe_key for row in rows]
        known = set(told.filter(dedupe_key__in=keys).values_list("dedupe_key", flat=True))
        rows = [row for row in rows if row.dedupe_key not in known]
    return []


def _insert_all(rows: list[AdapterEvent]) -> list[uuid.UUID]:
    return [key for chunk in _chunks(rows) for key in _insert(chunk)]


def _storable(value: str) -> str:
    # PostgreSQL text holds neither NUL nor a lone surrogate, and the value comes from outside.
    if value.isascii() and "\x00" not in value:
        return value
    return value.replace("\x00", "").encode("utf-8", "replace").decode()


def _text(value: str, limit: int) -> str:
    return _storable(value)[:limit]


def _key(value: str) -> str:
    """A key that fits its column: cut keys would collide, so a long one is hashed."""
    value = _storable(value)
    return value if len(value) <= 200 else f"sha256:{hashlib.sha256(value.encode()).hexdigest()}"


def _chunks(rows: list[AdapterEvent]) -> Iterator[list[AdapterEvent]]:
    for start in range(0, len(rows), _ROWS_A_STATEMENT):
        yield rows[start : start + _ROWS_A_STATEMENT]


# Columns the database fills itself stay out of the statement: time is PostgreSQL's.
_FIELDS = [f for f in AdapterEvent._meta.concrete_fields if f.db_default is models.NOT_PROVIDED]
_COLUMNS = [str(f.column) for f in _FIELDS]


def _insert(rows: list[AdapterEvent]) -> list[uuid.UUID]:
    """Insert and return the ids that were not there before (the ORM cannot return them)."""
    quote = database.ops.quote_name
    row_marks = f"({', '.join(['%s'] * len(_FIELDS))})"
    columns = ", ".join(quote(column) for column in _COLUMNS)
    sql = (
        f"INSERT INTO adapter_events ({columns}) "  # noqa: S608 - every name in it is ours
        f"VALUES {', '.join([row_marks] * len(rows))} ON CONFLICT DO NOTHING RETURNING event_id"
    )
    values = [f.get_db_prep_save(getattr(row, f.attname), database) for row in rows for f in _FIELDS]
    with database.cursor() as cursor:
        cursor.execute(sql, values)
        return [key if isinstance(key, uuid.UUID) else uuid.UUID(key) for (key,) in cursor.fetchall()]
