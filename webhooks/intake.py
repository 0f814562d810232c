"""The webhook road, top to bottom: from bytes to a committed row.

    find the registration -> size -> verify the raw bytes -> replay -> handshake -> events -> record -> answer

Nothing is parsed or stored before the signature holds, and no provider or neighbour is called.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

import structlog
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from connections import history
from connections.lifecycle import TAKES_EVENTS
from connections.models import ConnectionStatus, IntegrationConnection
from connections.runtime import adapter_for
from connections.secret_store import SecretUnavailable, secret_store
from events.models import Source
from events.services import record
from providers.errors import UnreadablePayload
from providers.registry import UnknownProvider
from providers.spi import Adapter, WebhookRequest
from providers.verification import SignatureRejected, Verified, verify
from webhooks.metrics import WEBHOOKS
from webhooks.models import RegistrationStatus, WebhookRegistration
from webhooks.replay import WebhookReplayProtection
from webhooks.results import WebhookResult

log = structlog.get_logger(__name__)

OPEN_REGISTRATIONS = (RegistrationStatus.PENDING, RegistrationStatus.ACTIVE)
# A door nobody knows still reads no more than this before it says so.
UNKNOWN_BODY_LIMIT_BYTES = 1024 * 1024

NOT_FOUND = WebhookResult(False, "Not found.", 404, "unknown_registration", "NOT_FOUND")


class Door:
    """An open registration with its adapter: what a token leads to."""

    def __init__(self, registration: WebhookRegistration, adapter: Adapter) -> None:
        self.registration = registration
        self.connection: IntegrationConnection = registration.connection
        self.adapter = adapter
        self.body_limit_bytes = adapter.manifest.body_limit_bytes


def find_door(provider_id: str, connection_token: str) -> Door | None:
    """Step 1. The registration behind a token, by its hash; ``None`` alike for unknown, closed or mismatched.

    Every token, however malformed, costs one hash and one indexed look-up.
    """
    token_hash = hashlib.sha256(connection_token.encode("utf-8", "surrogatepass")).digest()
    registration = WebhookRegistration.objects.select_related("connection").filter(token_hash=token_hash).first()
    if (
        registration is None
        or registration.connection.provider_id != provider_id
        or registration.status not in OPEN_REGISTRATIONS
        or registration.connection.status not in TAKES_EVENTS
    ):
        return None
    try:
        adapter = adapter_for(registration.connection)
    except UnknownProvider:
        return None
    return Door(registration, adapter) if adapter.webhook is not None else None


def take_in(door: Door | None, body: bytes, headers: Mapping[str, str]) -> WebhookResult:
    """Steps 2 to 6 for one request. ``headers`` has lower-case names; ``body`` is exactly what was sent."""
    result = NOT_FOUND if door is None else _take_in(door, body, headers)
    _count(door, result)
    return result


def refuse_unread(door: Door) -> WebhookResult:
    """The refusal, counted, of a body that was over the cap before it was read whole."""
    result = _too_large(door)
    _count(door, result)
    return result


def _take_in(door: Door, body: bytes, headers: Mapping[str, str]) -> WebhookResult:
    manifest = door.adapter.manifest
    if len(body) > door.body_limit_bytes:
        return _too_large(door)
    try:
        verified = _verify(door, body, headers)
        protection = WebhookReplayProtection(manifest.timestamp_tolerance_seconds)
        verdict = protection.validate_webhook(
            door.connection.pk, signature_hash=verified.fingerprint, signed_at=verified.signed_at
        )
        if verdict.reason == "signature_replayed":
            return _duplicate(door, count=True)
        if not verdict.valid:
            return _refused(door, str(verdict.reason))
        return _store(door, WebhookRequest(headers=headers, body=body), verified, protection)
    except SignatureRejected as rejection:
        return _refused(door, rejection.reason)
    except UnreadablePayload as error:
        return WebhookResult(False, str(error), 400, "unreadable", "UNREADABLE_PAYLOAD")
    except (SecretUnavailable, DatabaseError, InterfaceError) as error:
        log.error("webhook.fault", registration_id=str(door.registration.pk), error=type(error).__name__)
        return _fault(door)
    except Exception:  # whatever an adapter raises; the provider gets the answer it knows to repeat after
        log.exception("webhook.adapter_failed", registration_id=str(door.registration.pk))
        return _fault(door)


def _verify(door: Door, body: bytes, headers: Mapping[str, str]) -> Verified:
    """Step 2: raw bytes against every secret that is valid now."""
    registration = door.registration
    store = secret_store()
    secrets = [store.get(registration.tenant_id, registration.secret_ref).encode()]
    if registration.previous_secret_until and registration.previous_secret_until > timezone.now():
        # The secret before the rotation may be gone already; what the current one signs is still good.
        with suppress(SecretUnavailable):
            secrets.append(store.get(registration.tenant_id, registration.previous_secret_ref).encode())
    assert door.adapter.webhook is not None  # find_door made sure  # noqa: S101
    scheme = door.adapter.webhook.schemes.get(registration.scheme)
    if scheme is None:
        raise SignatureRejected("scheme_unknown")
    return verify(scheme, headers=headers, body=body, secrets=secrets)


def _store(
    door: Door, request: WebhookRequest, verified: Verified, protection: WebhookReplayProtection
) -> WebhookResult:
    """Steps 4 to 6: handshake, events, one transaction; only then the answer."""
    assert door.adapter.webhook is not None  # noqa: S101
    reply = door.adapter.webhook.handshake(request)
    if reply is not None:
        _opened(door)
        return WebhookResult(True, None, reply.status, "handshake", reply=reply)
    events = door.adapter.process_webhook(request)
    recorded = record(door.connection, events, Source.WEBHOOK, signature_hash=verified.fingerprint)
    if verified.fingerprint is not None:
        protection.remember(door.connection.pk, verified.fingerprint)
    if events and not recorded.new:
        return _duplicate(door, count=False)
    _opened(door)
    return WebhookResult(True, None, door.adapter.manifest.accepted_status, "accepted", events=recorded.new)


def _opened(door: Door) -> None:
    """A verified delivery opens a pending door, and proves a connection that only receives."""
    registration, now = door.registration, timezone.now()
    # To the minute: one more write a request would cost much for what nobody reads.
    minute_ago = now - timedelta(minutes=1)
    if registration.last_received_at is None or registration.last_received_at < minute_ago:
        WebhookRegistration.objects.filter(pk=registration.pk, status__in=OPEN_REGISTRATIONS).update(
            status=RegistrationStatus.ACTIVE, last_received_at=now
        )
    connection = door.connection
    if connection.status == ConnectionStatus.PENDING_VERIFICATION and connection.only_receives:
        changed = IntegrationConnection.objects.filter(
            pk=connection.pk, status=ConnectionStatus.PENDING_VERIFICATION
        ).update(status=ConnectionStatus.ACTIVE, last_verified_at=now, updated_at=now)
        if changed:
            detail = "The first validly signed delivery proved a connection that only receives."
            history.record(connection, "verified", actor="system:webhooks", detail=detail)


def _duplicate(door: Door, *, count: bool) -> WebhookResult:
    if count:
        door.connection.count_duplicates(1)
    return WebhookResult(True, None, door.adapter.manifest.duplicate_status, "duplicate")


def _fault(door: Door) -> WebhookResult:
    """Our fault, not the sender's: it must try again."""
    status = door.adapter.manifest.fault_status
    return WebhookResult(False, "Temporarily unavailable.", status, "fault", "TEMPORARILY_UNAVAILABLE")


def _too_large(door: Door) -> WebhookResult:
    """The refusal of a body over the provider's cap."""
    limit = f"The body is larger than {door.body_limit_bytes} bytes."
    return WebhookResult(False, limit, 413, "too_large", "PAYLOAD_TOO_LARGE")


def _refused(door: Door, reason: str) -> WebhookResult:
    """One answer for every reason; the reason itself goes to the metrics and the log only."""
    log.warning(
        "webhook.refused",
        reason=reason,
        registration_id=str(door.registration.pk),
        tenant_id=door.connection.tenant_id,
        provider_id=door.connection.provider_id,
    )
    return WebhookResult(
        False, "The signature is not valid.", door.adapter.manifest.rejected_status, reason, "SIGNATURE_INVALID"
    )


def _count(door: Door | None, result: WebhookResult) -> None:
    WEBHOOKS.labels(
        provider=door.connection.provider_id if door else "unknown",
        tenant=door.connection.tenant_id if door else "unknown",
        outcome=result.outcome,
    ).inc()
