"""Which GitHub event becomes which signal: one table, read top to bottom.

GitHub tells some happenings several times over. One source is chosen for each, the others are stored as
ignored with the reason: a push tells of branches and tags (it carries the commit, ``create`` and ``delete``
do not), ``workflow_run`` and ``workflow_job`` tell of Actions, ``check_run`` and ``status`` of other CI.

Source: https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from providers.canonical import SignalType
from providers.document import Document
from providers.spi import TEST_DELIVERY

Verdict = tuple[SignalType | None, str]
Rule = SignalType | str | Callable[[Document], Verdict]
"""A signal, the reason why there is none, or a question to the payload."""

ANY = "*"
UNKNOWN_EVENT = "unknown event type"
UNKNOWN_ACTION = "unknown action of a known event"
LIFECYCLE = "tells of the connection, not of the work"
NO_FIELD = "changes no field a signal carries"
TOLD_BY_PUSH = "the push event tells of it"
TOLD_BY_WORKFLOW_JOB = "workflow_job tells of it"
TOLD_BY_STATUS = "deployment_status tells of it"
TOLD_BY_PUBLISHED = "release.published tells of it"
ONLY_THE_END = "only the end is told"

ZERO_COMMIT = "0" * 40


def classify(event_type: str, document: Document) -> Verdict:
    """The signal an event becomes, or ``None`` and the reason."""
    event, _, action = event_type.partition(".")
    actions = RULES.get(event)
    if actions is None:
        return None, UNKNOWN_EVENT
    rule = actions.get(action, actions.get(ANY, UNKNOWN_ACTION))
    if isinstance(rule, SignalType):
        return rule, ""
    return (None, rule) if isinstance(rule, str) else rule(document)


def _push(document: Document) -> Verdict:
    ref = document.text("/ref") or ""
    tag = ref.startswith("refs/tags/")
    if document.boolean("/deleted") or document.text("/after") == ZERO_COMMIT:
        return (SignalType.TAG_DELETED if tag else SignalType.BRANCH_DELETED), ""
    if document.boolean("/created") or document.text("/before") == ZERO_COMMIT:
        return (SignalType.TAG_CREATED if tag else SignalType.BRANCH_CREATED), ""
    return (None, "a tag was moved; only its creation and deletion are told") if tag else (SignalType.PUSH, "")


def _closed(document: Document) -> Verdict:
    # There is no "merged" action: https://docs.github.com/en/webhooks/webhook-events-and-payloads#pull_request
    merged = document.boolean("/pull_request/merged") or document.time(
        "/pull_request/merged_at",
        # In the list of issues.
        "/issue/pull_request/merged_at",
    )
    return (SignalType.PR_MERGED if merged else SignalType.PR_CLOSED), ""


def _comment(on_issue: SignalType, on_pull_request: SignalType) -> Rule:
    """Conversation comments of pull requests are issue comments; only this key tells them apart."""

    def rule(document: Document) -> Verdict:
        return (on_issue if document.at("/issue/pull_request") is None else on_pull_request), ""

    return rule


def _by(pointer: str, words: Mapping[str, SignalType], otherwise: SignalType | None = None, prefix: str = "") -> Rule:
    def rule(document: Document) -> Verdict:
        # Webhooks write review states in lower case, the REST API in upper case.
        word = (document.text(pointer) or "").lower()
        found = words.get(word, otherwise)
        return found, "" if found else f"{prefix}{word[:40] or 'absent'} is neither a success nor a failure"

    return rule


_JOB = _by(
    "/workflow_job/conclusion",
    {
        "success": SignalType.JOB_SUCCEEDED,
        **dict.fromkeys(("failure", "timed_out", "startup_failure"), SignalType.JOB_FAILED),
    },
    prefix="conclusion ",
)
_CHECK = _by(
    "/check_run/conclusion",
    {
        "success": SignalType.CHECK_SUCCEEDED,
        **dict.fromkeys(("failure", "timed_out", "startup_failure"), SignalType.CHECK_FAILED),
    },
    prefix="conclusion ",
)


def _check_run(document: Document) -> Verdict:
    if document.text("/check_run/app/slug") == "github-actions":
        return None, TOLD_BY_WORKFLOW_JOB
    verdict: Verdict = _CHECK(document)  # type: ignore[operator]
    return verdict


_REVIEWS = {"approved": SignalType.PR_APPROVED, "changes_requested": SignalType.PR_CHANGES_REQUESTED}
_CONCLUSIONS = {
    "success": SignalType.PIPELINE_SUCCEEDED,
    "cancelled": SignalType.PIPELINE_CANCELLED,
    **dict.fromkeys(("failure", "timed_out", "startup_failure"), SignalType.PIPELINE_FAILED),
}
_STATUSES = {
    "success": SignalType.CHECK_SUCCEEDED,
    "failure": SignalType.CHECK_FAILED,
    "error": SignalType.CHECK_FAILED,
    "pending": SignalType.CHECK_STARTED,
}
_DEPLOYMENTS = {
    "success": SignalType.DEPLOYMENT_SUCCEEDED,
    **dict.fromkeys(("failure", "error"), SignalType.DEPLOYMENT_FAILED),
    **dict.fromkeys(("in_progress", "queued", "pending"), SignalType.DEPLOYMENT_STARTED),
}


def _actions(signal: Rule, *names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, signal)


MAPPED: dict[str, dict[str, Rule]] = {
    "push": {"": _push},
    "pull_request": {
        "opened": SignalType.PR_OPENED,
        "synchronize": SignalType.PR_SYNCHRONIZED,
        "closed": _closed,
        "reopened": SignalType.PR_REOPENED,
        "ready_for_review": SignalType.PR_READY_FOR_REVIEW,
        "converted_to_draft": SignalType.PR_CONVERTED_TO_DRAFT,
        "review_requested": SignalType.PR_REVIEW_REQUESTED,
        "review_request_removed": SignalType.PR_REVIEW_REQUEST_REMOVED,
        "assigned": SignalType.PR_ASSIGNED,
        "unassigned": SignalType.PR_UNASSIGNED,
        "labeled": SignalType.PR_LABELED,
        "unlabeled": SignalType.PR_UNLABELED,
        # "updated" is what polling says where the list cannot tell more.
        **_actions(SignalType.PR_UPDATED, "edited", "updated", "milestoned", "demilestoned", "enqueued", "dequeued"),
        **_actions(SignalType.PR_UPDATED, "auto_merge_enabled", "auto_merge_disabled", "stacked"),
        **_actions(NO_FIELD, "locked", "unlocked"),
    },
    "pull_request_review": {
        "submitted": _by("/review/state", _REVIEWS, otherwise=SignalType.PR_REVIEW_SUBMITTED),
        "dismissed": SignalType.PR_REVIEW_DISMISSED,
        "edited": NO_FIELD,
    },
    "pull_request_review_comment": {
        "created": SignalType.PR_COMMENTED,
        "edited": SignalType.PR_COMMENT_UPDATED,
        "deleted": SignalType.PR_COMMENT_DELETED,
    },
    "pull_request_review_thread": {
        "resolved": SignalType.PR_THREAD_RESOLVED,
        "unresolved": SignalType.PR_THREAD_UNRESOLVED,
    },
    "issues": {
        "opened": SignalType.ISSUE_CREATED,
        "closed": SignalType.ISSUE_CLOSED,
        "reopened": SignalType.ISSUE_REOPENED,
        "assigned": SignalType.ISSUE_ASSIGNED,
        "unassigned": SignalType.ISSUE_UNASSIGNED,
        "labeled": SignalType.ISSUE_LABELED,
        "unlabeled": SignalType.ISSUE_UNLABELED,
        "transferred": SignalType.ISSUE_TRANSFERRED,
        "deleted": SignalType.ISSUE_DELETED,
        **_actions(SignalType.ISSUE_UPDATED, "edited", "updated", "milestoned", "demilestoned", "typed", "untyped"),
        **_actions(NO_FIELD, "pinned", "unpinned", "locked", "unlocked"),
    },
    "issue_comment": {
        "created": _comment(SignalType.ISSUE_COMMENTED, SignalType.PR_COMMENTED),
        "edited": _comment(SignalType.ISSUE_COMMENT_UPDATED, SignalType.PR_COMMENT_UPDATED),
        "deleted": _comment(SignalType.ISSUE_COMMENT_DELETED, SignalType.PR_COMMENT_DELETED),
    },
    "commit_comment": {"created": SignalType.COMMIT_COMMENTED},
    "workflow_run": {
        **_actions(SignalType.PIPELINE_STARTED, "requested", "in_progress"),
        "completed": _by("/workflow_run/conclusion", _CONCLUSIONS, otherwise=SignalType.PIPELINE_COMPLETED),
    },
    "workflow_job": {"completed": _JOB, **_actions(ONLY_THE_END, "queued", "waiting", "in_progress")},
    "check_run": {"completed": _check_run, **_actions(ONLY_THE_END, "created", "rerequested", "requested_action")},
    "status": {"": _by("/state", _STATUSES, prefix="state ")},
    "deployment_status": {"created": _by("/deployment_status/state", _DEPLOYMENTS, prefix="state ")},
    "release": {
        "published": SignalType.RELEASE_PUBLISHED,
        **_actions(TOLD_BY_PUBLISHED, "created", "released", "prereleased"),
        **_actions("only publication is told", "edited", "deleted", "unpublished"),
    },
    "repository": {
        "created": SignalType.REPO_CREATED,
        "renamed": SignalType.REPO_RENAMED,
        "transferred": SignalType.REPO_TRANSFERRED,
        "archived": SignalType.REPO_ARCHIVED,
        "unarchived": SignalType.REPO_UNARCHIVED,
        "deleted": SignalType.REPO_DELETED,
        "publicized": SignalType.REPO_PUBLICIZED,
        "privatized": SignalType.REPO_PRIVATIZED,
        "edited": SignalType.REPO_UPDATED,
    },
    "dependabot_alert": {
        **_actions(SignalType.SECURITY_ALERT_OPENED, "created", "reopened", "auto_reopened", "reintroduced"),
        **_actions(SignalType.SECURITY_ALERT_RESOLVED, "fixed", "dismissed", "auto_dismissed"),
    },
    "code_scanning_alert": {
        **_actions(SignalType.SECURITY_ALERT_OPENED, "created", "appeared_in_branch", "reopened", "reopened_by_user"),
        **_actions(SignalType.SECURITY_ALERT_RESOLVED, "fixed", "closed_by_user"),
    },
    "secret_scanning_alert": {
        **_actions(SignalType.SECURITY_ALERT_OPENED, "created", "publicly_leaked", "reopened"),
        **_actions(SignalType.SECURITY_ALERT_RESOLVED, "resolved", "revoked"),
        "validated": NO_FIELD,
    },
    "merge_group": {
        "checks_requested": SignalType.MERGE_QUEUE_CHECKS_REQUESTED,
        "destroyed": "only the request for checks is told",
    },
}

# Documented events that become no signal, and why.
_IGNORED: dict[str, tuple[str, ...]] = {
    TEST_DELIVERY: ("ping",),
    LIFECYCLE: (
        *("meta", "installation", "installation_repositories", "installation_target"),
        *("github_app_authorization", "security_and_analysis"),
    ),
    TOLD_BY_PUSH: ("create", "delete"),
    "workflow_run or check_run tells of it": ("check_suite",),
    TOLD_BY_STATUS: ("deployment",),
    "dependabot_alert tells of it": ("repository_vulnerability_alert",),
    "secret_scanning_alert tells of it": ("secret_scanning_alert_location",),
    "an event about people, not about the work": (
        *("star", "watch", "fork", "member", "membership", "organization", "team", "team_add"),
    ),
}

RULES: dict[str, dict[str, Rule]] = {
    **MAPPED,
    **{event: {ANY: reason} for reason, events in _IGNORED.items() for event in events},
}
