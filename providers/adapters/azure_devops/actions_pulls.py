"""Pull requests and commits: made, commented on, labelled, reviewed, judged.

Sources: https://learn.microsoft.com/rest/api/azure/devops/git/pull-requests,
https://learn.microsoft.com/rest/api/azure/devops/git/pull-request-threads and
https://learn.microsoft.com/rest/api/azure/devops/git/statuses
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from providers.actions import Command, Done, OneEffect, OutboundAction, WriteRequest
from providers.adapters.azure_devops import lookup
from providers.adapters.azure_devops.items import params
from providers.adapters.azure_devops.places import page
from providers.canonical import JSON
from providers.canonical.action_types import ActionType
from providers.client import ProviderClient, Response
from providers.document import Document, compact
from providers.errors import ProviderFault, Rejected
from providers.finding import CLOCKS_DIFFER, listed
from providers.markdown import letters
from providers.paging import Offset, Query

_CODE: Final = "vso.code_write"
_KEY: Final = "sig.key"
_GENRE: Final = "signals"
_STATES: Final = {"pending": "pending", "success": "succeeded", "failure": "failed", "error": "error"}
_PULLS: Final = Offset(size=100, size_in="$top", offset_in="$skip")
_PART: Final = r"[^/\\\s](?:[^/\\\r\n]*[^/\\\s])?"
REPOSITORY: Final[JSON] = {
    "pattern": f"^({lookup.GUID}|({_PART}/)?{_PART}/{_PART})$",
    "description": "Repository, by its id or as organisation/project/repository; the organisation may be left out.",
}
_BRANCH: Final = r"^(?!refs/(?!heads/))\S+$"
_LIMITS: Final[Mapping[str, JSON]] = {
    "repository": REPOSITORY,
    "commit": {"pattern": "^[0-9a-f]{40}$"},
    "source_branch": {"pattern": _BRANCH},
    "target_branch": {"pattern": _BRANCH},
    "reviewers": {
        "items": {"type": "string", "pattern": f"^{lookup.GUID}$"},
        "description": "Who is to review, by the id of the identity, as signals name people.",
    },
}


class _CodeAction(OutboundAction):
    one_effect = OneEffect.NATURAL_KEY
    permissions: ClassVar[Sequence[str]] = (_CODE,)

    limits: ClassVar = _LIMITS


class CreatePull(_CodeAction):
    """Of two branches there is one active pull request. One of somebody else's is a refusal."""

    type = ActionType.CREATE_PR
    narrowed: ClassVar = {"body": {"maxLength": 4000}}
    notes = "The text may have 4,000 characters. Reviewers are given by the id of their identity."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        given = command.payload
        body = {
            "sourceRefName": _ref(given["source_branch"]),
            "targetRefName": _ref(given["target_branch"]),
            "title": given["title"],
            "description": given.get("body"),
            "isDraft": given.get("draft"),
            "reviewers": [{"id": reviewer} for reviewer in given.get("reviewers", ())],
        }
        path = f"{lookup.repository_path(client, command.target)}/pullrequests"
        return WriteRequest(method="POST", path=lookup.versioned(path), json=compact(body))

    def done(self, command: Command, answer: Response) -> Done:
        return _pull(Document(answer.json()))

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        """The account's own of these branches and this title, made since the first attempt, whatever became of it."""
        given = command.payload
        criteria = {
            "sourceRefName": _ref(given["source_branch"]),
            "targetRefName": _ref(given["target_branch"]),
            "status": "all",
        }
        path = f"{lookup.repository_path(client, command.target)}/pullrequests"
        query = Query(path=path, params=params(**{f"searchCriteria.{name}": value for name, value in criteria.items()}))
        own = lookup.own_id(client)
        for pull in listed(client, query, _PULLS, items_at="/value"):
            made = pull.time("/creationDate")
            if made is None:
                raise ProviderFault("Azure DevOps shows a pull request without its time.")
            same = pull.text("/title") == given["title"] and pull.text("/createdBy/id") == own
            if same and made >= command.since - CLOCKS_DIFFER:
                return _pull(pull)
        return None


class CommentOnPull(_CodeAction):
    """A thread of its own, whose properties hold the mark; people do not see them."""

    type = ActionType.COMMENT_ON_PR
    one_effect = OneEffect.MARKER
    target_fields: ClassVar = {"repository": True, "pr_number": True}
    notes = "@<id> mentions a person, as the service writes it; nothing mentions everybody."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        comment = {"parentCommentId": 0, "content": command.payload["body"], "commentType": "text"}
        properties = {_KEY: {"$type": "System.String", "$value": command.mark}}
        body = {"comments": [comment], "status": "active", "properties": properties}
        return WriteRequest(method="POST", path=lookup.versioned(self._path(client, command)), json=body)

    def done(self, command: Command, answer: Response) -> Done:
        return _thread(Document(answer.json()))

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        wanted, own, doubtful = letters(command.payload["body"]), lookup.own_id(client), False
        for thread in lookup.listed_values(client, self._path(client, command)):
            mark, is_own = _mark_of(thread), thread.text("/comments/0/author/id") == own
            if mark == command.mark and is_own:
                return _thread(thread)
            made = thread.time("/publishedDate")
            recent = made is None or made >= command.since - CLOCKS_DIFFER
            same = letters(str(thread.at("/comments/0/content"))) == wanted
            # Another author may be the account before the credential was replaced.
            doubtful = doubtful or mark == command.mark or (is_own and recent and not mark and same)
        if doubtful:
            # How properties are written is not documented in full; if the mark was dropped, this would be it.
            raise ProviderFault("A comment of these words has no mark, or one with the mark has another author.")
        return None

    def _path(self, client: ProviderClient, command: Command) -> str:
        return f"{lookup.pull_path(client, command.target)}/threads"


class RequestReview(_CodeAction):
    """One reviewer a request. Who is one already is left alone: to ask again would take the vote back."""

    type = ActionType.REQUEST_REVIEW
    narrowed: ClassVar = {"reviewers": {**_LIMITS["reviewers"], "maxItems": 1}}
    notes = "One person at a time, by the id of the identity. A vote that was given stays."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest | Done:
        path, who = f"{lookup.pull_path(client, command.target)}/reviewers", command.payload["reviewers"][0]
        there = [reviewer.text("/id") or "" for reviewer in lookup.listed_values(client, path)]
        if who.casefold() in map(str.casefold, there):
            return self._asked(command)
        return WriteRequest(method="PUT", path=lookup.versioned(f"{path}/{who}"), json={"vote": 0})

    def done(self, command: Command, answer: Response) -> Done:
        if not Document(answer.json()).text("/id"):
            raise ProviderFault("Azure DevOps does not say who the reviewer is.")
        return self._asked(command)

    def _asked(self, command: Command) -> Done:
        return Done(reference=f"{command.target['pr_number']}:{command.payload['reviewers'][0]}")


class SetCommitStatus(_CodeAction):
    """The newest status of a genre and name counts, so asking again leaves what is shown."""

    type = ActionType.SET_COMMIT_STATUS
    permissions = ("vso.code_status",)
    payload_fields: ClassVar = {"status": True, "context": True, "description": False, "url": False}

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        given = command.payload
        body = {
            "state": _STATES[given["status"]],
            "description": given.get("description"),
            "targetUrl": given.get("url"),
            "context": {"name": given["context"], "genre": _GENRE},
        }
        path = f"{lookup.repository_path(client, command.target)}/commits/{command.target['commit']}/statuses"
        return WriteRequest(method="POST", path=lookup.versioned(path), json=compact(body))

    def done(self, command: Command, answer: Response) -> Done:
        if Document(answer.json()).integer("/id") is None:
            raise ProviderFault("Azure DevOps does not say which status this is.")
        return Done(reference=f"{command.target['commit']}:{_GENRE}/{command.payload['context']}")


def pull_label(client: ProviderClient, command: Command) -> WriteRequest | Done:
    """``add_labels`` where it is about a pull request: one new label a request."""
    if not {"repository", "pr_number"} <= set(command.target):
        raise Rejected("Name a work item, or a pull request by repository and pr_number.")
    path = f"{lookup.pull_path(client, command.target)}/labels"
    there = {(label.text("/name") or "").casefold() for label in lookup.listed_values(client, path)}
    missing = [label.strip() for label in command.payload["labels"] if label.strip().casefold() not in there]
    if len(missing) > 1:
        raise Rejected("A pull request takes one new label at a time.")
    if not missing:
        return Done(reference=str(command.target["pr_number"]))
    return WriteRequest(method="POST", path=lookup.versioned(path), json={"name": missing[0]})


def pull_labelled(command: Command, answer: Response) -> Done:
    if not Document(answer.json()).text("/name"):
        raise ProviderFault("Azure DevOps does not say which label this is.")
    return Done(reference=str(command.target["pr_number"]))


PULL_ACTIONS: Final = (CreatePull(), CommentOnPull(), RequestReview(), SetCommitStatus())


def _ref(branch: str) -> str:
    return branch if branch.startswith("refs/") else f"refs/heads/{branch}"


def _mark_of(thread: Document) -> str:
    properties: Any = thread.at("/properties")
    return Document(properties.get(_KEY)).text("/$value", "") or "" if isinstance(properties, dict) else ""


def _pull(pull: Document) -> Done:
    number = pull.text("/pullRequestId")
    if not number:
        raise ProviderFault("Azure DevOps does not say which pull request this is.")
    remote = page(pull, "/repository/remoteUrl")
    built = f"{remote.rstrip('/')}/pullrequest/{number}" if remote else None
    return Done(reference=number, url=page(pull, "/_links/web/href") or built or "")


def _thread(thread: Document) -> Done:
    number = thread.text("/id")
    if not number:
        raise ProviderFault("Azure DevOps does not say which thread this is.")
    return Done(reference=number)
