"""How long actions are kept: as long as their idempotency keys should mean something."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models.functions import Now

from actions.models import ActionStatus, NormalisedAction

ROWS_A_BATCH = 1000


def purge_actions() -> int:
    """Remove a batch of actions that ended longer than ``ACTION_RETENTION_DAYS`` ago; returns how many.

    What a person still has to review stays.
    """
    old = NormalisedAction.objects.filter(
        status__in=(ActionStatus.COMPLETED, ActionStatus.FAILED),
        completed_at__lt=Now() - timedelta(days=settings.ACTION_RETENTION_DAYS),
    )
    keys = list(old.order_by("action_id").values_list("pk", flat=True)[:ROWS_A_BATCH])
    return NormalisedAction.objects.filter(pk__in=keys).delete()[0]
