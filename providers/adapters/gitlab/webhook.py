"""GitLab's webhooks: two ways of proof, and one request to one or more events.

``signing_token`` signs id, time and body of each attempt (Standard Webhooks; GitLab 19.0 and later). ``token`` sends a
shared secret as it is, which proves the sender only. A registration is bound to one of them: a request without the
signature is refused where a signature is asked for, whatever else it brings.

Sources: https://docs.gitlab.com/user/project/integrations/webhooks/ (headers, secrets) and
https://docs.gitlab.com/user/project/integrations/webhook_events/ (bodies).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from providers.adapters.gitlab import mapping
from providers.adapters.gitlab.happenings import happening
from providers.adapters.gitlab.ledger import GitLabLedger
from providers.adapters.gitlab.mapping_rules import NO_CHANGE, RULES, action_of, classify
from providers.adapters.gitlab.registrar import GitLabRegistrar
from providers.canonical import SignalType
from providers.document import Document
from providers.errors import UnreadablePayload
from providers.spi import ProviderEvent, Webhook, WebhookRequest
from providers.verification import Header, HmacScheme, SecretForm, SharedTokenScheme

DELIVERY_HEADER: Final = "idempotency-key"
SIGNED_ID_HEADER: Final = "webhook-id"
NO_KIND: Final = "the body does not say what it is; the hook may have a template of its own"

_DELIVERY_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}", re.ASCII)
_KIND = re.compile(r"[A-Za-z0-9_]{1,60}", re.ASCII)
_ACTION = re.compile(r"[A-Za-z0-9_.]{1,50}", re.ASCII)

# The header that goes with each kind; the last ones are of groups.
_HOOK_NAMES: Final[Mapping[str, str]] = {
    "tag_push": "Tag Push Hook",
    "merge_request": "Merge Request Hook",
    "work_item": "Issue Hook",
    "build": "Job Hook",
    "wiki_page": "Wiki Page Hook",
    **dict.fromkeys(("project_create", "project_destroy"), "Project Hook"),
    **dict.fromkeys(("user_add_to_group", "user_update_for_group", "user_remove_from_group"), "Member Hook"),
}


class GitLabWebhook(Webhook):
    """One update may mean several things; each becomes an event with a dedupe key of its own."""

    schemes = {
        "signing_token": HmacScheme(
            signature=Header(name="webhook-signature", prefix="v1,", separator=" "),
            encoding="base64",
            template="{id}.{timestamp}.{body}",
            timestamp=Header(name="webhook-timestamp"),
            id=Header(name=SIGNED_ID_HEADER),
            secret_form=SecretForm.WHSEC,
        ),
        # Neither body nor time is signed.
        "token": SharedTokenScheme(token=Header(name="x-gitlab-token")),
    }
    event_types = tuple(sorted(RULES))
    registrar = GitLabRegistrar()

    def events(self, request: WebhookRequest) -> list[ProviderEvent]:
        payload = request.payload()
        document = Document(payload)
        kind = _kind(document)
        if not kind:
            return [_event(request, document, _hook_name(request), None, NO_KIND)]
        action = action_of(kind, document)
        event_type = f"{kind}.{action}" if _ACTION.fullmatch(action) else kind
        found, reason = classify(kind, document)
        outcomes: list[SignalType | None] = [*found] or [None]
        return [_event(request, document, event_type, signal_type, reason) for signal_type in outcomes]

    def delivery_headers(self, event_type: str, delivery_id: str) -> Mapping[str, str]:
        kind = event_type.partition(".")[0]
        return {
            "content-type": "application/json",
            "user-agent": "GitLab/19.1.0",
            "x-gitlab-event": _HOOK_NAMES.get(kind, f"{kind.capitalize()} Hook"),
            DELIVERY_HEADER: delivery_id,
        }


def _kind(document: Document) -> str:
    kind = document.text("/object_kind", "/event_name") or ""
    return kind if _KIND.fullmatch(kind) else ""


def _hook_name(request: WebhookRequest) -> str:
    """What the request calls itself, for a body that does not say."""
    name = request.header("x-gitlab-event").lower().replace(" ", "_").removesuffix("_hook")
    if not _KIND.fullmatch(name):
        raise UnreadablePayload("The body has no object_kind and the X-Gitlab-Event header names no event.")
    return name


def _event(
    request: WebhookRequest, document: Document, event_type: str, signal_type: SignalType | None, reason: str
) -> ProviderEvent:
    delivery = _delivery_id(request)
    # An update that means nothing here is known to mean nothing when it is polled.
    named = signal_type is not None or reason == NO_CHANGE
    return ProviderEvent(
        event_type=event_type,
        dedupe_key=f"{delivery}:{signal_type or 'ignored'}",
        payload=document.value,
        signal_type=signal_type,
        ignored_reason="" if signal_type else reason,
        occurred_at=mapping.occurred_at(signal_type, event_type, document) if signal_type else None,
        happening=happening(signal_type, event_type, document) if named else "",
        ordering_key=mapping.ordering_key(event_type, document),
        correlation_id=delivery,
    )


def _delivery_id(request: WebhookRequest) -> str:
    """The same when a delivery is sent again. The signed header first; both hold the same value.

    Before 17.4 there was neither. The id of the event alone is no key then: everything a hook of ours sets off at
    GitLab carries it on, so the body, which is the same when it is sent again, belongs to it.
    """
    for name in (SIGNED_ID_HEADER, DELIVERY_HEADER):
        given = request.header(name)
        if _DELIVERY_ID.fullmatch(given):
            return given
    digest = hashlib.sha256(request.header("x-gitlab-event-uuid").encode(errors="replace") + b"\n" + request.body)
    return f"sha256:{digest.hexdigest()}"


# The ledger shows whole deliveries; what they tell is read as from a request.
GitLabWebhook.ledger = GitLabLedger(GitLabWebhook().events)
