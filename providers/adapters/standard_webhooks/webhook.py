"""Webhooks of any sender that follows the Standard Webhooks specification 1.0.0.

Source: https://www.standardwebhooks.com/, sections "Signature scheme", "Payload structure", "Operational".
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Any

from providers.adapters.standard_webhooks import mapping
from providers.adapters.standard_webhooks.reading import Reading
from providers.adapters.standard_webhooks.rules import UNTYPED, classify
from providers.document import moment_of
from providers.errors import UnreadablePayload
from providers.spi import ProviderEvent, Webhook, WebhookRequest
from providers.verification import Ed25519Scheme, Header, HmacScheme, SecretForm

_SIGNED = "{id}.{timestamp}.{body}"
_SECONDS = re.compile(r"[0-9]{1,11}", re.ASCII)
_MAX_ID = 150
_MAX_TYPE = 120


def _symmetric(family: str) -> HmacScheme:
    return HmacScheme(
        # A list of versions and signatures, several while the sender rotates its secret.
        signature=Header(name=f"{family}-signature", prefix="v1,", separator=" "),
        encoding="base64",
        template=_SIGNED,
        timestamp=Header(name=f"{family}-timestamp"),
        id=Header(name=f"{family}-id"),
        secret_form=SecretForm.WHSEC,
    )


class StandardWebhook(Webhook):
    """The time is signed for each attempt, so an old request is refused; the id stays the same on every retry."""

    schemes = {
        "standard": _symmetric("webhook"),
        # The same under the header names of a widespread sender; the two sets are never mixed.
        "svix": _symmetric("svix"),
        "ed25519": Ed25519Scheme(
            signature=Header(name="webhook-signature", prefix="v1a,", separator=" "),
            template=_SIGNED,
            timestamp=Header(name="webhook-timestamp"),
            id=Header(name="webhook-id"),
        ),
    }
    # Senders of the second make their secrets, and of the third there is only the public key.
    secret_from_provider = frozenset({"svix", "ed25519"})

    def events(self, request: WebhookRequest) -> list[ProviderEvent]:
        message_id, sent_at = _message(request)
        dedupe_key = f"message:{message_id}"
        try:
            event = request.payload()
        except UnreadablePayload as unreadable:
            # The signature was right, so the sender meant it, and sending it again would change nothing. Secrets are
            # told by the names beside them; a body without names may hold any, so only its size is kept.
            return [
                ProviderEvent(
                    event_type=UNTYPED,
                    dedupe_key=dedupe_key,
                    payload={"body_bytes": len(request.body)},
                    ignored_reason=str(unreadable),
                    occurred_at=sent_at,
                    correlation_id=message_id,
                )
            ]
        pointers: dict[str, Any] = request.settings.get("pointers") or {}
        reading = Reading(event, pointers)
        event_type = reading.text("type", limit=_MAX_TYPE) or UNTYPED
        entity = reading.text("entity_id", limit=_MAX_ID)
        signal_type, ignored_reason = classify(event_type, request.settings)
        payload = mapping.stored(event, pointers, sent_at)
        return [
            ProviderEvent(
                event_type=event_type,
                dedupe_key=dedupe_key,
                payload=payload,
                signal_type=signal_type,
                ignored_reason=ignored_reason,
                occurred_at=mapping.occurred_at(payload),
                ordering_key=f"entity:{entity}" if entity else "",
                correlation_id=message_id,
            )
        ]


def _message(request: WebhookRequest) -> tuple[str, datetime | None]:
    """Id of the message and time of the attempt, both signed. A long id is hashed; without one the body is."""
    # A header of the other family may stand beside it, and nobody signed that.
    family = "svix" if request.scheme == "svix" else "webhook"
    given, seconds = request.header(f"{family}-id"), request.header(f"{family}-timestamp")
    sent_at = moment_of(int(seconds)) if _SECONDS.fullmatch(seconds) else None
    if 0 < len(given) <= _MAX_ID:
        return given, sent_at
    return f"sha256:{hashlib.sha256(given.encode('utf-8', 'surrogatepass') or request.body).hexdigest()}", sent_at
