"""What can be asked about pull requests.

https://docs.github.com/en/rest/pulls
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
from providers.canonical import JSON
from providers.canonical.action_types import ActionType
from providers.client import ProviderClient, Response
from providers.document import Document, compact
from providers.errors import ProviderFault
from providers.finding import listed, made_since
from providers.paging import Query


class PullAction(OutboundAction):
    """Something done to a pull request, or a new one."""

    permissions: ClassVar[Sequence[str]] = ("Pull requests: write",)

    def done(self, command: Command, answer: Response) -> Done:
        return self._about(told(answer))

    def _about(self, pull: Document) -> Done:
        return Done(reference=reference(pull, "/number"), url=page(pull))


class CreatePull(PullAction):
    """https://docs.github.com/en/rest/pulls/pulls#create-a-pull-request

    Of two branches there is one open pull request. One that is not ours says other things, so it is a refusal.
    """

    type = ActionType.CREATE_PR
    one_effect = OneEffect.NATURAL_KEY
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("repository")
    payload_fields: ClassVar[Mapping[str, bool]] = {
        "title": True,
        "body": False,
        "source_branch": True,
        "target_branch": True,
        "draft": False,
    }
    notes = "source_branch is owner:branch for a fork. Reviewers are asked by request_review."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        given = command.payload
        body = {
            "title": given["title"],
            "body": marked(given.get("body", ""), command.mark),
            "head": given["source_branch"],
            "base": given["target_branch"],
            **compact({"draft": given.get("draft")}),
        }
        return WriteRequest(method="POST", path=below(command.target["repository"], "pulls"), json=body)

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        """Out of this branch and into any: where it goes may have been changed since."""
        repository, head = command.target["repository"], command.payload["source_branch"]
        params: JSON = {"state": "all", "sort": "created", "direction": "desc"}
        params["head"] = head if ":" in head else f"{repository.partition('/')[0]}:{head}"
        query = Query(path=below(repository, "pulls"), params=params)
        for pull in made_since(client, query, LINKS, items_at="", made_at="/created_at", since=command.since):
            if bears(pull, command.mark):
                return self._about(pull)
        return None


class UpdatePull(PullAction):
    """https://docs.github.com/en/rest/pulls/pulls#update-a-pull-request"""

    type = ActionType.UPDATE_PR
    one_effect = OneEffect.NATURAL_KEY
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("repository", "state")

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        names = {"title": "title", "body": "body", "target_branch": "base", "state": "state"}
        body = {names[name]: value for name, value in command.payload.items()}
        return WriteRequest(method="PATCH", path=Item.of(command.target).pull_path(), json=body)


class CommentOnPull(PullAction):
    """In the conversation, or below a comment of a review.

    https://docs.github.com/en/rest/issues/comments#create-an-issue-comment,
    https://docs.github.com/en/rest/pulls/comments#create-a-reply-for-a-review-comment
    """

    type = ActionType.COMMENT_ON_PR
    one_effect = OneEffect.MARKER
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("repository", "comment_id")
    notes = "comment_id is that of a comment a review began with; comments of the conversation take no replies."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        item, answered = Item.of(command.target), command.target.get("comment_id")
        path = item.pull_path("comments", answered, "replies") if answered else item.path("comments")
        return WriteRequest(method="POST", path=path, json={"body": marked(command.payload["body"], command.mark)})

    def done(self, command: Command, answer: Response) -> Done:
        return self._comment(told(answer))

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        item, params = Item.of(command.target), {"since": earliest(command.since)}
        if command.target.get("comment_id"):
            query = Query(path=item.pull_path("comments"), params={**params, "sort": "created", "direction": "asc"})
        else:
            query = Query(path=item.path("comments"), params=params)
        for comment in listed(client, query, LINKS, items_at=""):
            if bears(comment, command.mark):
                return self._comment(comment)
        return None

    def _comment(self, comment: Document) -> Done:
        return Done(reference=reference(comment, "/id"), url=page(comment))


class RequestReview(PullAction):
    """https://docs.github.com/en/rest/pulls/review-requests#request-reviewers-for-a-pull-request"""

    type = ActionType.REQUEST_REVIEW
    one_effect = OneEffect.NATURAL_KEY
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("repository", "reviewers")
    notes = "Logins, or teams as organisation/team. Who may not see the repository, or wrote it, is refused."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        people, teams = _people_and_teams(command)
        body = compact({"reviewers": people, "team_reviewers": teams})
        path = Item.of(command.target).pull_path("requested_reviewers")
        return WriteRequest(method="POST", path=path, json=body)

    def done(self, command: Command, answer: Response) -> Done:
        pull = told(answer)
        if not isinstance(pull.at("/requested_reviewers"), list):
            raise ProviderFault("GitHub does not say who is asked now.", status=answer.status)
        people, teams = _people_and_teams(command)
        asked = pull.texts("/requested_reviewers", "/login") + pull.texts("/requested_teams", "/slug")
        none_of([*people, *teams], asked, "GitHub asked none of them to review.")
        return self._about(pull)


def _people_and_teams(command: Command) -> tuple[list[str], list[str]]:
    """A team is named with its organisation, a person is not; the API wants the team's own name."""
    names = command.payload["reviewers"]
    return [name for name in names if "/" not in name], [name.partition("/")[2] for name in names if "/" in name]


PULL_ACTIONS: Final[Sequence[OutboundAction]] = (
    CreatePull(), UpdatePull(), CommentOnPull(), RequestReview(),
)  # fmt: skip
