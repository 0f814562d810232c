"""Which event becomes which signals, and how a stored payload is read.

Source: https://linear.app/developers/webhooks
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from providers.adapters.linear import changes, shapes
from providers.adapters.linear.shapes import ID_LENGTH, Parts, Shape
from providers.canonical import JSON, Signal, SignalType
from providers.document import Document, compact

UNKNOWN_EVENT = "unknown event type"
UNKNOWN_ACTION = "unknown action of a known event"
REVOKED = "The app was removed from the workspace; its token no longer works."
NO_SIGNAL = "no canonical signal for this event"
FOR_THE_APP = "tells something to the app itself, not of the work"

Rule = SignalType | str | Callable[[Document], SignalType | str]
"""A signal, the reason why there is none, or a question to the body."""


def _commented(document: Document) -> SignalType | str:
    if _on_issue(document):
        return SignalType.ISSUE_COMMENTED
    if document.text("/data/documentContentId", "/data/documentContent/id"):
        return SignalType.PAGE_COMMENTED
    if document.text("/data/projectUpdateId", "/data/projectId"):
        return SignalType.PROJECT_COMMENTED
    return "a comment on something that is neither an issue, a page nor a project"


def _on_issue(document: Document) -> bool:
    return bool(document.text("/data/issueId", "/data/issue/id"))


def _comment(signal_type: SignalType) -> Rule:
    return lambda document: signal_type if _on_issue(document) else "only new comments are told outside issues"


def _reaction(signal_type: SignalType) -> Rule:
    def rule(document: Document) -> SignalType | str:
        on_comment = document.text("/data/commentId", "/data/comment/id")
        there = on_comment or document.text("/data/issueId", "/data/issue/id")
        return signal_type if there else "a reaction to something that is neither an issue nor a comment"

    return rule


def _cycle_updated(document: Document) -> SignalType | str:
    # Nothing is sent when a cycle ends; only that its end was written down.
    ended = "completedAt" in changes.before(document) and document.at("/data/completedAt") is not None
    return SignalType.SPRINT_CLOSED if ended else SignalType.SPRINT_UPDATED


# ``Issue.update`` is judged by ``changes``, because it may mean several things.
RULES: Mapping[str, tuple[Shape, Mapping[str, Rule]]] = {
    "Issue": (
        shapes.issue,
        {
            "create": SignalType.ISSUE_CREATED,
            "update": SignalType.ISSUE_UPDATED,
            "remove": SignalType.ISSUE_DELETED,
        },
    ),
    "Comment": (
        shapes.comment,
        {
            "create": _commented,
            "update": _comment(SignalType.ISSUE_COMMENT_UPDATED),
            "remove": _comment(SignalType.ISSUE_COMMENT_DELETED),
        },
    ),
    "Attachment": (
        shapes.attachment,
        {
            "create": SignalType.ISSUE_ATTACHMENT_ADDED,
            "update": SignalType.ISSUE_UPDATED,
            "remove": SignalType.ISSUE_ATTACHMENT_REMOVED,
        },
    ),
    "IssueLabel": (
        shapes.label,
        {
            "create": SignalType.LABEL_CREATED,
            "update": SignalType.LABEL_UPDATED,
            "remove": SignalType.LABEL_DELETED,
        },
    ),
    "Reaction": (
        shapes.reaction,
        {
            "create": _reaction(SignalType.ISSUE_REACTION_ADDED),
            "remove": _reaction(SignalType.ISSUE_REACTION_REMOVED),
        },
    ),
    "Project": (
        shapes.project,
        {
            "create": SignalType.PROJECT_CREATED,
            "update": SignalType.PROJECT_UPDATED,
            "remove": SignalType.PROJECT_DELETED,
        },
    ),
    "ProjectUpdate": (
        shapes.project_update,
        {
            "create": SignalType.PROJECT_STATUS_POSTED,
            "update": SignalType.PROJECT_STATUS_UPDATED,
            "remove": SignalType.PROJECT_STATUS_DELETED,
        },
    ),
    "Cycle": (
        shapes.cycle,
        {
            "create": SignalType.SPRINT_CREATED,
            "update": _cycle_updated,
            "remove": SignalType.SPRINT_DELETED,
        },
    ),
    "Document": (
        shapes.document_page,
        {
            "create": SignalType.PAGE_CREATED,
            "update": SignalType.PAGE_UPDATED,
            "remove": SignalType.PAGE_DELETED,
        },
    ),
    "IssueSLA": (
        shapes.sla,
        {
            "set": SignalType.ISSUE_SLA_SET,
            "highRisk": SignalType.ISSUE_SLA_AT_RISK,
            "breached": SignalType.ISSUE_SLA_BREACHED,
        },
    ),
}

# Documented types that become no signal, and why.
_IGNORED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("Initiative", "InitiativeUpdate", "ProjectLabel", "Customer", "CustomerNeed", "CustomerRequest"),
            *("Release", "User"),
        ),
        NO_SIGNAL,
    ),
    **dict.fromkeys(("AppUserNotification", "AgentSessionEvent", "PermissionChange", "AuditEntry"), FOR_THE_APP),
    "OAuthApp": "tells of the app, not of the work",
}


def meanings(kind: str, action: str, document: Document) -> tuple[list[SignalType], str]:
    """The signals of an event, or none and the reason."""
    if (kind, action) == ("OAuthApp", "revoked"):
        return [], REVOKED
    if kind not in RULES:
        return [], _IGNORED.get(kind, UNKNOWN_EVENT)
    if (kind, action) == ("Issue", "update"):
        return changes.meanings(document), ""
    rule = RULES[kind][1].get(action, UNKNOWN_ACTION)
    verdict = rule if isinstance(rule, SignalType | str) else rule(document)
    return ([verdict], "") if isinstance(verdict, SignalType) else ([], verdict)


def signal(signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
    """One stored payload as a signal."""
    document = Document(payload)
    kind, _, action = event_type.partition(".")
    parts = RULES[kind][0](document, signal_type) if kind in RULES else Parts()
    return Signal(
        signal_type=signal_type,
        occurred_at=occurred_at(action, document),
        # Automatic changes have no actor; what a person makes names its maker in older bodies too.
        actor_id=document.text("/actor/id", limit=ID_LENGTH) or parts.actor,
        canonical_keys=compact(parts.keys),
        fields={name: value for name, value in compact(parts.fields).items() if name in signal_type.fields},
        attributes=compact(
            {
                "organization_id": document.text("/organizationId", limit=ID_LENGTH),
                "actor_type": document.text("/actor/type", limit=ID_LENGTH),
                **parts.attributes,
            }
        ),
    )


def occurred_at(action: str, document: Document) -> datetime | None:
    """Linear's clock: that of the object for what was made or changed, that of the action for the rest."""
    own = {"create": ("/data/createdAt",), "update": ("/data/updatedAt",)}.get(action, ())
    return document.time(*own, "/createdAt")
