"""Taking in a delivery that came out of the provider's ledger instead of through the door.

The provider's API vouches for it, asked with the connection's own credential, so there is no signature to check; the
rest of the road is the same: what the adapter reads is recorded once, what it cannot read is kept aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import structlog
from django.db import DatabaseError, DataError, InterfaceError
from django.db.models.functions import Now

from connections.errors import ServiceError
from connections.services import authorisation_ended
from events.gap_metrics import LOST, REPAIRED
from events.models import Source
from events.services import record
from providers.errors import ProviderFault, UnreadablePayload
from providers.ledgers import LedgerRequest
from providers.spi import ProviderEvent, WebhookRequest
from webhooks.evidence import quarantine
from webhooks.hook_work import HookWork
from webhooks.intake import MAX_EVENTS
from webhooks.lookup import open_door
from webhooks.models import MissedDelivery
from webhooks.repair_models import MissedState

log = structlog.get_logger(__name__)

ACTOR = "system:webhooks"


def take(work: HookWork, row: MissedDelivery, given: LedgerRequest) -> None:
    """Record what it tells, and that it is no longer missed: both, or neither if the lease is lost.

    Raises ``ProviderFault`` where it is another delivery than the one that is missed, and ``LeaseLost``.
    """
    request = WebhookRequest(
        headers=given.headers,
        body=given.body,
        settings=work.connection.settings,
        scheme=work.registration.scheme,
    )
    try:
        events = work.adapter.process_webhook(request)
        if len(events) > MAX_EVENTS:
            raise UnreadablePayload(f"It tells {len(events)} events.")
        if any(event.correlation_id != row.delivery_id for event in events):
            raise ProviderFault("The provider's ledger gave another delivery than the one that was asked for.")
        _record(work, row, events)
    except ProviderFault:
        raise
    except UnreadablePayload as error:
        _keep_aside(work, row, request, "unreadable", str(error))
    except Exception as error:  # whatever an adapter raises or returns
        if isinstance(error, DatabaseError | InterfaceError) and not isinstance(error, DataError):
            raise
        log.exception("webhook.adapter_failed", registration_id=str(work.registration.pk))
        _keep_aside(work, row, request, "adapter_failed", type(error).__name__)


def settle_missed(work: HookWork, row: MissedDelivery, state: MissedState, reason: str = "") -> None:
    """It is here, or given up; in the transaction of a holder."""
    MissedDelivery.objects.filter(pk=row.pk).update(
        state=state, last_error=reason[:500], settled_at=Now(), updated_at=Now()
    )
    labels = (work.connection.provider_id, work.connection.tenant_id, row.cause)
    if state == MissedState.LOST:
        LOST.labels(*labels).inc()
    elif state in (MissedState.ARRIVED, MissedState.FETCHED):
        REPAIRED.labels(*labels, state.value).inc()


def _record(work: HookWork, row: MissedDelivery, events: Sequence[ProviderEvent]) -> None:
    with work.holding():
        recorded = record(
            work.connection,
            events,
            Source.WEBHOOK,
            registration_id=work.registration.pk,
            proof=f"{work.registration.scheme}:ledger",
        )
        # One that tells nothing new came in before, under another key.
        settle_missed(work, row, MissedState.FETCHED if recorded.new else MissedState.ARRIVED)
        ended = recorded.new and any(event.credential_revoked for event in events)
        verified_at = work.connection.last_verified_at
        if ended and (verified_at is None or verified_at < row.delivered_at):
            with suppress(ServiceError):
                authorisation_ended(work.connection, actor=ACTOR)


def _keep_aside(work: HookWork, row: MissedDelivery, request: WebhookRequest, reason: str, detail: str) -> None:
    door = open_door(work.registration)
    proof = f"{work.registration.scheme}:ledger"
    with work.holding():
        if door is None or not quarantine(door, request, None, reason=reason, detail=detail, proof=proof):
            raise ProviderFault("It cannot be read, and there is no room to keep it aside.")
        settle_missed(work, row, MissedState.FETCHED, "Fetched, but unreadable: kept in the quarantine.")
