"""What one ``update`` of a merge request or issue means, read from its ``changes``.

``changes`` holds, for each field that changed, ``previous`` and ``current``. One update may hold several, and
each becomes a signal of its own. An update without any is told too (a thread was resolved); it means nothing here.

Source: https://docs.gitlab.com/user/project/integrations/webhook_events/#merge-request-events
"""

from __future__ import annotations

from dataclasses import dataclass

from providers.canonical import SignalType
from providers.document import Document

# Fields that change by themselves or go with another one; alone they are no news.
_BYSTANDERS = frozenset(
    {
        *("updated_at", "updated_by_id", "last_edited_at", "last_edited_by_id", "id", "iid", "author_id", "created_at"),
        *("merge_status", "detailed_merge_status", "head_pipeline_id", "prepared_at", "relative_position"),
        *("total_time_spent", "time_change", "state_id", "closed_at", "work_in_progress"),
        *("draft", "labels", "assignees", "reviewers"),
    }
)


@dataclass(frozen=True, slots=True)
class Difference:
    """What a list gained and lost, as names, in the order given."""

    gained: list[str]
    lost: list[str]


def difference(document: Document, field: str, member: str) -> Difference:
    """The difference of one list of ``changes``; ``member`` is the name of its objects (``/title``)."""
    before = document.texts(f"/changes/{field}/previous", member)
    after = document.texts(f"/changes/{field}/current", member)
    return Difference([name for name in after if name not in before], [name for name in before if name not in after])


def labels(document: Document) -> Difference:
    return difference(document, "labels", "/title")


def assignees(document: Document) -> Difference:
    return difference(document, "assignees", "/username")


def reviewers(document: Document) -> Difference:
    """People asked for review and no longer asked. Asking the same person again counts as asking."""
    found = difference(document, "reviewers", "/username")
    asked_again = [
        name
        for entry in document.items("/changes/reviewers/current")
        if (name := entry.text("/username")) and name not in found.gained and entry.boolean("/re_requested")
    ]
    return Difference(found.gained + asked_again, found.lost)


def reviewed(document: Document, state: str) -> list[str]:
    """Reviewers whose ``state`` became this one."""
    before = {entry.text("/username"): entry.text("/state") for entry in document.items("/changes/reviewers/previous")}
    return [
        name
        for entry in document.items("/changes/reviewers/current")
        if (name := entry.text("/username")) in before and name and entry.text("/state") == state != before[name]
    ]


def changed_fields(document: Document) -> list[str]:
    """Names of the fields that changed and are told by no signal of their own, sorted."""
    changes = document.at("/changes")
    names = set(changes) if isinstance(changes, dict) else set()
    if draft_became(document) is not None:
        # Being a draft is written into the title.
        names.discard("title")
    return sorted(names - _BYSTANDERS)


def draft_became(document: Document) -> bool | None:
    """Whether the merge request became a draft, or ready; ``None`` where neither."""
    for field in ("draft", "work_in_progress"):
        before, after = (document.boolean(f"/changes/{field}/{side}") for side in ("previous", "current"))
        if after is not None and before is not None and before != after:
            return after
    return None


def merge_request_meanings(document: Document) -> list[SignalType]:
    """The distinct signals of one update, possibly none."""
    label, assignee, reviewer, draft = (
        labels(document),
        assignees(document),
        reviewers(document),
        draft_became(document),
    )
    told = {
        # Only new commits bring the commit before them.
        SignalType.PR_SYNCHRONIZED: document.text("/object_attributes/oldrev"),
        SignalType.PR_READY_FOR_REVIEW: draft is False,
        SignalType.PR_CONVERTED_TO_DRAFT: draft is True,
        SignalType.PR_REVIEW_REQUESTED: reviewer.gained,
        SignalType.PR_REVIEW_REQUEST_REMOVED: reviewer.lost,
        SignalType.PR_CHANGES_REQUESTED: reviewed(document, "requested_changes"),
        SignalType.PR_REVIEW_SUBMITTED: reviewed(document, "reviewed"),
        SignalType.PR_LABELED: label.gained,
        # One label for another is one change, which names both.
        SignalType.PR_UNLABELED: label.lost and not label.gained,
        SignalType.PR_ASSIGNED: assignee.gained,
        SignalType.PR_UNASSIGNED: assignee.lost,
        SignalType.PR_UPDATED: changed_fields(document),
    }
    return [signal_type for signal_type, holds in told.items() if holds]


def issue_meanings(document: Document) -> list[SignalType]:
    """The distinct signals of one update, possibly none."""
    label, assignee = labels(document), assignees(document)
    told = {
        SignalType.ISSUE_LABELED: label.gained,
        SignalType.ISSUE_UNLABELED: label.lost and not label.gained,
        SignalType.ISSUE_ASSIGNED: assignee.gained,
        SignalType.ISSUE_UNASSIGNED: assignee.lost,
        SignalType.ISSUE_UPDATED: changed_fields(document),
    }
    return [signal_type for signal_type, holds in told.items() if holds]
