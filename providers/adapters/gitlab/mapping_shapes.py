"""Shapes of what people do: pushes, merge requests, issues, notes, pages, members.

``iid`` is the number people see and URLs hold; ``id`` is of the whole instance.

Source: https://docs.gitlab.com/user/project/integrations/webhook_events/
"""

from __future__ import annotations

from providers.adapters.gitlab import mapping_changes
from providers.adapters.gitlab.mapping_parts import (
    ATTRIBUTES,
    ID_LENGTH,
    Parts,
    Shape,
    first_line,
    lower,
    page,
    repository_id,
)
from providers.canonical import JSON, SignalType
from providers.document import Document

_REVIEW_STATES = {
    SignalType.PR_APPROVED: "approved",
    SignalType.PR_CHANGES_REQUESTED: "changes_requested",
    SignalType.PR_REVIEW_SUBMITTED: "commented",
    SignalType.PR_APPROVAL_REMOVED: "dismissed",
}


def _name_of(document: Document, author_id: int | None) -> str | None:
    """The login behind a number, if the body knows that person; other bodies give the number alone."""
    people = [Document(document.at("/user")), *document.items("/assignees"), *document.items("/reviewers")]
    return next((p.text("/username") for p in people if author_id is not None and p.integer("/id") == author_id), None)


def _author(document: Document, signal_type: SignalType) -> str | None:
    author_id = document.integer(f"{ATTRIBUTES}/author_id")
    # A polled body names its author itself.
    known = document.text(f"{ATTRIBUTES}/author/username") or _name_of(document, author_id)
    # Older bodies do not number the person; who opened something wrote it. A moved issue is opened by another.
    opened = signal_type in (SignalType.PR_OPENED, SignalType.ISSUE_CREATED)
    if known or not opened or (author_id is not None and document.integer("/user/id") is not None):
        return known
    return document.text("/user/username")


def _assignees(document: Document) -> list[str]:
    # Older bodies name one only.
    return document.texts("/assignees", "/username") or Document([document.at("/assignee")]).texts("", "/username")


def _push(document: Document, signal_type: SignalType) -> Parts:
    ref, before, after = document.text("/ref") or "", document.text("/before"), document.text("/after")
    branch = ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None
    tag = ref.removeprefix("refs/tags/") if ref.startswith("refs/tags/") else None
    deleted = signal_type in (SignalType.BRANCH_DELETED, SignalType.TAG_DELETED)
    head = next((commit for commit in document.items("/commits") if commit.text("/id") == after), Document(None))
    pages = {
        SignalType.PUSH: ("compare", f"{before}...{after}" if before and after else None),
        SignalType.BRANCH_CREATED: ("tree", branch),
        SignalType.TAG_CREATED: ("tags", tag),
    }
    return Parts(
        # The checkout is the commit itself; ``after`` of an annotated tag is the tag's own object.
        resource={"branch": branch, "commit": None if deleted else document.text("/checkout_sha", "/after")},
        fields={
            "title": first_line(head, "/title", "/message"),
            "name": branch or tag or ref,
            "url": page(document, *pages[signal_type]) if signal_type in pages else None,
            "before": before,
            "commit_count": document.integer("/total_commits_count"),
        },
        # A push has no user object, and in older bodies no login.
        actor=document.name("/user_username", "/user_name", "/user_id", limit=ID_LENGTH),
    )


def _merge_request(document: Document, signal_type: SignalType) -> Parts:
    root = ATTRIBUTES
    number = document.integer(f"{root}/iid")
    commit = document.text(f"{root}/last_commit/id")
    merged = signal_type is SignalType.PR_MERGED
    if merged:
        # Empty after a fast-forward: the head of the branch is then what was merged.
        commit = document.text(f"{root}/merge_commit_sha", f"{root}/squash_commit_sha") or commit
    draft = document.boolean(f"{root}/draft")
    parts = Parts(
        resource={
            "branch": document.text(f"{root}/source_branch"),
            "commit": commit,
            "pr_id": number,
            **_home(document, f"{root}/target/path_with_namespace"),
        },
        keys={
            "repository_id": document.integer(f"{root}/target_project_id") or repository_id(document),
            "pr_number": number,
        },
        fields={
            "title": document.text(f"{root}/title"),
            "body": document.text(f"{root}/description"),
            "state": lower(document, f"{root}/state"),
            "url": document.text(f"{root}/url"),
            "author": _author(document, signal_type),
            "draft": document.boolean(f"{root}/work_in_progress") if draft is None else draft,
            "from_fork": _from_fork(document),
            "base_branch": document.text(f"{root}/target_branch"),
            "labels": document.texts("/labels", "/title"),
            "assignees": _assignees(document),
            "before": document.text(f"{root}/oldrev"),
            "merged_by": document.text("/user/username") if merged else None,
            "changed_fields": mapping_changes.changed_fields(document),
        },
        attributes={"system_action": document.text(f"{root}/system_action")},
    )
    _add_review(parts, document, signal_type)
    _add_changes(parts, document, signal_type)
    return parts


def _home(document: Document, pointer: str) -> JSON:
    """The repository an object belongs to, where its own part names it."""
    path = document.text(pointer)
    return {"repository": path} if path else {}


def _from_fork(document: Document) -> bool | None:
    source, target = (document.integer(f"{ATTRIBUTES}/{side}_project_id") for side in ("source", "target"))
    return None if source is None or target is None else source != target


def _add_review(parts: Parts, document: Document, signal_type: SignalType) -> None:
    by_person = not document.boolean(f"{ATTRIBUTES}/system")
    reviewers = mapping_changes.reviewers(document)
    match signal_type:
        case SignalType.PR_APPROVED:
            parts.fields["reviewer"] = document.text("/user/username")
        case SignalType.PR_APPROVAL_REMOVED if by_person:
            # Reset by a push it is unknown whose approvals they were; the person is the one who pushed.
            parts.fields["reviewer"] = document.text("/user/username")
        case SignalType.PR_REVIEW_REQUESTED:
            parts.fields["reviewer"] = next(iter(reviewers.gained), None)
            parts.attributes["reviewers_added"] = reviewers.gained
        case SignalType.PR_REVIEW_REQUEST_REMOVED:
            parts.fields["reviewer"] = next(iter(reviewers.lost), None)
            parts.attributes["reviewers_removed"] = reviewers.lost
        case SignalType.PR_CHANGES_REQUESTED | SignalType.PR_REVIEW_SUBMITTED:
            state = "requested_changes" if signal_type is SignalType.PR_CHANGES_REQUESTED else "reviewed"
            parts.fields["reviewer"] = next(iter(mapping_changes.reviewed(document, state)), None)
    parts.fields["review_state"] = _REVIEW_STATES.get(signal_type)


def _add_changes(parts: Parts, document: Document, signal_type: SignalType) -> None:
    """Which labels and people came and went; the field names the first, the attributes all."""
    label, assignee = mapping_changes.labels(document), mapping_changes.assignees(document)
    match signal_type:
        case SignalType.PR_LABELED | SignalType.ISSUE_LABELED:
            parts.fields["label"] = next(iter(label.gained), None)
            parts.attributes |= {"labels_added": label.gained, "labels_removed": label.lost}
        case SignalType.PR_UNLABELED | SignalType.ISSUE_UNLABELED:
            parts.fields["label"] = next(iter(label.lost), None)
            parts.attributes["labels_removed"] = label.lost
        case SignalType.PR_ASSIGNED | SignalType.ISSUE_ASSIGNED:
            parts.fields["assignee"] = next(iter(assignee.gained), None)
            parts.fields["previous_assignee"] = next(iter(assignee.lost), None)
            parts.attributes["assignees_added"] = assignee.gained
        case SignalType.PR_UNASSIGNED | SignalType.ISSUE_UNASSIGNED:
            parts.fields["previous_assignee"] = next(iter(assignee.lost), None)
            parts.attributes["assignees_removed"] = assignee.lost
    if signal_type in (SignalType.ISSUE_LABELED, SignalType.ISSUE_UNLABELED):
        parts.fields["previous_labels"] = document.texts("/changes/labels/previous", "/title")


def _issue_keys(document: Document, number: int | None) -> JSON:
    repository = document.text("/project/path_with_namespace")
    return {
        "issue_number": number,
        "issue_key": f"{repository}#{number}" if repository and number is not None else None,
    }


def _issue(document: Document, signal_type: SignalType) -> Parts:
    root = ATTRIBUTES
    state = lower(document, f"{root}/state")
    parts = Parts(
        keys=_issue_keys(document, document.integer(f"{root}/iid")),
        fields={
            "title": document.text(f"{root}/title"),
            "body": document.text(f"{root}/description"),
            "state": state,
            "state_category": {"opened": "new", "closed": "done"}.get(state),
            "url": document.text(f"{root}/url"),
            "author": _author(document, signal_type),
            "assignees": _assignees(document),
            "labels": document.texts("/labels", "/title"),
            "issue_type": document.text(f"{root}/type"),
            "changed_fields": mapping_changes.changed_fields(document),
        },
        attributes={"confidential": document.boolean(f"{root}/confidential")},
    )
    _add_changes(parts, document, signal_type)
    return parts


def _note(document: Document, signal_type: SignalType) -> Parts:
    root = ATTRIBUTES
    path = document.text(f"{root}/position/new_path", f"{root}/st_diff/new_path")
    number, comment_id = document.integer("/merge_request/iid"), document.text(f"{root}/id")
    parts = Parts(
        resource={
            "commit": document.text("/commit/id", "/merge_request/last_commit/id"),
            "branch": document.text("/merge_request/source_branch"),
            "pr_id": number,
            "file_path": path,
        },
        keys={"pr_number": number, "comment_id": comment_id},
        fields={
            "title": first_line(document, "/merge_request/title", "/issue/title", "/commit/title", "/commit/message"),
            "body": document.text(f"{root}/note"),
            "url": document.text(f"{root}/url"),
            "author": _note_author(document, signal_type),
            "comment_id": comment_id,
            "thread_id": document.text(f"{root}/discussion_id"),
            "file_path": path,
        },
    )
    if document.at("/issue") is not None:
        parts.keys |= _issue_keys(document, document.integer("/issue/iid"))
        parts.attributes["confidential"] = document.boolean("/issue/confidential")
    return parts


def _note_author(document: Document, signal_type: SignalType) -> str | None:
    if signal_type in (SignalType.PR_COMMENT_UPDATED, SignalType.ISSUE_COMMENT_UPDATED):
        return _name_of(document, document.integer(f"{ATTRIBUTES}/author_id"))
    return document.text("/user/username")


def _emoji(document: Document, _: SignalType) -> Parts:
    comment_id = document.text("/note/id")
    return Parts(
        keys={**_issue_keys(document, document.integer("/issue/iid")), "comment_id": comment_id},
        fields={
            "reaction": document.text(f"{ATTRIBUTES}/name"),
            "url": document.text(f"{ATTRIBUTES}/awarded_on_url"),
            "comment_id": comment_id,
        },
    )


def _wiki_page(document: Document, signal_type: SignalType) -> Parts:
    page_id = document.text(f"{ATTRIBUTES}/slug")
    return Parts(
        keys={"page_id": page_id},
        fields={
            "title": document.text(f"{ATTRIBUTES}/title"),
            "body": document.text(f"{ATTRIBUTES}/content"),
            "url": document.text(f"{ATTRIBUTES}/url"),
            "author": document.text("/user/username") if signal_type is SignalType.PAGE_CREATED else None,
            "page_id": page_id,
        },
    )


def _milestone(document: Document, _: SignalType) -> Parts:
    number = document.text(f"{ATTRIBUTES}/iid")
    return Parts(
        keys={"milestone_number": document.integer(f"{ATTRIBUTES}/iid")},
        fields={
            "title": document.text(f"{ATTRIBUTES}/title"),
            "state": lower(document, f"{ATTRIBUTES}/state"),
            "url": page(document, "milestones", number),
            "ends_at": document.text(f"{ATTRIBUTES}/due_date"),
        },
        attributes={"action": document.text("/action")},
    )


def _project(document: Document, _: SignalType) -> Parts:
    path = document.text("/path_with_namespace")
    return Parts(resource={"repository": path}, fields={"name": path})


def _member(document: Document, _: SignalType) -> Parts:
    # The body names whose access it is, and not who changed it.
    member = document.text("/user_username")
    return Parts(
        keys={"group_id": document.integer("/group_id"), "user_id": document.integer("/user_id")},
        fields={"name": document.text("/group_path", "/group_name"), "member": member},
        attributes={"access": document.text("/group_access")},
    )


SHAPES: dict[str, Shape] = {
    "push": _push,
    "tag_push": _push,
    "merge_request": _merge_request,
    "issue": _issue,
    "work_item": _issue,
    "note": _note,
    "emoji": _emoji,
    "wiki_page": _wiki_page,
    "milestone": _milestone,
    "project_create": _project,
    "project_destroy": _project,
    "user_add_to_group": _member,
    "user_update_for_group": _member,
    "user_remove_from_group": _member,
}
