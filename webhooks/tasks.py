"""What beat and workers run for webhooks. Messages carry nothing: due rows and declared key sets are the queue."""

from __future__ import annotations

import time
from collections.abc import Callable

from celery import shared_task

from webhooks.evidence import PURGED_A_BATCH, purge_evidence, purge_quarantine
from webhooks.hook_upkeep import settle_due
from webhooks.published_keys import refresh_published_keys as refresh

PURGE_RUN_SECONDS = 30.0


@shared_task(name="webhooks.refresh_published_keys")
def refresh_published_keys() -> int:
    """Fetch key sets that are missing, old or asked for."""
    return refresh()


@shared_task(name="webhooks.settle_hooks")
def settle_hooks() -> int:
    """Make hooks, tell them new secrets and remove those of closed doors, where a request did not get to its end."""
    return settle_due()


@shared_task(name="webhooks.purge")
def purge() -> int:
    """Remove refusals and unread deliveries that are past their age."""
    return sum(_until_done(batch, PURGED_A_BATCH, PURGE_RUN_SECONDS) for batch in (purge_evidence, purge_quarantine))


def _until_done(batch: Callable[[], int], full: int, seconds: float) -> int:
    """Batch after batch until one is not full or the time for one run is over."""
    ends_at = time.monotonic() + seconds
    total = 0
    while time.monotonic() < ends_at:
        done = batch()
        total += done
        if done < full:
            break
    return total
