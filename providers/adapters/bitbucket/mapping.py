"""From Bitbucket's payloads to signals: one small function a shape.

Pointers are those of https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/. A part that is missing
or of another type is ``None``: a thin payload gives a thin signal. People are named by ``account_id``, since
nicknames are not unique; accounts without one (teams, app users) by ``uuid``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from providers.canonical import JSON, Resource, Signal, SignalType
from providers.document import Document, compact

_ID_LENGTH = 200
_CHANGE = "/push/changes/0"
_PR = "/pullrequest"
_COMMIT = re.compile(r"[0-9a-f]{7,64}", re.ASCII)


@dataclass(slots=True)
class _Parts:
    """What a shape knows; ``signal`` keeps what the signal type may carry."""

    resource: JSON = field(default_factory=dict)
    keys: JSON = field(default_factory=dict)
    fields: JSON = field(default_factory=dict)
    attributes: JSON = field(default_factory=dict)
    actor: str | None = None


def signal(signal_type: SignalType, event_key: str, payload: JSON) -> Signal:
    """One stored payload as a signal."""
    document = Document(payload)
    shape = _SHAPES.get(event_key)
    parts = shape(document) if shape else _Parts()
    return Signal(
        signal_type=signal_type,
        occurred_at=occurred_at(event_key, document),
        actor_id=parts.actor or person_at(document, "/actor"),
        resource=Resource(**{"repository": document.text("/repository/full_name"), **parts.resource}),
        canonical_keys=compact({"repository_id": document.text("/repository/uuid", limit=_ID_LENGTH), **parts.keys}),
        fields={name: value for name, value in compact(parts.fields).items() if name in signal_type.fields},
        attributes=compact(
            {
                "sender_type": document.text("/actor/type"),
                "workspace": document.text("/repository/workspace/slug"),
                **parts.attributes,
            }
        ),
    )


def person_at(document: Document, root: str) -> str | None:
    return document.text(f"{root}/account_id", f"{root}/uuid", limit=_ID_LENGTH)


def _push(document: Document) -> _Parts:
    name = document.text(f"{_CHANGE}/new/name", f"{_CHANGE}/old/name")
    branch = document.text(f"{_CHANGE}/new/type", f"{_CHANGE}/old/type") == "branch"
    truncated = document.boolean(f"{_CHANGE}/truncated")
    commits = document.at(f"{_CHANGE}/commits")
    # The list is cut after five commits; a number that may be too small is not told.
    count = len(commits) if isinstance(commits, list) and not truncated else None
    return _Parts(
        resource={"branch": name if branch else None, "commit": document.text(f"{_CHANGE}/new/target/hash")},
        fields={
            "title": (document.text(f"{_CHANGE}/new/target/message") or "").split("\n", 1)[0].strip(),
            "name": name,
            "url": document.text(f"{_CHANGE}/links/html/href", f"{_CHANGE}/new/links/html/href"),
            "forced": document.boolean(f"{_CHANGE}/forced"),
            "before": document.text(f"{_CHANGE}/old/target/hash"),
            "commit_count": count,
        },
        attributes={"commits_truncated": truncated or None},
    )


def _pull_request(document: Document) -> _Parts:
    number = document.integer(f"{_PR}/id")
    return _Parts(
        # Hashes inside a pull request are cut to 12 characters.
        resource={
            "branch": document.text(f"{_PR}/source/branch/name"),
            "commit": document.text(f"{_PR}/source/commit/hash"),
            "pr_id": number,
        },
        keys={"pr_number": number},
        fields={
            "title": document.text(f"{_PR}/title"),
            "body": document.text(f"{_PR}/description"),
            "state": (document.text(f"{_PR}/state") or "").lower(),
            "url": document.text(f"{_PR}/links/html/href"),
            "author": person_at(document, f"{_PR}/author"),
            "draft": document.boolean(f"{_PR}/draft"),
            "from_fork": _from_fork(document),
            "base_branch": document.text(f"{_PR}/destination/branch/name"),
        },
        attributes={
            "reviewers": [
                person for reviewer in document.items(f"{_PR}/reviewers")[:50] if (person := person_at(reviewer, ""))
            ]
        },
    )


def _from_fork(document: Document) -> bool | None:
    base = document.text(f"{_PR}/destination/repository/uuid")
    head = document.text(f"{_PR}/source/repository/uuid")
    if base is None:
        return None
    if head is None:
        # A deleted fork leaves a null behind; a payload that never had the part says nothing.
        source = document.at(f"{_PR}/source")
        return True if isinstance(source, dict) and source.get("repository", source) is None else None
    return head != base


def _merged(document: Document) -> _Parts:
    parts = _pull_request(document)
    parts.resource["commit"] = document.text(f"{_PR}/merge_commit/hash") or parts.resource["commit"]
    parts.actor = parts.fields["merged_by"] = person_at(document, f"{_PR}/closed_by")
    return parts


def _declined(document: Document) -> _Parts:
    parts = _pull_request(document)
    parts.attributes["reason"] = document.text(f"{_PR}/reason")
    return parts


def _review(root: str, state: str) -> Callable[[Document], _Parts]:
    def shape(document: Document) -> _Parts:
        parts = _pull_request(document)
        reviewer = person_at(document, f"{root}/user")
        parts.actor = person_at(document, "/actor") or reviewer
        # The body of a review is its comment, which this event does not bring.
        parts.fields |= {"body": None, "reviewer": reviewer, "review_state": state}
        return parts

    return shape


def _comment_fields(document: Document) -> JSON:
    return {
        "body": document.text("/comment/content/raw"),
        "url": document.text("/comment/links/html/href"),
        "author": person_at(document, "/comment/user"),
        "comment_id": document.text("/comment/id", limit=_ID_LENGTH),
        "file_path": document.text("/comment/inline/path"),
        "thread_id": document.text("/comment/parent/id", "/comment/id", limit=_ID_LENGTH),
    }


def _pull_request_comment(document: Document) -> _Parts:
    parts = _pull_request(document)
    comment = _comment_fields(document)
    parts.fields |= {**comment, "url": comment["url"] or parts.fields["url"]}
    parts.resource["file_path"] = comment["file_path"]
    parts.keys["comment_id"] = comment["comment_id"]
    return parts


def _new(comment: Callable[[Document], _Parts]) -> Callable[[Document], _Parts]:
    def shape(document: Document) -> _Parts:
        parts = comment(document)
        # Who has just written a comment is its author, also where the comment itself does not say.
        parts.fields["author"] = parts.fields["author"] or person_at(document, "/actor")
        return parts

    return shape


def _thread(document: Document) -> _Parts:
    parts = _pull_request_comment(document)
    # The signal is about the thread; who wrote its comment is not who opened the pull request.
    parts.fields["author"] = person_at(document, f"{_PR}/author")
    return parts


def _commit_comment(document: Document) -> _Parts:
    comment = _comment_fields(document)
    return _Parts(
        resource={"commit": document.text("/commit/hash"), "file_path": comment["file_path"]},
        keys={"comment_id": comment["comment_id"]},
        fields=comment,
    )


def _commit_status(document: Document) -> _Parts:
    state = (document.text("/commit_status/state") or "").lower()
    name = document.text("/commit_status/name", "/commit_status/key")
    run_id = document.text("/commit_status/key", limit=_ID_LENGTH)
    return _Parts(
        resource={"branch": document.text("/commit_status/refname"), "commit": status_commit(document)},
        keys={"run_id": run_id},
        fields={
            "title": name,
            "name": name,
            "state": state,
            "conclusion": None if state == "inprogress" else state,
            "description": document.text("/commit_status/description"),
            "url": document.text("/commit_status/url"),
            "run_id": run_id,
        },
    )


def status_commit(document: Document) -> str | None:
    """The commit a build status belongs to; older bodies name it only at the end of a link."""
    link = document.text("/commit_status/links/commit/href") or ""
    tail = link.rstrip("/").rpartition("/")[2]
    return document.text("/commit_status/commit/hash") or (tail if _COMMIT.fullmatch(tail) else None)


def _repository(root: str = "/repository") -> Callable[[Document], _Parts]:
    def shape(document: Document) -> _Parts:
        changes = document.at("/changes")
        return _Parts(
            fields={
                "name": document.text(f"{root}/full_name"),
                "previous_name": document.text("/changes/full_name/old", "/changes/name/old"),
                "description": document.text(f"{root}/description"),
                "url": document.text(f"{root}/links/html/href"),
                "changed_fields": sorted(changes) if isinstance(changes, dict) else None,
            }
        )

    return shape


_SHAPES: dict[str, Callable[[Document], _Parts]] = {
    "repo:push": _push,
    "repo:commit_comment_created": _new(_commit_comment),
    **dict.fromkeys(("repo:commit_status_created", "repo:commit_status_updated"), _commit_status),
    **dict.fromkeys(("repo:created", "repo:imported", "repo:updated", "repo:transfer", "repo:deleted"), _repository()),
    "repo:fork": _repository("/fork"),
    **dict.fromkeys(("pullrequest:created", "pullrequest:updated", "pullrequest:push"), _pull_request),
    "pullrequest:fulfilled": _merged,
    "pullrequest:rejected": _declined,
    "pullrequest:approved": _review("/approval", "approved"),
    "pullrequest:unapproved": _review("/approval", "dismissed"),
    "pullrequest:changes_request_created": _review("/changes_request", "changes_requested"),
    "pullrequest:changes_request_removed": _review("/changes_request", "dismissed"),
    "pullrequest:comment_created": _new(_pull_request_comment),
    **dict.fromkeys(("pullrequest:comment_updated", "pullrequest:comment_deleted"), _pull_request_comment),
    **dict.fromkeys(("pullrequest:comment_resolved", "pullrequest:comment_reopened"), _thread),
}

# When it happened, by Bitbucket's clock. No pointer: the payload holds no time of this happening.
_TIMES: dict[str, tuple[str, ...]] = {
    "repo:commit_comment_created": ("/comment/created_on",),
    **dict.fromkeys(
        ("repo:commit_status_created", "repo:commit_status_updated"),
        ("/commit_status/updated_on", "/commit_status/created_on"),
    ),
    "pullrequest:created": ("/pullrequest/created_on",),
    **dict.fromkeys(
        ("pullrequest:updated", "pullrequest:push", "pullrequest:fulfilled", "pullrequest:rejected"),
        ("/pullrequest/updated_on",),
    ),
    **dict.fromkeys(("pullrequest:approved", "pullrequest:unapproved"), ("/approval/date",)),
    **dict.fromkeys(
        ("pullrequest:changes_request_created", "pullrequest:changes_request_removed"), ("/changes_request/date",)
    ),
    "pullrequest:comment_created": ("/comment/created_on",),
    **dict.fromkeys(("pullrequest:comment_updated", "pullrequest:comment_deleted"), ("/comment/updated_on",)),
}


def occurred_at(event_key: str, document: Document) -> datetime | None:
    """The provider's time of the happening, or ``None`` where the payload does not tell it."""
    if event_key == "repo:push":
        # The time of the newest commit, which may be older than the push; for a new or deleted ref it may be
        # years older, so the time of receipt is used there.
        moved = all(isinstance(document.at(f"{_CHANGE}/{side}"), dict) for side in ("new", "old"))
        return document.time(f"{_CHANGE}/new/target/date") if moved else None
    return document.time(*_TIMES.get(event_key, ()))
