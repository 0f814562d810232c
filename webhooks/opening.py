"""What a verified delivery proves: that the door is known to the provider, and which secret it uses."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from connections import history
from connections.models import ConnectionStatus, IntegrationConnection
from providers.verification import Verified
from webhooks.lookup import OPEN_REGISTRATIONS, Door
from webhooks.models import RegistrationStatus, WebhookRegistration

# To the minute: one more write a request would cost much for what nobody reads.
NOTED_EVERY = timedelta(minutes=1)


def opened(door: Door, verified: Verified) -> None:
    """Note a verified delivery; the first opens a pending door, and proves a connection that only receives."""
    registration, now = door.registration, timezone.now()
    used = "secret_used_at" if verified.secret_index == 0 else "previous_secret_used_at"
    changes: dict[str, Any] = {
        name: now for name in ("last_received_at", used) if _is_due(getattr(registration, name), now)
    }
    if changes:
        changes["status"] = RegistrationStatus.ACTIVE
        # A door remembered from before a rotation would take the old secret for the current one.
        same_secrets = {"secret_version": registration.secret_version, "status__in": OPEN_REGISTRATIONS}
        WebhookRegistration.objects.filter(pk=registration.pk, **same_secrets).update(**changes)
        # The door may be remembered by this process: what was noted is known to it as well.
        for name, value in changes.items():
            setattr(registration, name, value)
    connection = door.connection
    if connection is not None and "last_received_at" in changes:
        # Polling is slower where webhooks arrive.
        IntegrationConnection.objects.filter(pk=connection.pk).update(last_webhook_at=now)
    if connection is not None and connection.status == ConnectionStatus.PENDING_VERIFICATION:
        _prove(door, connection, now)


def _is_due(noted: datetime | None, now: datetime) -> bool:
    return noted is None or noted < now - NOTED_EVERY


def _prove(door: Door, connection: IntegrationConnection, now: datetime) -> None:
    if not connection.only_receives:
        return
    changed = IntegrationConnection.objects.filter(
        pk=connection.pk, status=ConnectionStatus.PENDING_VERIFICATION
    ).update(status=ConnectionStatus.ACTIVE, last_verified_at=now, updated_at=now)
    if changed:
        connection.status = ConnectionStatus.ACTIVE
        detail = "The first validly signed delivery proved a connection that only receives."
        if door.is_waived:
            detail = f"The first delivery came. It proves nothing, which {connection.unsigned_waiver_by} accepted."
        history.record(connection, "verified", actor="system:webhooks", detail=detail)
