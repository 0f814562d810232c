"""Every canonical happening, whoever sent it.

Adapters translate provider words into these; nothing above ``providers`` ever sees a provider word
except as data. The vocabulary is closed: a happening that has no type here is stored as ``ignored``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Severity(StrEnum):
    """Severity words of the ingestion service."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


_ISSUE = "title state state_category url author assignee assignees labels priority issue_type milestone parent"
_PR = "title state url author draft from_fork base_branch labels assignees milestone"
_COMMENT = "title body url author comment_id"
_RUN = "title name state conclusion url run_id run_attempt run_number pipeline"
_REPO = "name previous_name description url"
_DEPLOYMENT = "environment state url log_url description"
_RELEASE = "title name tag prerelease url author body"
_MESSAGE = "body url channel channel_name channel_kind message_id thread_id"
_CHANNEL = "channel channel_name channel_kind name previous_name url"
_PAGE = "title body url author page_id"


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
    PR_APPROVAL_REMOVED = "pr_approval_removed", "An approval was taken back or reset.", _PR + " review_state reviewer"
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
    ISSUE_PRIORITY_CHANGED = "issue_priority_changed", "An issue's priority changed.", _ISSUE + " previous_priority"
    ISSUE_ARCHIVED = "issue_archived", "An issue was archived.", _ISSUE
    ISSUE_RESTORED = "issue_restored", "An issue came back from the archive or the trash.", _ISSUE
    ISSUE_REACTION_ADDED = "issue_reaction_added", "Somebody reacted to an issue or comment.", "reaction url comment_id"
    ISSUE_REACTION_REMOVED = "issue_reaction_removed", "A reaction was taken back.", "reaction url comment_id"
    ISSUE_SLA_SET = "issue_sla_set", "A service level was set for an issue.", _ISSUE + " due_at"
    ISSUE_SLA_AT_RISK = (
        "issue_sla_at_risk",
        "A service level is about to be missed.",
        _ISSUE + " due_at",
        Severity.WARNING,
    )
    ISSUE_SLA_BREACHED = "issue_sla_breached", "A service level was missed.", _ISSUE + " due_at", Severity.ERROR
    ISSUE_COMMENTED = "issue_commented", "An issue was commented on.", _COMMENT
    ISSUE_COMMENT_UPDATED = "issue_comment_updated", "A comment on an issue was edited.", _COMMENT
    ISSUE_COMMENT_DELETED = "issue_comment_deleted", "A comment on an issue was deleted.", _COMMENT
    ISSUE_ATTACHMENT_ADDED = "issue_attachment_added", "A file was attached.", "file_name url author"
    ISSUE_ATTACHMENT_REMOVED = "issue_attachment_removed", "An attached file was removed.", "file_name url author"
    ISSUE_WORKLOG_ADDED = "issue_worklog_added", "Work was logged.", "duration_seconds author body"
    ISSUE_WORKLOG_UPDATED = "issue_worklog_updated", "Logged work was changed.", "duration_seconds author body"
    ISSUE_WORKLOG_DELETED = "issue_worklog_deleted", "Logged work was deleted.", "duration_seconds author body"
    LABEL_CREATED = "label_created", "A label was created.", "name url"
    LABEL_UPDATED = "label_updated", "A label was changed.", "name previous_name url"
    LABEL_DELETED = "label_deleted", "A label was deleted.", "name url"
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
    PROJECT_COMMENTED = "project_commented", "A project or its status report was commented on.", _COMMENT
    PROJECT_STATUS_POSTED = (
        "project_status_posted",
        "A status report of a project was posted.",
        "name body url health author",
    )
    PROJECT_STATUS_UPDATED = "project_status_updated", "A status report was changed.", "name body url health author"
    PROJECT_STATUS_DELETED = "project_status_deleted", "A status report was deleted.", "name body url health author"
    MILESTONE_UPDATED = (
        "milestone_updated",
        "A milestone was created, changed, closed or reopened.",
        "title state url ends_at",
    )
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
    RELEASE_PUBLISHED = "release_published", "A release was published.", _RELEASE
    RELEASE_UPDATED = "release_updated", "A release was changed.", _RELEASE
    RELEASE_DELETED = "release_deleted", "A release was deleted or abandoned.", _RELEASE
    DEPLOYMENT_STARTED = "deployment_started", "A deployment started.", _DEPLOYMENT
    DEPLOYMENT_SUCCEEDED = "deployment_succeeded", "A deployment succeeded.", _DEPLOYMENT
    DEPLOYMENT_FAILED = "deployment_failed", "A deployment failed.", _DEPLOYMENT, Severity.ERROR
    DEPLOYMENT_CANCELLED = "deployment_cancelled", "A deployment was cancelled.", _DEPLOYMENT, Severity.WARNING
    DEPLOYMENT_APPROVAL_REQUESTED = (
        "deployment_approval_requested",
        "A deployment waits for an approval.",
        _DEPLOYMENT + " stage pipeline reviewer",
    )
    DEPLOYMENT_APPROVAL_COMPLETED = (
        "deployment_approval_completed",
        "An approval of a deployment was given or refused.",
        _DEPLOYMENT + " stage pipeline reviewer review_state",
    )
    # Repositories
    REPO_CREATED = "repo_created", "A repository was created.", _REPO
    REPO_FORKED = "repo_forked", "A repository was forked.", _REPO
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
    # Chat
    CHAT_MESSAGE = "chat_message", "A message was posted.", _MESSAGE
    CHAT_MENTION = "chat_mention", "A message addresses this service or its app.", _MESSAGE
    CHAT_MESSAGE_UPDATED = "chat_message_updated", "A message was edited.", _MESSAGE + " previous_body"
    CHAT_MESSAGE_DELETED = "chat_message_deleted", "A message was deleted.", _MESSAGE + " previous_body"
    CHAT_MESSAGE_RESTORED = "chat_message_restored", "A deleted message came back.", _MESSAGE
    CHAT_MESSAGE_PINNED = "chat_message_pinned", "A message was pinned.", _MESSAGE
    CHAT_MESSAGE_UNPINNED = "chat_message_unpinned", "A message was unpinned.", _MESSAGE
    CHAT_REACTION_ADDED = "chat_reaction_added", "Somebody reacted to a message.", _MESSAGE + " reaction author"
    CHAT_REACTION_REMOVED = "chat_reaction_removed", "A reaction was taken back.", _MESSAGE + " reaction author"
    CHAT_FILE_SHARED = "chat_file_shared", "A file was shared in a channel.", _MESSAGE + " file_name"
    CHAT_LINK_SHARED = "chat_link_shared", "A link to a registered domain was posted.", _MESSAGE + " linked_to"
    CHAT_COMMAND = "chat_command", "Somebody used a command.", _MESSAGE + " command"
    CHAT_ACTION = "chat_action", "Somebody used a button, menu or form of a message.", _MESSAGE + " component"
    CHANNEL_CREATED = "channel_created", "A channel was created.", _CHANNEL
    CHANNEL_RENAMED = "channel_renamed", "A channel was renamed.", _CHANNEL
    CHANNEL_ARCHIVED = "channel_archived", "A channel was archived.", _CHANNEL
    CHANNEL_UNARCHIVED = "channel_unarchived", "A channel came back from the archive.", _CHANNEL
    CHANNEL_DELETED = "channel_deleted", "A channel was deleted.", _CHANNEL
    CHANNEL_MEMBER_JOINED = "channel_member_joined", "Somebody joined a channel.", _CHANNEL + " member"
    CHANNEL_MEMBER_LEFT = "channel_member_left", "Somebody left a channel.", _CHANNEL + " member"
    # People
    USER_JOINED = "user_joined", "Somebody joined the workspace.", "name member"
    MEMBER_ADDED = "member_added", "Somebody was given access to a project or group.", "name member url"
    MEMBER_UPDATED = "member_updated", "Somebody's access was changed.", "name member url"
    MEMBER_REMOVED = "member_removed", "Somebody's access was taken away.", "name member url"
    # Pages
    PAGE_CREATED = "page_created", "A page or document was created.", _PAGE
    PAGE_UPDATED = "page_updated", "A page or document was changed.", _PAGE + " changed_fields"
    PAGE_DELETED = "page_deleted", "A page or document was deleted.", _PAGE
    PAGE_PURGED = "page_purged", "A deleted page or document was removed for good.", _PAGE
    PAGE_RESTORED = "page_restored", "A deleted page or document came back.", _PAGE
    PAGE_MOVED = "page_moved", "A page or document moved to another place.", _PAGE
    PAGE_ARCHIVED = "page_archived", "A page or document was archived.", _PAGE
    PAGE_UNARCHIVED = "page_unarchived", "A page or document came back from the archive.", _PAGE
    PAGE_LABELED = "page_labeled", "A label was put on a page or document.", _PAGE + " label"
    PAGE_UNLABELED = "page_unlabeled", "A label was taken off a page or document.", _PAGE + " label"
    PAGE_COMMENTED = "page_commented", "A page or document was commented on.", _COMMENT + " page_id"
    PAGE_COMMENT_UPDATED = "page_comment_updated", "A comment on a page or document was edited.", _COMMENT + " page_id"
    PAGE_COMMENT_DELETED = "page_comment_deleted", "A comment on a page or document was deleted.", _COMMENT + " page_id"
    PAGE_ATTACHMENT_ADDED = "page_attachment_added", "A file was attached to a page or document.", _PAGE + " file_name"
    PAGE_ATTACHMENT_UPDATED = (
        "page_attachment_updated",
        "A file attached to a page or document was replaced or changed.",
        _PAGE + " file_name",
    )
    PAGE_ATTACHMENT_REMOVED = (
        "page_attachment_removed",
        "A file was taken off a page or document.",
        _PAGE + " file_name",
    )
    BLOG_CREATED = "blog_created", "A blog post was published.", _PAGE
    BLOG_UPDATED = "blog_updated", "A blog post was changed.", _PAGE + " changed_fields"
    BLOG_DELETED = "blog_deleted", "A blog post was deleted.", _PAGE
    BLOG_PURGED = "blog_purged", "A deleted blog post was removed for good.", _PAGE
    SPACE_CREATED = "space_created", "A space for pages was created.", "name url"
    SPACE_UPDATED = "space_updated", "A space for pages was changed.", "name url"
    SPACE_DELETED = "space_deleted", "A space for pages was deleted.", "name url"
    # Anything else
    EXTERNAL_EVENT_RECEIVED = (
        "external_event_received",
        "A verified event of a tool whose words this service does not know; the attributes hold its type.",
        "title name state url author",
    )
