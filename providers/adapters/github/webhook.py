"""GitHub's webhooks: one request is one event.

Sources: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries (signature) and
https://docs.github.com/en/webhooks/webhook-events-and-payloads#delivery-headers (headers).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from providers.adapters.github import mapping
from providers.adapters.github.ledger import GitHubLedger
from providers.adapters.github.mapping_rules import MAPPED, classify
from providers.adapters.github.ordering import ordering_key
from providers.adapters.github.registrar import GitHubRegistrar
from providers.canonical import SignalType
from providers.document import Document
from providers.errors import UnreadablePayload
from providers.spi import ProviderEvent, Webhook, WebhookRequest
from providers.verification import Header, HmacScheme

_WORD = re.compile(r"[A-Za-z0-9_]{1,60}", re.ASCII)
_DELIVERY_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}", re.ASCII)


class GitHubWebhook(Webhook):
    # The older X-Hub-Signature is SHA-1 and never accepted. No time is signed.
    schemes = {"hmac": HmacScheme(signature=Header(name="x-hub-signature-256", prefix="sha256="))}
    event_types = tuple(sorted(MAPPED))
    registrar = GitHubRegistrar()
    ledger = GitHubLedger()

    def delivery_headers(self, event_type: str, delivery_id: str) -> Mapping[str, str]:
        # The header names the event without the action, which stands in the body.
        event = event_type.partition(".")[0]
        return {"content-type": "application/json", "x-github-event": event, "x-github-delivery": delivery_id}

    def events(self, request: WebhookRequest) -> list[ProviderEvent]:
        event = request.header("x-github-event")
        if not _WORD.fullmatch(event):
            raise UnreadablePayload("The X-GitHub-Event header is missing or not an event name.")
        # A hook of content type "form" posts the same JSON in this field; the signature covers the form.
        payload = request.payload(form_field="payload")
        document = Document(payload)
        action = document.text("/action") or ""
        event_type = f"{event}.{action}" if _WORD.fullmatch(action) else event
        signal_type, ignored_reason = classify(event_type, document)
        delivery = _delivery_id(request)
        return [
            ProviderEvent(
                event_type=event_type,
                dedupe_key=_dedupe_key(signal_type, delivery, document),
                payload=payload,
                signal_type=signal_type,
                ignored_reason=ignored_reason,
                occurred_at=mapping.occurred_at(event_type, document),
                happening=mapping.happening(event_type, document) if signal_type else "",
                ordering_key=ordering_key(event_type, document),
                correlation_id=delivery,
            )
        ]


def _delivery_id(request: WebhookRequest) -> str:
    """The same for a redelivery and for every hook that is told of the event; without it, the body's hash."""
    given = request.header("x-github-delivery")
    return given if _DELIVERY_ID.fullmatch(given) else f"sha256:{hashlib.sha256(request.body).hexdigest()}"


def _dedupe_key(signal_type: SignalType | None, delivery: str, document: Document) -> str:
    """The delivery; but a start that GitHub tells in several steps (requested, in progress) is told once."""
    run, attempt = document.integer("/workflow_run/id"), document.integer("/workflow_run/run_attempt")
    if signal_type is SignalType.PIPELINE_STARTED and run:
        return f"workflow_run:{run}:{attempt or 1}:started"
    deployment = document.integer("/deployment/id")
    if signal_type is SignalType.DEPLOYMENT_STARTED and deployment:
        return f"deployment:{deployment}:started"
    return f"delivery:{delivery}"
