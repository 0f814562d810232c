"""The canonical vocabulary: what a signal can be, whoever sent it.

Adapters translate provider words into these; nothing above ``providers`` ever sees a provider word
except as data. The vocabulary is closed: a happening that has no type here is stored as ``ignored``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

JSON = dict[str, Any]


class Severity(StrEnum):
    """Severity words of the ingestion service."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class Category(StrEnum):
    """What kind of tool a provider is."""

    SCM = "SCM"
    ISSUE_TRACKER = "issue_tracker"
    CHAT = "chat"
    CI_CD = "ci_cd"
    OBSERVABILITY = "observability"
    KNOWLEDGE = "knowledge"


# Canonical payload fields. A mapping may fill only these; the envelope's schema is made from them.
FIELDS: dict[str, tuple[str, str]] = {
    # name: (JSON type, meaning)
    "title": ("string", "Short text of the object: title, summary or first line."),
    "body": ("string", "Text as written by a person, cut at 4000 characters."),
    "state": ("string", "State after the happening, in the provider's word, lower case."),
    "previous_state": ("string", "State before the happening."),
    "state_category": ("string", "Provider-free state: new, in_progress or done."),
    "state_reason": ("string", "Why the state changed, where the provider says."),
    "url": ("string", "Page a person can open."),
    "author": ("string", "Who wrote the object the signal is about (may differ from actor_id)."),
    "assignee": ("string", "Login or account id assigned by this happening; absent if removed."),
    "previous_assignee": ("string", "Assignee before the happening."),
    "assignees": ("array", "All assignees after the happening."),
    "label": ("string", "Label added or removed by this happening."),
    "labels": ("array", "All labels after the happening."),
    "previous_labels": ("array", "All labels before the happening."),
    "reviewer": ("string", "Reviewer asked for or removed."),
    "reviewer_team": ("string", "Team asked for review or removed."),
    "review_state": ("string", "approved, changes_requested, commented or dismissed."),
    "draft": ("boolean", "Whether the pull request is a draft."),
    "from_fork": ("boolean", "Whether the pull request's head lies in another repository."),
    "base_branch": ("string", "Branch a pull request is to be merged into."),
    "merged_by": ("string", "Who merged."),
    "comment_id": ("string", "Provider's id of the comment."),
    "thread_id": ("string", "Provider's id of the review thread or message thread."),
    "file_path": ("string", "File the comment or alert points at."),
    "changed_fields": ("array", "Names of the fields that changed, provider's words."),
    "priority": ("string", "Priority name."),
    "issue_type": ("string", "Kind of issue: bug, task, story …"),
    "milestone": ("string", "Milestone title."),
    "parent": ("string", "Key of the parent issue."),
    "name": ("string", "Name of the object where it is not a title: branch, tag, check, release."),
    "previous_name": ("string", "Name before a rename."),
    "description": ("string", "One-line description given by the provider."),
    "forced": ("boolean", "Whether history was rewritten by a push."),
    "before": ("string", "Commit the ref pointed at before."),
    "commit_count": ("integer", "Number of commits in a push, as listed by the provider."),
    "conclusion": ("string", "How a run ended, provider's word."),
    "run_id": ("string", "Provider's id of the run."),
    "run_attempt": ("integer", "Attempt number of the run, from 1."),
    "run_number": ("integer", "Number of the run within its pipeline."),
    "pipeline": ("string", "Name of the pipeline or workflow."),
    "environment": ("string", "Deployment environment."),
    "log_url": ("string", "Where the log of a run or deployment can be read."),
    "tag": ("string", "Tag of a release."),
    "prerelease": ("boolean", "Whether a release is marked as a pre-release."),
    "alert_kind": ("string", "dependency, code or secret."),
    "alert_rule": ("string", "Rule, advisory or secret type that raised the alert."),
    "transferred_to": ("string", "Where the object now lives."),
    "sprint_id": ("string", "Provider's id of the sprint."),
    "sprint": ("string", "Name of the sprint."),
    "previous_sprint": ("string", "Name of the sprint before."),
    "board_id": ("string", "Provider's id of the board."),
    "goal": ("string", "Goal of the sprint."),
    "starts_at": ("string", "Start, ISO 8601."),
    "ends_at": ("string", "End, ISO 8601."),
    "released": ("boolean", "Whether a version is released."),
    "merged_into": ("string", "Id of the object this one was merged into."),
    "duration_seconds": ("integer", "Duration in seconds."),
    "file_name": ("string", "Name of an attached file."),
    "link_type": ("string", "Kind of link between two issues."),
    "linked_to": ("string", "Key or id of the object at the other end of a link."),
}

_ISSUE = "title state state_category url author assignee assignees labels priority issue_type milestone parent"
_PR = "title state url author draft from_fork base_branch labels assignees milestone"
_COMMENT = "title body url author comment_id"
_RUN = "title name state conclusion url run_id run_attempt run_number pipeline"
_REPO = "name previous_name description url"


class SignalType(StrEnum):
    """Every canonical happening: value, meaning, the fields it may carry, and its usual severity."""

    meaning: str
    fields: tuple[str, ...]
    severity: Severity

    def __new__(cls, value: str, meaning: str = "", fields: str = "", severity: Severity = Severity.INFO) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        member.fields = tuple(dict.fromkeys(fields.split()))
        member.severity = severity
        return member

    # Code
    PUSH = "push", "Commits were pushed to a branch.", "title url forced before commit_count name"
    BRANCH_CREATED = "branch_created", "A branch was created.", "name url"
    BRANCH_DELETED = "branch_deleted", "A branch was deleted.", "name url before"
    TAG_CREATED = "tag_created", "A tag was created.", "name url"
    TAG_DELETED = "tag_deleted", "A tag was deleted.", "name url before"
    COMMIT_COMMENTED = "commit_commented", "A commit was commented on.", _COMMENT + " file_path"
    # Pull requests (merge requests are pull requests here)
    PR_OPENED = "pr_opened", "A pull request was opened.", _PR + " body"
    PR_SYNCHRONIZED = "pr_synchronized", "New commits arrived on a pull request's branch.", _PR + " before"
    PR_UPDATED = "pr_updated", "A pull request's text, base or settings changed.", _PR + " body changed_fields"
    PR_MERGED = "pr_merged", "A pull request was merged.", _PR + " merged_by"
    PR_CLOSED = "pr_closed", "A pull request was closed without merging.", _PR
    PR_REOPENED = "pr_reopened", "A closed pull request was opened again.", _PR
    PR_READY_FOR_REVIEW = "pr_ready_for_review", "A draft became ready for review.", _PR
    PR_CONVERTED_TO_DRAFT = "pr_converted_to_draft", "A pull request became a draft.", _PR
    PR_REVIEW_REQUESTED = "pr_review_requested", "Somebody was asked to review.", _PR + " reviewer reviewer_team"
    PR_REVIEW_REQUEST_REMOVED = (
        "pr_review_request_removed",
        "A request for review was withdrawn.",
        _PR + " reviewer reviewer_team",
    )
    PR_ASSIGNED = "pr_assigned", "Somebody was assigned to a pull request.", _PR + " assignee"
    PR_UNASSIGNED = "pr_unassigned", "Somebody was taken off a pull request.", _PR + " previous_assignee"
    PR_LABELED = "pr_labeled", "A label was put on a pull request.", _PR + " label"
    PR_UNLABELED = "pr_unlabeled", "A label was taken off a pull request.", _PR + " label"
    PR_APPROVED = "pr_approved", "A review approved a pull request.", _PR + " body review_state reviewer"
    PR_CHANGES_REQUESTED = (
        "pr_changes_requested",
        "A review asked for changes.",
        _PR + " body review_state reviewer",
    )
    PR_REVIEW_SUBMITTED = (
        "pr_review_submitted",
        "A review that neither approves nor asks for changes.",
        _PR + " body review_state reviewer",
    )
    PR_REVIEW_DISMISSED = "pr_review_dismissed", "A review was dismissed.", _PR + " review_state reviewer"
    PR_COMMENTED = "pr_commented", "A pull request was commented on.", _COMMENT + " file_path thread_id"
    PR_COMMENT_UPDATED = "pr_comment_updated", "A comment on a pull request was edited.", _COMMENT + " file_path"
    PR_COMMENT_DELETED = "pr_comment_deleted", "A comment on a pull request was deleted.", _COMMENT + " file_path"
    PR_THREAD_RESOLVED = "pr_thread_resolved", "A review thread was resolved.", _PR + " thread_id file_path"
    PR_THREAD_UNRESOLVED = "pr_thread_unresolved", "A review thread was opened again.", _PR + " thread_id file_path"
    MERGE_QUEUE_CHECKS_REQUESTED = (
        "merge_queue_checks_requested",
        "The merge queue asks for checks on a group.",
        "base_branch name",
    )
    # Issues
    ISSUE_CREATED = "issue_created", "An issue was created.", _ISSUE + " body"
    ISSUE_UPDATED = "issue_updated", "An issue's fields changed.", _ISSUE + " body changed_fields"
    ISSUE_CLOSED = "issue_closed", "An issue was closed.", _ISSUE + " state_reason"
    ISSUE_REOPENED = "issue_reopened", "A closed issue was opened again.", _ISSUE + " state_reason"
    ISSUE_TRANSITIONED = "issue_transitioned", "An issue moved in its workflow.", _ISSUE + " previous_state"
    ISSUE_ASSIGNED = "issue_assigned", "An issue's assignee changed.", _ISSUE + " previous_assignee"
    ISSUE_UNASSIGNED = "issue_unassigned", "An issue lost an assignee.", _ISSUE + " previous_assignee"
    ISSUE_LABELED = "issue_labeled", "An issue's labels grew or changed.", _ISSUE + " label previous_labels"
    ISSUE_UNLABELED = "issue_unlabeled", "A label was taken off an issue.", _ISSUE + " label previous_labels"
    ISSUE_SPRINT_CHANGED = (
        "issue_sprint_changed",
        "An issue moved between sprints.",
        _ISSUE + " sprint previous_sprint",
    )
    ISSUE_LINKED = "issue_linked", "Two issues were linked.", _ISSUE + " link_type linked_to"
    ISSUE_UNLINKED = "issue_unlinked", "A link between two issues was removed.", _ISSUE + " link_type linked_to"
    ISSUE_TRANSFERRED = "issue_transferred", "An issue moved to another place.", _ISSUE + " transferred_to"
    ISSUE_DELETED = "issue_deleted", "An issue was deleted.", _ISSUE
    ISSUE_COMMENTED = "issue_commented", "An issue was commented on.", _COMMENT
    ISSUE_COMMENT_UPDATED = "issue_comment_updated", "A comment on an issue was edited.", _COMMENT
    ISSUE_COMMENT_DELETED = "issue_comment_deleted", "A comment on an issue was deleted.", _COMMENT
    ISSUE_ATTACHMENT_ADDED = "issue_attachment_added", "A file was attached.", "file_name url author"
    ISSUE_ATTACHMENT_REMOVED = "issue_attachment_removed", "An attached file was removed.", "file_name url author"
    ISSUE_WORKLOG_ADDED = "issue_worklog_added", "Work was logged.", "duration_seconds author body"
    ISSUE_WORKLOG_UPDATED = "issue_worklog_updated", "Logged work was changed.", "duration_seconds author body"
    ISSUE_WORKLOG_DELETED = "issue_worklog_deleted", "Logged work was deleted.", "duration_seconds author body"
    # Planning
    SPRINT_CREATED = "sprint_created", "A sprint was created.", "sprint_id sprint board_id state goal"
    SPRINT_UPDATED = "sprint_updated", "A sprint was changed.", "sprint_id sprint previous_sprint board_id state goal"
    SPRINT_STARTED = "sprint_started", "A sprint started.", "sprint_id sprint board_id state goal starts_at ends_at"
    SPRINT_CLOSED = "sprint_closed", "A sprint ended.", "sprint_id sprint board_id state goal starts_at ends_at"
    SPRINT_DELETED = "sprint_deleted", "A sprint was deleted.", "sprint_id sprint board_id state goal"
    VERSION_CREATED = "version_created", "A version was created.", "name description released"
    VERSION_UPDATED = "version_updated", "A version was changed or moved.", "name description released"
    VERSION_RELEASED = "version_released", "A version was released.", "name description released"
    VERSION_UNRELEASED = "version_unreleased", "A release of a version was taken back.", "name description released"
    VERSION_DELETED = "version_deleted", "A version was deleted.", "name description released merged_into"
    PROJECT_CREATED = "project_created", "A project was created.", "name url"
    PROJECT_UPDATED = "project_updated", "A project was changed.", "name url"
    PROJECT_DELETED = "project_deleted", "A project was deleted.", "name url"
    PROJECT_ARCHIVED = "project_archived", "A project was archived.", "name url"
    PROJECT_RESTORED = "project_restored", "A project came back.", "name url"
    BOARD_CREATED = "board_created", "A board was created.", "name board_id url"
    BOARD_UPDATED = "board_updated", "A board was changed.", "name board_id url"
    BOARD_DELETED = "board_deleted", "A board was deleted.", "name board_id url"
    # Continuous integration
    PIPELINE_STARTED = "pipeline_started", "A pipeline run started.", _RUN
    PIPELINE_SUCCEEDED = "pipeline_succeeded", "A pipeline run succeeded.", _RUN
    PIPELINE_FAILED = "pipeline_failed", "A pipeline run failed.", _RUN, Severity.ERROR
    PIPELINE_CANCELLED = "pipeline_cancelled", "A pipeline run was cancelled.", _RUN, Severity.WARNING
    PIPELINE_COMPLETED = "pipeline_completed", "A pipeline run ended neither well nor badly.", _RUN
    JOB_SUCCEEDED = "job_succeeded", "A job of a pipeline succeeded.", _RUN
    JOB_FAILED = "job_failed", "A job of a pipeline failed.", _RUN, Severity.ERROR
    CHECK_STARTED = "check_started", "A check on a commit started.", _RUN + " description"
    CHECK_SUCCEEDED = "check_succeeded", "A check on a commit succeeded.", _RUN + " description"
    CHECK_FAILED = "check_failed", "A check on a commit failed.", _RUN + " description", Severity.ERROR
    # Releases and deployments
    RELEASE_PUBLISHED = "release_published", "A release was published.", "title name tag prerelease url author body"
    DEPLOYMENT_STARTED = "deployment_started", "A deployment started.", "environment state url log_url description"
    DEPLOYMENT_SUCCEEDED = (
        "deployment_succeeded",
        "A deployment succeeded.",
        "environment state url log_url description",
    )
    DEPLOYMENT_FAILED = (
        "deployment_failed",
        "A deployment failed.",
        "environment state url log_url description",
        Severity.ERROR,
    )
    # Repositories
    REPO_CREATED = "repo_created", "A repository was created.", _REPO
    REPO_RENAMED = "repo_renamed", "A repository was renamed.", _REPO
    REPO_TRANSFERRED = "repo_transferred", "A repository changed its owner.", _REPO
    REPO_ARCHIVED = "repo_archived", "A repository was archived.", _REPO
    REPO_UNARCHIVED = "repo_unarchived", "A repository came back from the archive.", _REPO
    REPO_DELETED = "repo_deleted", "A repository was deleted.", _REPO, Severity.WARNING
    REPO_PUBLICIZED = "repo_publicized", "A repository became public.", _REPO, Severity.WARNING
    REPO_PRIVATIZED = "repo_privatized", "A repository became private.", _REPO
    REPO_UPDATED = "repo_updated", "A repository's settings or text changed.", _REPO + " changed_fields"
    # Security
    SECURITY_ALERT_OPENED = (
        "security_alert_opened",
        "A security alert was raised.",
        "title state url alert_kind alert_rule file_path",
        Severity.WARNING,
    )
    SECURITY_ALERT_RESOLVED = (
        "security_alert_resolved",
        "A security alert was fixed or dismissed.",
        "title state state_reason url alert_kind alert_rule file_path",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What the signal is about, in the ingestion service's own keys."""

    repository: str | None = None
    branch: str | None = None
    commit: str | None = None
    pr_id: int | None = None
    file_path: str | None = None
    module: str | None = None
    service_name: str | None = None
    environment: str | None = None
    deployment_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One canonical happening as an adapter tells it: no tenant, no connection, no ids of ours.

    ``occurred_at`` is the provider's clock (timezone-aware) or ``None`` where the provider gives no
    time; the time of receipt is used then. ``fields`` may hold only what ``signal_type.fields`` lists.
    """

    signal_type: SignalType
    occurred_at: datetime | None = None
    actor_id: str | None = None
    resource: Resource = field(default_factory=Resource)
    canonical_keys: Mapping[str, str | int] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity | None = None
