"""What one ``jira:issue_updated`` means, read from its changelog.

``issue_event_type_name`` is not a closed set and only a hint; the changelog items decide ("Webhooks",
section "Issue changelog"). One update with several meanings tells one signal for each.

Closing: the changelog has status names but not the old status *category*, so an issue counts as closed when
``resolution`` goes from empty to something and as reopened when it becomes empty. Such a signal stands beside
``issue_transitioned`` of the same update: moving in the workflow and being closed are two things.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from providers.canonical import JSON, SignalType
from providers.document import Document, compact

_COMMENT_HINTS: Final = frozenset({"issue_commented", "issue_comment_edited", "issue_comment_deleted"})
_TEMPORARY: Final = "tmp"  # Jira's own prefix of two members that hold account ids
_MAX_CHANGES: Final = 20
_MAX_CHANGE_TEXT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What the changelog adds to a signal beyond the state of the issue."""

    fields: JSON = field(default_factory=dict)
    keys: JSON = field(default_factory=dict)
    attributes: JSON = field(default_factory=dict)


def meanings(body: Document) -> list[SignalType]:
    """The distinct signals of one update; empty where a comment's own event tells it all."""
    items = body.items("/changelog/items")
    if items:
        return list(dict.fromkeys(meaning for item in items if (meaning := meaning_of(item))))
    hint = body.text("/issue_event_type_name")
    if hint in _COMMENT_HINTS:
        return []
    if not hint and isinstance(body.at("/comment"), dict):
        # Old Jira Server tells of a comment like this, with neither hint nor changelog.
        return [SignalType.ISSUE_COMMENT_UPDATED if comment_was_edited(body) else SignalType.ISSUE_COMMENTED]
    return [SignalType.ISSUE_UPDATED]


def meaning_of(item: Document) -> SignalType | None:
    """What one item tells; ``None`` for a comment, which has an event of its own."""
    name = (item.text("/field", "/fieldId") or "").lower()
    if name == "comment":
        return None
    judge = _MEANING_OF_FIELD.get(name)
    return judge(item) if judge else SignalType.ISSUE_UPDATED


def detail(signal_type: SignalType, body: Document) -> Detail:
    """What the items with this meaning tell in particular."""
    read = _DETAIL_OF_MEANING.get(signal_type)
    items = [item for item in body.items("/changelog/items") if meaning_of(item) is signal_type]
    return read(_Items(body, items)) if read and items else Detail()


def comment_was_edited(body: Document) -> bool:
    """Whether the comment in the body is older than its last change."""
    created, updated = body.time("/comment/created"), body.time("/comment/updated")
    return bool(created and updated and updated > created)


# --- meaning of a field -------------------------------------------------------------------------------


def _has(item: Document, side: str) -> bool:
    return bool(item.text(f"/{side}", f"/{side}String"))


def _assignee(item: Document) -> SignalType:
    return SignalType.ISSUE_ASSIGNED if _has(item, "to") else SignalType.ISSUE_UNASSIGNED


def _labels(item: Document) -> SignalType:
    only_lost = set(_words(item, "/toString")) < set(_words(item, "/fromString"))
    return SignalType.ISSUE_UNLABELED if only_lost else SignalType.ISSUE_LABELED


def _link(item: Document) -> SignalType:
    return SignalType.ISSUE_LINKED if _has(item, "to") else SignalType.ISSUE_UNLINKED


def _resolution(item: Document) -> SignalType:
    if _has(item, "from") == _has(item, "to"):
        return SignalType.ISSUE_UPDATED
    return SignalType.ISSUE_CLOSED if _has(item, "to") else SignalType.ISSUE_REOPENED


# Lower-case field name to its meaning; a field that is not here is an ordinary change.
_MEANING_OF_FIELD: Final[Mapping[str, Callable[[Document], SignalType]]] = {
    "status": lambda _: SignalType.ISSUE_TRANSITIONED,
    "resolution": _resolution,
    "assignee": _assignee,
    "labels": _labels,
    "sprint": lambda _: SignalType.ISSUE_SPRINT_CHANGED,
    "priority": lambda _: SignalType.ISSUE_PRIORITY_CHANGED,
    "link": _link,
}


# --- detail of a meaning ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Items:
    """The items of one meaning, at least one, and the body around them."""

    body: Document
    all: Sequence[Document]

    @property
    def first(self) -> Document:
        return self.all[0]

    @property
    def last(self) -> Document:
        return self.all[-1]

    def changes(self) -> list[JSON]:
        return [_change(item) for item in self.all[:_MAX_CHANGES]]


def _transition(items: _Items) -> Detail:
    return Detail(
        fields={
            "state": (items.last.text("/toString") or "").lower(),
            "previous_state": (items.first.text("/fromString") or "").lower(),
        },
        attributes={"status_id": items.last.text("/to"), "previous_status_id": items.first.text("/from")},
    )


def _assignment(items: _Items) -> Detail:
    # ``to`` holds the old user key in some bodies; the issue itself then has the account id.
    current = items.body.name("/issue/fields/assignee/accountId") if _has(items.last, "to") else None
    return Detail(
        fields={
            "assignee": items.last.name(f"/{_TEMPORARY}ToAccountId") or current or items.last.name("/to", "/toString"),
            "previous_assignee": items.first.name(f"/{_TEMPORARY}FromAccountId", "/from", "/fromString"),
        }
    )


def _labelling(items: _Items) -> Detail:
    before, after = _words(items.first, "/fromString"), _words(items.last, "/toString")
    added = [label for label in after if label not in before]
    removed = [label for label in before if label not in after]
    return Detail(
        fields={"label": next(iter(added or removed), None), "labels": after, "previous_labels": before},
        attributes={"labels_added": added, "labels_removed": removed},
    )


def _sprint(items: _Items) -> Detail:
    after, before = _ids(items.last, "/to"), _ids(items.first, "/from")
    return Detail(
        fields={"sprint": items.last.text("/toString"), "previous_sprint": items.first.text("/fromString")},
        # The field lists finished sprints too; the last one is where the issue is now.
        keys={"sprint_id": after[-1] if after else None},
        attributes={"sprint_ids": after, "previous_sprint_ids": before},
    )


def _prioritising(items: _Items) -> Detail:
    return Detail(
        fields={
            "priority": items.last.text("/toString"),
            "previous_priority": items.first.text("/fromString"),
        }
    )


def _linking(items: _Items) -> Detail:
    other = items.first.text("/to", "/from")
    kinds = [
        link.text("/type/name")
        for link in items.body.items("/issue/fields/issuelinks")
        if other and other in (link.text("/outwardIssue/key"), link.text("/inwardIssue/key"))
    ]
    return Detail(
        fields={"linked_to": other, "link_type": kinds[0] if kinds else None},
        attributes={"changes": items.changes()},
    )


def _resolving(items: _Items) -> Detail:
    return Detail(fields={"state_reason": items.last.text("/toString")})


def _other(items: _Items) -> Detail:
    names = (item.text("/field", "/fieldId", limit=_MAX_CHANGE_TEXT) for item in items.all)
    return Detail(
        fields={"changed_fields": list(dict.fromkeys(name for name in names if name))},
        attributes={"changes": items.changes()},
    )


def _change(item: Document) -> JSON:
    return compact(
        {
            "field": item.text("/field", "/fieldId", limit=_MAX_CHANGE_TEXT),
            "from": item.text("/fromString", "/from", limit=_MAX_CHANGE_TEXT),
            "to": item.text("/toString", "/to", limit=_MAX_CHANGE_TEXT),
        }
    )


def _words(item: Document, pointer: str) -> list[str]:
    return (item.text(pointer) or "").split()


def _ids(item: Document, pointer: str) -> list[str]:
    return [part for part in re.split(r"[,\s]+", item.text(pointer) or "") if part]


_DETAIL_OF_MEANING: Final[Mapping[SignalType, Callable[[_Items], Detail]]] = {
    SignalType.ISSUE_TRANSITIONED: _transition,
    SignalType.ISSUE_ASSIGNED: _assignment,
    SignalType.ISSUE_UNASSIGNED: _assignment,
    SignalType.ISSUE_LABELED: _labelling,
    SignalType.ISSUE_UNLABELED: _labelling,
    SignalType.ISSUE_SPRINT_CHANGED: _sprint,
    SignalType.ISSUE_PRIORITY_CHANGED: _prioritising,
    SignalType.ISSUE_LINKED: _linking,
    SignalType.ISSUE_UNLINKED: _linking,
    SignalType.ISSUE_CLOSED: _resolving,
    SignalType.ISSUE_UPDATED: _other,
}
