"""Which cursors a connection has: one for each stream and part its settings name.

A cursor is made once and never moved or deleted here: an edit of the settings switches it off or on, and
a cursor that comes back goes on where it stood.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from django.db import Error as DatabaseError
from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Least, Now
from django.utils import timezone

from connections.models import ConnectionStatus, IntegrationConnection, record_failure
from polling import intervals, reading
from polling.lease import from_now
from polling.models import PollingCursor
from providers import registry
from providers.spi import Adapter

log = structlog.get_logger(__name__)

# New cursors are due at once, but not all in the same second.
FIRST_POLL_SPREAD_SECONDS = 3.0

Part = tuple[str, str]


def parts_of(adapter: Adapter, settings: Mapping[str, Any]) -> set[Part]:
    """Stream and partition of everything to be read: the streams named in ``streams``, else the adapter's default."""
    return {
        (stream.name, partition)
        for stream in adapter.streams_in_use(settings)
        for partition in stream.partitions(settings)
    }


def sync_cursors(connection: IntegrationConnection) -> int:
    """Make what is missing, switch on what is named, switch off the rest; return how many are on."""
    wanted: set[Part] = set()
    if reading.may_poll(connection):
        wanted = parts_of(registry.get(connection.provider_id), connection.settings)
    base = reading.bounds_of(connection)
    interval = base.clamp(base.base)
    existing = PollingCursor.objects.filter(connection=connection)
    known = {(row.stream, row.partition): row for row in existing.only("stream", "partition", "active")}

    switched_off = [row.pk for part, row in known.items() if row.active and part not in wanted]
    switched_on = [row.pk for part, row in known.items() if not row.active and part in wanted]
    if switched_off:
        existing.filter(pk__in=switched_off).update(
            active=False, lease_token=None, interval_reason="switched off", updated_at=Now()
        )
    if switched_on:
        existing.filter(pk__in=switched_on).update(
            active=True,
            lease_token=None,
            next_poll_at=from_now(intervals.spread(FIRST_POLL_SPREAD_SECONDS)),
            interval_seconds=interval,
            interval_reason="switched on again",
            updated_at=Now(),
        )
    # A shorter interval holds from now, not from after the old one has passed. A lease is not touched.
    existing.filter(active=True, lease_token=None, last_error="", next_poll_at__gt=from_now(interval)).update(
        next_poll_at=Least(F("next_poll_at"), from_now(interval)), interval_seconds=interval, updated_at=Now()
    )
    PollingCursor.objects.bulk_create(
        (_new_cursor(connection, part, interval) for part in sorted(wanted - known.keys())), ignore_conflicts=True
    )
    return len(wanted)


def sync_stale(limit: int) -> int:
    """Look at up to ``limit`` connections that changed; return how many were looked at.

    Each is locked while it is read and marked, so a change made meanwhile waits and marks it again.
    """
    stale = IntegrationConnection.objects.filter(streams_stale=True)
    done = 0
    for connection_id in list(stale.order_by("connection_id").values_list("pk", flat=True)[:limit]):
        with transaction.atomic():
            # Not the stronger lock: events of the connection may be stored meanwhile.
            connection = stale.select_for_update(skip_locked=True, no_key=True).filter(pk=connection_id).first()
            if connection is not None:
                _sync_one(connection)
                done += 1
    return done


def sync_now(connection: IntegrationConnection) -> int:
    """``sync_cursors`` at once, under the connection's lock: whoever changes several cursors takes it first."""
    with transaction.atomic():
        locked = IntegrationConnection.objects.select_for_update(no_key=True).get(pk=connection.pk)
        return sync_cursors(locked)


def flag_new_streams(*, using: str = "default") -> int:
    """Have connections looked at whose adapter has learnt a stream since; return how many."""
    flagged = 0
    for slug in registry.slugs():
        polled = IntegrationConnection.objects.using(using).filter(
            provider_id=slug, status=ConnectionStatus.ACTIVE, enabled_capabilities__polling=True
        )
        for stream in registry.get(slug).streams:
            if stream.enabled_by_default:
                known = PollingCursor.objects.using(using).filter(connection=OuterRef("pk"), stream=stream.name)
                flagged += polled.filter(~Exists(known), streams_stale=False).update(streams_stale=True)
    return flagged


def make_due(connection: IntegrationConnection) -> int:
    """Make the connection's cursors due now, except those a run holds; return how many."""
    idle = PollingCursor.objects.filter(connection=connection, active=True, lease_token=None)
    return idle.update(next_poll_at=Now(), interval_reason="asked for", updated_at=Now())


def _sync_one(connection: IntegrationConnection) -> None:
    """A connection that cannot be read must not stop the others, nor be looked at again at every tick."""
    try:
        with transaction.atomic():
            sync_cursors(connection)
    except DatabaseError:
        raise
    except Exception as error:
        log.exception("cursors_not_synced", connection_id=str(connection.pk), provider_id=connection.provider_id)
        message = f"What to poll cannot be told from the settings ({type(error).__name__})."
        record_failure(connection.pk, timezone.now(), message)
    IntegrationConnection.objects.filter(pk=connection.pk).update(streams_stale=False)


def _new_cursor(connection: IntegrationConnection, part: Part, interval: int) -> PollingCursor:
    stream, partition = part
    return PollingCursor(
        tenant_id=connection.tenant_id,
        connection=connection,
        stream=stream,
        partition=partition,
        started_from=Now(),
        next_poll_at=from_now(intervals.spread(FIRST_POLL_SPREAD_SECONDS)),
        interval_seconds=interval,
        interval_reason="new",
    )
