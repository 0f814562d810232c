"""What beat and workers run for webhooks. Messages carry ids and a lease, or nothing: due rows are the queue."""

from __future__ import annotations

import time
from collections.abc import Callable

from celery import shared_task

from events.gaps import forget_losses, purge_gaps
from webhooks import ingress, reconciliation
from webhooks.evidence import PURGED_A_BATCH, purge_evidence, purge_quarantine
from webhooks.hook_standing import end_trouble
from webhooks.hook_upkeep import settle_due
from webhooks.published_keys import refresh_published_keys as refresh
from webhooks.repair_closing import close_repairs
from webhooks.repair_lease import claim_due

PURGE_RUN_SECONDS = 30.0
OUTAGE_RUN_SECONDS = 20.0
_PURGES = (purge_evidence, purge_quarantine, purge_gaps, forget_losses, end_trouble, ingress.purge_outages)


@shared_task(name="webhooks.refresh_published_keys")
def refresh_published_keys() -> int:
    """Fetch key sets that are missing, old or asked for."""
    return refresh()


@shared_task(name="webhooks.settle_hooks")
def settle_hooks() -> int:
    """Make hooks, tell them new secrets and remove those of closed doors, where a request did not get to its end."""
    return settle_due()


@shared_task(name="webhooks.reconcile_due_doors")
def reconcile_due_doors() -> int:
    """Claim doors whose hooks are to be looked at and hand them to the workers; end what others still owe."""
    messages = reconciliation.hand_over(claim_due(reconciliation.DOORS_A_TICK))
    close_repairs()
    return messages


@shared_task(name="webhooks.reconcile_doors")
def reconcile_doors(registration_ids: list[str], token: str) -> int:
    """Look after the hooks of the claimed doors of one message, and compare the providers' ledgers."""
    return reconciliation.run_message(registration_ids, token)


@shared_task(name="webhooks.watch_ingress")
def watch_ingress() -> int:
    """Notice that no web process runs, and go on noting what that means for each connection."""
    ingress.notice_silence()
    return ingress.tell_connections(OUTAGE_RUN_SECONDS)


@shared_task(name="webhooks.purge")
def purge() -> int:
    """Remove refusals, unread deliveries, gaps and outages that are past their age."""
    return sum(_until_done(batch, PURGED_A_BATCH, PURGE_RUN_SECONDS) for batch in _PURGES)


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
