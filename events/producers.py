"""Which connections the ingestion service knows as producers, and of which signal types."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence

from connections.models import IntegrationConnection
from events.models import AdapterEvent, SignalProducer


def registered(connection_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, set[str]]:
    """The signal types each of these connections is registered with."""
    rows = SignalProducer.objects.filter(connection_id__in=set(connection_ids))
    return {key: set(types) for key, types in rows.values_list("connection_id", "signal_types")}


def unregistered(
    events: Sequence[AdapterEvent], known: Mapping[uuid.UUID, set[str]]
) -> list[tuple[IntegrationConnection, list[str]]]:
    """Connections whose new signal types must be made known first, each with all its types."""
    wanted: dict[uuid.UUID, set[str]] = {}
    connections: dict[uuid.UUID, IntegrationConnection] = {}
    for event in events:
        wanted.setdefault(event.connection_id, set()).add(event.signal_type)
        connections[event.connection_id] = event.connection
    return [
        (connections[key], sorted(types | known.get(key, set())))
        for key, types in wanted.items()
        if not types <= known.get(key, set())
    ]


def forget_producers(connection_ids: Iterable[uuid.UUID]) -> None:
    """The ingestion service says it does not know them: register again before the next try."""
    SignalProducer.objects.filter(connection_id__in=set(connection_ids)).delete()
