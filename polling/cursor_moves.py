"""Moving a cursor: asked for by a person, and recorded. Nothing else moves one, no edit of the settings either."""

from __future__ import annotations

from datetime import datetime, timedelta

import orjson
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from connections import history
from connections.errors import ServiceError
from polling.models import PollingCursor

FURTHEST_BACK = timedelta(days=366)


def move_cursor(cursor: PollingCursor, since: datetime, *, actor: str) -> None:
    """Have live polling of one stream start again at ``since``, by the provider's clock.

    A run that is under way loses its lease, so it cannot put the cursor back. What was told already is known by its
    dedupe key. To read a window of the past once, a backfill is the better way: it delays nothing.

    Raises ``ServiceError`` (400) for a time without a zone, in the future, or more than a year back.
    """
    now = timezone.now()
    if timezone.is_naive(since):
        raise _unfit("The time needs a time zone.")
    if since > now:
        raise _unfit("The time must not be in the future: what happens until then would be skipped.")
    if since < now - FURTHEST_BACK:
        raise _unfit("The time must not be more than a year back; read older things by a backfill.")
    with transaction.atomic():
        row = PollingCursor.objects.select_for_update(of=("self",)).select_related("connection").get(pk=cursor.pk)
        before = orjson.dumps(row.cursor_position).decode()
        PollingCursor.objects.filter(pk=row.pk).update(
            cursor_position={},
            started_from=since,
            run_in_progress=False,
            lease_token=None,
            next_poll_at=Now(),
            interval_reason="moved by hand",
            updated_at=Now(),
        )
        detail = f"{row} to {since.isoformat()}; it stood at {before}, reading from {row.started_from.isoformat()}."
        history.record(row.connection, "cursor_moved", actor=actor, detail=detail)


def _unfit(message: str) -> ServiceError:
    return ServiceError("VALIDATION_FAILED", message)
