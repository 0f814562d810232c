"""What an event is called: its entity, its happening, and the single refs of a push. Alike for both roads.

A happening is named by the version of the thing, where a body of a service hook and an item of a list both show one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from providers.adapters.azure_devops import mapping_work
from providers.adapters.azure_devops.mapping import (
    BUILD_COMPLETE,
    PULL_REQUEST_CREATED,
    PULL_REQUEST_UPDATED,
    PUSH,
    WORK_ITEM_CREATED,
    WORK_ITEM_DELETED,
    WORK_ITEM_UPDATED,
)
from providers.adapters.azure_devops.places import ID_LENGTH
from providers.canonical import JSON, SignalType
from providers.document import Document, compact

CLOSING = {SignalType.PR_MERGED: "merged", SignalType.PR_CLOSED: "closed"}


def refs(payload: JSON) -> list[JSON]:
    """A push once for each ref it moved, without what only the push as a whole can say."""
    resource = payload.get("resource")
    updates = resource.get("refUpdates") if isinstance(resource, dict) else None
    if not isinstance(resource, dict) or not isinstance(updates, list) or len(updates) < 2:
        return [payload]
    commits = {one.text("/commitId"): one.value for one in Document(payload).items("/resource/commits")}
    whole = {name: value for name, value in resource.items() if name not in ("commits", "refUpdates")}
    rest = {name: value for name, value in payload.items() if name not in ("message", "detailedMessage")}
    return [
        {**rest, "resource": compact({**whole, "refUpdates": [update], "headCommit": commits.get(_head(update))})}
        for update in updates
    ]


def _head(update: object) -> str:
    return Document(update).text("/newObjectId") or "none"


def push(document: Document) -> str:
    """One ref of a push. By ref, not by place: a subscription to one branch may list fewer refs of the same push."""
    number, moved = document.integer("/resource/pushId"), _ref(document)
    return f"push:{number}:{moved}" if number and moved else ""


def closing(signal_type: SignalType | None, document: Document) -> str:
    """The end of a pull request, with its time: it can be opened and closed again."""
    request, closed = pull_request(document), document.time("/resource/closedDate")
    if signal_type not in CLOSING or not request or not closed:
        return ""
    return f"{request}:{CLOSING[signal_type]}:{closed.isoformat()}"


def happening(event: str, signal_type: SignalType | None, document: Document) -> str:
    """Equal where a service hook and a list tell of the same thing; empty where nothing tells it."""
    if event == PUSH:
        return push(document)
    if event == PULL_REQUEST_CREATED:
        request = pull_request(document)
        return f"{request}:opened" if request else ""
    if event == PULL_REQUEST_UPDATED:
        return closing(signal_type, document)
    if event in (WORK_ITEM_CREATED, WORK_ITEM_UPDATED, WORK_ITEM_DELETED):
        item, revision = mapping_work.number(document), mapping_work.revision(document)
        what = "deleted:" if event == WORK_ITEM_DELETED else ""
        return f"workitem:{item}:{what}{revision}" if item and revision else ""
    if event == BUILD_COMPLETE:
        # A run that is tried again ends at another time.
        run, ended = document.text("/resource/id", limit=ID_LENGTH), document.time("/resource/finishTime")
        return f"run:{run}:{ended.isoformat()}" if run and ended else ""
    return ""


def _repository(document: Document, root: str = "/resource/repository") -> str | None:
    return document.text(f"{root}/id", limit=ID_LENGTH)


def _ref(document: Document) -> str | None:
    """A ref of a repository; its name may be longer than a key, so a part of its hash stands for it."""
    repository, ref = _repository(document), document.text("/resource/refUpdates/0/name")
    return f"{repository}:{hashlib.sha256(ref.encode()).hexdigest()[:32]}" if repository and ref else None


def pull_request(document: Document) -> str | None:
    for root in ("/resource", "/resource/pullRequest"):
        repository, number = _repository(document, f"{root}/repository"), document.integer(f"{root}/pullRequestId")
        if repository and number:
            return f"pr:{repository}:{number}"
    return None


def ordering_key(event: str, document: Document) -> str:
    """The entity an event is about; empty where the body does not name it."""
    if event.startswith(("git.pullrequest.", "ms.vss-code.")):
        return pull_request(document) or ""
    if event == PUSH:
        ref = _ref(document)
        return f"ref:{ref}" if ref else ""
    if event.startswith("workitem."):
        item = mapping_work.number(document)
        return f"workitem:{item}" if item else ""
    for kind, pointers in _ENTITIES.items():
        found = document.text(*pointers, limit=ID_LENGTH) if event.startswith(kind) else None
        if found:
            return f"{_ENTITY_NAMES[kind]}:{found}"
    return ""


_ENTITIES: Mapping[str, tuple[str, ...]] = {
    "build.": ("/resource/id",),
    "ms.vss-pipelines.": ("/resource/run/id",),
    "ms.vss-pipelinechecks-events.": ("/resource/approval/id",),
    "ms.vss-release.deployment-approval-": ("/resource/approval/id",),
    "ms.vss-release.deployment-": ("/resource/environment/id",),
    "ms.vss-release.release-": ("/resource/release/id",),
    "git.repo.": ("/resource/repository/id", "/resource/repositoryId"),
}
_ENTITY_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("build.", "ms.vss-pipelines."), "run"),
    **dict.fromkeys(("ms.vss-pipelinechecks-events.", "ms.vss-release.deployment-approval-"), "approval"),
    "ms.vss-release.deployment-": "deployment",
    "ms.vss-release.release-": "release",
    "git.repo.": "repository",
}
