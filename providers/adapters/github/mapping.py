"""From GitHub's payloads to signals: how a stored payload is read, and when it happened.

Pointers are those of https://docs.github.com/en/webhooks/webhook-events-and-payloads. A part that is
missing or of another type is ``None``: a thin payload gives a thin signal.
"""

from __future__ import annotations

from datetime import datetime

from providers.adapters.github.mapping_shapes import ID_LENGTH, SHAPES, Parts
from providers.canonical import JSON, Resource, Signal, SignalType
from providers.document import Document, compact

MAX_REPOSITORY = 140  # an owner has at most 39 characters, a name 100


def signal(signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
    """One stored payload as a signal."""
    document = Document(payload)
    shape = SHAPES.get(event_type.partition(".")[0])
    parts = shape(document) if shape else Parts()
    return Signal(
        signal_type=signal_type,
        occurred_at=occurred_at(event_type, document),
        actor_id=parts.actor or document.text("/sender/login", limit=ID_LENGTH),
        resource=Resource(**{"repository": document.text("/repository/full_name"), **parts.resource}),
        canonical_keys=compact({"repository_id": document.integer("/repository/id"), **parts.keys}),
        fields={name: value for name, value in compact(parts.fields).items() if name in signal_type.fields},
        attributes=compact(
            {
                "sender_type": document.text("/sender/type"),
                "organization": document.text("/organization/login"),
                "installation_id": document.integer("/installation/id"),
            }
        ),
        severity=parts.severity,
    )


# When it happened, by GitHub's clock. No pointer: the payload holds no time of this happening.
_TIMES: dict[str, tuple[str, ...]] = {
    "push": ("/head_commit/timestamp",),
    "pull_request": ("/pull_request/updated_at", "/issue/updated_at"),
    "pull_request.opened": ("/pull_request/created_at", "/issue/created_at"),
    "pull_request.closed": (
        *("/pull_request/merged_at", "/pull_request/closed_at"),
        *("/issue/pull_request/merged_at", "/issue/closed_at"),
    ),
    "pull_request_review.submitted": ("/review/submitted_at",),
    "pull_request_review_comment": ("/comment/updated_at",),
    "pull_request_review_comment.created": ("/comment/created_at",),
    "pull_request_review_comment.deleted": ("/pull_request/updated_at",),
    "pull_request_review_thread": ("/updated_at",),
    "issues": ("/issue/updated_at",),
    "issues.opened": ("/issue/created_at",),
    "issues.closed": ("/issue/closed_at",),
    "issue_comment": ("/comment/updated_at",),
    "issue_comment.created": ("/comment/created_at",),
    "issue_comment.deleted": ("/issue/updated_at",),
    "commit_comment": ("/comment/created_at",),
    "workflow_run": ("/workflow_run/run_started_at", "/workflow_run/created_at"),
    "workflow_run.completed": ("/workflow_run/updated_at",),
    "workflow_job": ("/workflow_job/completed_at",),
    "check_run": ("/check_run/completed_at",),
    "status": ("/updated_at",),
    "deployment_status": ("/deployment_status/created_at",),
    "release": ("/release/published_at",),
    "repository": ("/repository/updated_at",),
    "dependabot_alert": ("/alert/updated_at", "/alert/created_at"),
    "dependabot_alert.created": ("/alert/created_at",),
    "dependabot_alert.fixed": ("/alert/fixed_at",),
    "dependabot_alert.dismissed": ("/alert/dismissed_at",),
    "dependabot_alert.auto_dismissed": ("/alert/auto_dismissed_at",),
    "code_scanning_alert": ("/alert/updated_at", "/alert/created_at"),
    "code_scanning_alert.created": ("/alert/created_at",),
    "code_scanning_alert.fixed": ("/alert/fixed_at", "/alert/updated_at"),
    "code_scanning_alert.closed_by_user": ("/alert/dismissed_at",),
    "secret_scanning_alert": ("/alert/updated_at", "/alert/created_at"),
    "secret_scanning_alert.created": ("/alert/created_at",),
    "secret_scanning_alert.resolved": ("/alert/resolved_at",),
}


def occurred_at(event_type: str, document: Document) -> datetime | None:
    """The provider's time of the happening, or ``None`` where the payload does not tell it."""
    event = event_type.partition(".")[0]
    if event == "push" and (document.boolean("/created") or document.boolean("/deleted")):
        # The head commit may be years older than the branch; this is the time of the push (an epoch here).
        return document.time("/repository/pushed_at")
    return document.time(*_TIMES.get(event_type, _TIMES.get(event, ())))


def happening(event_type: str, document: Document) -> str:
    """The name of a change of an issue or pull request, of a run's end or a release, alike for webhook and poll.

    Empty for the rest. Numbers are shared by the issues and pull requests of a repository; ids are not (a pull request
    has another id in the issue list), so the name is made of the number.
    """
    event = event_type.partition(".")[0]
    root = "/issue" if document.at("/pull_request") is None else "/pull_request"
    what, times = _CHANGES.get(event_type, _CHANGES.get(event, ("", ())))
    moment = document.time(*(f"{root}{pointer}" if pointer[1:] in _ITEM_TIMES else pointer for pointer in times))
    repository, number = document.text("/repository/full_name") or "", document.integer(f"{root}/number", "/number")
    if not 0 < len(repository) <= MAX_REPOSITORY:
        return ""
    if event_type in _ENDS:
        own = [document.text(pointer, limit=30) for pointer in _ENDS[event_type]]
        return f"{event}:{repository.lower()}:{':'.join(map(str, own))}" if all(own) else ""
    if not (what and moment and number):
        return ""
    return f"item:{repository.lower()}#{number}:{what}:{moment:%Y-%m-%dT%H:%M:%SZ}"


# What has an id of its own in both roads. A run that is started again is another attempt.
_ENDS = {
    "workflow_run.completed": ("/workflow_run/id", "/workflow_run/run_attempt"),
    "release.published": ("/release/id",),
}
_ITEM_EVENTS = ("issues", "pull_request", "pull_request_review", "pull_request_review_comment")
_ITEM_TIMES = ("created_at", "closed_at", "updated_at")
_CHANGED = ("changed", ("/updated_at",))
_CHANGES: dict[str, tuple[str, tuple[str, ...]]] = {
    **dict.fromkeys(_ITEM_EVENTS, _CHANGED),
    **dict.fromkeys(("issues.opened", "pull_request.opened"), ("created", ("/created_at",))),
    **dict.fromkeys(("issues.closed", "pull_request.closed"), ("closed", ("/closed_at",))),
    # A comment moves updated_at of its issue to its own time. The list of comments knows only the latter.
    "pull_request_review_comment": ("changed", ("/updated_at", "/comment/updated_at")),
    "issue_comment": ("changed", ("/comment/updated_at",)),
    "issue_comment.created": ("changed", ("/comment/created_at",)),
    "issue_comment.deleted": _CHANGED,
    # Polling never sees these: the item is gone from the list.
    **dict.fromkeys(("issues.deleted", "issues.transferred"), ("", ())),
}
