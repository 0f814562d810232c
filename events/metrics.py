"""Counters of what came in."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import Counter

from providers.canonical import SignalType

EVENTS = Counter(
    "integration_events_total",
    "Events stored, by signal type; ignored: they become no signal; other: a type of another adapter.",
    ["provider", "tenant", "source", "signal_type"],
)
_KNOWN = frozenset(SignalType)


def count_stored(provider_id: str, tenant_id: str, source: str, signal_type: str, number: int = 1) -> None:
    """So many events more. A type handed in through the API is not a label: anybody could make up new ones."""
    label = signal_type if signal_type in _KNOWN else "other" if signal_type else "ignored"
    _child(provider_id, tenant_id, str(source), label).inc(number)


@lru_cache(maxsize=4096)
def _child(*labels: str) -> Counter:
    # Finding it anew takes longer than counting.
    return EVENTS.labels(*labels)
