"""Which GitLab event becomes which signals, and why the others become none.

The body says what happened: ``object_kind`` with ``object_attributes.action`` or a status, or ``event_name`` where a
group tells of its projects and members. An update of a merge request or issue is read from its ``changes``
(``mapping_changes``) and may mean several things at once.

Source: https://docs.gitlab.com/user/project/integrations/webhook_events/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from providers.adapters.gitlab import mapping_changes
from providers.canonical import SignalType
from providers.document import Document
from providers.spi import TEST_DELIVERY

Verdict = tuple[list[SignalType], str]
"""The signals, or none and the reason."""
Rule = Callable[[Document], Verdict]

UNKNOWN_EVENT = "unknown event type"
UNKNOWN_ACTION = "unknown action of a known event"
ONLY_START_AND_END = "only the start and the end are told"
NO_CHANGE = "changes no field a signal carries"
SYSTEM_NOTE = "a note GitLab wrote itself; the event of what it did tells of it"
LIFECYCLE = "tells of the connection, not of the work: an access token expires soon"


def classify(kind: str, document: Document) -> Verdict:
    """The signals an event becomes; an empty list comes with the reason."""
    rule = RULES.get(kind)
    if rule is not None:
        return rule(document)
    return [], IGNORED.get(kind, UNKNOWN_EVENT)


def action_of(kind: str, document: Document) -> str:
    """The provider's word for what was done, where it belongs to the name of the event."""
    if kind == "note":
        what, action = document.text("/object_attributes/noteable_type"), document.text("/object_attributes/action")
        return ".".join(part.lower() for part in (what, action) if part)
    return (document.text(*_ACTIONS.get(kind, ("/object_attributes/action", "/action"))) or "").lower()


_ACTIONS = {
    "pipeline": ("/object_attributes/status",),
    "build": ("/build_status",),
    "deployment": ("/status",),
    "vulnerability": ("/object_attributes/state",),
}


def is_zero(commit: str | None) -> bool:
    """Whether a commit stands for "none": 40 zeros, or 64 in a SHA-256 repository."""
    return bool(commit) and not (commit or "").strip("0")


def _push(created: SignalType, deleted: SignalType, moved: Verdict) -> Rule:
    def rule(document: Document) -> Verdict:
        if is_zero(document.text("/after")):
            return [deleted], ""
        return ([created], "") if is_zero(document.text("/before")) else moved

    return rule


def _by_word(kind: str, words: Mapping[str, SignalType], otherwise: str = UNKNOWN_ACTION) -> Rule:
    def rule(document: Document) -> Verdict:
        found = words.get(action_of(kind, document))
        return ([found], "") if found else ([], otherwise)

    return rule


def _merge_request(document: Document) -> Verdict:
    action = action_of("merge_request", document)
    if action == "update":
        found = mapping_changes.merge_request_meanings(document)
        return found, "" if found else NO_CHANGE
    known = _MERGE_REQUEST_ACTIONS.get(action)
    return ([known], "") if known else ([], _without(action))


def _issue(document: Document) -> Verdict:
    action = action_of("issue", document)
    if action == "update":
        found = mapping_changes.issue_meanings(document)
        return found, "" if found else NO_CHANGE
    known = _ISSUE_ACTIONS.get(action)
    return ([known], "") if known else ([], _without(action))


def _without(action: str) -> str:
    # The test button sends the newest issue or merge request: now as "open", formerly without any action.
    return UNKNOWN_ACTION if action else TEST_DELIVERY


def _note(document: Document) -> Verdict:
    if document.boolean("/object_attributes/system"):
        return [], SYSTEM_NOTE
    about, _, action = action_of("note", document).partition(".")
    # Before 16.11 only new notes were told, and the word was missing.
    known = _NOTES.get((about, action or "create"))
    if known:
        return [known], ""
    if about not in {noted for noted, _ in _NOTES}:
        return [], "only notes on merge requests, issues and commits are told"
    return [], "of notes on commits only new ones are told" if about == "commit" else UNKNOWN_ACTION


def _emoji(document: Document) -> Verdict:
    about = document.text("/object_attributes/awardable_type")
    if about == "Note":
        about = document.text("/note/noteable_type")
    known = _EMOJI.get(action_of("emoji", document))
    if about != "Issue":
        return [], "only reactions to issues and their comments are told"
    return ([known], "") if known else ([], UNKNOWN_ACTION)


# One click of a person is one delivery: "approved" if it was the last approval needed, else "approval". Where no
# approvals are required it is always "approved". Both are somebody's approval, and both ways back are alike.
_MERGE_REQUEST_ACTIONS = {
    "open": SignalType.PR_OPENED,
    "merge": SignalType.PR_MERGED,
    "close": SignalType.PR_CLOSED,
    "reopen": SignalType.PR_REOPENED,
    **dict.fromkeys(("approved", "approval"), SignalType.PR_APPROVED),
    **dict.fromkeys(("unapproved", "unapproval"), SignalType.PR_APPROVAL_REMOVED),
}
_ISSUE_ACTIONS = {
    "open": SignalType.ISSUE_CREATED,
    "close": SignalType.ISSUE_CLOSED,
    "reopen": SignalType.ISSUE_REOPENED,
}
_NOTES = {
    ("mergerequest", "create"): SignalType.PR_COMMENTED,
    ("mergerequest", "update"): SignalType.PR_COMMENT_UPDATED,
    ("issue", "create"): SignalType.ISSUE_COMMENTED,
    ("issue", "update"): SignalType.ISSUE_COMMENT_UPDATED,
    ("commit", "create"): SignalType.COMMIT_COMMENTED,
}
_EMOJI = {"award": SignalType.ISSUE_REACTION_ADDED, "revoke": SignalType.ISSUE_REACTION_REMOVED}
_PIPELINES = {
    # A pipeline tells "created" and "pending" before; every retry of a job makes it run again.
    "running": SignalType.PIPELINE_STARTED,
    "success": SignalType.PIPELINE_SUCCEEDED,
    "failed": SignalType.PIPELINE_FAILED,
    "canceled": SignalType.PIPELINE_CANCELLED,
    "skipped": SignalType.PIPELINE_COMPLETED,
}
_DEPLOYMENTS = {
    "running": SignalType.DEPLOYMENT_STARTED,
    "success": SignalType.DEPLOYMENT_SUCCEEDED,
    "failed": SignalType.DEPLOYMENT_FAILED,
    "canceled": SignalType.DEPLOYMENT_CANCELLED,
}
_RELEASES = {
    "create": SignalType.RELEASE_PUBLISHED,
    "update": SignalType.RELEASE_UPDATED,
    "delete": SignalType.RELEASE_DELETED,
}
_PAGES = {"create": SignalType.PAGE_CREATED, "update": SignalType.PAGE_UPDATED, "delete": SignalType.PAGE_DELETED}
_VULNERABILITIES = {
    **dict.fromkeys(("detected", "confirmed"), SignalType.SECURITY_ALERT_OPENED),
    **dict.fromkeys(("dismissed", "resolved"), SignalType.SECURITY_ALERT_RESOLVED),
}


def _always(signal_type: SignalType) -> Rule:
    return lambda _: ([signal_type], "")


RULES: dict[str, Rule] = {
    "push": _push(SignalType.BRANCH_CREATED, SignalType.BRANCH_DELETED, ([SignalType.PUSH], "")),
    "tag_push": _push(
        SignalType.TAG_CREATED,
        SignalType.TAG_DELETED,
        ([], "a tag was moved; only its creation and deletion are told"),
    ),
    "merge_request": _merge_request,
    "issue": _issue,
    "work_item": _issue,
    "note": _note,
    "emoji": _emoji,
    "pipeline": _by_word("pipeline", _PIPELINES, ONLY_START_AND_END),
    "build": _by_word(
        "build",
        {"success": SignalType.JOB_SUCCEEDED, "failed": SignalType.JOB_FAILED},
        "only success and failure are told",
    ),
    "deployment": _by_word("deployment", _DEPLOYMENTS, ONLY_START_AND_END),
    "release": _by_word("release", _RELEASES),
    "wiki_page": _by_word("wiki_page", _PAGES),
    "milestone": _always(SignalType.MILESTONE_UPDATED),
    "vulnerability": _by_word("vulnerability", _VULNERABILITIES),
    # Of group hooks; these bodies have an event_name and no object_kind.
    "project_create": _always(SignalType.REPO_CREATED),
    "project_destroy": _always(SignalType.REPO_DELETED),
    "user_add_to_group": _always(SignalType.MEMBER_ADDED),
    "user_update_for_group": _always(SignalType.MEMBER_UPDATED),
    "user_remove_from_group": _always(SignalType.MEMBER_REMOVED),
}

# Documented events that become no signal, and why.
IGNORED: dict[str, str] = {
    "access_token": LIFECYCLE,
    "feature_flag": "no signal tells of feature flags",
    **dict.fromkeys(("subgroup_create", "subgroup_destroy"), "no signal tells of groups"),
    **dict.fromkeys(
        ("user_access_request_to_group", "user_access_request_denied_for_group"), "only membership itself is told"
    ),
}
