"""Removes events older than the retention, in small batches that lock little."""

from __future__ import annotations

from datetime import timedelta

import uuid6
from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from events.models import UNDELIVERED, AdapterEvent

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
        keys = list(expired.values_list("pk", flat=True)[:ROWS_A_BATCH])
        AdapterEvent.objects.filter(pk__in=keys).delete()
    return len(keys)
