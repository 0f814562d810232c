"""Pushes, pull requests, their comments, and repositories.

Pointers are those of https://learn.microsoft.com/azure/devops/service-hooks/events
"""

from __future__ import annotations

import re

from providers.adapters.azure_devops.parts import Parts
from providers.adapters.azure_devops.places import (
    ID_LENGTH,
    NAME_LENGTH,
    branch,
    full_name,
    organisation,
    page,
    person,
    project,
    project_id,
    short_ref,
)
from providers.canonical import JSON, SignalType
from providers.document import Document

_NO_COMMIT = re.compile("0{40}|0{64}")
_CLOSED = (SignalType.PR_MERGED, SignalType.PR_CLOSED)
# https://learn.microsoft.com/rest/api/azure/devops/git/pull-request-reviewers
_APPROVED, _REFUSED, _NONE = "approved", "changes_requested", "dismissed"
_MEANING_OF_VOTE = {10: _APPROVED, 5: _APPROVED, 0: _NONE, -5: _REFUSED, -10: _REFUSED}
SIGNAL_OF_VOTE = {
    _APPROVED: SignalType.PR_APPROVED,
    _REFUSED: SignalType.PR_CHANGES_REQUESTED,
    _NONE: SignalType.PR_APPROVAL_REMOVED,
}


def is_nothing(commit: str | None) -> bool:
    """Whether an object id stands for "no commit": all zeros."""
    return bool(commit and _NO_COMMIT.fullmatch(commit))


def repository_id(document: Document, root: str = "/resource/repository") -> str | None:
    return document.text(f"{root}/id", limit=ID_LENGTH)


def _repository(document: Document, root: str = "/resource/repository") -> JSON:
    return {"repository": full_name(document, document.text(f"{root}/name", limit=NAME_LENGTH))}


def surroundings(document: Document) -> JSON:
    return {"organization": organisation(document), "project": project(document)}


def push(document: Document, _: SignalType) -> Parts:
    """One ref of a push: ``refUpdates`` holds just this one."""
    ref = document.text("/resource/refUpdates/0/name") or ""
    before = document.text("/resource/refUpdates/0/oldObjectId", limit=NAME_LENGTH)
    after = document.text("/resource/refUpdates/0/newObjectId", limit=NAME_LENGTH)
    commits = document.items("/resource/commits")
    heads = [commit for commit in commits if after and commit.text("/commitId") == after]
    message = (heads[0].text("/comment") if heads else None) or document.text(
        "/resource/headCommit/comment", "/resource/commits/0/comment"
    )
    remote, number = page(document, "/resource/repository/remoteUrl"), document.integer("/resource/pushId")
    return Parts(
        resource={
            **_repository(document),
            "branch": branch(ref) if ref.startswith("refs/heads/") else None,
            "commit": None if is_nothing(after) else after,
        },
        keys={"repository_id": repository_id(document), "project_id": project_id(document), "push_id": number},
        fields={
            "title": (message or "").split("\n", 1)[0].strip(),
            "name": short_ref(ref),
            "url": f"{remote.rstrip('/')}/pushes/{number}" if remote and number else None,
            "before": before,
            "commit_count": len(commits) or None,
        },
        attributes=surroundings(document),
        actor=person(document, "/resource/pushedBy"),
    )


def pull_request(document: Document, signal_type: SignalType) -> Parts:
    root = "/resource"
    number = document.integer(f"{root}/pullRequestId")
    closed_by = person(document, f"{root}/closedBy") if signal_type in _CLOSED else None
    author, one = person(document, f"{root}/createdBy"), sole_reviewer(document)
    commits = ("lastMergeCommit", "lastMergeSourceCommit") if signal_type is SignalType.PR_MERGED else ()
    commit = document.text(
        *(f"{root}/{name}/commitId" for name in (*commits, "lastMergeSourceCommit")), limit=NAME_LENGTH
    )
    voted = signal_type in SIGNAL_OF_VOTE.values()
    reviewer = person(one, "") if voted and one else None
    actor = author if signal_type is SignalType.PR_OPENED else closed_by or reviewer
    return Parts(
        resource={
            **_repository(document),
            "branch": branch(document.text(f"{root}/sourceRefName")),
            "commit": commit,
            "pr_id": number,
        },
        keys={
            "repository_id": repository_id(document),
            "project_id": project_id(document),
            "pr_number": number,
        },
        fields={
            "title": document.text(f"{root}/title"),
            "body": document.text(f"{root}/description"),
            "state": (document.text(f"{root}/status") or "").lower(),
            "url": _pull_request_page(document, root, number),
            "author": author,
            "draft": document.boolean(f"{root}/isDraft"),
            "from_fork": document.at(f"{root}/forkSource") is not None if number else None,
            "base_branch": branch(document.text(f"{root}/targetRefName")),
            "merged_by": closed_by,
            "review_state": votes(document) if voted else None,
            "reviewer": reviewer,
        },
        attributes={
            **surroundings(document),
            "merge_status": document.text(f"{root}/mergeStatus", limit=NAME_LENGTH),
            "vote": one.integer("/vote") if voted and one else None,
        },
        actor=actor,
    )


def _pull_request_page(document: Document, root: str, number: int | None) -> str | None:
    remote = page(document, f"{root}/repository/remoteUrl")
    built = f"{remote.rstrip('/')}/pullrequest/{number}" if remote and number else None
    return page(document, f"{root}/_links/web/href") or built


def _voters(document: Document) -> list[Document]:
    # A group's vote is put together from its members'; they are listed themselves.
    return [one for one in document.items("/resource/reviewers") if one.boolean("/isContainer") is not True]


def sole_reviewer(document: Document) -> Document | None:
    voters = _voters(document)
    return voters[0] if len(voters) == 1 else None


def votes(document: Document) -> str | None:
    """What a vote was, as far as the body alone proves it.

    It shows everybody's votes and not whose changed. Where all agree, the one that changed is among them.
    10 approves, 5 approves with suggestions, -5 waits for the author, -10 rejects, 0 takes a vote back.
    """
    given = {voter.integer("/vote") for voter in _voters(document)}
    meanings = {_MEANING_OF_VOTE.get(vote) if vote is not None else None for vote in given}
    return meanings.pop() if len(meanings) == 1 else None


def comment(document: Document, _: SignalType) -> Parts:
    root = "/resource/pullRequest"
    number = document.integer(f"{root}/pullRequestId")
    # The thread is named only at the end of an address.
    link = document.text("/resource/comment/_links/threads/href") or ""
    thread = link.rstrip("/").rpartition("/")[2]
    thread_id = thread if thread.isascii() and thread.isdigit() and len(thread) < 20 else None
    url, author = _pull_request_page(document, root, number), person(document, "/resource/comment/author")
    comment_id = document.text("/resource/comment/id", limit=ID_LENGTH)
    return Parts(
        resource={
            **_repository(document, f"{root}/repository"),
            "branch": branch(document.text(f"{root}/sourceRefName")),
            "pr_id": number,
        },
        keys={
            "repository_id": repository_id(document, f"{root}/repository"),
            "project_id": project_id(document),
            "pr_number": number,
            "comment_id": comment_id,
        },
        fields={
            "title": document.text(f"{root}/title"),
            "body": document.text("/resource/comment/content"),
            "url": f"{url}?discussionId={thread_id}" if url and thread_id else url,
            "author": author,
            "comment_id": comment_id,
            "thread_id": thread_id,
        },
        attributes=surroundings(document),
        actor=author,
    )


def repository(document: Document, _: SignalType) -> Parts:
    name = full_name(document, document.text("/resource/repository/name", "/resource/repositoryName"))
    before = full_name(document, document.text("/resource/oldName", limit=NAME_LENGTH))
    return Parts(
        resource={"repository": name},
        keys={
            "repository_id": document.text("/resource/repository/id", "/resource/repositoryId", limit=ID_LENGTH),
            "project_id": project_id(document),
        },
        fields={"name": name, "previous_name": before, "url": page(document, "/resource/repository/remoteUrl")},
        attributes=surroundings(document),
        actor=person(document, "/resource/initiatedBy"),
    )
