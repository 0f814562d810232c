"""What can be asked of Linear: issues, their states, labels and assignees, comments.

Linear lets whoever makes an issue or a comment choose its id (UUID version 4) and refuses a second of that id, so the
mark becomes the id. Everything else asks for a state. Texts are Markdown on both sides.
Sources: https://linear.app/developers/graphql and the published schema.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from providers.actions import Command, Done, OneEffect, OutboundAction, WriteRequest
from providers.adapters.linear import graphql, lookup
from providers.adapters.linear.changes import PRIORITIES
from providers.canonical import JSON
from providers.canonical.action_types import ActionType
from providers.client import ProviderClient, Response
from providers.document import Document, compact
from providers.errors import ProviderFault

_WRITE: Final = "write"
_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_KEY: Final = "[A-Za-z0-9_]{1,20}-[1-9][0-9]{0,9}"
_LIMITS: Final[Mapping[str, JSON]] = {
    "issue_key": {"pattern": f"^{_KEY}$"},
    "project": {"pattern": f"^([A-Za-z0-9_]{{1,20}}|{_UUID})$", "description": "Key or id of the team, such as ENG."},
    "comment_id": {"pattern": f"^{_UUID}$"},
    "parent": {"pattern": f"^({_KEY}|{_UUID})$"},
    "priority": {"enum": [*PRIORITIES, *(word.lower() for word in PRIORITIES)]},
    "assignees": {"maxItems": 1},
}

_CREATE: Final = (
    "mutation CreateIssue($input: IssueCreateInput!) "
    "{ issueCreate(input: $input) { success issue { identifier url } } }"
)
_UPDATE: Final = (
    "mutation UpdateIssue($id: String!, $input: IssueUpdateInput!) "
    "{ issueUpdate(id: $id, input: $input) { success issue { identifier url } } }"
)
_COMMENT: Final = (
    "mutation CreateComment($input: CommentCreateInput!) "
    "{ commentCreate(input: $input) { success comment { id url } } }"
)


class _LinearAction(OutboundAction):
    limits: ClassVar = _LIMITS


class CreateIssue(_LinearAction):
    """``issueCreate`` with an id of our choice."""

    type = ActionType.CREATE_ISSUE
    one_effect = OneEffect.CLIENT_ID
    permissions = (_WRITE,)
    target_fields: ClassVar = {"project": True}
    payload_fields: ClassVar = {
        "title": True,
        **dict.fromkeys(("body", "labels", "assignees", "priority", "parent"), False),
    }
    notes = (
        "The scope issues:create is enough as well. Looked up first: the team by its key, labels by name, the assignee "
        "by e-mail address or display name. The issue begins in the team's first state."
    )

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        payload = command.payload
        team = lookup.team_id(client, command.target["project"])
        labels, who = payload.get("labels"), payload.get("assignees")
        wanted = {
            "id": chosen_id(command.mark),
            "teamId": team,
            **_written(payload),
            "labelIds": lookup.label_ids(client, labels, team) if labels else None,
            "assigneeId": lookup.user_id(client, who[0]) if who else None,
        }
        return _mutation("CreateIssue", _CREATE, {"input": compact(wanted)})

    def done(self, command: Command, answer: Response) -> Done:
        return _issue(_accepted(answer, "issueCreate", "issue"))

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        found = lookup.issue_of_id(client, chosen_id(command.mark))
        return _issue(found) if found else None


class _Change(_LinearAction):
    """``issueUpdate``: what is asked for is a state, so asking twice changes nothing."""

    type = ActionType.UPDATE_ISSUE
    one_effect = OneEffect.NATURAL_KEY
    permissions = (_WRITE,)
    target_fields: ClassVar = {"issue_key": True}

    def request(self, client: ProviderClient, command: Command) -> WriteRequest | Done:
        wanted = {"id": command.target["issue_key"], "input": self._wanted(client, command)}
        return _mutation("UpdateIssue", _UPDATE, wanted)

    def _wanted(self, client: ProviderClient, command: Command) -> dict[str, Any]:
        return _written(command.payload)

    def done(self, command: Command, answer: Response) -> Done:
        return _issue(_accepted(answer, "issueUpdate", "issue"))


class UpdateIssue(_Change):
    payload_fields: ClassVar = dict.fromkeys(("title", "body", "priority", "parent"), False)


class TransitionIssue(_Change):
    type = ActionType.TRANSITION_ISSUE
    payload_fields: ClassVar = {"state": True}
    notes = "The name of a state of the issue's team, in any case; states are looked up first."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest | Done:
        issue, states = lookup.states_of(client, command.target["issue_key"])
        wanted = lookup.state_of_name(states, command.payload["state"])
        if issue.text("/state/id") == wanted:
            return _issue(issue)
        return _mutation("UpdateIssue", _UPDATE, {"id": command.target["issue_key"], "input": {"stateId": wanted}})


class AddLabels(_Change):
    type = ActionType.ADD_LABELS
    notes = "Labels of the issue's team or of the workspace, by name in any case; none are made."

    def _wanted(self, client: ProviderClient, command: Command) -> dict[str, Any]:
        team = lookup.team_of_issue(client, command.target["issue_key"])
        return {"addedLabelIds": lookup.label_ids(client, command.payload["labels"], team)}


class Assign(_Change):
    type = ActionType.ASSIGN
    notes = "An issue has one assignee: an e-mail address, a display name or a user's id."

    def _wanted(self, client: ProviderClient, command: Command) -> dict[str, Any]:
        return {"assigneeId": lookup.user_id(client, command.payload["assignees"][0])}


class CommentOnIssue(_LinearAction):
    """``commentCreate`` with an id of our choice."""

    type = ActionType.COMMENT_ON_ISSUE
    one_effect = OneEffect.CLIENT_ID
    permissions = (_WRITE,)
    notes = (
        "The scope comments:create is enough as well. An answer to a comment that is an answer itself goes to the "
        "comment that begins the thread."
    )

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        answered = command.target.get("comment_id")
        wanted = {
            "id": chosen_id(command.mark),
            "issueId": command.target["issue_key"],
            "body": command.payload["body"],
            "parentId": lookup.thread_of(client, answered) if answered else None,
        }
        return _mutation("CreateComment", _COMMENT, {"input": compact(wanted)})

    def done(self, command: Command, answer: Response) -> Done:
        return _comment(_accepted(answer, "commentCreate", "comment"))

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        found = lookup.comment_of_id(client, chosen_id(command.mark))
        return _comment(found) if found else None


ACTIONS: Final = (CreateIssue(), UpdateIssue(), TransitionIssue(), CommentOnIssue(), AddLabels(), Assign())


def chosen_id(mark: str) -> str:
    """The id of what is made for this mark; Linear takes version 4 only."""
    return str(uuid.UUID(bytes=hashlib.sha256(mark.encode()).digest()[:16], version=4))


def _written(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that making and changing an issue have in common."""
    priority = payload.get("priority")
    words = [word.lower() for word in PRIORITIES]
    return compact(
        {
            "title": payload.get("title"),
            "description": payload.get("body"),
            "priority": words.index(priority.lower()) if priority else None,
            "parentId": payload.get("parent"),
        }
    )


def _mutation(operation: str, text: str, variables: Mapping[str, Any]) -> WriteRequest:
    return WriteRequest(method="POST", path=graphql.PATH, json=graphql.request(operation, text, variables))


def _accepted(answer: Response, mutation: str, made: str) -> Document:
    told = graphql.data(answer)
    if told.boolean(f"/{mutation}/success") is not True:
        raise ProviderFault("Linear does not say whether it took the request.", status=answer.status)
    return Document(told.at(f"/{mutation}/{made}"))


def _issue(issue: Document) -> Done:
    key = issue.text("/identifier")
    if not key:
        raise ProviderFault("Linear does not say which issue this is.")
    return Done(reference=key, url=issue.text("/url") or "")


def _comment(comment: Document) -> Done:
    own = comment.text("/id")
    if not own:
        raise ProviderFault("Linear does not say which comment this is.")
    return Done(reference=own, url=comment.text("/url") or "")
