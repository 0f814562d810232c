"""Lists by the time of their items' last change, the newest first; each is one query for all the teams of the settings.

What changes while a run goes on jumps to the top, above where the run began, and is told by the next run.
Sources: https://linear.app/developers/pagination and https://linear.app/developers/filtering
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import ClassVar

from providers.adapters.linear import graphql, issue_history, mapping, naming, queries
from providers.canonical import JSON, SignalType
from providers.document import Document, compact
from providers.errors import ProviderFault
from providers.listing import ListStream, Order, Place
from providers.paging import NextToken, Query
from providers.spi import ProviderEvent

_PAGE = 50
# Objects of which a webhook has the id beside them.
_REFERRED = ("state", "team", "creator", "assignee", "project", "cycle", "parent", "user", "lead", "status")


class LinearStream(ListStream):
    """One list, and what every item tells: that it was made, and its last version."""

    overlap_seconds = 120
    order = Order.NEWEST_FIRST
    changed_at = ("/updatedAt",)
    kind: ClassVar[str]
    """The type of its webhook."""
    operation: ClassVar[str]
    text: ClassVar[str]

    def query(self, place: Place) -> Query:
        chosen: JSON = {"updatedAt": {"gte": text_of(place.since)}}
        if place.settings.get("teams"):
            chosen |= self.of_teams({"key": {"in": list(place.settings["teams"])}})
        variables = {"filter": chosen, **self.variables(place)}
        return Query(path=graphql.PATH, json=graphql.request(self.operation, self.text, variables))

    def of_teams(self, teams: JSON) -> JSON:
        """The filter for the items of these teams."""
        return {"team": teams}

    def variables(self, place: Place) -> JSON:
        return {}

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        made, updated = times_of(item)
        data = hook_data(item)
        yield from self.told("create", data)
        if not issue_history.at_once(updated, [made]):
            yield from self.told("update", data, then={})

    def told(self, action: str, data: JSON, *, then: JSON | None = None) -> Iterator[ProviderEvent]:
        """The events of a change, in the shape of its webhook; ``then``: the previous values of an update."""
        payload = compact(
            {"type": self.kind, "action": action, "data": data, "url": data.get("url"), "updatedFrom": then}
        )
        for signal_type in mapping.meanings(self.kind, action, Document(payload))[0]:
            yield self.event(signal_type, payload)

    def event(self, signal_type: SignalType, payload: JSON) -> ProviderEvent:
        document, action = Document(payload), payload["action"]
        happening = naming.happening(self.kind, action, signal_type, document)
        if not happening:
            raise ProviderFault("An item of Linear's list does not say which change it shows.")
        return ProviderEvent(
            event_type=f"{self.kind}.{action}",
            dedupe_key=f"polled:{happening}:{signal_type}",
            payload=payload,
            signal_type=signal_type,
            occurred_at=mapping.occurred_at(action, document),
            happening=happening,
            ordering_key=naming.ordering_key(self.kind, document),
        )


def pages(collection: str) -> NextToken:
    page_info = f"/data/{collection}/pageInfo"
    return NextToken(
        size=_PAGE,
        size_in="/variables/first",
        token_at=f"{page_info}/endCursor",
        token_in="/variables/after",
        more_at=f"{page_info}/hasNextPage",
    )


def times_of(item: Document) -> tuple[datetime, datetime]:
    """When an item was made and last changed. Raises ``ProviderFault`` for one that identifies nothing."""
    made, updated = item.time("/createdAt"), item.time("/updatedAt")
    if not (item.text("/id") and made and updated):
        raise ProviderFault("An item of Linear's list lacks its id or its times.")
    return made, updated


def hook_data(item: Document) -> JSON:
    """An item as a webhook has it: ids beside the objects they are of, labels without their page, no history."""
    ids = {f"{name}Id": item.at(f"/{name}/id") for name in _REFERRED if isinstance(item.at(f"/{name}"), dict)}
    return compact({**item.value, **ids, "labels": item.at("/labels/nodes"), "history": None})


def text_of(moment: datetime) -> str:
    """The time as Linear writes it; it knows milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class EditedStream(LinearStream):
    """A list of texts: of changes only an edit is told, by its own time."""

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        times_of(item)
        data, edited = hook_data(item), item.time("/editedAt")
        yield from self.told("create", data)
        if edited:
            yield from self.told("update", {**data, "updatedAt": text_of(edited)}, then={})


class CommentStream(EditedStream):
    name = "comments"
    description = "Comments on issues, documents and projects."
    kind, operation, text = "Comment", "Comments", queries.COMMENTS
    items_at, paging = "/data/comments/nodes", pages("comments")

    def of_teams(self, teams: JSON) -> JSON:
        return {"issue": {"team": teams}}


class ProjectUpdateStream(EditedStream):
    name = "project_updates"
    description = "Status reports of projects."
    enabled_by_default = False
    kind, operation, text = "ProjectUpdate", "ProjectUpdates", queries.PROJECT_UPDATES
    items_at, paging = "/data/projectUpdates/nodes", pages("projectUpdates")

    def of_teams(self, teams: JSON) -> JSON:
        return {"project": {"accessibleTeams": {"some": teams}}}


class ProjectStream(LinearStream):
    name = "projects"
    description = "Projects by the time of their last change."
    enabled_by_default = False
    kind, operation, text = "Project", "Projects", queries.PROJECTS
    items_at, paging = "/data/projects/nodes", pages("projects")

    def of_teams(self, teams: JSON) -> JSON:
        return {"accessibleTeams": {"some": teams}}


class CycleStream(LinearStream):
    name = "cycles"
    description = "Cycles by the time of their last change."
    enabled_by_default = False
    kind, operation, text = "Cycle", "Cycles", queries.CYCLES
    items_at, paging = "/data/cycles/nodes", pages("cycles")

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        made, updated = times_of(item)
        data, completed = hook_data(item), item.time("/completedAt")
        yield from self.told("create", data)
        if completed:
            yield from self.told("update", {**data, "updatedAt": text_of(completed)}, then={"completedAt": None})
        if not issue_history.at_once(updated, [made, completed]):
            yield from self.told("update", data, then={})
