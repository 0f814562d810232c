"""Whether a delivery came in: asked by what the provider says of it, not by a request that is at hand."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime

from events.models import AdapterEvent, SpentSignature
from providers.console.filters import first_key_at


def came_in(connection_id: uuid.UUID, dedupe_keys: Collection[str], delivery_ids: Collection[str]) -> set[str]:
    """Which of these dedupe keys have an event, and which of these deliveries told only what was known; one statement.

    A delivery that told nothing new left no event, but its signature, with its id.
    """
    if not dedupe_keys and not delivery_ids:
        return set()
    events = AdapterEvent.objects.filter(connection_id=connection_id, dedupe_key__in=dedupe_keys)
    spent = SpentSignature.objects.filter(connection_id=connection_id, delivery_id__in=delivery_ids)
    known = events.order_by().values_list("dedupe_key").union(spent.order_by().values_list("delivery_id"), all=True)
    return {key for (key,) in known}


def came_in_under_another_key(
    connection_id: uuid.UUID, delivery_ids: Collection[str], since: datetime, until: datetime
) -> set[str]:
    """Which of these deliveries have an event that was received in this time, whatever its dedupe key.

    The event names its delivery (``correlation_id``), but there is no index of that: the time keeps it short.
    """
    if not delivery_ids:
        return set()
    events = AdapterEvent.objects.filter(
        connection_id=connection_id,
        event_id__gte=first_key_at(since),
        event_id__lt=first_key_at(until),
        correlation_id__in=delivery_ids,
    )
    return set(events.order_by().values_list("correlation_id", flat=True))
