"""The pull road: lists of a project, and of a group where GitLab has them, declared. Merge requests and issues.

Both are read oldest change first from ``updated_after``, which includes its instant. An item is a state, not a change:
it tells when it was opened, merged and closed, because it brings those times, and anything else as "updated".

Sources: https://docs.gitlab.com/api/merge_requests/, https://docs.gitlab.com/api/issues/,
https://docs.gitlab.com/api/rest/#pagination
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from providers.adapters.gitlab import mapping
from providers.adapters.gitlab.happenings import happening
from providers.adapters.gitlab.places import distinct, path_of, project
from providers.adapters.gitlab.registrar import GROUP
from providers.canonical import JSON, SignalType
from providers.document import Document, compact
from providers.errors import AuthFailed, ProviderError, ProviderFault, Rejected
from providers.listing import ListStream, Order, Place
from providers.paging import LinkHeader, Query
from providers.spi import ProviderEvent

# GitLab writes one change in several steps. An item's last change so soon after its opening, merge or close is that.
SETTLES: Final = timedelta(seconds=2)

Told = tuple[str, SignalType, datetime, str]
"""The action, its signal, when it happened, and what makes this version another than the next."""


class GitLabStream(ListStream):
    """One list of each project. ``path`` is its place below the project."""

    path: ClassVar[str]
    overlap_seconds = 600
    paging = LinkHeader(size=100, size_in="per_page")
    changed_at = ("/updated_at",)

    def partitions(self, settings: Mapping[str, Any]) -> Sequence[str]:
        return distinct(settings.get("projects") or ())

    @abstractmethod
    def filters(self, place: Place) -> Mapping[str, Any]:
        """The parameters that choose and sort."""

    def query(self, place: Place) -> Query:
        return Query(path=f"{path_of(place.partition)}/{self.path}", params=self.filters(place))

    def refusal(self, error: ProviderError, place: Place) -> ProviderError:
        what = place.partition.replace(":", " ")
        if isinstance(error, AuthFailed) and error.status == 403:
            return AuthFailed(
                f"GitLab refuses {self.path} of {what} (403): the token needs the scope read_api, its user the role "
                "Reporter there, and the feature must not be switched off.",
                status=403,
            )
        if isinstance(error, Rejected) and error.status == 404:
            return Rejected(
                f"GitLab shows no {self.path} of {what} (404): it is gone, not visible to the token, or has none.",
                status=404,
            )
        return error


class ChangedItems(GitLabStream):
    """Items of projects and groups by the time of their last change."""

    order = Order.OLDEST_FIRST
    # Times are shown in milliseconds and kept in microseconds.
    step = timedelta(seconds=1)
    kind: ClassVar[str]

    def partitions(self, settings: Mapping[str, Any]) -> Sequence[str]:
        groups = settings.get("groups") or ()
        # A group's list has the items of its subgroups and their projects.
        covered = tuple(f"{group}/".lower() for group in groups)
        projects = [name for name in settings.get("projects") or () if not f"{name}/".lower().startswith(covered)]
        return distinct([*(f"{GROUP}{group}" for group in groups), *projects])

    def filters(self, place: Place) -> Mapping[str, Any]:
        since = instant(place.since)
        return {"scope": "all", "order_by": "updated_at", "sort": "asc", "updated_after": since}

    @abstractmethod
    def told(self, item: Document, updated: datetime) -> Iterator[Told]:
        """What an item tells."""

    @abstractmethod
    def parts(self, item: Document) -> JSON:
        """What the body of a webhook has beside the item's own members."""

    def actor(self, item: Document, action: str) -> Any:
        return {"open": item.at("/author"), "close": item.at("/closed_by")}.get(action)

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        own, updated = item.text("/id", limit=40), item.time("/updated_at")
        if own is None or updated is None:
            raise ProviderFault(f"An item of GitLab's {self.path} has no id or no time.")
        for action, signal_type, moment, version in self.told(item, updated):
            attributes = {
                **item.value,
                "url": item.at("/web_url"),
                "author_id": item.at("/author/id"),
                "action": action,
            }
            body = {
                "object_kind": self.kind,
                "user": self.actor(item, action),
                "project": project(place.settings, place.partition, item.integer("/project_id"), item.text("/web_url")),
                "object_attributes": {**attributes, **self.parts(item)},
                "labels": [{"title": name} for name in item.texts("/labels")],
                "assignees": item.at("/assignees"),
                "reviewers": item.at("/reviewers"),
            }
            yield event(f"{self.kind}.{action}", signal_type, f"{self.kind}:{own}:{version}", moment, body)


class MergeRequestStream(ChangedItems):
    name = "merge_requests"
    description = "Merge requests by the time of their last change."
    path = "merge_requests"
    kind = "merge_request"

    def filters(self, place: Place) -> Mapping[str, Any]:
        return {**super().filters(place), "state": "all"}

    def told(self, item: Document, updated: datetime) -> Iterator[Told]:
        created, merged, closed = item.time("/created_at"), item.time("/merged_at"), item.time("/closed_at")
        closed = closed if item.text("/state") == "closed" else None
        if created:
            yield "open", SignalType.PR_OPENED, created, "opened"
        if merged:
            yield "merge", SignalType.PR_MERGED, merged, "merged"
        if closed:
            yield "close", SignalType.PR_CLOSED, closed, f"closed:{instant(closed)}"
        if changed_since(updated, created, merged, closed):
            yield "update", SignalType.PR_UPDATED, updated, f"updated:{instant(updated)}"

    def actor(self, item: Document, action: str) -> Any:
        if action == "merge":
            return item.at("/merge_user") or item.at("/merged_by")
        return super().actor(item, action)

    def parts(self, item: Document) -> JSON:
        home = item.integer("/target_project_id", "/project_id")
        return {"last_commit": {"id": item.at("/sha")}, "target_project_id": home}


class IssueStream(ChangedItems):
    name = "issues"
    description = "Issues, tasks and incidents that are not confidential, by the time of their last change."
    path = "issues"
    kind = "issue"

    def filters(self, place: Place) -> Mapping[str, Any]:
        # The hooks that are made here leave confidential issues out, too.
        return {**super().filters(place), "state": "all", "confidential": "false"}

    def told(self, item: Document, updated: datetime) -> Iterator[Told]:
        created = item.time("/created_at")
        closed = item.time("/closed_at") if item.text("/state") == "closed" else None
        if created:
            yield "open", SignalType.ISSUE_CREATED, created, "opened"
        if closed:
            yield "close", SignalType.ISSUE_CLOSED, closed, f"closed:{instant(closed)}"
        if changed_since(updated, created, closed):
            yield "update", SignalType.ISSUE_UPDATED, updated, f"updated:{instant(updated)}"

    def parts(self, item: Document) -> JSON:
        # Webhooks call the types "Issue", "Test Case".
        return {"type": (item.text("/issue_type") or "").replace("_", " ").title() or None}


def changed_since(updated: datetime, *told: datetime | None) -> bool:
    """Whether the last change is another than those that have a time of their own."""
    return all(moment is None or not moment - SETTLES <= updated <= moment + SETTLES for moment in told)


def event(
    event_type: str, signal_type: SignalType | None, identity: str, moment: datetime, body: JSON, reason: str = ""
) -> ProviderEvent:
    """What a list tells, in the shape and under the names a webhook would have."""
    document = Document(compact(body))
    return ProviderEvent(
        event_type=event_type,
        dedupe_key=f"poll:{identity}",
        payload=document.value,
        signal_type=signal_type,
        ignored_reason="" if signal_type else reason,
        occurred_at=moment,
        happening=happening(signal_type, event_type, document) if signal_type else "",
        ordering_key=mapping.ordering_key(event_type, document),
    )


def instant(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
