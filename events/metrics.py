"""Counters of what came in."""

from __future__ import annotations

from prometheus_client import Counter

from events.models import AdapterEvent
from providers.canonical import SignalType

EVENTS = Counter(
    "integration_events_total",
    "Events stored, by signal type; ignored: they become no signal; other: a type of another adapter.",
    ["provider", "tenant", "source", "signal_type"],
)
_KNOWN = frozenset(SignalType)


def count_stored(row: AdapterEvent) -> None:
    """One event more. A type handed in through the API is not a label: anybody could make up new ones."""
    label = row.signal_type if row.signal_type in _KNOWN else "other" if row.signal_type else "ignored"
    EVENTS.labels(row.provider_id, row.tenant_id, str(row.source), label).inc()
