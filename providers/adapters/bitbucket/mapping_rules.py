"""Which Bitbucket event becomes which signal: one table, read top to bottom.

Source: https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/
"""

from __future__ import annotations

from collections.abc import Callable

from providers.canonical import SignalType
from providers.document import Document

Verdict = tuple[SignalType | None, str]
Rule = SignalType | Callable[[Document], Verdict]

UNKNOWN_EVENT = "unknown event type"
NO_CHANGE = "a push that changed no branch and no tag"
OTHER_REF = "a change of something that is neither a branch nor a tag"
TAG_MOVED = "a tag was moved; only its creation and deletion are told"
STOPPED = "a stopped build is neither a success nor a failure"
ISSUES_ARE_GONE = "Bitbucket removed its issue tracker in August 2026"
PROJECT = "a project groups repositories; only repositories are told"
DATA_CENTER = "an event of Bitbucket Data Center, which is another product; this is for Bitbucket Cloud"


def classify(event_key: str, document: Document) -> Verdict:
    """The signal an event becomes, or ``None`` and the reason. A push holds one change here."""
    rule = RULES.get(event_key)
    if rule is None:
        return None, _why_not(event_key)
    return (rule, "") if isinstance(rule, SignalType) else rule(document)


def _why_not(event_key: str) -> str:
    family, _, name = event_key.partition(":")
    if family == "issue":
        return ISSUES_ARE_GONE
    if family == "project":
        return PROJECT
    if family in ("pr", "diagnostics") or name == "refs_changed":
        return DATA_CENTER
    return UNKNOWN_EVENT


def _push(document: Document) -> Verdict:
    change = "/push/changes/0"
    new, old = (isinstance(document.at(f"{change}/{side}"), dict) for side in ("new", "old"))
    if not (new or old):
        return None, NO_CHANGE
    kind = document.text(f"{change}/new/type", f"{change}/old/type")
    if kind not in ("branch", "tag"):
        return None, OTHER_REF
    tag = kind == "tag"
    if not new:
        return (SignalType.TAG_DELETED if tag else SignalType.BRANCH_DELETED), ""
    if not old:
        return (SignalType.TAG_CREATED if tag else SignalType.BRANCH_CREATED), ""
    return (None, TAG_MOVED) if tag else (SignalType.PUSH, "")


_STATES: dict[str, Verdict] = {
    "INPROGRESS": (SignalType.CHECK_STARTED, ""),
    "SUCCESSFUL": (SignalType.CHECK_SUCCEEDED, ""),
    "FAILED": (SignalType.CHECK_FAILED, ""),
    "STOPPED": (None, STOPPED),
}


def _commit_status(document: Document) -> Verdict:
    """A status on a commit, whichever tool set it; nothing in the body tells a run of Bitbucket's own for sure."""
    state = document.text("/commit_status/state") or ""
    return _STATES.get(state.upper(), (None, f"state {state[:40] or 'absent'} is no state of a build"))


def _updated(document: Document) -> Verdict:
    renamed = any(isinstance(document.at(f"/changes/{field}"), dict) for field in ("full_name", "name"))
    return (SignalType.REPO_RENAMED if renamed else SignalType.REPO_UPDATED), ""


RULES: dict[str, Rule] = {
    "repo:push": _push,
    "repo:commit_comment_created": SignalType.COMMIT_COMMENTED,
    "repo:commit_status_created": _commit_status,
    "repo:commit_status_updated": _commit_status,
    "repo:created": SignalType.REPO_CREATED,
    "repo:imported": SignalType.REPO_CREATED,
    "repo:fork": SignalType.REPO_FORKED,
    "repo:updated": _updated,
    "repo:transfer": SignalType.REPO_TRANSFERRED,
    "repo:deleted": SignalType.REPO_DELETED,
    "pullrequest:created": SignalType.PR_OPENED,
    "pullrequest:push": SignalType.PR_SYNCHRONIZED,
    # The body holds no difference: new reviewers, a new title and the end of a draft all look alike.
    "pullrequest:updated": SignalType.PR_UPDATED,
    "pullrequest:fulfilled": SignalType.PR_MERGED,
    "pullrequest:rejected": SignalType.PR_CLOSED,
    "pullrequest:approved": SignalType.PR_APPROVED,
    "pullrequest:unapproved": SignalType.PR_APPROVAL_REMOVED,
    "pullrequest:changes_request_created": SignalType.PR_CHANGES_REQUESTED,
    "pullrequest:changes_request_removed": SignalType.PR_REVIEW_DISMISSED,
    "pullrequest:comment_created": SignalType.PR_COMMENTED,
    "pullrequest:comment_updated": SignalType.PR_COMMENT_UPDATED,
    "pullrequest:comment_deleted": SignalType.PR_COMMENT_DELETED,
    "pullrequest:comment_resolved": SignalType.PR_THREAD_RESOLVED,
    "pullrequest:comment_reopened": SignalType.PR_THREAD_UNRESOLVED,
}

# Events a repository's own hook cannot tell: it did not exist yet.
ONLY_WORKSPACE = frozenset({"repo:created", "repo:imported"})
