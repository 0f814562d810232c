"""What can be asked of GitHub, one request each. It knows no keys of idempotency.

https://docs.github.com/en/rest/issues, https://docs.github.com/en/rest/pulls,
https://docs.github.com/en/rest/commits/statuses
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from providers.actions import Command, Done, OneEffect, OutboundAction, WriteRequest
from providers.adapters.github.actions_parts import (
    LINKS,
    Item,
    bears,
    below,
    earliest,
    marked,
    narrowed,
    none_of,
    page,
    reference,
    told,
)
from providers.adapters.github.actions_pulls import PULL_ACTIONS
from providers.canonical import JSON
from providers.canonical.action_types import ActionType
from providers.client import ProviderClient, Response
from providers.document import Document, compact
from providers.errors import ProviderFault, Rejected
from providers.finding import listed, made_since
from providers.paging import Query


class IssueAction(OutboundAction):
    """Something done to an issue, or to a pull request as far as it is one."""

    permissions: ClassVar[Sequence[str]] = ("Issues: write",)

    def done(self, command: Command, answer: Response) -> Done:
        item = told(answer)
        reference(item, "/number")
        return Done(reference=Item.of(command.target).key, url=page(item))


class CreateIssue(IssueAction):
    """https://docs.github.com/en/rest/issues/issues#create-an-issue"""

    type = ActionType.CREATE_ISSUE
    one_effect = OneEffect.MARKER
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("repository", "assignees")
    target_fields: ClassVar[Mapping[str, bool]] = {"repository": True}
    payload_fields: ClassVar[Mapping[str, bool]] = {
        "title": True,
        "body": False,
        "labels": False,
        "assignees": False,
        "issue_type": False,
    }
    notes = "Without push access labels, assignees and type are dropped silently; people who cannot be assigned always."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        given = command.payload
        body = {
            "title": given["title"],
            "body": marked(given.get("body", ""), command.mark),
            **compact({name: given.get(name) for name in ("labels", "assignees")}),
            **compact({"type": given.get("issue_type")}),
        }
        return WriteRequest(method="POST", path=below(command.target["repository"], "issues"), json=body)

    def done(self, command: Command, answer: Response) -> Done:
        return self._made(command, told(answer))

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        """The list, not the search: that has an index that lags behind.

        Oldest first, so that what is made meanwhile moves nothing to a page that was read.
        """
        params = {"state": "all", "sort": "created", "direction": "asc", "since": earliest(command.since)}
        query = Query(path=below(command.target["repository"], "issues"), params=params)
        for issue in listed(client, query, LINKS, items_at=""):
            if issue.at("/pull_request") is None and bears(issue, command.mark):
                return self._made(command, issue)
        return None

    def _made(self, command: Command, issue: Document) -> Done:
        number = reference(issue, "/number")
        return Done(reference=f"{command.target['repository']}#{number}", url=page(issue))


class UpdateIssue(IssueAction):
    """https://docs.github.com/en/rest/issues/issues#update-an-issue"""

    type = ActionType.UPDATE_ISSUE
    one_effect = OneEffect.NATURAL_KEY
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("issue_key")
    payload_fields: ClassVar[Mapping[str, bool]] = {"title": False, "body": False, "issue_type": False}

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        names = {"title": "title", "body": "body", "issue_type": "type"}
        body = {names[name]: value for name, value in command.payload.items()}
        return WriteRequest(method="PATCH", path=Item.of(command.target).path(), json=body)

    def done(self, command: Command, answer: Response) -> Done:
        kind = command.payload.get("issue_type")
        if len(command.payload) == 1 and kind is not None:
            has = told(answer).text("/type/name") or ""
            if has.casefold() != kind.casefold():
                raise Rejected(
                    "GitHub left the type of the issue as it was: it takes one only from who may push.",
                    status=answer.status,
                )
        return super().done(command, answer)


class TransitionIssue(IssueAction):
    """https://docs.github.com/en/rest/issues/issues#update-an-issue"""

    type = ActionType.TRANSITION_ISSUE
    one_effect = OneEffect.NATURAL_KEY
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("issue_key", "state", "state_reason")
    notes = "open takes the reason reopened, closed the others. A reason counts only where the state changes."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        state, reason = command.payload["state"], command.payload.get("state_reason")
        if reason is not None and (state == "open") != (reason == "reopened"):
            raise Rejected(f"An issue that becomes {state} cannot have the reason {reason}.")
        body = compact({"state": state, "state_reason": reason})
        return WriteRequest(method="PATCH", path=Item.of(command.target).path(), json=body)


class CommentOnIssue(IssueAction):
    """https://docs.github.com/en/rest/issues/comments#create-an-issue-comment"""

    type = ActionType.COMMENT_ON_ISSUE
    one_effect = OneEffect.MARKER
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("issue_key")
    target_fields: ClassVar[Mapping[str, bool]] = {"issue_key": True}

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        body = {"body": marked(command.payload["body"], command.mark)}
        return WriteRequest(method="POST", path=Item.of(command.target).path("comments"), json=body)

    def done(self, command: Command, answer: Response) -> Done:
        comment = told(answer)
        return Done(reference=reference(comment, "/id"), url=page(comment))

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        query = Query(path=Item.of(command.target).path("comments"), params={"since": earliest(command.since)})
        for comment in listed(client, query, LINKS, items_at=""):
            if bears(comment, command.mark):
                return Done(reference=reference(comment, "/id"), url=page(comment))
        return None


class AddLabels(IssueAction):
    """https://docs.github.com/en/rest/issues/labels#add-labels-to-an-issue"""

    type = ActionType.ADD_LABELS
    one_effect = OneEffect.NATURAL_KEY
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("issue_key", "repository")
    notes = "Of a pull request Pull requests: write is enough."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        path = Item.of(command.target).path("labels")
        return WriteRequest(method="POST", path=path, json={"labels": command.payload["labels"]})

    def done(self, command: Command, answer: Response) -> Done:
        labels = answer.json()
        if not isinstance(labels, list) or not all(isinstance(label, dict) for label in labels):
            raise ProviderFault("GitHub does not say which labels there are now.", status=answer.status)
        none_of(command.payload["labels"], Document(labels).texts("", "/name"), "GitHub added none of the labels.")
        return Done(reference=Item.of(command.target).key)


class Assign(IssueAction):
    """https://docs.github.com/en/rest/issues/assignees#add-assignees-to-an-issue"""

    type = ActionType.ASSIGN
    one_effect = OneEffect.NATURAL_KEY
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("issue_key", "repository", "assignees")
    notes = "GitHub passes over people who cannot be assigned; it is a failure only if nobody is left."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        path = Item.of(command.target).path("assignees")
        return WriteRequest(method="POST", path=path, json={"assignees": command.payload["assignees"]})

    def done(self, command: Command, answer: Response) -> Done:
        item = told(answer)
        if not isinstance(item.at("/assignees"), list):
            raise ProviderFault("GitHub does not say who is assigned now.", status=answer.status)
        none_of(
            command.payload["assignees"],
            item.texts("/assignees", "/login"),
            "GitHub assigned nobody of them: they cannot be assigned there, or the token's owner may not push.",
        )
        return super().done(command, answer)


class SetCommitStatus(OutboundAction):
    """https://docs.github.com/en/rest/commits/statuses#create-a-commit-status"""

    type = ActionType.SET_COMMIT_STATUS
    one_effect = OneEffect.NATURAL_KEY
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("repository", "commit", "url")
    permissions: ClassVar[Sequence[str]] = ("Commit statuses: write",)
    payload_fields: ClassVar[Mapping[str, bool]] = {"status": True, "context": True, "description": False, "url": False}
    notes = "The newest of a context counts. GitHub takes 1,000 of a commit and context."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        path = below(command.target["repository"], "statuses", command.target["commit"])
        return WriteRequest(method="POST", path=path, json=_status(command))

    def done(self, command: Command, answer: Response) -> Done:
        return self._set(command, told(answer))

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        """The newest of its name says so, or one since then did, even if another came after it."""
        query = Query(path=below(command.target["repository"], "commits", command.target["commit"], "statuses"))
        wanted, newest = _status(command), True
        for status in made_since(client, query, LINKS, items_at="", made_at="/created_at", since=command.since):
            if status.text("/context") != wanted["context"]:
                continue
            if all((status.text(f"/{name}") or "") == wanted.get(name, "") for name in _STATUS_WORDS):
                made = status.time("/created_at")
                if newest or (made is not None and made >= command.since.replace(microsecond=0)):
                    return self._set(command, status)
                raise ProviderFault("A status of these words was replaced; whether it was this one cannot be told.")
            newest = False
        return None

    def _set(self, command: Command, status: Document) -> Done:
        """Named by commit and context: each attempt that is taken has an id of its own."""
        reference(status, "/id")
        given = command.payload
        return Done(reference=f"{command.target['commit']}:{given['context']}", url=given.get("url", ""))


_STATUS_WORDS: Final = ("state", "context", "description", "target_url")


def _status(command: Command) -> JSON:
    given = command.payload
    words = (given["status"], given["context"], given.get("description"), given.get("url"))
    return compact(dict(zip(_STATUS_WORDS, words, strict=True)))


ACTIONS: Final[Sequence[OutboundAction]] = (
    CreateIssue(), UpdateIssue(), TransitionIssue(), CommentOnIssue(), AddLabels(), Assign(), *PULL_ACTIONS,
    SetCommitStatus(),
)  # fmt: skip
