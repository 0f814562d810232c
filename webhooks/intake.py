"""The webhook road, top to bottom: from bytes to a committed row.

    size -> verify the raw bytes -> clock -> rate -> replay -> handshake -> whose -> events -> record -> answer

Nothing is parsed or stored before the proof holds, and no provider or neighbour is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace

import structlog
from django.db import DatabaseError, DataError, InterfaceError, transaction

from connections.errors import ServiceError
from connections.models import IntegrationConnection
from connections.secret_store import SecretsUnreachable, SecretUnavailable
from connections.services import authorisation_ended
from events.models import Source
from events.services import record, spend, tally
from providers.errors import UnreadablePayload
from providers.spi import ProviderEvent, WebhookReply, WebhookRequest
from providers.verification import KeySetScheme, KeysUnavailable, SignatureRejected, UnsignedScheme, Verified, verify
from webhooks.evidence import note_refusal, quarantine
from webhooks.limits import charge, give_back, wait_for, wait_for_repetition
from webhooks.lookup import Door, routed_connections
from webhooks.metrics import count_webhook
from webhooks.opening import opened
from webhooks.published_keys import ask_for_newer, published_keys
from webhooks.replay import WebhookReplayProtection
from webhooks.results import WebhookResult

log = structlog.get_logger(__name__)

# A door nobody knows still reads no more than this before it says so.
UNKNOWN_BODY_LIMIT_BYTES = 1024 * 1024
MAX_HANDSHAKE_BYTES = 4096
# Every event keeps a payload of its own, often most of the body: a few megabytes must not become gigabytes.
MAX_EVENTS = 1000
MAX_STORED_BYTES = 16 * 1024 * 1024

NOT_FOUND = WebhookResult(False, "Not found.", 404, "unknown_registration", "NOT_FOUND")
ENCODED = WebhookResult(False, "The body must not be encoded.", 415, "encoded", "UNSUPPORTED_ENCODING")
TOO_MANY_PARAMETERS = WebhookResult(
    False, "The address has more parameters than are read.", 400, "too_many_parameters", "INVALID_REQUEST"
)
BROKEN_OFF = WebhookResult(False, "The body is shorter than its Content-Length.", 400, "broken_off", "INVALID_REQUEST")


def take_in(
    door: Door | None, body: bytes, headers: Mapping[str, str], query: Mapping[str, str] | None = None
) -> WebhookResult:
    """One request at a door. ``headers`` has lower-case names; ``body`` is exactly what was sent."""
    if door is None:
        result = NOT_FOUND
    else:
        scheme = door.registration.scheme
        request = WebhookRequest(headers=headers, body=body, query=query or {}, settings=_settings(door), scheme=scheme)
        result = _guarded(door, request)
    _count(door, result)
    return result


def refuse(door: Door | None, result: WebhookResult, headers: Mapping[str, str]) -> WebhookResult:
    """The refusal of a request for what it is, before its body was read whole; counted like any other."""
    if door is not None:
        _evidence(door, result.outcome, headers, None)
    _count(door, result)
    return result


def _guarded(door: Door, request: WebhookRequest) -> WebhookResult:
    try:
        return _acknowledged(door, request, _take_in(door, request))
    except SignatureRejected as rejection:
        return _refused(door, rejection.reason, request)
    except KeysUnavailable:
        assert isinstance(door.scheme, KeySetScheme)  # noqa: S101 - no other scheme asks for published keys
        ask_for_newer(door.scheme.keys_url)
        return _fault(door, "keys_unavailable", request)
    except (SecretUnavailable, SecretsUnreachable):
        return _fault(door, "secret_unavailable", request)
    except (DatabaseError, InterfaceError) as error:
        log.error("webhook.fault", registration_id=str(door.registration.pk), error=type(error).__name__)
        return _fault(door, "fault")
    except Exception:  # an adapter's, before there is anything proven to keep
        log.exception("webhook.adapter_failed", registration_id=str(door.registration.pk))
        return _fault(door, "fault")


def _acknowledged(door: Door, request: WebhookRequest, result: WebhookResult) -> WebhookResult:
    """The answer in the form a provider shows to a person, for new, repeated and unreadable deliveries alike."""
    if not result.success or result.reply is not None:
        return result
    with suppress(UnreadablePayload):
        reply = door.webhook.acknowledgement(request)
        if reply is not None:
            return replace(result, reply=reply)
    return result


def _take_in(door: Door, request: WebhookRequest) -> WebhookResult:
    if len(request.body) > door.body_limit_bytes:
        _evidence(door, "too_large", request.headers, len(request.body))
        return too_large(door)
    reply = door.webhook.unsigned_handshake(request)
    if reply is not None and len(reply.body) <= MAX_HANDSHAKE_BYTES:
        return _handshake(reply)
    verified, proof = _verify(door, request)
    protection = WebhookReplayProtection(door.adapter.manifest.timestamp_tolerance_seconds)
    # The clock before the limit: whoever captured old requests must not use it up with them.
    verdict = protection.validate_webhook(None, signed_at=verified.signed_at)
    if not verdict.valid:
        return _refused(door, str(verdict.reason), request)
    if door.connection is None:
        # At a shared door every connection has its own row, so only the insert can tell a repetition.
        return _read(door, request, verified, proof)
    wait_seconds = wait_for(door.connection)
    if wait_seconds is not None:
        opened(door, verified)
        return _limited(door, wait_seconds, request)
    if protection.validate_webhook(door.connection.pk, signature_hash=verified.fingerprint).valid:
        return _read(door, request, verified, proof)
    return _repeated(door, door.connection, request)


def _repeated(door: Door, connection: IntegrationConnection, request: WebhookRequest) -> WebhookResult:
    """A signature that was taken before: anybody who captured it can send it, so it has a limit of its own."""
    give_back(connection)
    wait_seconds = wait_for_repetition(connection)
    if wait_seconds is not None:
        return _limited(door, wait_seconds, request)
    tally(connection.pk, received=1, duplicate=1)
    return _duplicate(door)


def _verify(door: Door, request: WebhookRequest) -> tuple[Verified, str]:
    """The proof of the raw bytes against every secret that is valid now, and how it is noted with the events."""
    scheme, name = door.scheme, door.registration.scheme
    if door.is_waived:
        return Verified(0), f"{name}:waived"
    if isinstance(scheme, UnsignedScheme):
        raise SignatureRejected("unsigned")
    secrets = door.secrets()
    keys = published_keys(scheme) if isinstance(scheme, KeySetScheme) else None
    verified = verify(
        scheme,
        headers=request.headers,
        body=request.body,
        secrets=[secret for _, secret in secrets],
        published_keys=keys,
    )
    return verified, f"{name}:{secrets[verified.secret_index][0]}"


def _read(door: Door, request: WebhookRequest, verified: Verified, proof: str) -> WebhookResult:
    """Handshake, whose it is, events. What the adapter cannot read is kept: it was proven, so it is ours."""
    try:
        reply = door.webhook.handshake(request)
        if reply is not None:
            opened(door, verified)
            return _handshake(reply)
        if door.connection is not None:
            return _store(door, [(door.connection, _events(door, request, door.connection))], verified, proof)
        return _share_out(door, request, verified, proof)
    except UnreadablePayload as error:
        return _quarantined(door, request, verified, "unreadable", str(error), proof)
    except _TooMuch as error:
        return _quarantined(door, request, verified, "too_many_events", str(error), proof)
    except Exception as error:  # whatever an adapter raises or returns; the provider may never send it again
        # What no column can hold came from the adapter; any other trouble of the database is ours.
        if isinstance(error, DatabaseError | InterfaceError) and not isinstance(error, DataError):
            raise
        log.exception("webhook.adapter_failed", registration_id=str(door.registration.pk))
        return _quarantined(door, request, verified, "adapter_failed", type(error).__name__, proof)


class _TooMuch(Exception):
    """One request that would become more rows, or more bytes, than it should cost everybody else."""


def _share_out(door: Door, request: WebhookRequest, verified: Verified, proof: str) -> WebhookResult:
    """A delivery to a shared door goes to all its owners; each has its own limit, so that none uses up the others'.

    Where one has sent too much, the others have their events all the same, and the provider is asked to send it again.
    """
    owners = routed_connections(door, door.webhook.routes(request))
    if not owners:
        return _unrouted(door, request, verified, proof)
    waits = {owner.pk: wait_for(owner) for owner in owners}
    taken = [owner for owner in owners if waits[owner.pk] is None]
    result = _store(door, [(owner, _events(door, request, owner)) for owner in taken], verified, proof)
    longest = max((wait for wait in waits.values() if wait is not None), default=None)
    return result if longest is None else _limited(door, longest, request)


def _events(door: Door, request: WebhookRequest, owner: IntegrationConnection) -> list[ProviderEvent]:
    if owner is not door.connection:
        request = replace(request, settings=owner.settings)
    events = door.adapter.process_webhook(request)
    more = len(events) - 1
    if more > 0:
        if len(events) > MAX_EVENTS or len(events) * len(request.body) > MAX_STORED_BYTES:
            raise _TooMuch(f"It tells {len(events)} events in {len(request.body)} bytes.")
        # The limit is about what is stored; the request itself is paid for.
        charge(owner, more)
    return events


def _store(
    door: Door,
    told: Sequence[tuple[IntegrationConnection, list[ProviderEvent]]],
    verified: Verified,
    proof: str,
) -> WebhookResult:
    """One transaction for all owners; only then the answer."""
    new = presented = 0
    # A single statement is its own transaction.
    several = len(told) > 1 or any(event.credential_revoked for _, events in told for event in events)
    with transaction.atomic() if several else nullcontext():
        for owner, events in told:
            recorded = record(
                owner,
                events,
                Source.WEBHOOK,
                signature_hash=verified.fingerprint,
                registration_id=door.registration.pk,
                proof=proof,
            )
            new += recorded.new
            presented += len(events)
            if events and not recorded.new:
                if verified.fingerprint is not None:
                    spend(owner.pk, verified.fingerprint, events[0].correlation_id)
                if door.connection is None:
                    # Asked for again because of another owner, or sent by whoever captured it.
                    give_back(owner, len(events))
            if recorded.new and any(event.credential_revoked for event in events):
                # Of a connection that has just been deleted there is nothing left to end.
                with suppress(ServiceError):
                    authorisation_ended(owner, actor="system:webhooks")
    # Also by a repetition: sent again after a rotation, it is the first to use the new secret.
    opened(door, verified)
    if presented and not new:
        return _duplicate(door)
    return WebhookResult(True, None, door.adapter.manifest.accepted_status, "accepted", events=new)


def _settings(door: Door) -> Mapping[str, object]:
    return door.connection.settings if door.connection is not None else {}


def _handshake(reply: WebhookReply) -> WebhookResult:
    return WebhookResult(True, None, reply.status, "handshake", reply=reply)


def _duplicate(door: Door) -> WebhookResult:
    return WebhookResult(True, None, door.adapter.manifest.duplicate_status, "duplicate")


def _quarantined(
    door: Door, request: WebhookRequest, verified: Verified, reason: str, detail: str, proof: str
) -> WebhookResult:
    """Kept and taken: sent again it would be no clearer. Only a full quarantine asks for another try."""
    opened(door, verified)
    if not quarantine(door, request, verified, reason=reason, detail=detail, proof=proof):
        return _fault(door, "quarantine_full", request)
    return WebhookResult(True, None, door.adapter.manifest.accepted_status, "quarantined")


def _unrouted(door: Door, request: WebhookRequest, verified: Verified, proof: str) -> WebhookResult:
    """Of an account no connection has: kept while there is room, for a connection that is made later.

    Taken even when there is none: refusing it, the provider would come to hold the whole app for broken.
    """
    detail = "No connection has this account."
    quarantine(door, request, verified, reason="unrouted", detail=detail, proof=proof)
    opened(door, verified)
    _evidence(door, "unrouted", request.headers, len(request.body))
    return WebhookResult(True, None, door.adapter.manifest.accepted_status, "unrouted")


def _fault(door: Door, reason: str, request: WebhookRequest | None = None) -> WebhookResult:
    """Our fault, not the sender's: it must try again."""
    if request is not None:
        _evidence(door, reason, request.headers, len(request.body))
    status = door.adapter.manifest.fault_status
    return WebhookResult(False, "Temporarily unavailable.", status, reason, "TEMPORARILY_UNAVAILABLE")


def _limited(door: Door, wait_seconds: int, request: WebhookRequest) -> WebhookResult:
    _evidence(door, "rate_limited", request.headers, len(request.body))
    status = door.adapter.manifest.limited_status
    message = "Too many deliveries; try again later."
    return WebhookResult(
        False, message, status, "rate_limited", "RATE_LIMIT_EXCEEDED", retry_after_seconds=wait_seconds
    )


def too_large(door: Door) -> WebhookResult:
    """The refusal of a body over the provider's cap."""
    limit = f"The body is larger than {door.body_limit_bytes} bytes."
    return WebhookResult(False, limit, 413, "too_large", "PAYLOAD_TOO_LARGE")


def _refused(door: Door, reason: str, request: WebhookRequest) -> WebhookResult:
    """One answer for every reason; the reason itself is for metrics, log and staff."""
    _evidence(door, reason, request.headers, len(request.body))
    log.warning(
        "webhook.refused",
        reason=reason,
        registration_id=str(door.registration.pk),
        tenant_id=door.registration.tenant_id,
        provider_id=door.registration.provider_id,
    )
    return WebhookResult(
        False, "The signature is not valid.", door.adapter.manifest.rejected_status, reason, "SIGNATURE_INVALID"
    )


def _evidence(door: Door, reason: str, headers: Mapping[str, str], body_bytes: int | None) -> None:
    try:
        note_refusal(door, reason, headers, body_bytes)
    except (DatabaseError, InterfaceError) as error:
        # Evidence is worth less than the answer.
        log.error("webhook.evidence_lost", reason=reason, error=type(error).__name__)


def _count(door: Door | None, result: WebhookResult) -> None:
    registration = door.registration if door is not None else None
    provider, tenant = (registration.provider_id, registration.tenant_id) if registration else ("unknown", "unknown")
    count_webhook(provider, tenant, result.outcome)
