"""How polling of a connection stands, in figures for people and the API."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db.models import Min
from django.utils import timezone

from connections.models import IntegrationConnection
from connections.quota_state import quota_state
from events.ledger import Ledger
from events.models import UNDELIVERED, AdapterEvent
from polling import reading
from polling.backfill_status import backfill_status
from polling.models import Backfill, PollingCursor

CURSORS_SHOWN = 500
BACKFILLS_SHOWN = 20
# Of the newest events; enough for a median, and read from the index of one connection.
DELIVERIES_MEASURED = 200


def polling_status(connection: IntegrationConnection) -> dict[str, Any]:
    """Streams, backfills, what waits for delivery, and the provider's quotas."""
    now = timezone.now()
    cursors = PollingCursor.objects.filter(connection=connection).order_by("-active", "stream", "partition")
    backfills = Backfill.objects.filter(connection=connection).order_by("-backfill_id")
    return {
        "connection_id": str(connection.connection_id),
        "status": connection.status,
        "enabled": reading.may_poll(connection),
        "streams": [stream_status(cursor, now) for cursor in cursors[:CURSORS_SHOWN]],
        "backfills": [backfill_status(backfill, now) for backfill in backfills[:BACKFILLS_SHOWN]],
        "delivery": delivery_status(connection, now),
        "quotas": [asdict(quota) for quota in quota_state(connection)],
    }


def errors_of(
    connection: IntegrationConnection, events: Ledger, streams: Sequence[Mapping[str, Any]]
) -> dict[str, int]:
    """How much of the connection fails, on the way to its provider and onward."""
    return {
        "consecutive_failures": connection.consecutive_failures,
        "consecutive_refusals": connection.consecutive_refusals,
        "failures_total": connection.failures_total,
        "streams_failing": sum(bool(stream["active"] and stream["consecutive_failures"]) for stream in streams),
        "events_failed": events.failed,
        "events_dead": events.dead,
    }


def delivery_status(connection: IntegrationConnection, now: datetime) -> dict[str, Any]:
    """What is not delivered yet, and how long the newest events took from the provider's time to their delivery."""
    events = AdapterEvent.objects.filter(connection=connection)
    waiting = events.filter(delivery_status__in=UNDELIVERED)
    oldest = waiting.aggregate(at=Min("received_at"))["at"]
    newest = events.order_by("-event_id").values_list("occurred_at", "delivered_at")[:DELIVERIES_MEASURED]
    took = [max((end - start).total_seconds(), 0.0) for start, end in newest if start and end]
    return {
        "backlog": waiting.count(),
        "oldest_waits_seconds": max(0.0, (now - oldest).total_seconds()) if oldest else 0.0,
        "lag_median_seconds": statistics.median(took) if took else None,
        "lag_worst_seconds": max(took, default=None),
    }


def stream_status(cursor: PollingCursor, now: datetime) -> dict[str, Any]:
    """``lag_seconds``: how long ago the stream was last known to be read to its end."""
    complete_at = cursor.last_success_at or cursor.started_from
    return {
        "stream": cursor.stream,
        "partition": cursor.partition,
        "active": cursor.active,
        "last_polled_at": cursor.last_polled_at,
        "last_success_at": cursor.last_success_at,
        "last_event_at": cursor.last_event_at,
        "newest_event_at": cursor.newest_event_at,
        "seen_after_seconds": cursor.seen_after_seconds,
        "last_outcome": cursor.last_outcome,
        "last_error": cursor.last_error,
        "consecutive_failures": cursor.consecutive_failures,
        "lag_seconds": max(0, round((now - complete_at).total_seconds())),
        "more_pages_wait": cursor.run_in_progress,
        "next_poll_at": cursor.next_poll_at,
        "interval_seconds": cursor.interval_seconds,
        "interval_reason": cursor.interval_reason,
        "events_total": cursor.events_total,
        "requests_total": cursor.requests_total,
        "budget_refusals": cursor.budget_refusals,
    }
