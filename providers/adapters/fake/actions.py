"""What goes out, one example of each way to keep an effect single. Read ``providers/actions.py`` first."""

from __future__ import annotations

from typing import ClassVar, Final
from urllib.parse import quote

from providers.actions import Command, Done, OneEffect, OutboundAction, WriteRequest
from providers.canonical.action_types import ActionType
from providers.client import ProviderClient, Response
from providers.document import Document
from providers.errors import ProviderFault, Rejected

MAX_PAGES: Final = 50


class CreateIssue(OutboundAction):
    """No key, no chosen id: the new issue carries a label nobody sees, and the list of issues is searched for it."""

    type = ActionType.CREATE_ISSUE
    one_effect = OneEffect.MARKER
    # The provider's page: "new issues appear in lists within 30 seconds".
    visible_within_seconds = 30
    permissions = ("issues:write",)
    target_fields: ClassVar = {"project": True}
    payload_fields: ClassVar = {"title": True, "body": False, "labels": False}
    narrowed: ClassVar = {"title": {"maxLength": 200}}

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        issue = {"project": command.target["project"], "mark": command.mark, **command.payload}
        return WriteRequest(method="POST", path="/issues", json=issue)

    def done(self, command: Command, answer: Response) -> Done:
        return _issue(Document(answer.json()))

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        cursor = ""
        for _ in range(MAX_PAGES):
            page = Document(client.get("/issues", params={"marked": command.mark, "cursor": cursor}).json())
            if not isinstance(page.at("/issues"), list):
                raise ProviderFault("The provider's answer holds no list of issues.")
            for issue in page.items("/issues"):
                if issue.text("/mark") == command.mark:
                    return _issue(issue)
            cursor = page.text("/next") or ""
            if not cursor:
                return None
        # Giving up is not "not there".
        raise ProviderFault("The list of issues does not end.")


class UpdateIssue(OutboundAction):
    """What is asked for is a state: asking twice changes nothing, so nothing need be found."""

    type = ActionType.UPDATE_ISSUE
    one_effect = OneEffect.NATURAL_KEY
    permissions = ("issues:write",)
    payload_fields: ClassVar = {"title": False, "body": False}

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        return WriteRequest(method="PATCH", path=_path(command), json=dict(command.payload))

    def done(self, command: Command, answer: Response) -> Done:
        return _issue(Document(answer.json()))


class TransitionIssue(UpdateIssue):
    """The provider refuses to move an issue to the state it has; that refusal is the effect."""

    type = ActionType.TRANSITION_ISSUE
    payload_fields: ClassVar = {"state": True}

    def settled_by(self, command: Command, refusal: Rejected) -> Done | None:
        return Done(reference=command.target["issue_key"]) if refusal.status == 409 else None


class CommentOnIssue(OutboundAction):
    """The id is ours to choose; the provider refuses to make a second comment of that id."""

    type = ActionType.COMMENT_ON_ISSUE
    one_effect = OneEffect.CLIENT_ID
    permissions = ("comments:write",)
    target_fields: ClassVar = {"issue_key": True}

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        return WriteRequest(
            method="POST",
            path=f"{_path(command)}/comments",
            json={"id": command.mark, "text": command.payload["body"]},
            lane=command.target["issue_key"],
        )

    def done(self, command: Command, answer: Response) -> Done:
        return _comment(Document(answer.json()))

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        try:
            return _comment(Document(client.get(f"{_path(command)}/comments/{command.mark}").json()))
        except Rejected as refused:
            if refused.status == 404:
                return None
            raise


class TriggerPipeline(OutboundAction):
    """Nothing tells whether it was started, so in doubt a person decides."""

    type = ActionType.TRIGGER_PIPELINE
    one_effect = OneEffect.UNKNOWABLE
    permissions = ("builds:write",)
    target_fields: ClassVar = {"project": True}
    payload_fields: ClassVar = {"branch": True}

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        return WriteRequest(method="POST", path="/builds", json={**command.target, **command.payload})

    def done(self, command: Command, answer: Response) -> Done:
        build = Document(answer.json()).text("/build")
        if build is None:
            raise ProviderFault("The provider does not say which build it started.")
        return Done(reference=build)


ACTIONS: Final = (CreateIssue(), UpdateIssue(), TransitionIssue(), CommentOnIssue(), TriggerPipeline())


def explain(answer: Response) -> str:
    """The provider's own words: ``{"error": "title is missing"}``."""
    return Document(answer.json()).text("/error") or "" if answer.content.startswith(b"{") else ""


def _path(command: Command) -> str:
    return f"/issues/{quote(command.target['issue_key'], safe='')}"


def _issue(issue: Document) -> Done:
    key = issue.text("/key")
    if key is None:
        raise ProviderFault("The provider does not say which issue it is.")
    return Done(reference=key, url=issue.text("/url") or "")


def _comment(comment: Document) -> Done:
    identity = comment.text("/id")
    if identity is None:
        raise ProviderFault("The provider does not say which comment it is.")
    return Done(reference=identity, url=comment.text("/url") or "")
