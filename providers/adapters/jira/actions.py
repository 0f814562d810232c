"""What can be asked of Jira Cloud: issues, comments, states, labels, assignees.

Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3/intro/, groups "Issues" and "Issue comments". Jira
takes no key for a request. What is made here carries our mark as an entity property, which people do not see and
nobody quotes; the rest asks for a state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from providers.actions import Command, Done, OneEffect, OutboundAction, WriteRequest
from providers.adapters.jira.adf_writing import document
from providers.adapters.jira.lookup import (
    ISSUE_PATH,
    MARK_KEY,
    account_of,
    browse,
    comment_with_mark,
    issue_with_mark,
    reference,
    status_of,
    transition_to,
)
from providers.canonical import JSON
from providers.canonical.action_types import ActionType
from providers.client import ProviderClient, Response
from providers.document import Document, compact
from providers.errors import ProviderFault

_WRITE: Final = "write:jira-work"
_READ: Final = "read:jira-work"
_PEOPLE: Final = "read:jira-user"
# "The entered text is too long": descriptions and comments alike.
_TEXT: Final[JSON] = {"maxLength": 32_767}
_ISSUE: Final = {"issue_key": True}
_LIMITS: Final[dict[str, JSON]] = {
    "issue_key": {"pattern": r"^[A-Z][A-Z0-9_]{1,79}-[1-9][0-9]{0,9}$"},
    "project": {"pattern": r"^([A-Z][A-Z0-9_]{1,79}|[1-9][0-9]{0,17})$"},
    "parent": {"pattern": r"^([A-Z][A-Z0-9_]{1,79}-[1-9][0-9]{0,9}|[1-9][0-9]{0,17})$"},
    "body": _TEXT,
    "labels": {"items": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^\S+$"}},
    "assignees": {"maxItems": 1},
}


class _JiraAction(OutboundAction):
    """Jira's limits, and the answer 204: nothing to read, the issue is known."""

    target_fields = _ISSUE
    one_effect = OneEffect.NATURAL_KEY
    permissions: ClassVar[Sequence[str]] = (_WRITE,)

    limits: ClassVar = _LIMITS

    def done(self, command: Command, answer: Response) -> Done:
        return _issue(command, command.target["issue_key"])


class CreateIssue(_JiraAction):
    """The mark lies in a property given with the issue; it is found through the search, whose index lags."""

    type = ActionType.CREATE_ISSUE
    one_effect = OneEffect.MARKER
    # The index has it after 30 to 60 seconds, later after bulk changes.
    visible_within_seconds = 180
    permissions = (_WRITE, _READ, _PEOPLE)
    target_fields = {"project": True}
    payload_fields = {**ActionType.CREATE_ISSUE.payload, "issue_type": True}
    notes = "An e-mail address of an assignee is looked up among those who may be assigned."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        project, payload = command.target["project"], command.payload
        who = payload.get("assignees")
        account = {"accountId": account_of(client, who[0], project)} if who else None
        fields = {
            "project": reference(project),
            **_written(command),
            "labels": payload.get("labels"),
            "assignee": account,
        }
        return WriteRequest(
            method="POST", path=ISSUE_PATH, json={"fields": compact(fields), "properties": [_property(command)]}
        )

    def done(self, command: Command, answer: Response) -> Done:
        key = Document(answer.json()).text("/key")
        if not key:
            raise ProviderFault("Jira does not say which issue it made.")
        return _issue(command, key)

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        key = issue_with_mark(client, command.mark, command.since)
        return _issue(command, key) if key else None


class UpdateIssue(_JiraAction):
    type = ActionType.UPDATE_ISSUE

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        return WriteRequest(method="PUT", path=_path(command), json={"fields": _written(command)})


class TransitionIssue(_JiraAction):
    type = ActionType.TRANSITION_ISSUE
    permissions = (_WRITE, _READ)
    notes = (
        "The state is the name of a status, in any case; it must be reachable in one step. The reason is a resolution,"
        " which the screen of the transition must take."
    )

    def request(self, client: ProviderClient, command: Command) -> WriteRequest | Done:
        wanted, reason = command.payload["state"], command.payload.get("state_reason")
        there = self.find(client, command)
        if there:
            return there
        transition = {"id": transition_to(client, command.target["issue_key"], wanted)}
        fields = {"fields": {"resolution": {"name": reason}}} if reason else {}
        return WriteRequest(
            method="POST", path=_path(command, "/transitions"), json={"transition": transition, **fields}
        )

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        key = command.target["issue_key"]
        same = status_of(client, key).casefold() == command.payload["state"].strip().casefold()
        return _issue(command, key) if same else None


class CommentOnIssue(_JiraAction):
    type = ActionType.COMMENT_ON_ISSUE
    one_effect = OneEffect.MARKER
    permissions = (_WRITE, _READ)

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        body = {"body": document(command.payload["body"]), "properties": [_property(command)]}
        return WriteRequest(method="POST", path=_path(command, "/comment"), json=body)

    def done(self, command: Command, answer: Response) -> Done:
        comment = Document(answer.json()).text("/id")
        if not comment:
            raise ProviderFault("Jira does not say which comment it made.")
        return _comment(command, comment)

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        comment = comment_with_mark(client, command.target["issue_key"], command.mark, command.since)
        return _comment(command, comment) if comment else None


class AddLabels(_JiraAction):
    type = ActionType.ADD_LABELS

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        added = [{"add": label} for label in command.payload["labels"]]
        return WriteRequest(method="PUT", path=_path(command), json={"update": {"labels": added}})


class Assign(_JiraAction):
    type = ActionType.ASSIGN
    permissions = (_WRITE, _PEOPLE)
    notes = "An issue has one assignee. An e-mail address is looked up among those who may be assigned."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        project = command.target["issue_key"].rpartition("-")[0]
        account = account_of(client, command.payload["assignees"][0], project)
        return WriteRequest(method="PUT", path=_path(command, "/assignee"), json={"accountId": account})


ACTIONS: Final = (CreateIssue(), UpdateIssue(), TransitionIssue(), CommentOnIssue(), AddLabels(), Assign())


def _written(command: Command) -> dict[str, Any]:
    """The fields of an issue that creating and changing have in common."""
    payload = command.payload
    text, kind, priority, parent = (payload.get(name) for name in ("body", "issue_type", "priority", "parent"))
    return compact(
        {
            "summary": payload.get("title"),
            "description": document(text) if text else None,
            "issuetype": {"name": kind} if kind else None,
            "priority": {"name": priority} if priority else None,
            "parent": reference(parent) if parent else None,
        }
    )


def _property(command: Command) -> dict[str, Any]:
    return {"key": MARK_KEY, "value": {"mark": command.mark}}


def _path(command: Command, below: str = "") -> str:
    return f"{ISSUE_PATH}/{command.target['issue_key']}{below}"


def _issue(command: Command, key: str) -> Done:
    return Done(reference=key, url=browse(command.settings, key))


def _comment(command: Command, comment: str) -> Done:
    page = browse(command.settings, command.target["issue_key"])
    return Done(reference=comment, url=f"{page}?focusedCommentId={comment}" if page else "")
