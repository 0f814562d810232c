"""What an event is called: its entity and its happening. Alike for both roads.

A happening is named by the version of the thing, which is the time of its last change; a closing, an archiving and an
edit by their own times, because the thing still shows them after later changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from providers.adapters.linear.shapes import ID_LENGTH
from providers.canonical import SignalType
from providers.document import Document

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES: Mapping[str, str] = {
    "Issue": "issue",
    "Comment": "comment",
    "Project": "project",
    "ProjectUpdate": "project_update",
    "Cycle": "cycle",
}
_STAMPED: Mapping[SignalType, tuple[str, Sequence[str]]] = {
    SignalType.ISSUE_CLOSED: ("closed", ("/data/completedAt", "/data/canceledAt")),
    SignalType.SPRINT_CLOSED: ("closed", ("/data/completedAt",)),
    SignalType.ISSUE_DELETED: ("deleted", ("/data/archivedAt",)),
    SignalType.ISSUE_ARCHIVED: ("archived", ("/data/archivedAt",)),
}
_EDITED = (SignalType.ISSUE_COMMENT_UPDATED, SignalType.PROJECT_STATUS_UPDATED)


def happening(kind: str, action: str, signal_type: SignalType | None, document: Document) -> str:
    """Equal where a webhook and a list tell of the same thing; empty where nothing tells it."""
    found = document.text("/data/id", limit=ID_LENGTH)
    if kind not in _NAMES or not found or signal_type is None:
        return ""
    thing = f"{_NAMES[kind]}:{found}"
    if signal_type in _STAMPED and (stamped := stamp(signal_type, document)):
        return version(f"{thing}:{_STAMPED[signal_type][0]}", stamped)
    if action == "create":
        return f"{thing}:created"
    if action != "update":
        return ""
    own = ("/data/editedAt",) if signal_type in _EDITED else ()
    return version(f"{thing}:updated", document.time(*own, "/data/updatedAt"))


def stamp(signal_type: SignalType, document: Document) -> datetime | None:
    """When it happened, where the thing itself keeps that; the last time if there are several."""
    times = (document.time(pointer) for pointer in _STAMPED[signal_type][1])
    return max((moment for moment in times if moment), default=None)


def version(name: str, moment: datetime | None) -> str:
    return f"{name}:{milliseconds(moment)}" if moment else ""


def milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


_ENTITIES: Mapping[str, Sequence[tuple[str, Sequence[str]]]] = {
    "Issue": (("issue", ("/data/id",)),),
    "IssueSLA": (("issue", ("/issueData/id",)),),
    "Comment": (
        ("issue", ("/data/issueId", "/data/issue/id")),
        ("project", ("/data/projectId",)),
        ("comment", ("/data/id",)),
    ),
    "Attachment": (("issue", ("/data/issueId",)),),
    "Reaction": (
        ("issue", ("/data/issueId", "/data/issue/id", "/data/comment/issueId")),
        ("comment", ("/data/commentId", "/data/comment/id")),
    ),
    "IssueLabel": (("label", ("/data/id",)),),
    "Project": (("project", ("/data/id",)),),
    "ProjectUpdate": (("project", ("/data/project/id", "/data/projectId")),),
    "Cycle": (("cycle", ("/data/id",)),),
    "Document": (("document", ("/data/id",)),),
}


def ordering_key(kind: str, document: Document) -> str:
    """The entity an event is about; empty where the body does not name it."""
    for name, pointers in _ENTITIES.get(kind, ()):
        found = document.text(*pointers, limit=ID_LENGTH)
        if found:
            return f"{name}:{found}"
    return ""
