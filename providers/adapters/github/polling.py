"""Lists of one repository by time of change: issues with pull requests, and optionally comments.

How a run reads (https://docs.github.com/en/rest/issues/issues#list-repository-issues):

- Oldest change first, from ``since``. Where a page is full the next request starts at the page's last
  change, because a page number shifts when an item changes meanwhile; only where one second holds more
  than a page are ``rel="next"`` links followed.
- The last request of a run is remembered with its ETag and asked again by the next poll: 304 means that
  nothing changed, and costs no quota. Anything else starts a run ``overlap_seconds`` behind the newest
  change, for records that became visible late.

Position: ``since`` and, inside one second, ``next`` (what to ask), ``watermark`` (newest change read),
``floor`` (while a run goes on: nothing older is told), ``etag`` (between runs).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from providers.adapters.github import mapping
from providers.adapters.github.ordering import ordering_key
from providers.canonical import JSON, SignalType
from providers.client import ProviderClient, Response
from providers.document import Document, compact
from providers.errors import AuthFailed, ProviderFault, Rejected
from providers.spi import Page, ProviderEvent, Stream, Window

PER_PAGE = 100
# Whether ``since`` includes its own second is not documented, so each step reads it again.
_STEP_BACK = timedelta(seconds=1)

Told = tuple[str, SignalType, datetime]
"""An event type, its signal, and when it happened."""


class ChangedSince(Stream):
    """A list that GitHub filters by ``since`` and sorts by ``updated_at``."""

    overlap_seconds = 600
    path: ClassVar[str]
    params: ClassVar[Mapping[str, str | int]]

    def partitions(self, settings: Mapping[str, Any]) -> Sequence[str]:
        repositories: Sequence[str] = settings.get("repositories") or ()
        return repositories

    @abstractmethod
    def happenings(self, item: Document) -> Iterator[Told]:
        """What an item's times tell."""

    @abstractmethod
    def payload(self, item: Document, event_type: str, repository: str) -> JSON:
        """The item in the shape a webhook would have told it."""

    def page(
        self,
        client: ProviderClient,
        *,
        partition: str,
        settings: Mapping[str, Any],
        position: JSON,
        window: Window,
    ) -> Page:
        here = Document(position)
        watermark = here.time("/watermark")
        behind = self._behind(watermark, window)
        since, floor = here.time("/since") or behind, here.time("/floor") or behind
        etag, link = here.text("/etag"), here.text("/next")

        answer = self._ask(client, partition, since, link, etag)
        wish = _poll_interval(answer)
        if answer.status == 304:
            return Page(events=(), position=position, poll_after_seconds=wish)
        items = _items(answer)
        if etag and since > behind:
            # Something changed after a long run: start again far enough back to meet late records.
            return Page(events=(), position={"watermark": _text(watermark), "since": _text(behind)}, more=True)

        newest = max(filter(None, (item.time("/updated_at") for item in items)), default=None)
        watermark = max(filter(None, (watermark, newest)), default=None)
        events = [event for item in items for event in self._events(item, partition, floor, window.until)]
        run = {"watermark": _text(watermark), "floor": _text(floor)}
        following = answer.link("next")
        step = newest - _STEP_BACK if newest else since
        if step > since and (following or len(items) >= PER_PAGE):
            return Page(events=events, position={**run, "since": _text(step)}, more=True, poll_after_seconds=wish)
        if following:
            if following == link:
                raise ProviderFault("GitHub repeats a page.")
            after = {**run, "since": _text(since), "next": following}
            return Page(events=events, position=after, more=True, poll_after_seconds=wish)
        return Page(events=events, position=self._rest(answer, since, link, watermark), poll_after_seconds=wish)

    def _behind(self, watermark: datetime | None, window: Window) -> datetime:
        """Where a run starts: behind its watermark, but never before the window."""
        start = window.since.astimezone(UTC).replace(microsecond=0)
        return max(start, watermark - timedelta(seconds=self.overlap_seconds)) if watermark else start

    def _rest(self, answer: Response, since: datetime, link: str | None, watermark: datetime | None) -> JSON:
        """Position after a run. Without an ETag the next run starts from the watermark."""
        etag = answer.headers.get("etag")
        if not etag:
            return compact({"watermark": _text(watermark)})
        return compact({"watermark": _text(watermark), "since": _text(since), "next": link, "etag": etag})

    def _ask(
        self, client: ProviderClient, repository: str, since: datetime, link: str | None, etag: str | None
    ) -> Response:
        headers = {"If-None-Match": etag} if etag else {}
        try:
            if link:
                return client.get(link, headers=headers)
            params = {**self.params, "since": _text(since), "per_page": PER_PAGE}
            return client.get(f"/repos/{repository}/{self.path}", params=params, headers=headers)
        except AuthFailed as refused:
            if refused.status != 403:
                raise
            raise AuthFailed(
                f"GitHub refuses {repository} (403): the token needs read access to issues and pull requests, "
                "or must be authorised for the organisation's single sign-on.",
                status=403,
            ) from None
        except Rejected as refused:
            hint = {404: "does not exist or is not visible to the token", 410: "has its issues switched off"}
            if refused.status not in hint:
                raise
            raise Rejected(f"{repository} {hint[refused.status]} ({refused.status}).", status=refused.status) from None

    def _events(
        self, item: Document, repository: str, floor: datetime, until: datetime | None
    ) -> Iterator[ProviderEvent]:
        own = item.text("/node_id", "/id", limit=100) or ""
        for event_type, signal_type, moment in self.happenings(item):
            if moment < floor or (until and moment > until):
                continue
            payload = self.payload(item, event_type, repository)
            yield ProviderEvent(
                event_type=event_type,
                dedupe_key=f"poll:{self.name}:{own}:{event_type.partition('.')[2]}:{_text(moment)}",
                payload=payload,
                signal_type=signal_type,
                occurred_at=moment,
                happening=mapping.happening(event_type, Document(payload)),
                ordering_key=ordering_key(event_type, Document(payload)),
                correlation_id=own,
            )


class IssueStream(ChangedSince):
    """Issues and pull requests; GitHub lists them together."""

    name = "issues"
    description = "Issues and pull requests by the time of their last change."
    path = "issues"
    params = {"state": "all", "sort": "updated", "direction": "asc"}

    def happenings(self, item: Document) -> Iterator[Told]:
        """A list shows states, not changes: created, closed, merged, or else changed."""
        created, closed = item.time("/created_at"), item.time("/closed_at")
        updated = item.time("/updated_at")
        is_pull_request = item.at("/pull_request") is not None
        event = "pull_request" if is_pull_request else "issues"
        if created:
            yield f"{event}.opened", SignalType.PR_OPENED if is_pull_request else SignalType.ISSUE_CREATED, created
        if closed:
            merged = item.time("/pull_request/merged_at")
            if is_pull_request:
                yield f"{event}.closed", SignalType.PR_MERGED if merged else SignalType.PR_CLOSED, merged or closed
            else:
                yield f"{event}.closed", SignalType.ISSUE_CLOSED, closed
        if updated and updated not in (created, closed):
            yield f"{event}.updated", SignalType.PR_UPDATED if is_pull_request else SignalType.ISSUE_UPDATED, updated

    def payload(self, item: Document, event_type: str, repository: str) -> JSON:
        action = event_type.partition(".")[2]
        actor = {"opened": "/user", "closed": "/closed_by"}.get(action, "/sender")
        return {
            "action": action,
            "issue": item.value,
            "repository": {"full_name": _repository(item) or repository},
            "sender": item.at(actor),
        }


class IssueCommentStream(ChangedSince):
    """Comments on issues and in the conversation of pull requests."""

    name = "issue_comments"
    description = "Comments on issues and pull requests by the time of their last change."
    enabled_by_default = False
    path = "issues/comments"
    params = {"sort": "updated", "direction": "asc"}

    def happenings(self, item: Document) -> Iterator[Told]:
        created, updated = item.time("/created_at"), item.time("/updated_at")
        on_pull_request = _on_pull_request(item)
        if created:
            commented = SignalType.PR_COMMENTED if on_pull_request else SignalType.ISSUE_COMMENTED
            yield "issue_comment.created", commented, created
        if updated and updated != created:
            edited = SignalType.PR_COMMENT_UPDATED if on_pull_request else SignalType.ISSUE_COMMENT_UPDATED
            yield "issue_comment.edited", edited, updated

    def payload(self, item: Document, event_type: str, repository: str) -> JSON:
        number = (item.text("/issue_url") or "").rpartition("/")[2]
        issue: JSON = {"number": int(number) if number.isascii() and number.isdigit() else None}
        if _on_pull_request(item):
            issue["pull_request"] = {}
        action = event_type.partition(".")[2]
        return {
            "action": action,
            "comment": item.value,
            "issue": issue,
            "repository": {"full_name": _repository(item) or repository},
            "sender": item.at("/user") if action == "created" else None,
        }


def _on_pull_request(comment: Document) -> bool:
    # The list names the issue only; the page's address says which kind it is.
    return "/pull/" in (comment.text("/html_url") or "")


def _repository(item: Document) -> str:
    """The repository's present name, which differs from the setting after a rename."""
    address = item.text("/repository_url", "/issue_url") or ""
    parts = address.partition("/repos/")[2].split("/")
    return "/".join(parts[:2]) if len(parts) >= 2 else ""


def _items(answer: Response) -> list[Document]:
    value = answer.json()
    if not isinstance(value, list):
        raise ProviderFault("GitHub's answer is not a list.", status=answer.status)
    items = [Document(item) for item in value]
    if not all(item.text("/node_id", "/id") and item.time("/updated_at") for item in items):
        raise ProviderFault("An item of GitHub's answer has no id or no time.", status=answer.status)
    return items


def _poll_interval(answer: Response) -> float | None:
    value = answer.headers.get("x-poll-interval", "")
    return float(value) if value.isascii() and value.isdigit() else None


def _text(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if moment else ""
