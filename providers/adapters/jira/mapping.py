"""Jira's events to signals: one table and one small function per shape of body.

Sources: "Webhooks" page of the Jira Cloud platform documentation (bodies), REST API v3 (polled issues).
Webhook bodies have the shape of REST v2 (text is wiki markup), polled issues that of v3 (text is ADF).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from providers.adapters.jira import changelog
from providers.adapters.jira.adf import plain_text
from providers.canonical import JSON, Signal, SignalType
from providers.document import Document, compact

_STATE_CATEGORIES: Final[Mapping[str, str]] = {"new": "new", "indeterminate": "in_progress", "done": "done"}
GATEWAY: Final = "api.atlassian.com"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_signal(signal_type: SignalType, payload: JSON) -> Signal:
    """The signal of a stored payload; a thin payload gives a thin signal."""
    body = Document(payload)
    return _SHAPE_OF_SIGNAL.get(signal_type, _issue)(signal_type, body)


# --- parts that bodies have in common -----------------------------------------------------------------


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970, the resolution of Jira's clock."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def occurred_at(signal_type: SignalType | None, body: Document) -> datetime | None:
    """Jira's clock: the time signed with a webhook, else the object's own."""
    if signal_type is SignalType.ISSUE_CREATED:
        return body.time("/timestamp", "/issue/fields/created")
    return body.time("/timestamp", "/comment/updated", "/worklog/updated", "/issue/fields/updated")


def issue_id(body: Document) -> str | None:
    """The id that survives a move to another project (the key does not)."""
    # Server's comment bodies name their issue only inside the comment's own link.
    inside = re.search(r"/issue/([0-9]+)/comment/", body.text("/comment/self") or "")
    return body.text("/issue/id", "/worklog/issueId", limit=60) or (inside[1][:60] if inside else None)


def _person(body: Document, *pointers: str) -> str | None:
    """Stable id of the first person found: ``accountId`` on Cloud, ``key`` or ``name`` on Data Center.

    Those two may be e-mail addresses, which a stored body has lost; the name people see then stands for them.
    """
    members = ("accountId", "key", "name", "displayName")
    return body.name(*(f"{pointer}/{member}" for pointer in pointers for member in members), limit=200)


def _site(body: Document, *links: str) -> str | None:
    """Root of the site people browse: given by polling, else cut from an API link of the body."""
    given = body.text("/site")
    if given:
        return given.rstrip("/")
    for link in links:
        found = re.match(r"(https?://([^/\s?#@]+)(?:/[^\s?#@]+?)??)/rest/", body.text(link) or "")
        # The gateway's host serves the API only; nobody can open a page there.
        if found and found[2].lower() != GATEWAY:
            return found[1]
    return None


def _browse(body: Document, key: str | None, *links: str) -> str | None:
    site = _site(body, *links)
    return f"{site}/browse/{key}" if site and key and re.fullmatch(r"[A-Za-z0-9_-]+", key) else None


def _issue_keys(body: Document) -> JSON:
    key = body.text("/issue/key", limit=100)
    return {
        "issue_key": key,
        "issue_id": issue_id(body),
        "project_key": body.text("/issue/fields/project/key", limit=100) or (key or "").rpartition("-")[0],
        "project_id": body.text("/issue/fields/project/id", limit=60),
    }


def _lower(body: Document, *pointers: str) -> str:
    return (body.text(*pointers) or "").lower()


def _signal(
    signal_type: SignalType,
    body: Document,
    *,
    keys: JSON,
    fields: JSON,
    actor: str | None = None,
    attributes: JSON | None = None,
) -> Signal:
    return Signal(
        signal_type=signal_type,
        occurred_at=occurred_at(signal_type, body),
        actor_id=actor,
        canonical_keys=compact(keys),
        fields={name: value for name, value in compact(fields).items() if name in signal_type.fields},
        attributes=compact(attributes or {}),
    )


# --- one function per shape ---------------------------------------------------------------------------


def _issue(signal_type: SignalType, body: Document) -> Signal:
    if isinstance(body.at("/issueLink"), dict):
        return _issue_link(signal_type, body)
    assignee = _person(body, "/issue/fields/assignee")
    detail = changelog.detail(signal_type, body)
    fields = {
        "title": body.text("/issue/fields/summary"),
        "body": plain_text(body.at("/issue/fields/description")),
        "state": _lower(body, "/issue/fields/status/name", "/issue/fields/status"),
        "state_category": _STATE_CATEGORIES.get(body.text("/issue/fields/status/statusCategory/key") or ""),
        "url": _browse(body, body.text("/issue/key"), "/issue/self"),
        "author": _person(body, "/issue/fields/creator", "/issue/fields/reporter"),
        "assignees": [assignee] if assignee else None,
        "labels": body.texts("/issue/fields/labels"),
        "priority": body.text("/issue/fields/priority/name", "/issue/fields/priority"),
        "issue_type": body.text("/issue/fields/issuetype/name", "/issue/fields/issuetype"),
        "milestone": body.text("/issue/fields/fixVersions/0/name"),
        "parent": body.text("/issue/fields/parent/key"),
    }
    return _signal(
        signal_type,
        body,
        # A polled issue does not say who changed it, only who made it.
        actor=_person(body, "/user", *(["/issue/fields/creator"] if signal_type is SignalType.ISSUE_CREATED else [])),
        keys={**_issue_keys(body), "changelog_id": body.text("/changelog/id"), **detail.keys},
        fields={**fields, **compact(detail.fields)},
        attributes={"resolution": body.text("/issue/fields/resolution/name"), **detail.attributes},
    )


def _comment(signal_type: SignalType, body: Document) -> Signal:
    comment_id = body.text("/comment/id", limit=100)
    url = _browse(body, body.text("/issue/key"), "/comment/self", "/issue/self")
    writers = ["/comment/updateAuthor", "/comment/author"]
    if signal_type is SignalType.ISSUE_COMMENTED:
        writers.reverse()
    return _signal(
        signal_type,
        body,
        actor=_person(body, "/user", *writers),
        keys={**_issue_keys(body), "comment_id": comment_id},
        fields={
            "title": body.text("/issue/fields/summary"),
            "body": plain_text(body.at("/comment/body")),
            "url": f"{url}?focusedCommentId={comment_id}" if url and (comment_id or "").isdigit() else url,
            "author": _person(body, "/comment/author"),
            "comment_id": comment_id,
        },
        # A comment of a service desk may be for colleagues only.
        attributes={"public": body.boolean("/comment/jsdPublic"), "visible_to": body.text("/comment/visibility/value")},
    )


def _attachment(signal_type: SignalType, body: Document) -> Signal:
    link = body.text("/attachment/content")
    return _signal(
        signal_type,
        body,
        actor=_person(body, "/user", "/attachment/author"),
        keys={**_issue_keys(body), "attachment_id": body.text("/attachment/id", limit=100)},
        fields={
            "file_name": body.text("/attachment/filename"),
            "url": link if _site(body, "/attachment/content") else None,
            "author": _person(body, "/attachment/author"),
        },
        attributes={"mime_type": body.text("/attachment/mimeType"), "size_bytes": body.integer("/attachment/size")},
    )


def _worklog(signal_type: SignalType, body: Document) -> Signal:
    return _signal(
        signal_type,
        body,
        actor=_person(body, "/user", "/worklog/updateAuthor", "/worklog/author"),
        keys={**_issue_keys(body), "worklog_id": body.text("/worklog/id", limit=100)},
        fields={
            "duration_seconds": body.integer("/worklog/timeSpentSeconds"),
            "author": _person(body, "/worklog/author"),
            "body": plain_text(body.at("/worklog/comment")),
        },
        attributes={"started": body.text("/worklog/started")},
    )


def _issue_link(signal_type: SignalType, body: Document) -> Signal:
    target = body.text("/issueLink/destinationIssueId", limit=60)
    return _signal(
        signal_type,
        body,
        actor=_person(body, "/user"),
        keys={
            "link_id": body.text("/issueLink/id", limit=100),
            "issue_id": body.text("/issueLink/sourceIssueId", limit=60),
            "linked_issue_id": target,
        },
        fields={"link_type": body.text("/issueLink/issueLinkType/name"), "linked_to": target},
    )


def _sprint(signal_type: SignalType, body: Document) -> Signal:
    sprint_id, board_id = body.text("/sprint/id", limit=60), body.text("/sprint/originBoardId", limit=60)
    name, before = body.text("/sprint/name"), body.text("/oldValue/name")
    start, end = body.time("/sprint/startDate"), body.time("/sprint/completeDate", "/sprint/endDate")
    return _signal(
        signal_type,
        body,
        actor=_person(body, "/user"),
        keys={"sprint_id": sprint_id, "board_id": board_id},
        fields={
            "sprint_id": sprint_id,
            "sprint": name,
            "previous_sprint": before if before != name else None,
            "board_id": board_id,
            "state": _lower(body, "/sprint/state"),
            "goal": body.text("/sprint/goal"),
            "starts_at": start.isoformat() if start else None,
            "ends_at": end.isoformat() if end else None,
        },
    )


def _version(signal_type: SignalType, body: Document) -> Signal:
    return _signal(
        signal_type,
        body,
        actor=_person(body, "/user"),
        keys={
            "version_id": body.text("/version/id", limit=60),
            "project_id": body.text("/version/projectId", limit=60),
        },
        fields={
            "name": body.text("/version/name"),
            "description": body.text("/version/description"),
            "released": body.boolean("/version/released"),
            "merged_into": body.text("/mergedTo/id", "/mergedTo"),
        },
        attributes={
            "release_date": body.text("/version/releaseDate"),
            "archived": body.boolean("/version/archived"),
        },
    )


def _project(signal_type: SignalType, body: Document) -> Signal:
    key = body.text("/project/key", limit=100)
    return _signal(
        signal_type,
        body,
        actor=_person(body, "/user"),
        keys={"project_key": key, "project_id": body.text("/project/id", limit=60)},
        fields={"name": body.text("/project/name"), "url": _browse(body, key, "/project/self")},
    )


def _board(signal_type: SignalType, body: Document) -> Signal:
    # A change of configuration names the board under another member.
    board_id = body.text("/board/id", "/configuration/id", limit=60)
    return _signal(
        signal_type,
        body,
        actor=_person(body, "/user"),
        keys={"board_id": board_id},
        fields={"name": body.text("/board/name", "/configuration/name"), "board_id": board_id},
        attributes={"board_type": body.text("/board/type", "/configuration/type")},
    )


Shape = Callable[[SignalType, Document], Signal]

# Everything that is not here has an issue in the middle.
_SHAPE_OF_SIGNAL: Final[Mapping[SignalType, Shape]] = {
    SignalType.ISSUE_COMMENTED: _comment,
    SignalType.ISSUE_COMMENT_UPDATED: _comment,
    SignalType.ISSUE_COMMENT_DELETED: _comment,
    SignalType.ISSUE_ATTACHMENT_ADDED: _attachment,
    SignalType.ISSUE_ATTACHMENT_REMOVED: _attachment,
    SignalType.ISSUE_WORKLOG_ADDED: _worklog,
    SignalType.ISSUE_WORKLOG_UPDATED: _worklog,
    SignalType.ISSUE_WORKLOG_DELETED: _worklog,
    SignalType.SPRINT_CREATED: _sprint,
    SignalType.SPRINT_UPDATED: _sprint,
    SignalType.SPRINT_STARTED: _sprint,
    SignalType.SPRINT_CLOSED: _sprint,
    SignalType.SPRINT_DELETED: _sprint,
    SignalType.VERSION_CREATED: _version,
    SignalType.VERSION_UPDATED: _version,
    SignalType.VERSION_RELEASED: _version,
    SignalType.VERSION_UNRELEASED: _version,
    SignalType.VERSION_DELETED: _version,
    SignalType.PROJECT_CREATED: _project,
    SignalType.PROJECT_UPDATED: _project,
    SignalType.PROJECT_DELETED: _project,
    SignalType.PROJECT_ARCHIVED: _project,
    SignalType.PROJECT_RESTORED: _project,
    SignalType.BOARD_CREATED: _board,
    SignalType.BOARD_UPDATED: _board,
    SignalType.BOARD_DELETED: _board,
}
