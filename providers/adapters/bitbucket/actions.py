"""What can be asked of Bitbucket Cloud: pull requests, what is said of them, who reviews, and statuses of commits.

Source: https://developer.atlassian.com/cloud/bitbucket/rest/api-group-pullrequests/ and
https://developer.atlassian.com/cloud/bitbucket/rest/api-group-commit-statuses/. Bitbucket takes no key for a request.
What is made carries a mark that readers do not see; all else asks for a state. There are no issues any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from providers.actions import Command, Done, OneEffect, OutboundAction, WriteRequest
from providers.adapters.bitbucket.lookup import (
    comment_with_mark,
    is_between,
    open_pull_requests,
    pull_path,
    pull_request,
    recent_pull_requests,
    repository_path,
    reviewer,
    reviewers_of,
)
from providers.adapters.bitbucket.marking import has_mark, marked
from providers.canonical import JSON
from providers.canonical.action_types import ActionType
from providers.client import ProviderClient, Response
from providers.document import Document, compact
from providers.errors import ProviderFault, Rejected

_READ: Final = "read:pullrequest:bitbucket"
_WRITE: Final = "write:pullrequest:bitbucket"
_PEOPLE: Final = "read:user:bitbucket"
_NAME: Final = r"([A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*|\{[0-9a-f-]{36}\})"
# What a branch may not be called (git-check-ref-format), and quotes, which would end a query's text.
_BRANCH: Final[JSON] = {"pattern": r"^[^\s\x00-\x1f\x7f~^:?*\[\\\"]+$"}
_PERSON: Final = r"^(\{[0-9a-f-]{36}\}|[A-Za-z0-9:_-]{1,128})$"
_LIMITS: Final[dict[str, JSON]] = {
    "repository": {"pattern": f"^{_NAME}/{_NAME}$"},
    "comment_id": {"pattern": r"^[1-9][0-9]{0,17}$"},
    "commit": {"pattern": r"^[0-9a-f]{7,40}$"},
    "source_branch": _BRANCH,
    "target_branch": _BRANCH,
    "branch": _BRANCH,
    "reviewers": {"items": {"type": "string", "pattern": _PERSON}},
}
_STATES: Final = {"pending": "INPROGRESS", "success": "SUCCESSFUL", "failure": "FAILED", "error": "FAILED"}
_DECLINED: Final = frozenset({"declined", "closed"})
# Longer keys are refused or cut; which is not documented.
_KEY_LENGTH: Final = 40


class _BitbucketAction(OutboundAction):
    permissions: ClassVar[Sequence[str]] = (_WRITE, _READ)

    limits: ClassVar = _LIMITS


class CreatePullRequest(_BitbucketAction):
    """The mark stands in the description. An open one between the same branches is not joined by a second."""

    type = ActionType.CREATE_PR
    one_effect = OneEffect.MARKER
    permissions = (_WRITE, _READ, _PEOPLE)
    notes = "Refused while another one is open between the same branches. Account ids of reviewers are looked up."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest | Done:
        target, payload = command.target["repository"], command.payload
        source, destination = payload["source_branch"], payload["target_branch"]
        for other in open_pull_requests(client, target, source):
            if has_mark(_description(other), command.mark):
                return _made(other)
            if is_between(other, destination):
                raise Rejected(f"Pull request {other.text('/id')} from {source} to {destination} is open already.")
        made = {
            "title": payload["title"],
            "description": marked(payload.get("body", ""), command.mark),
            "source": {"branch": {"name": source}},
            "destination": {"branch": {"name": destination}},
            "draft": payload.get("draft"),
            "reviewers": [{"uuid": reviewer(client, who)} for who in payload.get("reviewers", ())],
        }
        return WriteRequest(method="POST", path=f"{repository_path(target)}/pullrequests", json=compact(made))

    def done(self, command: Command, answer: Response) -> Done:
        return _made(Document(answer.json()))

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        place = command.target["repository"], command.payload["source_branch"]
        for other in recent_pull_requests(client, *place, command.since):
            if has_mark(_description(other), command.mark):
                return _made(other)
        return None


class UpdatePullRequest(_BitbucketAction):
    type = ActionType.UPDATE_PR
    one_effect = OneEffect.NATURAL_KEY
    narrowed: ClassVar[dict[str, JSON]] = {"state": {"enum": sorted(_DECLINED)}}
    notes = "Declining is a request of its own, so a state comes alone; what is declined stays so. Nothing is merged."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest | Done:
        payload = command.payload
        if "state" in payload and len(payload) > 1:
            raise Rejected("Bitbucket declines by a request of its own: ask for the state alone.")
        path = pull_path(command.target)
        now = pull_request(client, command.target)
        if "state" in payload:
            return (
                _made(now) if now.text("/state") == "DECLINED" else WriteRequest(method="POST", path=f"{path}/decline")
            )
        # Whether what is left out stays is not documented, so all that can be lost is given again.
        body: dict[str, Any] = {
            "title": payload.get("title", now.text("/title")),
            "description": payload.get("body", _description(now)),
            "reviewers": [{"uuid": uuid} for uuid in reviewers_of(now)],
        }
        if "target_branch" in payload:
            body["destination"] = {"branch": {"name": payload["target_branch"]}}
        return WriteRequest(method="PUT", path=path, json=body)

    def done(self, command: Command, answer: Response) -> Done:
        return _made(Document(answer.json()))

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        if "state" not in command.payload:
            return None
        now = pull_request(client, command.target)
        return _made(now) if now.text("/state") == "DECLINED" else None


class CommentOnPullRequest(_BitbucketAction):
    type = ActionType.COMMENT_ON_PR
    one_effect = OneEffect.MARKER

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        above = command.target.get("comment_id")
        body = {"content": {"raw": marked(command.payload["body"], command.mark)}}
        parent = {"parent": {"id": int(above)}} if above else {}
        return WriteRequest(method="POST", path=f"{pull_path(command.target)}/comments", json={**body, **parent})

    def done(self, command: Command, answer: Response) -> Done:
        return _made(Document(answer.json()))

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        comment = comment_with_mark(client, command.target, command.mark, command.since)
        return _made(comment) if comment else None


class RequestReview(_BitbucketAction):
    """Bitbucket takes the whole list: it is read, added to and written."""

    type = ActionType.REQUEST_REVIEW
    one_effect = OneEffect.NATURAL_KEY
    permissions = (_WRITE, _READ, _PEOPLE)
    notes = "Whoever reviews already stays; the author cannot. Account ids are looked up, ids in braces are not."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest | Done:
        now = pull_request(client, command.target)
        there = reviewers_of(now)
        wanted = [reviewer(client, who) for who in command.payload["reviewers"]]
        if set(wanted) <= set(there):
            return _made(now)
        all_of_them = [{"uuid": uuid} for uuid in dict.fromkeys((*there, *wanted))]
        body = {"title": now.text("/title"), "description": _description(now), "reviewers": all_of_them}
        return WriteRequest(method="PUT", path=pull_path(command.target), json=body)

    def done(self, command: Command, answer: Response) -> Done:
        return _made(Document(answer.json()))


class SetCommitStatus(_BitbucketAction):
    """A status of the same key replaces the one before."""

    type = ActionType.SET_COMMIT_STATUS
    one_effect = OneEffect.NATURAL_KEY
    permissions = ("write:repository:bitbucket",)
    payload_fields = {**ActionType.SET_COMMIT_STATUS.payload, "url": True}
    notes = "The branch ties it to its pull request. Failure and error are one state."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        payload = command.payload
        status = {
            "key": _key(payload["context"]),
            "state": _STATES[payload["status"]],
            "name": payload["context"],
            "description": payload.get("description"),
            "url": payload["url"],
            "refname": payload.get("branch"),
        }
        path = f"{repository_path(command.target['repository'])}/commit/{command.target['commit']}/statuses/build"
        return WriteRequest(method="POST", path=path, json=compact(status))

    def done(self, command: Command, answer: Response) -> Done:
        return Done(reference=_key(command.payload["context"]), url=command.payload["url"])


ACTIONS: Final = (
    *(CreatePullRequest(), UpdatePullRequest(), CommentOnPullRequest(), RequestReview()),
    SetCommitStatus(),
)


def _key(context: str) -> str:
    """The name itself, or where it is too long a digest: the same name has the same key."""
    return context if len(context) <= _KEY_LENGTH else hashlib.sha256(context.encode()).hexdigest()[:_KEY_LENGTH]


def _description(pull: Document) -> str:
    text = pull.at("/description")
    if not isinstance(text, str):
        raise ProviderFault("Bitbucket shows a pull request without its description.")
    return text


def _made(made: Document) -> Done:
    own = made.text("/id")
    if not own:
        raise ProviderFault("Bitbucket does not say what it made or changed.")
    return Done(reference=own, url=made.text("/links/html/href") or "")
