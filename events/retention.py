"""Removes events older than the retention, in small batches that lock little."""

from __future__ import annotations

from datetime import timedelta

import uuid6
from django.conf import settings
from django.utils import timezone

from events.models import UNDELIVERED, AdapterEvent

ROWS_A_BATCH = 1000


def purge_batch() -> int:
    """Delete up to 1000 expired rows and return how many; undelivered events are never purged.

    The primary key is time-ordered (UUID 7), so the oldest rows are found without another index.
    """
    before = timezone.now() - timedelta(days=settings.EVENT_RETENTION_DAYS)
    milliseconds = int(before.timestamp() * 1000)
    newest_expired = uuid6.UUID(int=milliseconds << 80)
    keys = list(
        AdapterEvent.objects.filter(event_id__lt=newest_expired)
        .exclude(delivery_status__in=UNDELIVERED)
        .order_by("event_id")
        .values_list("pk", flat=True)[:ROWS_A_BATCH]
    )
    AdapterEvent.objects.filter(pk__in=keys).delete()
    return len(keys)
