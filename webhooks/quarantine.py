"""Quarantined deliveries: read again after a fix, or discarded with a reason."""

from __future__ import annotations

import structlog
from django.db import DatabaseError, DataError, InterfaceError, transaction

from connections import history
from connections.errors import ServiceError
from connections.models import IntegrationConnection
from connections.services import authorisation_ended
from events.models import Source
from events.services import record
from providers.errors import UnreadablePayload
from providers.redaction import redact_text
from providers.spi import ProviderEvent, WebhookRequest
from webhooks.lookup import Door, open_door, routed_connections
from webhooks.models import QuarantinedDelivery

log = structlog.get_logger(__name__)

Told = list[tuple[IntegrationConnection, list[ProviderEvent]]]


def read_again(delivery: QuarantinedDelivery, *, actor: str) -> int:
    """Read the kept body as if it had just arrived, and return the number of new events; the row goes away.

    What was redacted stays redacted. Raises ``ServiceError`` (409) where it still cannot be read.
    """
    door = open_door(delivery.registration)
    if door is None:
        raise ServiceError("DOOR_CLOSED", "Its registration takes no deliveries now; resume it first.", status=409)
    try:
        new = _store(_told(door, delivery), delivery, actor=actor)
    except DataError:
        # What no column can hold came from the adapter.
        raise ServiceError("UNREADABLE", "What the adapter makes of it cannot be stored.", status=409) from None
    log.info("webhook.quarantine_read", quarantine_id=str(delivery.pk), actor=actor, events=new)
    return new


def _store(told: Told, delivery: QuarantinedDelivery, *, actor: str) -> int:
    with transaction.atomic():
        # Locked, so that two people reading it again store it once, and one of them finds it gone.
        row = QuarantinedDelivery.objects.select_for_update().filter(pk=delivery.pk).first()
        if row is None:
            raise ServiceError("NOT_FOUND", "Somebody else has dealt with it.", status=404)
        new = 0
        for owner, events in told:
            recorded = record(
                owner,
                events,
                Source.WEBHOOK,
                signature_hash=bytes(row.signature_hash) if row.signature_hash else None,
                registration_id=row.registration_id,
                proof=row.proof,
            )
            new += recorded.new
            if recorded.new and any(event.credential_revoked for event in events):
                authorisation_ended(owner, actor=actor)
            history.record(owner, "quarantine_read", actor=actor, detail=f"{recorded.new} new events.")
        row.delete()
    return new


def discard(delivery: QuarantinedDelivery, *, actor: str, reason: str) -> None:
    """Remove it for good. Who did it and why stays in the history of its connection."""
    with transaction.atomic():
        removed, _ = QuarantinedDelivery.objects.filter(pk=delivery.pk).delete()
        if removed and delivery.connection is not None:
            detail = f"Received {delivery.created_at:%Y-%m-%d %H:%M} UTC, {delivery.reason}. {reason}"
            history.record(delivery.connection, "quarantine_discarded", actor=actor, detail=detail)
    log.info("webhook.quarantine_discarded", quarantine_id=str(delivery.pk), actor=actor, reason=redact_text(reason))


def _told(door: Door, delivery: QuarantinedDelivery) -> Told:
    try:
        owners = [door.connection] if door.connection is not None else _routed(door, delivery)
        if not owners:
            raise ServiceError("UNREADABLE", "There is still no connection for the account it names.", status=409)
        return [(owner, door.adapter.process_webhook(_request(delivery, owner))) for owner in owners]
    except UnreadablePayload as error:
        raise ServiceError("UNREADABLE", f"It still cannot be read: {redact_text(str(error))}", status=409) from None
    except (ServiceError, DatabaseError, InterfaceError):
        raise
    except Exception as error:  # whatever an adapter raises
        log.exception("webhook.adapter_failed", registration_id=str(delivery.registration_id))
        message = f"The adapter still fails ({type(error).__name__})."
        raise ServiceError("UNREADABLE", message, status=409) from None


def _routed(door: Door, delivery: QuarantinedDelivery) -> list[IntegrationConnection]:
    return routed_connections(door, door.webhook.routes(_request(delivery, None)))


def _request(delivery: QuarantinedDelivery, owner: IntegrationConnection | None) -> WebhookRequest:
    return WebhookRequest(
        headers=delivery.headers,
        body=delivery.text.encode(),
        query=delivery.query,
        settings=owner.settings if owner is not None else {},
        scheme=delivery.registration.scheme,
    )
