"""What can be asked of GitLab, one request each. It knows no keys of idempotency.

https://docs.gitlab.com/api/issues/, https://docs.gitlab.com/api/notes/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from providers.actions import Command, Done, OneEffect, OutboundAction, WriteRequest
from providers.adapters.gitlab.actions_commits import SetCommitStatus
from providers.adapters.gitlab.actions_parts import (
    LINKS,
    STATE_EVENTS,
    STATES,
    Item,
    below,
    names,
    narrowed,
    none_of,
    numbers_of,
    page,
    people,
    reference,
    told,
)
from providers.adapters.gitlab.actions_requests import REQUEST_ACTIONS
from providers.adapters.gitlab.texts import bears, harmless, marked
from providers.canonical import JSON
from providers.canonical.action_types import ActionType
from providers.client import ProviderClient, Response
from providers.document import Document, compact
from providers.errors import Rejected
from providers.finding import made_since
from providers.paging import Query


class ItemAction(OutboundAction):
    """Something done to an issue or a merge request."""

    permissions: ClassVar[Sequence[str]] = ("api",)

    def done(self, command: Command, answer: Response) -> Done:
        return self._about(command, told(answer))

    def _about(self, command: Command, item: Document) -> Done:
        reference(item, "/iid")
        return Done(reference=Item.of(command.target).reference, url=page(item))


class CreateIssue(OutboundAction):
    """https://docs.gitlab.com/api/issues/#create-an-issue"""

    type = ActionType.CREATE_ISSUE
    one_effect = OneEffect.MARKER
    permissions: ClassVar[Sequence[str]] = ("api",)
    target_fields: ClassVar[Mapping[str, bool]] = {"repository": True}
    payload_fields: ClassVar[Mapping[str, bool]] = {
        "title": True,
        "body": False,
        "labels": False,
        "assignees": False,
        "issue_type": False,
    }
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("repository", "labels", "assignees")
    notes = "Labels that are new are made. Without a paid plan one assignee is kept."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        given = command.payload
        assignees = numbers_of(client, given.get("assignees", ()))
        body = {
            "title": given["title"],
            "description": marked(given.get("body", ""), command.mark),
            **compact(
                {
                    "labels": ",".join(given.get("labels", ())),
                    "assignee_ids": list(assignees.values()),
                    "issue_type": given.get("issue_type"),
                }
            ),
        }
        return WriteRequest(method="POST", path=below(command.target["repository"], "issues"), json=body)

    def done(self, command: Command, answer: Response) -> Done:
        return self._made(command, told(answer))

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        """The list, newest first: what is made meanwhile moves nothing to a page that was read."""
        params = {"scope": "all", "state": "all", "order_by": "created_at", "sort": "desc"}
        query = Query(path=below(command.target["repository"], "issues"), params=params)
        for issue in made_since(client, query, LINKS, items_at="", made_at="/created_at", since=command.since):
            if bears(issue, command.mark, "/description"):
                return self._made(command, issue)
        return None

    def _made(self, command: Command, issue: Document) -> Done:
        number = reference(issue, "/iid")
        # A project that was named by its number has a path, too.
        key = issue.text("/references/full", limit=300) or f"{command.target['repository']}#{number}"
        return Done(reference=key, url=page(issue))


class UpdateIssue(ItemAction):
    """https://docs.gitlab.com/api/issues/#update-an-issue"""

    type = ActionType.UPDATE_ISSUE
    one_effect = OneEffect.NATURAL_KEY
    payload_fields: ClassVar[Mapping[str, bool]] = {"title": False, "body": False, "issue_type": False}
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("issue_key")

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        given = command.payload
        text = harmless(given["body"]) if "body" in given else None
        body = compact({"title": given.get("title"), "description": text, "issue_type": given.get("issue_type")})
        return WriteRequest(method="PUT", path=Item.of(command.target).path(), json=body)


class TransitionIssue(ItemAction):
    """https://docs.gitlab.com/api/issues/#update-an-issue"""

    type = ActionType.TRANSITION_ISSUE
    one_effect = OneEffect.NATURAL_KEY
    payload_fields: ClassVar[Mapping[str, bool]] = {"state": True}
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("issue_key", "state")
    notes = "The state is looked up first; where it is so already, nothing is sent."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest | Done:
        path, state = Item.of(command.target).path(), command.payload["state"]
        issue = told(client.get(path))
        if issue.text("/state") == STATES[state]:
            return self._about(command, issue)
        return WriteRequest(method="PUT", path=path, json={"state_event": STATE_EVENTS[state]})


class Comment(OutboundAction):
    """A note on an issue or a merge request. It has no page of its own; its place on the page of the item is known.

    https://docs.gitlab.com/api/notes/
    """

    one_effect = OneEffect.MARKER
    permissions: ClassVar[Sequence[str]] = ("api",)

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        body = {"body": marked(command.payload["body"], command.mark)}
        return WriteRequest(method="POST", path=Item.of(command.target).path("notes"), json=body)

    def done(self, command: Command, answer: Response) -> Done:
        note = told(answer)
        if note.at("/commands_changes") is not None and note.at("/id") is None:
            raise Rejected("GitLab took the text for commands and made no comment of it.", status=answer.status)
        return self._made(command, note)

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        params = {"order_by": "created_at", "sort": "desc"}
        query = Query(path=Item.of(command.target).path("notes"), params=params)
        for note in made_since(client, query, LINKS, items_at="", made_at="/created_at", since=command.since):
            if bears(note, command.mark, "/body"):
                return self._made(command, note)
        return None

    def _made(self, command: Command, note: Document) -> Done:
        number = reference(note, "/id")
        return Done(reference=number, url=Item.of(command.target).page(command, f"#note_{number}"))


class CommentOnIssue(Comment):
    type = ActionType.COMMENT_ON_ISSUE
    target_fields: ClassVar[Mapping[str, bool]] = {"issue_key": True}
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("issue_key")


class CommentOnRequest(Comment):
    type = ActionType.COMMENT_ON_PR
    target_fields: ClassVar[Mapping[str, bool]] = {"repository": True, "pr_number": True}
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("repository")


class AddLabels(ItemAction):
    """https://docs.gitlab.com/api/issues/#update-an-issue"""

    type = ActionType.ADD_LABELS
    one_effect = OneEffect.NATURAL_KEY
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("issue_key", "repository", "labels")
    notes = "Labels that are new are made. A label may hold no comma."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        body = {"add_labels": ",".join(command.payload["labels"])}
        return WriteRequest(method="PUT", path=Item.of(command.target).path(), json=body)


class Assign(ItemAction):
    """https://docs.gitlab.com/api/issues/#update-an-issue

    The API replaces all: who is there is read first, and stays behind those that come.
    """

    type = ActionType.ASSIGN
    one_effect = OneEffect.NATURAL_KEY
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("issue_key", "repository", "assignees")
    notes = "Without a paid plan one assignee is kept. Who is assigned by others at that very moment may be lost."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest | Done:
        path = Item.of(command.target).path()
        item = told(client.get(path))
        there, wanted = people(item, "assignees"), numbers_of(client, command.payload["assignees"])
        if set(wanted.values()) <= set(there):
            return self._about(command, item)
        chosen = list(dict.fromkeys([*wanted.values(), *there]))
        return WriteRequest(method="PUT", path=path, json={"assignee_ids": chosen})

    def done(self, command: Command, answer: Response) -> Done:
        item = told(answer)
        none_of(command.payload["assignees"], names(item, "assignees"), "GitLab assigned nobody of them.")
        return self._about(command, item)


ACTIONS: Final[Sequence[OutboundAction]] = (
    CreateIssue(), UpdateIssue(), TransitionIssue(), CommentOnIssue(), AddLabels(), Assign(),
    CommentOnRequest(), *REQUEST_ACTIONS, SetCommitStatus(),
)  # fmt: skip
