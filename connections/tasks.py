"""What beat and workers run for connections. Messages carry ids or nothing: the due rows are the queue."""

from __future__ import annotations

import uuid

from celery import shared_task

from connections import expiry, incident_outbox, receipt_outbox, token_upkeep
from connections.incidents import purge_incidents, resolve_resting
from connections.receipts import purge_receipts
from connections.secret_forgetting import forget_due


@shared_task(name="connections.send_incidents", ignore_result=True)
def send_incidents() -> None:
    """Tell the alerting service of incidents it does not know yet, and of those that are over."""
    incident_outbox.send_due()


@shared_task(name="connections.tidy_incidents", ignore_result=True)
def tidy_incidents() -> None:
    """End incidents of connections that rest, and remove old ones."""
    resolve_resting()
    purge_incidents()


@shared_task(name="connections.send_receipts", ignore_result=True)
def send_receipts() -> None:
    """Send receipts the evidence service does not have."""
    receipt_outbox.send_due()


@shared_task(name="connections.tidy_receipts", ignore_result=True)
def tidy_receipts() -> None:
    """Remove old receipts."""
    purge_receipts()


@shared_task(name="connections.send_forgotten_secrets", ignore_result=True)
def send_forgotten_secrets() -> None:
    """Have key management forget secrets nobody needs any more."""
    forget_due()


@shared_task(name="connections.look_at_expiries", ignore_result=True)
def look_at_expiries() -> None:
    """Tell of credentials that end soon, and no more of those that were replaced."""
    expiry.look_at_all()


@shared_task(name="connections.renew_tokens", ignore_result=True)
def renew_tokens() -> None:
    """Hand out the access tokens that are to be renewed before they end."""
    for token_id in token_upkeep.due_tokens():
        renew_token.apply_async((str(token_id),), expires=60)


@shared_task(name="connections.renew_token", ignore_result=True)
def renew_token(token_id: str) -> None:
    """Renew one access token."""
    token_upkeep.renew(uuid.UUID(token_id))
