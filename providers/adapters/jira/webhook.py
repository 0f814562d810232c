"""Jira's push road: two signature families, one body to one or more events.

Admin webhooks sign the raw body (``X-Hub-Signature``, WebSub form; "Secure admin webhooks"). Dynamic webhooks
of an OAuth app carry a JWT signed with the app's client secret, which proves the sender but not the body. A
registration is bound to one of the two. Neither signs a clock for the attempt: ``timestamp`` in the body is
the time of the event and hours old on a late retry, so no time window applies; the webhook identifier, the
same on every retry, and the signature carry replay protection.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from providers.adapters.jira import changelog
from providers.adapters.jira.mapping import issue_id, milliseconds, occurred_at
from providers.adapters.jira.ordering import ordering_key
from providers.adapters.jira.registrar import JiraRegistrar
from providers.canonical import SignalType
from providers.document import Document
from providers.spi import ProviderEvent, Webhook, WebhookRequest
from providers.verification import Header, HmacScheme, JwtScheme

IDENTIFIER_HEADER: Final = "x-atlassian-webhook-identifier"
ISSUE_UPDATED: Final = "jira:issue_updated"
_MAX_IDENTIFIER: Final = 120

# Events that tell exactly one thing. ``jira:issue_updated`` is not here: its changelog decides.
SIGNAL_OF_EVENT: Final[Mapping[str, SignalType]] = {
    "jira:issue_created": SignalType.ISSUE_CREATED,
    "jira:issue_deleted": SignalType.ISSUE_DELETED,
    "comment_created": SignalType.ISSUE_COMMENTED,
    "comment_updated": SignalType.ISSUE_COMMENT_UPDATED,
    "comment_deleted": SignalType.ISSUE_COMMENT_DELETED,
    "attachment_created": SignalType.ISSUE_ATTACHMENT_ADDED,
    "attachment_deleted": SignalType.ISSUE_ATTACHMENT_REMOVED,
    "worklog_created": SignalType.ISSUE_WORKLOG_ADDED,
    "worklog_updated": SignalType.ISSUE_WORKLOG_UPDATED,
    "worklog_deleted": SignalType.ISSUE_WORKLOG_DELETED,
    "issuelink_created": SignalType.ISSUE_LINKED,
    "issuelink_deleted": SignalType.ISSUE_UNLINKED,
    "sprint_created": SignalType.SPRINT_CREATED,
    "sprint_updated": SignalType.SPRINT_UPDATED,
    "sprint_started": SignalType.SPRINT_STARTED,
    "sprint_closed": SignalType.SPRINT_CLOSED,
    "sprint_deleted": SignalType.SPRINT_DELETED,
    "jira:version_created": SignalType.VERSION_CREATED,
    "jira:version_updated": SignalType.VERSION_UPDATED,
    "jira:version_moved": SignalType.VERSION_UPDATED,
    "jira:version_released": SignalType.VERSION_RELEASED,
    "jira:version_unreleased": SignalType.VERSION_UNRELEASED,
    "jira:version_deleted": SignalType.VERSION_DELETED,
    "project_created": SignalType.PROJECT_CREATED,
    "project_updated": SignalType.PROJECT_UPDATED,
    "project_deleted": SignalType.PROJECT_DELETED,
    "project_soft_deleted": SignalType.PROJECT_DELETED,
    "project_restored_deleted": SignalType.PROJECT_RESTORED,
    "project_archived": SignalType.PROJECT_ARCHIVED,
    "project_restored_archived": SignalType.PROJECT_RESTORED,
    "board_created": SignalType.BOARD_CREATED,
    "board_updated": SignalType.BOARD_UPDATED,
    "board_configuration_changed": SignalType.BOARD_UPDATED,
    "board_deleted": SignalType.BOARD_DELETED,
}

# Names old Jira Server gives instead of ``webhookEvent``; any other name is some update of the issue.
_EVENT_OF_HINT: Final = {"issue_created": "jira:issue_created", "issue_deleted": "jira:issue_deleted"}

_COMMENTS: Final = {SignalType.ISSUE_COMMENTED, SignalType.ISSUE_COMMENT_UPDATED}
_COMMENT_TOLD_ELSEWHERE: Final = "Only a comment; its own event tells of it."
_NO_SIGNAL: Final = "No canonical signal for this event."


class JiraWebhook(Webhook):
    """One update may mean several things; each becomes an event with a dedupe key of its own."""

    schemes = {
        "hmac": HmacScheme(signature=Header(name="x-hub-signature", prefix="sha256=")),
        "jwt": JwtScheme(),
    }
    # The client secret of the OAuth app.
    secret_from_provider = frozenset({"jwt"})
    event_types = (ISSUE_UPDATED, *SIGNAL_OF_EVENT)
    # A link is told by the update of its issue too, and there with key, title and person.
    registrar = JiraRegistrar([event for event in event_types if not event.startswith("issuelink_")])

    def delivery_headers(self, event_type: str, delivery_id: str) -> Mapping[str, str]:
        return {"content-type": "application/json", IDENTIFIER_HEADER: delivery_id}

    def events(self, request: WebhookRequest) -> list[ProviderEvent]:
        payload = request.payload()
        body = Document(payload)
        event_type = _event_type(body)
        signal_types = _signal_types(event_type, body)
        outcomes: list[SignalType | None] = [*signal_types] or [None]
        identifier = request.header(IDENTIFIER_HEADER)
        # The identifier may be missing or mangled behind a proxy; the body itself is then the identity.
        usable = 0 < len(identifier) <= _MAX_IDENTIFIER
        delivery = identifier if usable else f"sha256:{hashlib.sha256(request.body).hexdigest()}"
        happening = _happening(event_type, signal_types, body)
        reason = _COMMENT_TOLD_ELSEWHERE if event_type == ISSUE_UPDATED else _NO_SIGNAL
        return [
            ProviderEvent(
                event_type=event_type,
                dedupe_key=_comment_key(signal_type, body) or f"{delivery}:{signal_type or 'ignored'}",
                payload=payload,
                signal_type=signal_type,
                ignored_reason="" if signal_type else reason,
                occurred_at=occurred_at(signal_type, body),
                happening=happening,
                ordering_key=ordering_key(body),
                correlation_id=identifier if usable else "",
            )
            for signal_type in outcomes
        ]


def _event_type(body: Document) -> str:
    """Jira's name of the event; for old bodies without one, the name its parts stand for."""
    given = body.text("/webhookEvent", limit=120)
    if given:
        return given
    hint = body.text("/issue_event_type_name", limit=120) or ""
    if hint in _EVENT_OF_HINT:
        return _EVENT_OF_HINT[hint]
    if isinstance(body.at("/issue"), dict):
        return ISSUE_UPDATED
    if isinstance(body.at("/comment"), dict):
        return "comment_updated" if changelog.comment_was_edited(body) else "comment_created"
    return hint or "unknown"


def _signal_types(event_type: str, body: Document) -> list[SignalType]:
    if event_type == ISSUE_UPDATED:
        return changelog.meanings(body)
    known = SIGNAL_OF_EVENT.get(event_type)
    return [known] if known else []


def _comment_key(signal_type: SignalType | None, body: Document) -> str:
    """A comment at one version; empty for anything else. Old Server sends it under two names, with two identifiers."""
    comment, touched = body.text("/comment/id", limit=60), body.time("/comment/updated")
    if signal_type not in _COMMENTS or not (comment and touched):
        return ""
    return f"comment:{comment}:{milliseconds(touched)}:{signal_type}"


def _happening(event_type: str, signal_types: list[SignalType], body: Document) -> str:
    """What polling would see of the same thing: an issue made, or an issue at one version."""
    issue = issue_id(body)
    if issue and event_type == "jira:issue_created":
        return issue_created(issue)
    updated = body.time("/issue/fields/updated")
    # Old Server's comment bodies hold the version before the comment, which polling tells in its own right.
    if issue and updated and event_type == ISSUE_UPDATED and not _COMMENTS & set(signal_types):
        return issue_updated(issue, milliseconds(updated))
    return ""


def issue_created(issue: str) -> str:
    """Identity of the making of an issue."""
    return f"issue:{issue}:created"


def issue_updated(issue: str, updated_ms: int) -> str:
    """Identity of one version of an issue; ``updated_ms`` is its ``fields.updated`` in epoch milliseconds."""
    return f"issue:{issue}:updated:{updated_ms}"
