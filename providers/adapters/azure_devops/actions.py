"""What can be asked of Azure DevOps: work items here, pull requests and commits in ``actions_pulls``.

The service takes no key for a request. A new work item carries our mark as a tag, a comment in characters without a
shape; the rest asks for a state. Sources: https://learn.microsoft.com/rest/api/azure/devops/wit/work-items,
https://learn.microsoft.com/rest/api/azure/devops/wit/comments
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from providers.actions import Command, Done, OneEffect, OutboundAction, WriteRequest
from providers.adapters.azure_devops import lookup
from providers.adapters.azure_devops.actions_pulls import PULL_ACTIONS, REPOSITORY, pull_label, pull_labelled
from providers.adapters.azure_devops.html_writing import html, mark_of, with_mark
from providers.adapters.azure_devops.items import params
from providers.adapters.azure_devops.places import page
from providers.canonical import JSON
from providers.canonical.action_types import ActionType
from providers.client import ProviderClient, Response
from providers.document import Document
from providers.errors import ProviderFault, Rejected
from providers.finding import made_since
from providers.markdown import letters
from providers.paging import NextToken, Query

_WORK: Final = "vso.work_write"
_PATCH: Final = {"Content-Type": "application/json-patch+json"}
_COMMENTS_VERSION: Final = "7.1-preview.4"
_NUMBER: Final = "^[1-9][0-9]{0,9}$"
_COMMENTS: Final = NextToken(size=100, size_in="$top", token_at="/continuationToken", token_in="continuationToken")
_TAG: Final = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[^;,\r\n]*[^;,\s][^;,\r\n]*$"}
_LIMITS: Final[Mapping[str, JSON]] = {
    "repository": REPOSITORY,
    "issue_key": {"pattern": _NUMBER, "description": "Number of the work item."},
    "project": {"pattern": r"^[^/\\\r\n]*[^/\\\s][^/\\\r\n]*$", "description": "Project, by name or id."},
    "parent": {"pattern": _NUMBER, "description": "Number of the work item it lies below."},
    "priority": {"pattern": "^[0-9]{1,2}$", "description": "Priority, as a number; 1 is the highest."},
    "labels": {"items": _TAG},
    "assignees": {
        "maxItems": 1,
        "items": {"type": "string", "maxLength": 200, "pattern": r"^([^\s@]+@[^\s@]+|[^\s\\]+\\[^\\\r\n]+)$"},
        "description": "Who is to be assigned: the e-mail address of the account, or DOMAIN\\user.",
    },
}


class _WorkItemAction(OutboundAction):
    """Changes of one work item: a state, so asking twice changes nothing."""

    one_effect = OneEffect.NATURAL_KEY
    permissions: ClassVar[Sequence[str]] = (_WORK,)
    target_fields: ClassVar = {"issue_key": True}

    limits: ClassVar = _LIMITS

    def done(self, command: Command, answer: Response) -> Done:
        return _item(Document(answer.json()))


class CreateIssue(_WorkItemAction):
    type = ActionType.CREATE_ISSUE
    one_effect = OneEffect.MARKER
    # Queries may be answered from a copy of the database; how old it may be is not documented.
    visible_within_seconds = 180
    target_fields: ClassVar = {"project": True}
    payload_fields: ClassVar = {
        **dict.fromkeys(("title", "issue_type"), True),
        **dict.fromkeys(("body", "labels", "assignees", "priority", "parent"), False),
    }
    notes = (
        "The new work item has a tag sig-… by which it is found again; it may be taken off later. Making tags needs "
        "the permission to create tag definitions."
    )

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        project, payload = command.target["project"], command.payload
        labels, who, parent = (payload.get(name) for name in ("labels", "assignees", "parent"))
        fields = {**_written(payload), "System.Tags": "; ".join([*(labels or ()), _tag(command.mark)])}
        if who:
            fields["System.AssignedTo"] = who[0]
        changes = _changes(fields)
        if parent:
            above = f"{client.base_url}_apis/wit/workItems/{parent}"
            link = {"rel": "System.LinkTypes.Hierarchy-Reverse", "url": above}
            changes.append({"op": "add", "path": "/relations/-", "value": link})
        path = f"{lookup.step(project)}/_apis/wit/workitems/${lookup.step(payload['issue_type'])}"
        return WriteRequest(method="POST", path=lookup.versioned(path), json=changes, headers=_PATCH)

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        """The oldest work item with the tag: a copy copies tags."""
        tag = _tag(command.mark)
        wiql = f"SELECT [System.Id] FROM WorkItems WHERE [System.Tags] CONTAINS '{tag}' ORDER BY [System.Id]"  # noqa: S608 (WIQL; the mark is a UUID)
        path = f"{lookup.step(command.target['project'])}/_apis/wit/wiql"
        found = Document(client.post_query(lookup.versioned(path), json={"query": wiql}).json())
        if not isinstance(found.at("/workItems"), list):
            raise ProviderFault("Azure DevOps's answer holds no list of work items.")
        for row in found.items("/workItems"):
            item = lookup.work_item(client, row.text("/id") or "")
            if tag in lookup.tags_of(item):
                return _item(item)
        return None


class UpdateIssue(_WorkItemAction):
    type = ActionType.UPDATE_ISSUE
    payload_fields: ClassVar = dict.fromkeys(("title", "body", "priority"), False)
    notes = "The text is the description; forms of bugs in the Agile and Scrum processes show another field."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        return _patch(command, _changes(_written(command.payload)))


class TransitionIssue(_WorkItemAction):
    type = ActionType.TRANSITION_ISSUE
    payload_fields: ClassVar = {"state": True}
    permissions = (_WORK,)
    notes = "The name of a state of the work item's type, in any case; the process decides whether it may go there."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest | Done:
        item = lookup.work_item(client, command.target["issue_key"])
        wanted = lookup.state_of_name(client, item, command.payload["state"])
        if lookup.field(item, "System.State") == wanted:
            return _item(item)
        return _patch(command, _changes({"System.State": wanted}))


class Assign(_WorkItemAction):
    type = ActionType.ASSIGN
    notes = "A work item has one assignee. If it is changed at the same moment, the change is worked out anew."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest | Done:
        item, who = lookup.work_item(client, command.target["issue_key"]), command.payload["assignees"][0]
        there = item.text("/fields/System.AssignedTo/uniqueName") or ""
        if there.casefold() == who.casefold():
            return _item(item)
        return _patch(command, [_unchanged(item), *_changes({"System.AssignedTo": who})])


class AddLabels(_WorkItemAction):
    """Tags of a work item lie in one field; what is there stays. A pull request takes one label a request."""

    type = ActionType.ADD_LABELS
    target_fields: ClassVar = ActionType.ADD_LABELS.target
    permissions = (_WORK, "vso.code_write")
    notes = "Of a work item, or of a pull request by repository and pr_number: there one label at a time."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest | Done:
        if "issue_key" not in command.target:
            return pull_label(client, command)
        if len(command.target) > 1:
            raise Rejected("Name a work item or a pull request, not both.")
        item = lookup.work_item(client, command.target["issue_key"])
        there = lookup.tags_of(item)
        known = {tag.casefold() for tag in there}
        missing = [label.strip() for label in command.payload["labels"] if label.strip().casefold() not in known]
        if not missing:
            return _item(item)
        changes = _changes({"System.Tags": "; ".join([*there, *missing])})
        return _patch(command, [_unchanged(item), *changes])

    def done(self, command: Command, answer: Response) -> Done:
        if "issue_key" not in command.target:
            return pull_labelled(command, answer)
        return super().done(command, answer)


class CommentOnIssue(_WorkItemAction):
    type = ActionType.COMMENT_ON_ISSUE
    one_effect = OneEffect.MARKER
    permissions = ("vso.work_write",)
    notes = "HTML is shown as it is written; nothing in the text mentions anybody."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        content = html(command.payload["body"])
        if not content:
            raise Rejected("The text shows nothing.")
        path = self._path(client, command)
        body = {"text": with_mark(content, command.mark)}
        return WriteRequest(method="POST", path=lookup.versioned(path, _COMMENTS_VERSION), json=body)

    def done(self, command: Command, answer: Response) -> Done:
        return _comment(Document(answer.json()))

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        asked = {**params(), "api-version": _COMMENTS_VERSION, "order": "desc"}
        query = Query(path=self._path(client, command), params=asked)
        wanted, own, doubtful = letters(html(command.payload["body"])), lookup.own_id(client), False
        made = made_since(client, query, _COMMENTS, items_at="/comments", made_at="/createdDate", since=command.since)
        for comment in made:
            text = comment.at("/text")
            if not isinstance(text, str):
                continue
            mark, is_own = mark_of(text), comment.text("/createdBy/id") == own
            if mark == command.mark and is_own:
                return _comment(comment)
            # Another author may be the account before the credential was replaced.
            doubtful = doubtful or mark == command.mark or (is_own and not mark and letters(text) == wanted)
        if doubtful:
            # Marks are kept as far as is known; if they were not, this would be it.
            raise ProviderFault("A comment of these words has no mark, or one with the mark has another author.")
        return None

    def _path(self, client: ProviderClient, command: Command) -> str:
        item = lookup.work_item(client, command.target["issue_key"])
        project = lookup.step(lookup.field(item, "System.TeamProject"))
        return f"{project}/_apis/wit/workItems/{command.target['issue_key']}/comments"


ACTIONS: Final = (
    *(CreateIssue(), UpdateIssue(), TransitionIssue(), CommentOnIssue(), AddLabels(), Assign()),
    *PULL_ACTIONS,
)


def _tag(mark: str) -> str:
    return f"sig-{mark}"


def _written(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that making and changing a work item have in common."""
    fields: dict[str, Any] = {}
    if "title" in payload:
        fields["System.Title"] = payload["title"]
    if "body" in payload:
        fields["System.Description"] = html(payload["body"])
    if "priority" in payload:
        fields["Microsoft.VSTS.Common.Priority"] = int(payload["priority"])
    return fields


def _changes(fields: Mapping[str, Any]) -> list[JSON]:
    return [{"op": "add", "path": f"/fields/{name}", "value": value} for name, value in fields.items()]


def _unchanged(item: Document) -> JSON:
    """The change is refused if the work item has another revision by then."""
    return {"op": "test", "path": "/rev", "value": item.integer("/rev")}


def _patch(command: Command, changes: list[JSON]) -> WriteRequest:
    path = lookup.versioned(lookup.work_item_path(command.target["issue_key"]))
    return WriteRequest(method="PATCH", path=path, json=changes, headers=_PATCH)


def _item(item: Document) -> Done:
    number = item.text("/id")
    if not number:
        raise ProviderFault("Azure DevOps does not say which work item this is.")
    return Done(reference=number, url=page(item, "/_links/html/href") or "")


def _comment(comment: Document) -> Done:
    number = comment.text("/id")
    if not number:
        raise ProviderFault("Azure DevOps does not say which comment this is.")
    return Done(reference=number)
