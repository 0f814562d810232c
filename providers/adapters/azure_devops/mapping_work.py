"""Work items: what a body says about one, and what an update of it means.

An update lists each changed field with its old and new value; one update with several meanings tells one
signal for each. Pointers are those of https://learn.microsoft.com/azure/devops/service-hooks/events
"""

from __future__ import annotations

from providers.adapters.azure_devops.mapping_code import surroundings
from providers.adapters.azure_devops.parts import Parts
from providers.adapters.azure_devops.places import ID_LENGTH, NAME_LENGTH, person, project_id, work_item_page
from providers.canonical import JSON, SignalType
from providers.document import Document

_STATE, _ASSIGNED, _TAGS = "System.State", "System.AssignedTo", "System.Tags"
_ITERATION, _PRIORITY, _HISTORY = "System.IterationPath", "Microsoft.VSTS.Common.Priority", "System.History"

# Default states of the Basic, Agile, Scrum and CMMI processes; the body names a state but not its category.
# https://learn.microsoft.com/azure/devops/boards/work-items/workflow-and-state-categories
_CATEGORIES = {
    **dict.fromkeys(("new", "to do", "proposed", "approved", "design"), "new"),
    **dict.fromkeys(("active", "doing", "committed", "open", "resolved", "in progress", "ready"), "in_progress"),
    **dict.fromkeys(("done", "closed", "completed"), "done"),
}

# Fields the service moves with every revision, or along with one that is told itself.
_FOLLOWING = {
    *(f"System.{name}" for name in ("Rev", "Watermark", "PersonId", "AuthorizedDate", "AuthorizedAs", "RevisedDate")),
    *(f"System.{name}" for name in ("ChangedDate", "ChangedBy", "CommentCount", "Reason", "BoardColumn")),
    *(f"System.{name}" for name in ("BoardColumnDone", "IterationId", "AreaId", "NodeName", "BoardLane")),
    *(f"Microsoft.VSTS.Common.{name}" for name in ("StateChangeDate", "ActivatedDate", "ActivatedBy")),
    *(f"Microsoft.VSTS.Common.{name}" for name in ("ResolvedDate", "ResolvedBy", "ClosedDate", "ClosedBy")),
}
_FOLLOWING_PREFIXES = ("WEF_", "System.IterationLevel", "System.AreaLevel")
_TOLD = {_STATE, _ASSIGNED, _TAGS, _ITERATION, _PRIORITY, _HISTORY}


def number(document: Document) -> int | None:
    """The work item's id, unique in its organisation. ``id`` of an update is that of the update."""
    if document.at("/resource/revision") is None and document.at("/resource/workItemId") is None:
        return document.integer("/resource/id")
    return document.integer("/resource/workItemId") or document.integer("/resource/revision/id")


def revision(document: Document) -> int | None:
    """The number of the version that is told of, counted from 1."""
    return document.integer("/resource/rev", "/resource/revision/rev")


def meanings(document: Document) -> list[SignalType]:
    """The signals of one ``workitem.updated``; never none."""
    changed = _changes(document)
    found: list[SignalType] = []
    if _STATE in changed:
        found.append(SignalType.ISSUE_TRANSITIONED)
        then, now = (_category(_side(document, _STATE, side)) for side in ("oldValue", "newValue"))
        if then and now and (then == "done") != (now == "done"):
            found.append(SignalType.ISSUE_CLOSED if now == "done" else SignalType.ISSUE_REOPENED)
    if _ASSIGNED in changed:
        given = person(document, _pointer(_ASSIGNED, "newValue"))
        found.append(SignalType.ISSUE_ASSIGNED if given else SignalType.ISSUE_UNASSIGNED)
    if _TAGS in changed:
        only_lost = set(_tags(document, "newValue")) < set(_tags(document, "oldValue"))
        found.append(SignalType.ISSUE_UNLABELED if only_lost else SignalType.ISSUE_LABELED)
    if _ITERATION in changed:
        found.append(SignalType.ISSUE_SPRINT_CHANGED)
    if _PRIORITY in changed:
        found.append(SignalType.ISSUE_PRIORITY_CHANGED)
    if _side(document, _HISTORY, "newValue"):
        found.append(SignalType.ISSUE_COMMENTED)
    if _others(document) or not found:
        found.append(SignalType.ISSUE_UPDATED)
    return found


def work_item(document: Document, signal_type: SignalType) -> Parts:
    item, key = number(document), _key(document)
    before, after = _tags(document, "oldValue"), _tags(document, "newValue")
    added, removed = [tag for tag in after if tag not in before], [tag for tag in before if tag not in after]
    team_project = _current(document, "System.TeamProject")
    assignee, creator = _person_now(document, _ASSIGNED), _person_now(document, "System.CreatedBy")
    comment_id = document.text("/resource/revision/commentVersionRef/commentId", limit=ID_LENGTH)
    commented = signal_type is SignalType.ISSUE_COMMENTED
    fields: JSON = {
        "title": _current(document, "System.Title"),
        "body": _side(document, _HISTORY, "newValue") if commented else _current(document, "System.Description"),
        "state": (_current(document, _STATE) or "").lower(),
        "state_category": _category(_current(document, _STATE)),
        "state_reason": _current(document, "System.Reason"),
        "url": work_item_page(document, team_project, item),
        "author": _changer(document) if commented else creator,
        "assignees": [assignee] if assignee else None,
        "labels": _split(_current(document, _TAGS)),
        "priority": _current(document, _PRIORITY),
        "issue_type": _current(document, "System.WorkItemType"),
        "parent": _current(document, "System.Parent"),
        "comment_id": comment_id if commented else None,
        "previous_state": (_side(document, _STATE, "oldValue") or "").lower(),
        "previous_priority": _side(document, _PRIORITY, "oldValue"),
        "assignee": person(document, _pointer(_ASSIGNED, "newValue")),
        "previous_assignee": person(document, _pointer(_ASSIGNED, "oldValue")),
        "label": next(iter(added or removed), None),
        "previous_labels": before,
        "sprint": _side(document, _ITERATION, "newValue"),
        "previous_sprint": _side(document, _ITERATION, "oldValue"),
        "changed_fields": _others(document),
    }
    return Parts(
        keys={
            "issue_key": key,
            "issue_id": key,
            "project_id": project_id(document),
            "project_key": team_project,
            "comment_id": fields["comment_id"],
        },
        fields=fields,
        attributes={
            "organization": surroundings(document)["organization"],
            "area": _current(document, "System.AreaPath"),
            "iteration": _current(document, _ITERATION),
            "labels_added": added,
            "labels_removed": removed,
        },
        actor=creator if signal_type is SignalType.ISSUE_CREATED else _changer(document),
    )


def _key(document: Document) -> str | None:
    item = number(document)
    return str(item) if item is not None else None


def _changer(document: Document) -> str | None:
    return person(document, "/resource/revisedBy") or _person_now(document, "System.ChangedBy")


def _changes(document: Document) -> JSON:
    """The changed fields of an update; a work item itself has plain values in the same place."""
    if document.at("/resource/revision") is None and document.at("/resource/workItemId") is None:
        return {}
    found = document.at("/resource/fields")
    return found if isinstance(found, dict) else {}


def _pointer(name: str, side: str) -> str:
    return f"/resource/fields/{name}/{side}"


def _side(document: Document, name: str, side: str) -> str | None:
    return document.text(_pointer(name, side))


def _current(document: Document, name: str) -> str | None:
    """The value after the happening."""
    if name in _changes(document):
        return _side(document, name, "newValue")
    return document.text(f"/resource/revision/fields/{name}", f"/resource/fields/{name}")


def _person_now(document: Document, name: str) -> str | None:
    if name in _changes(document):
        return person(document, _pointer(name, "newValue"))
    return person(document, f"/resource/revision/fields/{name}", f"/resource/fields/{name}")


def _category(state: str | None) -> str | None:
    return _CATEGORIES.get((state or "").lower())


def _split(tags: str | None) -> list[str]:
    return [tag for part in (tags or "").split(";") if (tag := part.strip()[:NAME_LENGTH])]


def _tags(document: Document, side: str) -> list[str]:
    return _split(_side(document, _TAGS, side)) if _TAGS in _changes(document) else []


def _others(document: Document) -> list[str]:
    """Changed fields that have no signal of their own."""
    return [
        name[:NAME_LENGTH]
        for name in sorted(_changes(document))
        if name and name not in _TOLD and name not in _FOLLOWING and not name.startswith(_FOLLOWING_PREFIXES)
    ]
