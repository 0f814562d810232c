"""Names of what webhooks and lists both tell, so that it becomes one signal.

Where both bring the same column of GitLab's table, its second names the version: webhooks write whole seconds. Where
they bring the times of two writes of one change, which lie milliseconds apart (seconds, where GitLab does the second in
the background), the minute or the hour does. What can happen once needs no time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from providers.adapters.gitlab import mapping
from providers.adapters.gitlab.mapping_rules import is_zero
from providers.canonical import SignalType
from providers.document import Document

_CREATED, _UPDATED = "/object_attributes/created_at", "/object_attributes/updated_at"
_CLOSED, _FINISHED = "/object_attributes/closed_at", "/object_attributes/finished_at"
_SECOND: Final = "%Y-%m-%dT%H:%M:%S"
_MINUTE: Final = "%Y-%m-%dT%H:%M"
_HOUR: Final = "%Y-%m-%dT%H"
_LENGTH = 200


def happening(signal_type: SignalType | None, event_type: str, document: Document) -> str:
    """The name of a body's happening; empty where only webhooks tell of it, or the body lacks what it takes."""
    rule = _RULES.get(event_type.partition(".")[0])
    parts = rule(signal_type, document) if rule else ()
    if not parts or not all(parts):
        return ""
    name = ":".join(part for part in parts if part)
    return name if len(name) <= _LENGTH else f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


_Parts = tuple[str | None, ...]


def _at(document: Document, form: str, *pointers: str) -> str | None:
    moment = mapping.time(document, *pointers)
    return f"{moment:{form}}" if moment else None


def _merge_request(signal_type: SignalType | None, document: Document) -> _Parts:
    entity = mapping.ordering_key("merge_request", document)
    match signal_type:
        case SignalType.PR_OPENED:
            return entity, "opened"
        case SignalType.PR_MERGED:
            return entity, "merged"
        case SignalType.PR_CLOSED:
            return entity, "closed", _at(document, _MINUTE, _CLOSED, _UPDATED)
        case SignalType.PR_APPROVED:
            return entity, "approved", document.text("/user/username", limit=100), _at(document, _HOUR, _UPDATED)
    return entity, "updated", _at(document, _SECOND, _UPDATED)


def _issue(signal_type: SignalType | None, document: Document) -> _Parts:
    entity = mapping.ordering_key("issue", document)
    match signal_type:
        case SignalType.ISSUE_CREATED:
            return entity, "opened"
        case SignalType.ISSUE_CLOSED:
            return entity, "closed", _at(document, _MINUTE, _CLOSED, _UPDATED)
    return entity, "updated", _at(document, _SECOND, _UPDATED)


_COMMENTED = (SignalType.PR_COMMENTED, SignalType.ISSUE_COMMENTED, SignalType.COMMIT_COMMENTED)


def _note(signal_type: SignalType | None, document: Document) -> _Parts:
    # Lists know when a note was written, not that it was edited.
    return ("note", document.text("/object_attributes/id", limit=40)) if signal_type in _COMMENTED else ()


def _push(_: SignalType | None, document: Document) -> _Parts:
    # The same push cannot be told from its repetition later on: a body has no time of its own.
    ends = (document.text(f"/{end}", limit=64) for end in ("before", "after"))
    entity = ("ref", document.text("/project_id", limit=40), document.text("/ref"))
    return (*entity, *("none" if is_zero(end) else end for end in ends))


def _pipeline(signal_type: SignalType | None, document: Document) -> _Parts:
    entity = mapping.ordering_key("pipeline", document)
    status = document.text("/object_attributes/status", limit=40)
    if signal_type is SignalType.PIPELINE_STARTED:
        return entity, status
    return entity, status, _at(document, _MINUTE, _FINISHED, _UPDATED)


def _deployment(_: SignalType | None, document: Document) -> _Parts:
    # It goes through its states once; another try is another deployment.
    return mapping.ordering_key("deployment", document), document.text("/status", limit=40)


def _release(signal_type: SignalType | None, document: Document) -> _Parts:
    if signal_type is not SignalType.RELEASE_PUBLISHED:
        return ()
    return "release", document.text("/url"), _at(document, _SECOND, "/created_at")


_RULES: dict[str, Callable[[SignalType | None, Document], _Parts]] = {
    "push": _push,
    "tag_push": _push,
    "merge_request": _merge_request,
    "issue": _issue,
    "work_item": _issue,
    "note": _note,
    "pipeline": _pipeline,
    "deployment": _deployment,
    "release": _release,
}
