"""An entry of an issue's history as the update a webhook would have told.

Entries can be folded into one another for a while, so their time is that of their last change. Whether it is the time
of the issue's version, to the millisecond, is not documented.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from providers.canonical import JSON
from providers.document import Document

# How far the times may be apart that are written down of one change.
_SPREAD = timedelta(seconds=1)
# What is named ``fromX`` and ``toX`` in an entry, and the key of an issue it changes.
_PAIRS = {
    **{f"{name}Id": f"{name.lower()}Id" for name in ("State", "Assignee", "Cycle", "Team", "Project", "Parent")},
    "Priority": "priority",
    "Title": "title",
    "Estimate": "estimate",
    "DueDate": "dueDate",
}


def at_once(moment: datetime, others: Iterable[datetime | None]) -> bool:
    """Whether one of the times is that of the same change."""
    return any(other is not None and abs(moment - other) <= _SPREAD for other in others)


def time_of(entry: Document) -> datetime | None:
    return entry.time("/updatedAt", "/createdAt")


def entry_at(moment: datetime, entries: Sequence[Document]) -> Document | None:
    """The entry that tells what made the version of that time: the newest, if it is of that time."""
    newest = max(entries, key=lambda entry: time_of(entry) or moment, default=None)
    return newest if newest and at_once(moment, [time_of(newest)]) else None


def as_update(entry: Document, issue: JSON) -> tuple[JSON, JSON]:
    """The issue as the entry left it, and the previous values of what it changed.

    What the entry does not tell is as it is now. That an issue went away is left out: the issue itself keeps the time.
    """
    changed = [name for name in _PAIRS if any(entry.at(f"/{side}{name}") is not None for side in ("from", "to"))]
    now = {_PAIRS[name]: entry.at(f"/to{name}") for name in changed}
    then = {_PAIRS[name]: entry.at(f"/from{name}") for name in changed}
    if isinstance(entry.at("/toState"), dict):
        now["state"] = entry.at("/toState")
    if entry.boolean("/updatedDescription"):
        then["description"] = None
    added, removed = entry.texts("/addedLabelIds"), entry.texts("/removedLabelIds")
    if added or removed:
        kept = [label for label in Document(issue).texts("/labelIds") if label not in (*added, *removed)]
        now["labelIds"], then["labelIds"] = [*kept, *added], [*kept, *removed]
    for key, flag in (("archivedAt", "archived"), ("trashed", "trashed")):
        if entry.boolean(f"/{flag}") is False:
            now[key], then[key] = None, True
    return {**issue, **now}, then
