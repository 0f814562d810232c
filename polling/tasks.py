"""What beat and workers run for polling. Messages carry row ids and a lease, never anything a provider sent."""

from __future__ import annotations

import time

from celery import shared_task

from polling.backfill_turns import run_due
from polling.gap_repair import fill_gaps as fill
from polling.lease import message_seconds
from polling.outages import settle_all
from polling.runner import poll_once
from polling.schedule import release
from polling.services import PollingService


@shared_task(name="polling.poll_due_connections", ignore_result=True)
def poll_due_connections() -> None:
    """One tick of the schedule."""
    PollingService().poll_all_due_connections()


@shared_task(name="polling.poll_cursors", ignore_result=True)
def poll_cursors(cursor_ids: list[str], lease_token: str) -> None:
    """Run the claimed cursors of one message.

    A slow provider must not hold up the rest of the message: what is not begun within a lease is given
    back and goes out with another one.
    """
    ends_at = time.monotonic() + message_seconds()
    for number, cursor_id in enumerate(cursor_ids):
        if time.monotonic() >= ends_at:
            release(cursor_ids[number:], lease_token)
            break
        poll_once(cursor_id, lease_token)


@shared_task(name="polling.run_due_backfills", ignore_result=True)
def run_due_backfills() -> None:
    """A few pages of a few backfills; the next tick goes on."""
    run_due()


@shared_task(name="polling.settle_incidents", ignore_result=True)
def settle_incidents() -> None:
    """End incidents of polling that are over although no run ended them."""
    settle_all()


@shared_task(name="polling.fill_gaps", ignore_result=True)
def fill_gaps() -> None:
    """Have windows read in which webhooks were missed."""
    fill()
