"""What beat and workers run for events. Messages carry nothing: the due rows are the queue."""

from __future__ import annotations

import time

from celery import shared_task
from django.utils import timezone

from events.conservation import check_ledgers
from events.ledger import FOLDED_A_BATCH, fold_tallies
from events.outbox import deliver_batch
from events.replays import run_batch
from events.retention import ROWS_A_BATCH, purge_batch, purge_replays, purge_signatures

DELIVERY_RUN_SECONDS = 20.0
PURGE_RUN_SECONDS = 60.0
FOLD_RUN_SECONDS = 20.0
CHECK_RUN_SECONDS = 10.0
REPLAY_RUN_SECONDS = 20.0


@shared_task(name="events.deliver_due")
def deliver_due() -> int:
    """Deliver batch after batch until nothing is due or the time for one run is over."""
    ends_at = time.monotonic() + DELIVERY_RUN_SECONDS
    total = 0
    while time.monotonic() < ends_at:
        done = deliver_batch()
        total += done.delivered
        if not done.claimed and not done.parked:
            break
    return total


@shared_task(name="events.purge")
def purge() -> int:
    """Remove what has expired until none is left or the time for one run is over.

    Rests as long as it works: those who insert meanwhile wait for the same disk.
    """
    ends_at = time.monotonic() + PURGE_RUN_SECONDS
    total = 0
    for purge_some in (purge_batch, purge_signatures, purge_replays):
        while (began := time.monotonic()) < ends_at:
            removed = purge_some()
            total += removed
            if removed < ROWS_A_BATCH:
                break
            time.sleep(min(1.0, time.monotonic() - began))
    return total


@shared_task(name="events.fold_tallies")
def fold() -> int:
    """Fold tallies into totals until few are left or the time for one run is over."""
    ends_at = time.monotonic() + FOLD_RUN_SECONDS
    total = 0
    while time.monotonic() < ends_at:
        folded = fold_tallies()
        total += folded
        if folded < FOLDED_A_BATCH:
            break
    return total


@shared_task(name="events.check_ledgers")
def check() -> int:
    """Add up the ledgers, each once, until all are done or the time for one run is over; the next run goes on there.

    Returns how many do not add up.
    """
    began, ends_at = timezone.now(), time.monotonic() + CHECK_RUN_SECONDS
    total = 0
    while time.monotonic() < ends_at:
        checked, broken = check_ledgers(unless_since=began)
        total += broken
        if not checked:
            break
    return total


@shared_task(name="events.run_replays")
def run_replays() -> int:
    """Go on with replays somebody asked for until they are done or the time for one run is over."""
    ends_at = time.monotonic() + REPLAY_RUN_SECONDS
    total = 0
    while time.monotonic() < ends_at and (done := run_batch()) is not None:
        total += done
    return total
