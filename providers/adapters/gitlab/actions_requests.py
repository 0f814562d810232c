"""What can be asked about merge requests.

https://docs.gitlab.com/api/merge_requests/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from providers.actions import Command, Done, OneEffect, OutboundAction, WriteRequest
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
from providers.adapters.gitlab.texts import bears, harmless, marked
from providers.canonical import JSON
from providers.canonical.action_types import ActionType
from providers.client import ProviderClient, Response
from providers.document import Document, compact
from providers.finding import made_since
from providers.paging import Query

_DRAFT: Final = "Draft: "


class RequestAction(OutboundAction):
    """Something done to a merge request, or a new one."""

    permissions: ClassVar[Sequence[str]] = ("api",)

    def done(self, command: Command, answer: Response) -> Done:
        return self._about(told(answer))

    def _about(self, request: Document) -> Done:
        return Done(reference=reference(request, "/iid"), url=page(request))


class CreateRequest(RequestAction):
    """https://docs.gitlab.com/api/merge_requests/#create-a-merge-request

    Of two branches there is one open merge request. One that is not ours says other things, so it is a refusal.
    """

    type = ActionType.CREATE_PR
    one_effect = OneEffect.NATURAL_KEY
    payload_fields: ClassVar[Mapping[str, bool]] = {
        "title": True,
        "body": False,
        "source_branch": True,
        "target_branch": True,
        "draft": False,
    }
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("repository")
    notes = "Within one project, not from a fork. Reviewers are asked by request_review. A draft is one by its title."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        given = command.payload
        body = {
            "title": f"{_DRAFT}{given['title']}" if given.get("draft") else given["title"],
            "description": marked(given.get("body", ""), command.mark),
            "source_branch": given["source_branch"],
            "target_branch": given["target_branch"],
        }
        return WriteRequest(method="POST", path=below(command.target["repository"], "merge_requests"), json=body)

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        """Out of this branch and into any: where it goes may have been changed since."""
        branch = {"source_branch": command.payload["source_branch"]}
        params = {"scope": "all", "state": "all", "order_by": "created_at", "sort": "desc", **branch}
        query = Query(path=below(command.target["repository"], "merge_requests"), params=params)
        for found in made_since(client, query, LINKS, items_at="", made_at="/created_at", since=command.since):
            if bears(found, command.mark, "/description"):
                return self._about(found)
        return None


class UpdateRequest(RequestAction):
    """https://docs.gitlab.com/api/merge_requests/#update-a-merge-request"""

    type = ActionType.UPDATE_PR
    one_effect = OneEffect.NATURAL_KEY
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("repository", "state")
    notes = "A state it has already is not asked for again."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest | Done:
        path, given = Item.of(command.target).path(), command.payload
        text = harmless(given["body"]) if "body" in given else None
        body = compact({"title": given.get("title"), "description": text, "target_branch": given.get("target_branch")})
        if "state" in given:
            present = told(client.get(path))
            if present.text("/state") != STATES[given["state"]]:
                body["state_event"] = STATE_EVENTS[given["state"]]
            elif not body:
                return self._about(present)
        return WriteRequest(method="PUT", path=path, json=body)


class RequestReview(RequestAction):
    """https://docs.gitlab.com/api/merge_requests/#update-a-merge-request

    The API replaces all: who is there is read first, and stays behind those that come.
    """

    type = ActionType.REQUEST_REVIEW
    one_effect = OneEffect.NATURAL_KEY
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("repository", "reviewers")
    notes = "Without a paid plan one reviewer is kept. Who is asked by others at that very moment may be lost."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest | Done:
        path = Item.of(command.target).path()
        present = told(client.get(path))
        there, wanted = people(present, "reviewers"), numbers_of(client, command.payload["reviewers"])
        if set(wanted.values()) <= set(there):
            return self._about(present)
        chosen = list(dict.fromkeys([*wanted.values(), *there]))
        return WriteRequest(method="PUT", path=path, json={"reviewer_ids": chosen})

    def done(self, command: Command, answer: Response) -> Done:
        request = told(answer)
        none_of(command.payload["reviewers"], names(request, "reviewers"), "GitLab asked none of them to review.")
        return self._about(request)


REQUEST_ACTIONS: Final[Sequence[OutboundAction]] = (CreateRequest(), UpdateRequest(), RequestReview())
