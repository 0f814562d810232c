"""Envelopes handed in by other adapters: checked, stored like any event, delivered the same way."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from django.db import transaction

from connections.lifecycle import TAKES_EVENTS
from connections.models import IntegrationConnection
from events.envelope import problems
from events.models import AdapterEvent, Source
from events.services import record
from providers.canonical import SignalType
from providers.document import moment_of
from providers.spi import ProviderEvent

MAX_SIGNALS_A_REQUEST = 1000


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of one envelope. ``status``: accepted, duplicate or rejected (then with code and message)."""

    signal_id: str | None
    status: str
    error_code: str | None = None
    error_message: str | None = None


def accept_envelopes(tenant_id: str, envelopes: Sequence[Any]) -> list[Accepted]:
    """Store each valid envelope of the tenant once; a result each, in order. A bad one spoils no other."""
    results: list[Accepted | None] = [_refusal(tenant_id, envelope) for envelope in envelopes]
    by_connection: dict[str, list[int]] = defaultdict(list)
    for index, result in enumerate(results):
        if result is None:
            by_connection[str(uuid.UUID(envelopes[index]["producer_id"]))].append(index)
    connections = IntegrationConnection.objects.for_tenant(tenant_id).filter(
        pk__in=by_connection, status__in=TAKES_EVENTS
    )
    known = {str(connection.pk): connection for connection in connections}
    for key, indices in by_connection.items():
        if key not in known:
            for index in indices:
                results[index] = _rejected(envelopes[index], "UNKNOWN_PRODUCER", "producer_id is no open connection.")
            continue
        new = _store(known[key], [envelopes[index] for index in indices])
        for index in indices:
            name = _dedupe_key(envelopes[index])
            status = "accepted" if name in new else "duplicate"
            # The first of two equal envelopes in one request is the accepted one.
            new.discard(name)
            results[index] = Accepted(envelopes[index]["signal_id"], status)
    return [result for result in results if result is not None]


def _refusal(tenant_id: str, envelope: Any) -> Accepted | None:
    found = problems(envelope)
    if found:
        return _rejected(envelope, "SCHEMA_VIOLATION", "; ".join(found[:5]))
    if envelope["tenant_id"] != tenant_id:
        return _rejected(envelope, "TENANT_ISOLATION_VIOLATION", "tenant_id is not the tenant of the token.")
    return None


def _rejected(envelope: Any, code: str, message: str) -> Accepted:
    signal_id = envelope.get("signal_id") if isinstance(envelope, dict) else None
    return Accepted(signal_id if isinstance(signal_id, str) else None, "rejected", code, message[:1000])


def _store(connection: IntegrationConnection, envelopes: Sequence[dict[str, Any]]) -> set[str]:
    """Store and return the dedupe keys that were new."""
    with transaction.atomic():
        recorded = record(connection, [_event(envelope) for envelope in envelopes], Source.API)
        rows = list(AdapterEvent.objects.filter(pk__in=recorded.event_ids).only("event_id", "dedupe_key", "signal_id"))
        for row in rows:
            # The sender has already named the signal; a derived id would make it a second one.
            row.signal_id = uuid.UUID(row.dedupe_key.removeprefix(_PREFIX))
        AdapterEvent.objects.bulk_update(rows, ["signal_id"], batch_size=200)
    return {row.dedupe_key for row in rows}


_PREFIX = "api:"


def _dedupe_key(envelope: dict[str, Any]) -> str:
    return f"{_PREFIX}{uuid.UUID(envelope['signal_id'])}"


def _event(envelope: dict[str, Any]) -> ProviderEvent:
    return ProviderEvent(
        event_type=str(envelope["payload"]["provider_metadata"]["provider_event_type"]),
        dedupe_key=_dedupe_key(envelope),
        payload=envelope,
        # Other adapters may tell of happenings this service has no mapping for; it only passes them on.
        signal_type=cast("SignalType", envelope["signal_type"]),
        occurred_at=moment_of(envelope["occurred_at"]),
        correlation_id=str(envelope.get("correlation_id") or ""),
    )
