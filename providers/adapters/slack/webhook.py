"""Slack's push road: events as JSON, commands and interactions as forms, all signed alike.

``X-Slack-Signature: v0=<hex>`` over ``v0:{timestamp}:{body}``; the time is that of each attempt.
Source: https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

import orjson

from providers.adapters.slack import mapping, mapping_rules
from providers.adapters.slack.routing import routes_of_delivery
from providers.canonical import JSON, SignalType
from providers.document import Document
from providers.errors import UnreadablePayload
from providers.spi import ProviderEvent, Webhook, WebhookReply, WebhookRequest
from providers.verification import Header, HmacScheme

_FORM = "application/x-www-form-urlencoded"
_MAX_FORM_FIELDS = 50
_EVENT_ID = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)
# Addresses that let anybody who has them answer into the channel for half an hour.
_REPLY_ADDRESSES = ("response_url", "response_urls")
_ONCE_PER_MESSAGE = (SignalType.CHAT_MESSAGE, SignalType.CHAT_MENTION)


class SlackWebhook(Webhook):
    """One URL serves an app in all its workspaces; ``routes`` tells whose a delivery is."""

    schemes = {
        "signing_secret": HmacScheme(
            signature=Header(name="x-slack-signature", prefix="v0="),
            template="v0:{timestamp}:{body}",
            timestamp=Header(name="x-slack-request-timestamp"),
        )
    }
    secret_from_provider = frozenset({"signing_secret"})
    event_types = mapping_rules.DECLARED
    routed = True

    def handshake(self, request: WebhookRequest) -> WebhookReply | None:
        # Asked of every delivery, so most are not parsed for it.
        if b"url_verification" not in request.body:
            return None
        body = Document(_payload(request))
        challenge = body.text("/challenge")
        if body.text("/type") != "url_verification" or challenge is None:
            return None
        return WebhookReply(orjson.dumps({"challenge": challenge}))

    def acknowledgement(self, request: WebhookRequest) -> WebhookReply | None:
        """Slack shows an answer's body to whoever gave a command, and obeys one to an interaction: so none."""
        return WebhookReply(b"", content_type="text/plain") if _is_form(request) else None

    def routes(self, request: WebhookRequest) -> Sequence[str]:
        return routes_of_delivery(Document(_payload(request)))

    def events(self, request: WebhookRequest) -> list[ProviderEvent]:
        payload = _payload(request)
        body = Document(payload)
        event_type = _event_type(body)
        signal_type, ignored_reason = mapping_rules.classify(event_type, body)
        own_id = _own_id(body)
        return [
            ProviderEvent(
                event_type=event_type,
                dedupe_key=_dedupe_key(signal_type, body, own_id, request.body),
                payload={name: value for name, value in payload.items() if name not in _REPLY_ADDRESSES},
                signal_type=signal_type,
                ignored_reason=ignored_reason,
                occurred_at=mapping.occurred_at(body),
                happening=mapping.happening(signal_type, body),
                ordering_key=mapping.ordering_key(signal_type, body),
                correlation_id=own_id,
                credential_revoked=mapping_rules.ends_authorisation(event_type, body),
            )
        ]


def _is_form(request: WebhookRequest) -> bool:
    return request.header("content-type").startswith(_FORM)


def _payload(request: WebhookRequest) -> JSON:
    """An event's JSON, an interaction's JSON out of its form, or the fields of a command's form."""
    if not _is_form(request):
        return request.payload()
    try:
        pairs = parse_qsl(
            request.body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=_MAX_FORM_FIELDS
        )
    except ValueError as error:
        raise UnreadablePayload("The body is not a valid form.") from error
    fields: dict[str, Any] = dict(pairs)
    if len(fields) != len(pairs):
        raise UnreadablePayload("The form names a field twice.")
    return request.payload(form_field="payload") if "payload" in fields else fields


def _event_type(body: Document) -> str:
    """Slack's word for it, with the subtype of a message; raises ``UnreadablePayload``."""
    outer = body.text("/type") or ""
    if outer == "event_callback":
        return mapping_rules.event_name(body)
    if not outer and body.text("/command"):
        return mapping_rules.SLASH_COMMAND
    if not outer and body.text("/ssl_check"):
        return "ssl_check"
    # The names of interactions and of events do not meet; what is only an event may not come without one.
    if not mapping_rules.WORD.fullmatch(outer) or (
        outer in mapping_rules.DECLARED and outer not in mapping_rules.INTERACTIONS
    ):
        raise UnreadablePayload("The body is neither an event, nor a command, nor an interaction.")
    return outer


def _own_id(body: Document) -> str:
    """The event's id, or the trigger of a command or interaction."""
    given = body.text("/event_id", "/trigger_id") or ""
    return given if _EVENT_ID.fullmatch(given) else ""


def _dedupe_key(signal_type: SignalType | None, body: Document, own_id: str, raw: bytes) -> str:
    """A message by its place, for a mention arrives as two events; anything else by its own id."""
    team = mapping.workspace(body)
    channel, message = mapping.place(signal_type, body)
    if signal_type in _ONCE_PER_MESSAGE and channel and message:
        return f"message:{team}:{channel}:{message}"
    return f"event:{team}:{own_id}" if own_id else f"sha256:{hashlib.sha256(raw).hexdigest()}"
