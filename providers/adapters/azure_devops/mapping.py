"""Which event becomes which signals, and how a stored payload is read.

Some happenings are told several times over. One source is chosen for each, the others are stored as ignored with
the reason. Source: https://learn.microsoft.com/azure/devops/service-hooks/events
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from providers.adapters.azure_devops import mapping_code, mapping_runs, mapping_work
from providers.adapters.azure_devops.mapping_code import SIGNAL_OF_VOTE, is_nothing, votes
from providers.adapters.azure_devops.parts import Parts, Shape
from providers.canonical import JSON, Resource, Signal, SignalType
from providers.document import Document, compact

PULL_REQUEST_CREATED = "git.pullrequest.created"
PULL_REQUEST_UPDATED = "git.pullrequest.updated"
WORK_ITEM_CREATED = "workitem.created"
WORK_ITEM_UPDATED = "workitem.updated"
WORK_ITEM_DELETED = "workitem.deleted"
BUILD_COMPLETE = "build.complete"
PUSH = "git.push"

UNKNOWN_EVENT = "unknown event type"
TOLD_BY_BUILD = "build.complete tells how a run ends"
STAGES = "no signal tells of the stages of a run"

Rule = SignalType | str | Callable[[Document], SignalType | str]
"""A signal, the reason why there is none, or a question to the body."""


def _push(document: Document) -> SignalType | str:
    """One ref of a push."""
    tag = (document.text("/resource/refUpdates/0/name") or "").startswith("refs/tags/")
    if is_nothing(document.text("/resource/refUpdates/0/newObjectId")):
        return SignalType.TAG_DELETED if tag else SignalType.BRANCH_DELETED
    if is_nothing(document.text("/resource/refUpdates/0/oldObjectId")):
        return SignalType.TAG_CREATED if tag else SignalType.BRANCH_CREATED
    return "a tag was moved; only its creation and deletion are told" if tag else SignalType.PUSH


def _closed(document: Document) -> SignalType | str:
    status = (document.text("/resource/status") or "").lower()
    # There is no "what changed". A closed request is told as closed; its dedupe key makes that once.
    return {"completed": SignalType.PR_MERGED, "abandoned": SignalType.PR_CLOSED}.get(status, SignalType.PR_UPDATED)


def _vote(document: Document) -> SignalType | str:
    return SIGNAL_OF_VOTE.get(votes(document) or "", SignalType.PR_UPDATED)


def _comment(document: Document) -> SignalType | str:
    if (document.text("/resource/comment/commentType") or "").lower() == "system":
        return "a comment the service wrote itself; the event of its cause tells of it"
    if document.boolean("/resource/comment/isDeleted"):
        return SignalType.PR_COMMENT_DELETED
    written, touched = (
        document.time("/resource/comment/publishedDate"),
        document.time("/resource/comment/lastUpdatedDate"),
    )
    return SignalType.PR_COMMENT_UPDATED if written and touched and touched > written else SignalType.PR_COMMENTED


_BUILDS = {
    "succeeded": SignalType.PIPELINE_SUCCEEDED,
    **dict.fromkeys(("failed", "partiallysucceeded"), SignalType.PIPELINE_FAILED),
    **dict.fromkeys(("canceled", "cancelled", "stopped"), SignalType.PIPELINE_CANCELLED),
}
_JOBS = {"succeeded": SignalType.JOB_SUCCEEDED, "failed": SignalType.JOB_FAILED}
_DEPLOYMENTS = {
    "succeeded": SignalType.DEPLOYMENT_SUCCEEDED,
    **dict.fromkeys(("rejected", "failed", "partiallysucceeded"), SignalType.DEPLOYMENT_FAILED),
    **dict.fromkeys(("canceled", "cancelled"), SignalType.DEPLOYMENT_CANCELLED),
}


def _build(document: Document) -> SignalType | str:
    return _BUILDS.get(mapping_runs.outcome(document), SignalType.PIPELINE_COMPLETED)


def _run(document: Document) -> SignalType | str:
    state = (document.text("/resource/run/state") or "").lower()
    return SignalType.PIPELINE_STARTED if state == "inprogress" else TOLD_BY_BUILD


def _job(document: Document) -> SignalType | str:
    return _JOBS.get(mapping_runs.job_result(document), "of jobs only success and failure are told")


def _deployed(document: Document) -> SignalType | str:
    status = (document.text("/resource/environment/status") or "").lower()
    return _DEPLOYMENTS.get(status, f"status {status[:40] or 'absent'} is neither a success nor a failure")


_APPROVAL_PENDING = (SignalType.DEPLOYMENT_APPROVAL_REQUESTED, mapping_runs.approval)
_APPROVAL_COMPLETED = (SignalType.DEPLOYMENT_APPROVAL_COMPLETED, mapping_runs.approval)

# Pull request updates and work item updates are judged by ``meanings``: the one by the subscription's kind too,
# the other may mean several things.
MAPPED: Mapping[str, tuple[Rule, Shape]] = {
    PUSH: (_push, mapping_code.push),
    PULL_REQUEST_CREATED: (SignalType.PR_OPENED, mapping_code.pull_request),
    PULL_REQUEST_UPDATED: (_closed, mapping_code.pull_request),
    "ms.vss-code.git-pullrequest-comment-event": (_comment, mapping_code.comment),
    WORK_ITEM_CREATED: (SignalType.ISSUE_CREATED, mapping_work.work_item),
    WORK_ITEM_UPDATED: (SignalType.ISSUE_UPDATED, mapping_work.work_item),
    WORK_ITEM_DELETED: (SignalType.ISSUE_DELETED, mapping_work.work_item),
    "workitem.restored": (SignalType.ISSUE_RESTORED, mapping_work.work_item),
    BUILD_COMPLETE: (_build, mapping_runs.build),
    "ms.vss-pipelines.run-state-changed-event": (_run, mapping_runs.run),
    "ms.vss-pipelines.job-state-changed-event": (_job, mapping_runs.job),
    "ms.vss-pipelinechecks-events.approval-pending": _APPROVAL_PENDING,
    "ms.vss-pipelinechecks-events.approval-completed": _APPROVAL_COMPLETED,
    "ms.vss-release.deployment-approval-pending-event": _APPROVAL_PENDING,
    "ms.vss-release.deployment-approval-completed-event": _APPROVAL_COMPLETED,
    "ms.vss-release.deployment-started-event": (SignalType.DEPLOYMENT_STARTED, mapping_runs.deployment),
    "ms.vss-release.deployment-completed-event": (_deployed, mapping_runs.deployment),
    "ms.vss-release.release-created-event": (SignalType.RELEASE_PUBLISHED, mapping_runs.release),
    "ms.vss-release.release-abandoned-event": (SignalType.RELEASE_DELETED, mapping_runs.release),
    "git.repo.created": (SignalType.REPO_CREATED, mapping_code.repository),
    "git.repo.renamed": (SignalType.REPO_RENAMED, mapping_code.repository),
    "git.repo.deleted": (SignalType.REPO_DELETED, mapping_code.repository),
    "git.repo.forked": (SignalType.REPO_FORKED, mapping_code.repository),
    "git.repo.statuschanged": (SignalType.REPO_UPDATED, mapping_code.repository),
}

_BY_KIND: Mapping[str, Rule] = {
    "push": SignalType.PR_SYNCHRONIZED,
    "reviewers": SignalType.PR_UPDATED,
    "status": _closed,
    "vote": _vote,
}
KINDS = tuple(_BY_KIND)
# What an update of a kind touches for sure, where nothing more precise can be told.
_CHANGED_BY_KIND: Mapping[str, list[str]] = {"reviewers": ["reviewers"], "vote": ["reviewers"], "status": ["status"]}

# Documented events that become no signal, and why.
_IGNORED: Mapping[str, str] = {
    "git.pullrequest.merged": "a merge was tried; git.pullrequest.updated tells of a completed pull request",
    "workitem.commented": "workitem.updated tells of the comment, and knows its author",
    "ms.vss-pipelines.stage-state-changed-event": STAGES,
}


def meanings(event: str, kind: str, document: Document) -> tuple[list[SignalType], str]:
    """The signals of an event, or none and the reason. ``kind`` is the subscription's, from its URL."""
    if event not in MAPPED:
        return [], _IGNORED.get(event, UNKNOWN_EVENT)
    if event == WORK_ITEM_UPDATED:
        return mapping_work.meanings(document), ""
    rule = _BY_KIND.get(kind, _closed) if event == PULL_REQUEST_UPDATED else MAPPED[event][0]
    verdict = rule if isinstance(rule, SignalType | str) else rule(document)
    return ([verdict], "") if isinstance(verdict, SignalType) else ([], verdict)


def signal(signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
    """One stored payload as a signal."""
    document = Document(payload)
    event = PULL_REQUEST_UPDATED if event_type.startswith(PULL_REQUEST_UPDATED) else event_type
    parts = MAPPED[event][1](document, signal_type) if event in MAPPED else Parts()
    if event == PULL_REQUEST_UPDATED:
        parts.fields["changed_fields"] = _CHANGED_BY_KIND.get(event_type.rpartition(".")[2])
    return Signal(
        signal_type=signal_type,
        occurred_at=occurred_at(signal_type, document),
        actor_id=parts.actor,
        resource=Resource(**parts.resource),
        canonical_keys=compact(parts.keys),
        fields={name: value for name, value in compact(parts.fields).items() if name in signal_type.fields},
        attributes=compact(parts.attributes),
    )


# When it happened, by the service's clock. The time of the event itself is the last resort of all.
_TIMES: Mapping[SignalType, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            *(SignalType.PUSH, SignalType.BRANCH_CREATED, SignalType.BRANCH_DELETED),
            *(SignalType.TAG_CREATED, SignalType.TAG_DELETED),
        ),
        ("/resource/date",),
    ),
    SignalType.PR_OPENED: ("/resource/creationDate",),
    **dict.fromkeys((SignalType.PR_MERGED, SignalType.PR_CLOSED), ("/resource/closedDate",)),
    SignalType.PR_COMMENTED: ("/resource/comment/publishedDate",),
    SignalType.PR_COMMENT_UPDATED: ("/resource/comment/lastUpdatedDate",),
    SignalType.PR_COMMENT_DELETED: ("/resource/comment/lastUpdatedDate",),
    SignalType.ISSUE_CREATED: ("/resource/fields/System.CreatedDate",),
    SignalType.PIPELINE_STARTED: ("/resource/run/createdDate",),
    **dict.fromkeys((*_BUILDS.values(), SignalType.PIPELINE_COMPLETED), ("/resource/finishTime",)),
    **dict.fromkeys(_JOBS.values(), ("/resource/job/finishTime",)),
    SignalType.RELEASE_PUBLISHED: ("/resource/release/createdOn",),
    SignalType.DEPLOYMENT_APPROVAL_REQUESTED: ("/resource/approval/createdOn",),
}
# ``revisedDate`` of the newest revision lies in the year 9999.
_REVISION_TIMES = (
    "/resource/fields/System.ChangedDate/newValue",
    "/resource/revision/fields/System.ChangedDate",
)


def occurred_at(signal_type: SignalType | None, document: Document) -> datetime | None:
    times = _TIMES.get(signal_type, ()) if signal_type else ()
    if document.text("/eventType") == WORK_ITEM_UPDATED:
        times = _REVISION_TIMES
    return document.time(*times, "/createdDate")
