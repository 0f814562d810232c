"""What beat and workers run for actions. Messages carry row ids and a lease, never what was asked."""

from __future__ import annotations

from celery import shared_task

from actions import schedule
from actions.retention import purge_actions


@shared_task(name="actions.run_due_actions", ignore_result=True)
def run_due_actions() -> None:
    """One tick: claim what is due and hand it out."""
    schedule.hand_over(schedule.claim_due())


@shared_task(name="actions.run_claimed", ignore_result=True)
def run_claimed(action_ids: list[str], token: str) -> None:
    """Run the claimed actions of one message."""
    schedule.run_claimed(action_ids, token)


@shared_task(name="actions.purge", ignore_result=True)
def purge() -> None:
    """Remove actions older than ACTION_RETENTION_DAYS."""
    purge_actions()
