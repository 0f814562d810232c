"""Removes what is older than the retention, in small batches that lock little."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import timedelta

import uuid6
from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from events.models import (
    UNDELIVERED,
    AdapterEvent,
    DeliveryAttempt,
    DeliveryStatus,
    Replay,
    ReplayStatus,
    SpentSignature,
)
from providers.console.filters import first_key_at

ROWS_A_BATCH = 1000

_KEEP_ACCOUNT = """
INSERT INTO intake_totals (connection_id, tenant_id, received, duplicate, purged_delivered, purged_ignored,
    purged_dead, created_at, updated_at)
VALUES (%s, %s, 0, 0, %s, %s, %s, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)
ON CONFLICT (connection_id) DO UPDATE SET updated_at = CURRENT_TIMESTAMP,
    purged_delivered = intake_totals.purged_delivered + EXCLUDED.purged_delivered,
    purged_ignored = intake_totals.purged_ignored + EXCLUDED.purged_ignored,
    purged_dead = intake_totals.purged_dead + EXCLUDED.purged_dead
"""


def purge_batch() -> int:
    """Delete up to 1000 expired rows and return how many; undelivered events are never purged.

    The primary key is time-ordered (UUID 7), so the oldest rows are found without another index. Ids are
    made by the clock of a host, so what is expired is decided by the database's own time. Rows stay locked
    until they are gone: a replay that comes between finds them gone, never half decided.
    """
    retention = timedelta(days=settings.EVENT_RETENTION_DAYS)
    milliseconds = int((timezone.now() - retention).timestamp() * 1000)
    newest_expired = uuid6.UUID(int=milliseconds << 80)
    expired = (
        AdapterEvent.objects.filter(event_id__lt=newest_expired, received_at__lt=Now() - retention)
        .exclude(delivery_status__in=UNDELIVERED)
        .order_by("event_id")
        .select_for_update(skip_locked=database.features.has_select_for_update_skip_locked)
    )
    with transaction.atomic():
        rows = list(expired.values_list("pk", "connection_id", "tenant_id", "delivery_status")[:ROWS_A_BATCH])
        keys = [row[0] for row in rows]
        _keep_account([row[1:] for row in rows])
        # Django's own cascade would read every row, payloads and all, to delete it.
        for model, column in ((DeliveryAttempt, "event_id"), (AdapterEvent, "pk")):
            gone = model._default_manager.filter(**{f"{column}__in": keys})
            gone._raw_delete(gone.db)
    return len(rows)


def purge_signatures() -> int:
    """Forget up to 1000 signatures as old as events that are no longer kept, and return how many."""
    old = SpentSignature.objects.filter(received_at__lt=Now() - timedelta(days=settings.EVENT_RETENTION_DAYS))
    keys = list(old.order_by("received_at").values_list("pk", flat=True)[:ROWS_A_BATCH])
    removed, _ = SpentSignature.objects.filter(pk__in=keys).delete()
    return removed


def purge_replays() -> int:
    """Remove up to 1000 replays that were completed as long ago as events are kept, and return how many."""
    retention = timedelta(days=settings.EVENT_RETENTION_DAYS)
    # As with events: keys only find the rows, the database's time decides.
    old = Replay.objects.filter(
        pk__lt=first_key_at(timezone.now() - retention),
        status=ReplayStatus.COMPLETED,
        updated_at__lt=Now() - retention,
    )
    keys = list(old.order_by("pk").values_list("pk", flat=True)[:ROWS_A_BATCH])
    removed, _ = Replay.objects.filter(pk__in=keys).delete()
    return removed


def _keep_account(gone: Sequence[tuple[uuid.UUID, str, str]]) -> None:
    """Count rows that go in their connection's totals, in the transaction they go in."""
    counts: dict[tuple[uuid.UUID, str], Counter[str]] = defaultdict(Counter)
    for connection_id, tenant_id, status in gone:
        counts[connection_id, tenant_id][status] += 1
    entries = [
        (
            connection_id if database.features.has_native_uuid_field else connection_id.hex,
            tenant_id,
            *(number[status] for status in (DeliveryStatus.DELIVERED, DeliveryStatus.IGNORED, DeliveryStatus.DEAD)),
        )
        # In one order by everybody: folding and purging cannot wait for each other.
        for (connection_id, tenant_id), number in sorted(counts.items(), key=lambda entry: entry[0])
    ]
    if entries:
        with database.cursor() as cursor:
            cursor.executemany(_KEEP_ACCOUNT, entries)
