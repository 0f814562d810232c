"""Bitbucket's webhooks: one request is one event, but for a push, which is one event a changed ref.

Sources: https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/ (signature, retries) and
https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/ (headers, bodies).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from providers.adapters.bitbucket import mapping
from providers.adapters.bitbucket.happenings import build_status, happening, pull_request, short
from providers.adapters.bitbucket.mapping_rules import NO_CHANGE, RULES, classify
from providers.adapters.bitbucket.registrar import BitbucketRegistrar
from providers.canonical import JSON
from providers.document import Document
from providers.errors import UnreadablePayload
from providers.spi import ProviderEvent, Webhook, WebhookRequest
from providers.verification import Header, HmacScheme

_EVENT_KEY = re.compile(r"[A-Za-z0-9_:.-]{1,100}", re.ASCII)
_DELIVERY_ID = re.compile(r"[A-Za-z0-9._:{}-]{1,100}", re.ASCII)


class BitbucketWebhook(Webhook):
    # The header's name is that of an older SHA-1 signature elsewhere; here it holds SHA-256. No time is signed.
    schemes = {"hmac": HmacScheme(signature=Header(name="x-hub-signature", prefix="sha256="))}
    event_types = tuple(sorted(RULES))
    registrar = BitbucketRegistrar()

    def events(self, request: WebhookRequest) -> list[ProviderEvent]:
        event_key = request.header("x-event-key")
        if not _EVENT_KEY.fullmatch(event_key):
            raise UnreadablePayload("The X-Event-Key header is missing or not an event key.")
        payload = request.payload()
        delivery = _delivery_id(request)
        return [
            _event(event_key, part, delivery, f"delivery:{delivery}:{index}" if index else f"delivery:{delivery}")
            for index, part in enumerate(_parts(event_key, payload))
        ]

    def delivery_headers(self, event_type: str, delivery_id: str) -> Mapping[str, str]:
        return {
            "content-type": "application/json",
            "user-agent": "Bitbucket-Webhooks/2.0",
            "x-event-key": event_type,
            "x-request-uuid": delivery_id,
            "x-hook-uuid": "00000000-0000-4000-8000-000000000000",
            "x-attempt-number": "1",
        }


def _parts(event_key: str, payload: JSON) -> list[JSON]:
    """The payload once for each change of a push, each with that change alone; else the payload."""
    if event_key != "repo:push":
        return [payload]
    changes = Document(payload).at("/push/changes")
    if not isinstance(changes, list):
        raise UnreadablePayload("The push holds no list of changes.")
    return [{**payload, "push": {**payload["push"], "changes": [change]}} for change in changes] or [payload]


def _event(event_key: str, payload: JSON, delivery: str, dedupe_key: str) -> ProviderEvent:
    document = Document(payload)
    signal_type, ignored_reason = classify(event_key, document)
    return ProviderEvent(
        event_type=event_key,
        dedupe_key=dedupe_key,
        payload=payload,
        signal_type=signal_type,
        ignored_reason=ignored_reason,
        occurred_at=mapping.occurred_at(event_key, document),
        happening=happening(event_key, document) if signal_type else "",
        ordering_key=_ordering_key(event_key, document) if ignored_reason != NO_CHANGE else "",
        correlation_id=delivery,
    )


def _delivery_id(request: WebhookRequest) -> str:
    """The id of the request. Whether a retry keeps it is not documented; the signature, which covers the
    same bytes, makes the retry a repetition either way."""
    given = request.header("x-request-uuid")
    return given if _DELIVERY_ID.fullmatch(given) else f"sha256:{hashlib.sha256(request.body).hexdigest()}"


def _ordering_key(event_key: str, document: Document) -> str:
    """The entity an event is about, within its repository."""
    family, _, name = event_key.partition(":")
    if family == "pullrequest":
        return pull_request(document)
    repository = document.text("/repository/uuid", limit=60)
    if repository is None:
        return ""
    if name == "push":
        change = "/push/changes/0"
        kind = document.text(f"{change}/new/type", f"{change}/old/type", limit=20)
        ref = document.text(f"{change}/new/name", f"{change}/old/name")
        return f"{kind}:{repository}:{short(ref)}" if kind and ref else ""
    if name.startswith("commit_status_"):
        return build_status(document)
    if name == "commit_comment_created":
        commit = document.text("/commit/hash")
        return f"commit:{repository}:{short(commit)}" if commit else ""
    return f"repo:{repository}"
