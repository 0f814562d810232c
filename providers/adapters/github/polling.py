"""Lists of one repository: issues with pull requests, comments, reviews' comments, workflow runs, releases, pushes.

https://docs.github.com/en/rest/issues/issues#list-repository-issues and its neighbours. How a list is read is
``providers.listing``'s; here stands what is asked, and what an item tells. Items are stored in the shape in which a
webhook would have told them, so that one mapping serves both roads.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from providers.adapters.github import mapping
from providers.adapters.github.mapping_rules import classify
from providers.adapters.github.ordering import ordering_key
from providers.canonical import JSON
from providers.client import ProviderClient, Response
from providers.document import Document
from providers.errors import AuthFailed, ProviderError, ProviderFault, Rejected
from providers.listing import ListStream, Order, Place
from providers.paging import LinkHeader, Mark, Paging, Query
from providers.spi import Page, ProviderEvent, Window

PER_PAGE = 100

Told = tuple[str, datetime]
"""An event type in a webhook's words, and when it happened."""


class RepositoryList(ListStream):
    """One list of one repository."""

    path: ClassVar[str]
    params: ClassVar[Mapping[str, str | int]] = {}
    paging: ClassVar[Paging] = LinkHeader(size=PER_PAGE, size_in="per_page")
    conditional = True
    needs: ClassVar[str] = "issues and pull requests"

    def partitions(self, settings: Mapping[str, Any]) -> Sequence[str]:
        repositories: Sequence[str] = settings.get("repositories") or ()
        return repositories

    def query(self, place: Place) -> Query:
        return Query(path=f"/repos/{place.partition}/{self.path}", params={**self.params, **self.span(place)})

    def span(self, place: Place) -> Mapping[str, str]:
        """The parameters that limit the list to the place's span, if it has any."""
        return {}

    @abstractmethod
    def happenings(self, item: Document) -> Iterator[Told]:
        """What an item's state and times tell."""

    @abstractmethod
    def payload(self, item: Document, event_type: str) -> JSON:
        """The item as the webhook of that event has it, without repository and sender."""

    def actor(self, item: Document, event_type: str) -> Any:
        """Who did it, if the list says so."""
        return None

    def version(self, item: Document, moment: datetime) -> str:
        """What tells this happening from another of the same kind of the same item."""
        return _text(moment)

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        own = item.text("/node_id", "/id", limit=100)
        if not own:
            raise ProviderFault("An item of GitHub's answer has no id.")
        for event_type, moment in self.happenings(item):
            if not place.holds(moment):
                continue  # of an item that changed lately, most happened long ago
            payload = {
                "action": event_type.partition(".")[2],
                **self.payload(item, event_type),
                "repository": {"full_name": _repository(item) or place.partition},
                "sender": self.actor(item, event_type),
            }
            document = Document(payload)
            signal_type, ignored_reason = classify(event_type, document)
            yield ProviderEvent(
                event_type=event_type,
                dedupe_key=f"poll:{self.name}:{own}:{event_type.partition('.')[2]}:{self.version(item, moment)}",
                payload=payload,
                signal_type=signal_type,
                ignored_reason=ignored_reason,
                occurred_at=moment,
                happening=mapping.happening(event_type, document) if signal_type else "",
                ordering_key=ordering_key(event_type, document),
                correlation_id=own,
            )

    def refusal(self, error: ProviderError, place: Place) -> ProviderError:
        if isinstance(error, AuthFailed) and error.status == 403:
            return AuthFailed(
                f"GitHub refuses {place.partition} (403): the token needs read access to {self.needs}, "
                "or must be authorised for the organisation's single sign-on.",
                status=403,
            )
        hint = {404: "does not exist or is not visible to the token", 410: "has its issues switched off"}
        if isinstance(error, Rejected) and error.status in hint:
            return Rejected(f"{place.partition} {hint[error.status]} ({error.status}).", status=error.status)
        return error

    def wish(self, answer: Response) -> float | None:
        value = answer.headers.get("x-poll-interval", "")
        return float(value) if value.isascii() and value.isdigit() else None


class ChangedSince(RepositoryList):
    """A list that GitHub filters by ``since`` and sorts by ``updated_at``, to the second."""

    order = Order.OLDEST_FIRST
    step = timedelta(seconds=1)
    overlap_seconds = 600
    changed_at = ("/updated_at",)

    def span(self, place: Place) -> Mapping[str, str]:
        return {"since": _text(place.since)}


class IssueStream(ChangedSince):
    """Issues and pull requests; GitHub lists them together."""

    name = "issues"
    description = "Issues and pull requests by the time of their last change."
    path = "issues"
    params = {"state": "all", "sort": "updated", "direction": "asc"}

    def happenings(self, item: Document) -> Iterator[Told]:
        """A list shows states, not changes: created, closed, merged, or else changed."""
        created, closed, updated = item.time("/created_at"), item.time("/closed_at"), item.time("/updated_at")
        event = "issues" if item.at("/pull_request") is None else "pull_request"
        if created:
            yield f"{event}.opened", created
        if closed:
            yield f"{event}.closed", item.time("/pull_request/merged_at") or closed
        if updated and updated not in (created, closed):
            yield f"{event}.updated", updated

    def payload(self, item: Document, event_type: str) -> JSON:
        return {"issue": item.value}

    def actor(self, item: Document, event_type: str) -> Any:
        return item.at({"opened": "/user", "closed": "/closed_by"}.get(event_type.partition(".")[2], "/sender"))


class Comments(ChangedSince):
    """A list of comments: made, or changed since."""

    enabled_by_default = False
    event: ClassVar[str]

    def happenings(self, item: Document) -> Iterator[Told]:
        created, updated = item.time("/created_at"), item.time("/updated_at")
        if created:
            yield f"{self.event}.created", created
        if updated and updated != created:
            yield f"{self.event}.edited", updated

    def actor(self, item: Document, event_type: str) -> Any:
        return item.at("/user") if event_type.endswith(".created") else None


class IssueCommentStream(Comments):
    """Comments on issues and in the conversation of pull requests."""

    name = "issue_comments"
    description = "Comments on issues and pull requests by the time of their last change."
    path = "issues/comments"
    params = {"sort": "updated", "direction": "asc"}
    event = "issue_comment"

    def payload(self, item: Document, event_type: str) -> JSON:
        issue: JSON = {"number": _number(item.text("/issue_url"))}
        # The list names the issue only; the page's address says which kind it is.
        if "/pull/" in (item.text("/html_url") or ""):
            issue["pull_request"] = {}
        return {"comment": item.value, "issue": issue}


class ReviewCommentStream(Comments):
    """Comments on the changes of pull requests."""

    name = "review_comments"
    description = "Comments on the changes of pull requests, by the time of their last change."
    path = "pulls/comments"
    params = {"sort": "updated", "direction": "asc"}
    event = "pull_request_review_comment"
    needs = "pull requests"

    def payload(self, item: Document, event_type: str) -> JSON:
        return {"comment": item.value, "pull_request": {"number": _number(item.text("/pull_request_url"))}}


@dataclass(frozen=True, slots=True, kw_only=True)
class _CreatedBefore(Paging):
    """The next page holds what was created up to the oldest run of this one: of a filtered list GitHub shows 1,000
    runs only. The mark is that time, and where one second holds more than a page, the page's number behind it."""

    stable: bool = True

    def at(self, query: Query, mark: Mark) -> Query:
        until, _, number = str(mark).partition(" ")
        since = str(query.params["created"]).removeprefix(">=").partition("..")[0]
        asked = self.first(query).with_value("created", f"{since}..{until}")
        return asked.with_value("page", int(number)) if number else asked

    def after(self, answer: Response, body: Document, count: int, mark: Mark | None) -> Mark | None:
        if not answer.link("next"):
            return None
        times = [moment for item in body.items("/workflow_runs") if (moment := item.time("/created_at"))]
        if not times:
            raise ProviderFault("GitHub says that there are more runs, and shows none.")
        until, _, number = str(mark or "").partition(" ")
        oldest = _text(min(times))
        return f"{oldest} {int(number or 1) + 1}" if oldest == until else oldest


class WorkflowRunStream(RepositoryList):
    """Runs of Actions. The filter knows when a run was created, not when it ended, so it begins three days early."""

    name = "workflow_runs"
    description = "Runs of Actions that ended."
    enabled_by_default = False
    path = "actions/runs"
    params = {"status": "completed"}
    paging = _CreatedBefore(size=PER_PAGE, size_in="per_page")
    order = Order.NEWEST_FIRST
    overlap_seconds = 3 * 86400
    # Each slice reads the three days before it besides.
    slice = timedelta(days=7)
    items_at = "/workflow_runs"
    changed_at = ("/created_at",)
    needs = "actions"

    def page(
        self,
        client: ProviderClient,
        *,
        partition: str,
        settings: Mapping[str, Any],
        position: JSON,
        window: Window,
    ) -> Page:
        early = replace(window, since=window.since - timedelta(seconds=self.overlap_seconds))
        page = super().page(client, partition=partition, settings=settings, position=position, window=early)
        ended = [event for event in page.events if event.occurred_at and event.occurred_at >= window.since]
        return replace(page, events=ended)

    def span(self, place: Place) -> Mapping[str, str]:
        since = _text(place.since)
        return {"created": f"{since}..{_text(place.until)}" if place.until else f">={since}"}

    def version(self, item: Document, moment: datetime) -> str:
        # The time of the last change moves on after the end; a run that is started again is another attempt.
        return item.text("/run_attempt", limit=20) or "1"

    def happenings(self, item: Document) -> Iterator[Told]:
        # A run that is started again keeps the time it was created.
        ended = item.time("/updated_at")
        if ended and item.text("/status") == "completed":
            yield "workflow_run.completed", ended

    def payload(self, item: Document, event_type: str) -> JSON:
        return {"workflow_run": item.value, "workflow": {"name": item.text("/name")}}

    def actor(self, item: Document, event_type: str) -> Any:
        return item.at("/triggering_actor") or item.at("/actor")


class ReleaseStream(RepositoryList):
    """Published releases; drafts are left out."""

    name = "releases"
    description = "Published releases."
    enabled_by_default = False
    path = "releases"
    order = Order.NEWEST_FIRST
    # Sorted by the commit's time and the draft's making: what is published later stands further down.
    overlap_seconds = 7 * 86400
    changed_at = ("/created_at",)
    needs = "contents"

    def version(self, item: Document, moment: datetime) -> str:
        return "once"

    def happenings(self, item: Document) -> Iterator[Told]:
        published = item.time("/published_at")
        if published and item.boolean("/draft") is not True:
            yield "release.published", published

    def payload(self, item: Document, event_type: str) -> JSON:
        return {"release": item.value}

    def actor(self, item: Document, event_type: str) -> Any:
        return item.at("/author")


STREAMS = (IssueStream(), IssueCommentStream(), ReviewCommentStream(), WorkflowRunStream(), ReleaseStream())


def _number(address: str | None) -> int | None:
    number = (address or "").rpartition("/")[2]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else None


def _repository(item: Document) -> str:
    """The repository's present name, which differs from the setting after a rename."""
    address = item.text("/repository_url", "/issue_url", "/pull_request_url") or ""
    parts = address.partition("/repos/")[2].split("/")
    return "/".join(parts[:2]) if len(parts) >= 2 else ""


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
