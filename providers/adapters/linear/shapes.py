"""The shapes of webhook bodies: one small function each, saying what it knows.

``data`` is a partial object; which nested objects it holds differs from type to type. Pointers are those of
https://linear.app/developers/webhooks and of the payload classes of the official SDK.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from providers.adapters.linear import changes
from providers.canonical import JSON, SignalType
from providers.document import Document

ID_LENGTH = 100
_KEY = re.compile(r"[A-Za-z0-9_]{1,20}-[0-9]{1,10}", re.ASCII)
_KEY_IN_ADDRESS = re.compile(r"https://[^/\s]+/[^?#\s]*?issue/([A-Za-z0-9_]{1,20}-[0-9]{1,10})(?:[/?#]|$)", re.ASCII)
_CATEGORIES: Mapping[str, str] = {
    **dict.fromkeys(("triage", "backlog", "unstarted"), "new"),
    "started": "in_progress",
    **dict.fromkeys(("completed", "canceled", "duplicate"), "done"),
}
_HEALTH: Mapping[str, str] = {"onTrack": "on_track", "atRisk": "at_risk", "offTrack": "off_track"}


@dataclass(slots=True)
class Parts:
    """What a shape knows; the signal keeps what its type may carry."""

    keys: JSON = field(default_factory=dict)
    fields: JSON = field(default_factory=dict)
    attributes: JSON = field(default_factory=dict)
    actor: str | None = None


Shape = Callable[[Document, SignalType], Parts]


def page(document: Document, *pointers: str) -> str | None:
    """The first address a person could open."""
    found = (document.text(pointer) for pointer in pointers)
    return next((url for url in found if url and url.startswith("https://")), None)


def issue_key(document: Document, root: str) -> str | None:
    """``ENG-7``: as given, put together for older bodies, or as the address of the body has it."""
    given, team = document.text(f"{root}/identifier", limit=ID_LENGTH), document.text(f"{root}/team/key", limit=20)
    number = document.integer(f"{root}/number")
    in_address = _KEY_IN_ADDRESS.match(document.text("/url") or "")
    candidates = (given, f"{team}-{number}" if team and number else None, in_address[1] if in_address else None)
    return next((key for key in candidates if key and _KEY.fullmatch(key)), None)


def _team(document: Document, root: str) -> JSON:
    # A comment's issue brings no team, but the issue's key begins with it.
    in_key = (issue_key(document, root) or "").rpartition("-")[0]
    return {
        "team_id": document.text(f"{root}/team/id", f"{root}/teamId", limit=ID_LENGTH),
        "project_key": document.text(f"{root}/team/key", limit=20) or in_key,
        "project_id": document.text(f"{root}/project/id", f"{root}/projectId", limit=ID_LENGTH),
    }


def _sprint_name(document: Document, root: str) -> str | None:
    number = document.integer(f"{root}/number")
    return document.text(f"{root}/name") or (f"Cycle {number}" if number is not None else None)


def _issue(root: str) -> Shape:
    def shape(document: Document, signal_type: SignalType) -> Parts:
        key, assignee = issue_key(document, root), document.text(f"{root}/assigneeId", f"{root}/assignee/id")
        priority, then = document.text(f"{root}/priorityLabel"), document.integer("/updatedFrom/priority")
        added, removed = changes.label_ids(document) if "labelIds" in changes.before(document) else ([], [])
        names = {one.text("/id"): one.text("/name") for one in document.items(f"{root}/labels")}
        due = document.time(f"{root}/slaBreachesAt")
        return Parts(
            keys={"issue_key": key, "issue_id": document.text(f"{root}/id", limit=ID_LENGTH), **_team(document, root)},
            fields={
                "title": document.text(f"{root}/title"),
                "body": document.text(f"{root}/description"),
                "state": (document.text(f"{root}/state/name") or "").lower(),
                "state_category": _CATEGORIES.get(document.text(f"{root}/state/type") or ""),
                "url": page(document, "/url", f"{root}/url"),
                "author": document.text(f"{root}/creatorId", limit=ID_LENGTH),
                "assignees": [assignee] if assignee else None,
                "assignee": assignee if signal_type is SignalType.ISSUE_ASSIGNED else None,
                "previous_assignee": document.text("/updatedFrom/assigneeId", limit=ID_LENGTH),
                "label": names.get(added[0]) if added else None,
                "labels": document.texts(f"{root}/labels", "/name"),
                "priority": priority,
                "previous_priority": changes.PRIORITIES[then] if then is not None and 0 <= then < 5 else None,
                "milestone": document.text(f"{root}/projectMilestone/name"),
                "parent": document.text(f"{root}/parent/identifier", limit=ID_LENGTH),
                "sprint": _sprint_name(document, f"{root}/cycle"),
                "transferred_to": key,
                "changed_fields": changes.others(document),
                "due_at": due.isoformat() if due else None,
            },
            attributes={
                "state_type": document.text(f"{root}/state/type", limit=ID_LENGTH),
                "parent_id": document.text(f"{root}/parentId", limit=ID_LENGTH),
                "state_id": document.text(f"{root}/stateId", limit=ID_LENGTH),
                "previous_state_id": document.text("/updatedFrom/stateId", limit=ID_LENGTH),
                "previous_cycle_id": document.text("/updatedFrom/cycleId", limit=ID_LENGTH),
                "previous_team_id": document.text("/updatedFrom/teamId", limit=ID_LENGTH),
                "label_ids_added": added,
                "label_ids_removed": removed,
            },
            actor=document.text(f"{root}/creatorId", limit=ID_LENGTH)
            if signal_type is SignalType.ISSUE_CREATED
            else None,
        )

    return shape


issue, sla = _issue("/data"), _issue("/issueData")


def comment(document: Document, _: SignalType) -> Parts:
    author = document.text("/data/userId", "/data/user/id", "/data/botActor/id", limit=ID_LENGTH)
    comment_id = document.text("/data/id", limit=ID_LENGTH)
    page_id = document.text("/data/documentContentId", "/data/documentContent/id", limit=ID_LENGTH)
    return Parts(
        keys={
            "issue_key": issue_key(document, "/data/issue"),
            "issue_id": document.text("/data/issueId", "/data/issue/id", limit=ID_LENGTH),
            **_team(document, "/data/issue"),
            "project_id": document.text("/data/projectId", "/data/projectUpdate/project/id", limit=ID_LENGTH),
            "project_update_id": document.text("/data/projectUpdateId", limit=ID_LENGTH),
            "page_id": page_id,
            "comment_id": comment_id,
        },
        fields={
            "title": document.text("/data/issue/title"),
            "body": document.text("/data/body"),
            "url": page(document, "/url", "/data/url"),
            "author": author,
            "comment_id": comment_id,
            "page_id": page_id,
        },
        attributes={
            "parent_id": document.text("/data/parentId", limit=ID_LENGTH),
            "bot": document.text("/data/botActor/name", "/data/botActor/type", limit=ID_LENGTH),
        },
        actor=author,
    )


def attachment(document: Document, signal_type: SignalType) -> Parts:
    author = document.text("/data/creatorId", limit=ID_LENGTH)
    of_the_file = {"file_name": document.text("/data/title"), "url": page(document, "/data/url"), "author": author}
    changed = signal_type is SignalType.ISSUE_UPDATED
    return Parts(
        keys={
            "issue_id": document.text("/data/issueId", limit=ID_LENGTH),
            "attachment_id": document.text("/data/id", limit=ID_LENGTH),
        },
        # A changed attachment is told of its issue, of which the body says no more than the id.
        fields={"changed_fields": ["attachments"]} if changed else of_the_file,
        attributes={"source": document.text("/data/sourceType", "/data/source/type", limit=ID_LENGTH)},
        actor=None if changed else author,
    )


def label(document: Document, _: SignalType) -> Parts:
    return Parts(
        keys={
            "label_id": document.text("/data/id", limit=ID_LENGTH),
            "team_id": document.text("/data/teamId", limit=ID_LENGTH),
        },
        fields={
            "name": document.text("/data/name"),
            "previous_name": document.text("/updatedFrom/name"),
            "url": page(document, "/url"),
        },
    )


def reaction(document: Document, _: SignalType) -> Parts:
    comment_id = document.text("/data/commentId", "/data/comment/id", limit=ID_LENGTH)
    return Parts(
        keys={
            "issue_id": document.text("/data/issueId", "/data/issue/id", "/data/comment/issueId", limit=ID_LENGTH),
            "comment_id": comment_id,
            "reaction_id": document.text("/data/id", limit=ID_LENGTH),
        },
        fields={
            "reaction": document.text("/data/emoji", limit=ID_LENGTH),
            "url": page(document, "/url"),
            "comment_id": comment_id,
        },
        actor=document.text("/data/userId", "/data/user/id", limit=ID_LENGTH),
    )


def project(document: Document, signal_type: SignalType) -> Parts:
    created = signal_type is SignalType.PROJECT_CREATED
    return Parts(
        keys={"project_id": document.text("/data/id", limit=ID_LENGTH)},
        fields={"name": document.text("/data/name"), "url": page(document, "/url", "/data/url")},
        attributes={
            "status": document.text("/data/status/name", "/data/state", limit=ID_LENGTH),
            "previous_status_id": document.text("/updatedFrom/statusId", limit=ID_LENGTH),
            "lead": document.text("/data/leadId", limit=ID_LENGTH),
            "target_date": document.text("/data/targetDate", limit=ID_LENGTH),
            "changed_fields": changes.others(document),
        },
        actor=document.text("/data/creatorId", limit=ID_LENGTH) if created else None,
    )


def project_update(document: Document, signal_type: SignalType) -> Parts:
    author = document.text("/data/userId", "/data/user/id", limit=ID_LENGTH)
    return Parts(
        keys={
            "project_id": document.text("/data/project/id", "/data/projectId", limit=ID_LENGTH),
            "project_update_id": document.text("/data/id", limit=ID_LENGTH),
        },
        fields={
            "name": document.text("/data/project/name"),
            "body": document.text("/data/body"),
            "url": page(document, "/url", "/data/url"),
            "health": _HEALTH.get(document.text("/data/health") or ""),
            "author": author,
        },
        actor=author if signal_type is SignalType.PROJECT_STATUS_POSTED else None,
    )


def cycle(document: Document, _: SignalType) -> Parts:
    sprint_id, name = document.text("/data/id", limit=ID_LENGTH), document.text("/updatedFrom/name")
    start, end = document.time("/data/startsAt"), document.time("/data/completedAt", "/data/endsAt")
    return Parts(
        keys={"sprint_id": sprint_id, "team_id": document.text("/data/teamId", "/data/team/id", limit=ID_LENGTH)},
        fields={
            "sprint_id": sprint_id,
            "sprint": _sprint_name(document, "/data"),
            "previous_sprint": name,
            "goal": document.text("/data/description"),
            "starts_at": start.isoformat() if start else None,
            "ends_at": end.isoformat() if end else None,
        },
        attributes={"number": document.integer("/data/number"), "changed_fields": changes.others(document)},
    )


def document_page(document: Document, signal_type: SignalType) -> Parts:
    page_id, author = document.text("/data/id", limit=ID_LENGTH), document.text("/data/creatorId", limit=ID_LENGTH)
    return Parts(
        keys={"page_id": page_id, "project_id": document.text("/data/projectId", limit=ID_LENGTH)},
        fields={
            "title": document.text("/data/title"),
            "body": document.text("/data/content"),
            "url": page(document, "/url", "/data/url"),
            "author": author,
            "page_id": page_id,
            "changed_fields": changes.others(document),
        },
        attributes={"slug_id": document.text("/data/slugId", limit=ID_LENGTH)},
        actor=author if signal_type is SignalType.PAGE_CREATED else None,
    )
