"""Linear's push road: one body, signed as it is, to one or more events.

``Linear-Signature`` is the bare lower-case hex of an HMAC over the raw body (https://linear.app/developers/webhooks).

No clock is judged. ``webhookTimestamp`` lies in the signed body, but whether a retry gets a new one is not
documented, and retries come up to seven hours after the first attempt: a window would lose them. The header
``Linear-Timestamp`` is not signed at all. Replay protection is the signature itself, the same for the same body,
and ``Linear-Delivery``, the same for every retry.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from providers.adapters.linear import mapping, naming
from providers.adapters.linear.registrar import LinearHooks
from providers.adapters.linear.shapes import ID_LENGTH
from providers.canonical import SignalType
from providers.document import Document
from providers.spi import ProviderEvent, Webhook, WebhookRequest
from providers.verification import Header, HmacScheme

DELIVERY_HEADER = "linear-delivery"
_WORD = re.compile(r"[A-Za-z0-9_]{1,55}", re.ASCII)
_DELIVERY = re.compile(r"[A-Za-z0-9._:-]{1,100}", re.ASCII)


class LinearWebhook(Webhook):
    schemes = {"hmac": HmacScheme(signature=Header(name="linear-signature"))}
    event_types = tuple(mapping.RULES)
    registrar = LinearHooks()

    def events(self, request: WebhookRequest) -> list[ProviderEvent]:
        payload = request.payload()
        document = Document(payload)
        # The body's own words, because the header of the same meaning is not signed.
        kind, action = (_word(document, pointer) for pointer in ("/type", "/action"))
        signal_types, reason = mapping.meanings(kind, action, document)
        given = request.header(DELIVERY_HEADER)
        usable = bool(_DELIVERY.fullmatch(given))
        delivery = given if usable else f"sha256:{hashlib.sha256(request.body).hexdigest()}"
        outcomes: list[SignalType | None] = [*signal_types] or [None]
        return [
            ProviderEvent(
                event_type=f"{kind or 'unknown'}.{action}" if action else kind or "unknown",
                dedupe_key=_deletion(signal_type, document) or f"{delivery}:{signal_type or 'ignored'}",
                payload=payload,
                signal_type=signal_type,
                ignored_reason="" if signal_type else reason,
                occurred_at=mapping.occurred_at(action, document),
                happening=naming.happening(kind, action, signal_type, document),
                ordering_key=naming.ordering_key(kind, document),
                correlation_id=given if usable else "",
                credential_revoked=reason == mapping.REVOKED,
            )
            for signal_type in outcomes
        ]

    def delivery_headers(self, event_type: str, delivery_id: str) -> Mapping[str, str]:
        return {
            "content-type": "application/json; charset=utf-8",
            "user-agent": "Linear-Webhook",
            "linear-event": event_type.partition(".")[0],
            DELIVERY_HEADER: delivery_id,
        }


def _word(document: Document, pointer: str) -> str:
    word = document.text(pointer) or ""
    return word if _WORD.fullmatch(word) else ""


def _deletion(signal_type: SignalType | None, document: Document) -> str:
    """Throwing away comes as an update and again as a removal; the time it came to the trash makes that one."""
    issue = document.text("/data/id", limit=ID_LENGTH)
    if signal_type is not SignalType.ISSUE_DELETED or not issue:
        return ""
    return naming.version(f"issue:{issue}:deleted", document.time("/data/archivedAt"))
