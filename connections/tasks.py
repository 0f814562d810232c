"""What beat and workers run for incidents. Messages carry nothing: the due rows are the queue."""

from __future__ import annotations

from celery import shared_task

from connections.incident_outbox import send_due
from connections.incidents import purge_incidents, resolve_resting


@shared_task(name="connections.send_incidents", ignore_result=True)
def send_incidents() -> None:
    """Tell the alerting service of incidents it does not know yet, and of those that are over."""
    send_due()


@shared_task(name="connections.tidy_incidents", ignore_result=True)
def tidy_incidents() -> None:
    """End incidents of connections that rest, and remove old ones."""
    resolve_resting()
    purge_incidents()
