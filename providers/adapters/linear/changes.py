"""What one update of an issue means, read from the keys of ``updatedFrom``.

Only the keys count: ``null`` is a value there, so "was empty" and "did not change" differ. Several changes made in
quick succession can come as one update, which then tells one signal for each meaning.
Source: https://linear.app/developers/webhooks
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from providers.canonical import SignalType
from providers.document import Document

_CLOSINGS = ("completedAt", "canceledAt")
# Keys that move along with one that is told itself, and those that say only that something moved.
_FOLLOWING = frozenset(
    (
        *("updatedAt", "startedAt", "startedTriageAt", "triagedAt", "completedAt", "canceledAt"),
        *("autoClosedAt", "autoArchivedAt", "addedToCycleAt", "addedToProjectAt", "addedToTeamAt"),
        *("descriptionData", "number", "identifier", "previousIdentifiers", "botActor"),
    )
)


def before(document: Document) -> Mapping[str, object]:
    """The previous values of the changed keys."""
    found = document.at("/updatedFrom")
    return found if isinstance(found, dict) else {}


def meanings(document: Document) -> list[SignalType]:
    """The signals of one update of an issue; never none."""
    changed = before(document)
    found = [judge(document) for key, judge in _MEANING_OF_KEY.items() if key in changed]
    if "archivedAt" in changed and "trashed" not in changed:
        archived = document.at("/data/archivedAt") is not None
        found.append(SignalType.ISSUE_ARCHIVED if archived else SignalType.ISSUE_RESTORED)
    closing = _closing(document)
    if closing:
        found.append(closing)
    if others(document) or not found:
        found.append(SignalType.ISSUE_UPDATED)
    return found


def others(document: Document) -> list[str]:
    """Changed keys that have no signal of their own."""
    told = {*_MEANING_OF_KEY, *_FOLLOWING, "archivedAt"}
    return [key[:200] for key in sorted(before(document)) if key and key not in told]


def label_ids(document: Document) -> tuple[list[str], list[str]]:
    """Ids of the labels that were added and removed."""
    then, now = document.texts("/updatedFrom/labelIds"), document.texts("/data/labelIds")
    return [label for label in now if label not in then], [label for label in then if label not in now]


def _closing(document: Document) -> SignalType | None:
    changed = before(document)
    if not any(key in changed for key in _CLOSINGS):
        return None
    now = any(document.at(f"/data/{key}") is not None for key in _CLOSINGS)
    then = any((changed[key] if key in changed else document.at(f"/data/{key}")) is not None for key in _CLOSINGS)
    if now == then:
        return None
    return SignalType.ISSUE_CLOSED if now else SignalType.ISSUE_REOPENED


def _assigned(document: Document) -> SignalType:
    return SignalType.ISSUE_ASSIGNED if document.text("/data/assigneeId") else SignalType.ISSUE_UNASSIGNED


def _labelled(document: Document) -> SignalType:
    added, removed = label_ids(document)
    return SignalType.ISSUE_UNLABELED if removed and not added else SignalType.ISSUE_LABELED


def _trashed(document: Document) -> SignalType:
    return SignalType.ISSUE_DELETED if document.boolean("/data/trashed") else SignalType.ISSUE_RESTORED


def _always(signal_type: SignalType) -> Callable[[Document], SignalType]:
    return lambda _: signal_type


_MEANING_OF_KEY: Mapping[str, Callable[[Document], SignalType]] = {
    "stateId": _always(SignalType.ISSUE_TRANSITIONED),
    "assigneeId": _assigned,
    "labelIds": _labelled,
    "priority": _always(SignalType.ISSUE_PRIORITY_CHANGED),
    "cycleId": _always(SignalType.ISSUE_SPRINT_CHANGED),
    "teamId": _always(SignalType.ISSUE_TRANSFERRED),
    "trashed": _trashed,
}
# Shown with the label of the new one, but given as a number.
PRIORITIES: Sequence[str] = ("No priority", "Urgent", "High", "Medium", "Low")
