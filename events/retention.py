"""Removes events older than the retention, in small batches that lock little."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from datetime import timedelta

import uuid6
from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from events.models import UNDELIVERED, AdapterEvent, IntakeTotals

ROWS_A_BATCH = 1000


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
        _keep_account([row[1:] for row in rows])
        AdapterEvent.objects.filter(pk__in=[row[0] for row in rows]).delete()
    return len(rows)


def _keep_account(gone: list[tuple[uuid.UUID, str, str]]) -> None:
    """Move rows that go from the one side of the ledger's sum to the other, in the transaction they go in."""
    numbers: dict[tuple[uuid.UUID, str], Counter[str]] = defaultdict(Counter)
    for connection_id, tenant_id, status in gone:
        numbers[connection_id, tenant_id][f"purged_{status}"] += 1
    # In one order by everybody: folding and purging cannot wait for each other.
    for (connection_id, tenant_id), counts in sorted(numbers.items(), key=lambda entry: entry[0][0]):
        IntakeTotals.objects.get_or_create(connection_id=connection_id, defaults={"tenant_id": tenant_id})
        IntakeTotals.objects.filter(connection_id=connection_id).update(
            **{name: F(name) + number for name, number in counts.items()}, updated_at=Now()
        )
