"""The push road: how a request proves itself, and how one request becomes events.

No clock, no database, no secret: headers and bytes in, objects out. The runtime has verified the
signature before anything here is called.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import orjson

from providers.adapters.fake.mapping import EVENT_TYPES, happening
from providers.canonical import JSON
from providers.document import Document
from providers.errors import UnreadablePayload
from providers.spi import ProviderEvent, Webhook, WebhookReply, WebhookRequest
from providers.verification import Header, HmacScheme, UnsignedScheme


class FakeWebhook(Webhook):
    # The first scheme is the default of a new registration. It signs the time of each attempt together
    # with the body, so an old request is refused; the second shows a provider that signs no time, where
    # the delivery id and the memory of seen signatures carry replay protection instead.
    schemes = {
        "hmac": HmacScheme(
            signature=Header(name="x-fake-signature", prefix="v1="),
            template="{timestamp}.{body}",
            timestamp=Header(name="x-fake-timestamp"),
        ),
        "hmac_body": HmacScheme(signature=Header(name="x-fake-signature", prefix="v1=")),
        # A sender that proves nothing: only a connection with a waiver may have such a door.
        "unsigned": UnsignedScheme(),
    }
    event_types = tuple(EVENT_TYPES)

    def handshake(self, request: WebhookRequest) -> WebhookReply | None:
        body = Document(request.payload())
        if body.text("/type") != "handshake":
            return None
        return WebhookReply(orjson.dumps({"challenge": body.text("/challenge") or ""}))

    def delivery_headers(self, event_type: str, delivery_id: str) -> Mapping[str, str]:
        return {"content-type": "application/json", "x-fake-delivery": delivery_id}

    def events(self, request: WebhookRequest) -> list[ProviderEvent]:
        body = request.payload()
        entries = body.get("events", [body])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise UnreadablePayload("'events' is not a list of objects.")
        return [_event(request, entry, index) for index, entry in enumerate(entries)]


def _event(request: WebhookRequest, entry: JSON, index: int) -> ProviderEvent:
    document = Document(entry)
    event_type = document.text("/type", limit=120)
    if event_type is None:
        raise UnreadablePayload("The event has no type.")
    key = document.text("/issue/key", limit=80) or ""
    version = document.time("/issue/updated")
    signal_type = EVENT_TYPES.get(event_type)
    return ProviderEvent(
        event_type=event_type,
        dedupe_key=_dedupe_key(request, document, index),
        payload=entry,
        signal_type=signal_type,
        ignored_reason="" if signal_type else "unknown event type",
        occurred_at=document.time("/at"),
        happening=happening("issue", key, event_type, version.isoformat() if version else ""),
        ordering_key=f"issue:{key}" if key else "",
        correlation_id=document.text("/id", limit=200) or "",
    )


def _dedupe_key(request: WebhookRequest, document: Document, index: int) -> str:
    """The event's own id; else the delivery's, equal on redelivery; else the bytes themselves."""
    own = document.text("/id", limit=180)
    if own:
        return f"event:{own}"
    delivery = request.header("x-fake-delivery")[:150] or hashlib.sha256(request.body).hexdigest()
    return f"delivery:{delivery}:{index}"
