"""Confluence's push road: webhooks of Data Center, and the request of an automation rule on Cloud.

``hmac``: Data Center signs the raw body (``X-Hub-Signature: sha256=<hex>``). ``timestamp`` in the body is the time of
the event and old on a retry, so no time window applies.
Source: https://confluence.atlassian.com/doc/managing-webhooks-1021225606.html

``automation``: Cloud has no webhooks for apps or administrators, but a rule may send a request with a header of our
choosing, which proves the sender only. The body is ours too (README): the shape of the webhooks, and always a time, for
nothing else tells two requests of one rule apart.
Source: https://support.atlassian.com/cloud-automation/docs/send-web-request/
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from providers.adapters.confluence import mapping, mapping_rules
from providers.document import Document
from providers.errors import UnreadablePayload
from providers.spi import TEST_DELIVERY, ProviderEvent, Webhook, WebhookRequest
from providers.verification import Header, HmacScheme, SharedTokenScheme

IDENTIFIER_HEADER: Final = "x-atlassian-webhook-identifier"
_AUTOMATION: Final = "automation"
_IDENTIFIER = re.compile(r"[!-~]{1,120}", re.ASCII)
_EVENT = re.compile(r"[a-z_]{1,60}", re.ASCII)


class ConfluenceWebhook(Webhook):
    """One request, one event."""

    schemes = {
        "hmac": HmacScheme(signature=Header(name="x-hub-signature", prefix="sha256=")),
        _AUTOMATION: SharedTokenScheme(token=Header(name="x-webhook-secret")),
    }
    event_types = tuple(mapping_rules.EVENTS)

    def delivery_headers(self, event_type: str, delivery_id: str) -> Mapping[str, str]:
        return {"content-type": "application/json", IDENTIFIER_HEADER: delivery_id}

    def events(self, request: WebhookRequest) -> list[ProviderEvent]:
        payload = request.payload()
        body = Document(payload)
        if body.boolean("/test") is True and body.at("/event") is None:
            return [_event(request, body, "test", TEST_DELIVERY)]
        event_type = body.text("/event") or ""
        if not _EVENT.fullmatch(event_type):
            raise UnreadablePayload("The body does not name its event.")
        if request.scheme == _AUTOMATION and mapping.occurred_at(body) is None:
            raise UnreadablePayload("The rule's body has no timestamp, so its requests cannot be told apart.")
        return [_event(request, body, event_type, mapping_rules.reason(event_type))]


def _event(request: WebhookRequest, body: Document, event_type: str, reason: str) -> ProviderEvent:
    signal_type = mapping_rules.EVENTS.get(event_type)
    identity = mapping.identity(event_type, body)
    # A rule's headers are as little proven as anything else in its request.
    given = request.header(IDENTIFIER_HEADER) if request.scheme != _AUTOMATION else ""
    delivery = given if _IDENTIFIER.fullmatch(given) else ""
    return ProviderEvent(
        event_type=event_type,
        dedupe_key=identity or delivery or f"sha256:{hashlib.sha256(request.body).hexdigest()}",
        payload=body.value,
        signal_type=signal_type,
        ignored_reason="" if signal_type else reason,
        occurred_at=mapping.occurred_at(body),
        happening=identity,
        ordering_key=mapping.ordering_key(event_type, body) if signal_type else "",
        correlation_id=delivery,
    )
