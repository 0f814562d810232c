"""Confluence's pull road: pages, blog posts and comments by the time of their last change, through one search.

Source: https://developer.atlassian.com/cloud/confluence/rest/v1/api-group-search/ and
https://developer.atlassian.com/cloud/confluence/cql-fields/. A date in CQL has minutes only and the time zone of the
credential's user, which may change any day; ``now("-20m")`` has neither fault, but counts from when it is asked. So a
position keeps the provider's clock (``clock``, out of ``Date``): a run begins as if half an hour had passed since, and
where it was more, which the answer's own date tells, the page is asked for again. A new cursor asks who it is first.

A cursor may count items, so all pages of one list have to begin with the same item: while pages are followed, the
minute from which the list was given is kept (``begin``), and each request counts back to it from its own time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from providers.adapters.confluence import account, mapping, mapping_rules
from providers.canonical import JSON
from providers.client import ProviderClient, Response
from providers.document import Document, compact
from providers.errors import AuthFailed, ProviderError, ProviderFault, Rejected, StaleMark
from providers.listing import ListStream, Order, Place
from providers.paging import Mark, Paging, Query
from providers.spi import Page, ProviderEvent, Stream, Window

SEARCH_PATH: Final = "rest/api/search"
# With expanded parts Confluence cuts a page to fifty or less.
PAGE_SIZE: Final = 50
_EXPANDED: Final = "content.version,content.history,content.space,content.container"
_MINUTE: Final = timedelta(minutes=1)
# Between two polls hardly more passes; if it does, the poll is two requests.
_IDLE: Final = timedelta(minutes=30)
_KINDS: Final = {"page": "page", "blogpost": "blog", "comment": "comment"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_GATEWAY: Final = "api.atlassian.com"


class ContentStream(Stream):
    """The search, asked with a clock."""

    name = "content"
    description = "Pages, blog posts and comments as they are made and changed."
    # The search index lags by minutes.
    overlap_seconds = 900

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
        clock, running = here.time("/clock"), here.boolean("/running") is True
        if clock is None:
            answer = account.ask(client)
            account.named(answer)
            return Page(events=(), position=_timed(position, account.clock(answer), running=True), more=True)
        begin = here.time("/begin") if _follows(position) else None
        search = _Search(asked_by=clock if running else clock + _IDLE, begin=begin)
        try:
            page = search.page(client, partition=partition, settings=settings, position=position, window=window)
        except StaleMark as stale:
            stale.position = _timed({**stale.position}, clock, running=True)
            raise
        if search.began > search.latest:
            # More time had passed than was allowed for, so the list began too late.
            return Page(events=(), position=_timed(position, search.answered_at, running=True), more=True)
        onward = {**page.position, "begin": search.began.isoformat()} if _follows(page.position) else page.position
        return replace(page, position=_timed(onward, search.answered_at, running=page.more))


def _follows(position: JSON) -> bool:
    """Whether pages of a list are followed, so that the list has to stay the same."""
    return "mark" in position or "again" in position


def _timed(position: JSON, clock: datetime, *, running: bool) -> JSON:
    return compact({**position, "clock": clock.isoformat(), "running": running or None})


@dataclass(frozen=True, slots=True, kw_only=True)
class CursorOfAddress(Paging):
    """Of the next page's address only the cursor is taken: that of the search holds a time that goes on, and the
    vendor leaves out other parameters now and then."""

    def at(self, query: Query, mark: Mark) -> Query:
        return self.first(query).with_value("cursor", mark)

    def after(self, answer: Response, body: Document, count: int, mark: Mark | None) -> Mark | None:
        address = body.text("/_links/next", limit=8000)
        if address is None:
            return None
        try:
            cursors = parse_qs(urlsplit(address).query).get("cursor", [])
        except ValueError:
            cursors = []
        if len(cursors) != 1:
            raise ProviderFault("The provider's next page has no cursor.")
        return cursors[0]


class _Search(ListStream):
    """One page; made anew for each, since it holds the time by which it is asked and answered.

    ``latest``: the minute in which the list may begin at the latest; ``began``: in which it did.
    """

    name = "search"
    overlap_seconds = ContentStream.overlap_seconds
    order = Order.OLDEST_FIRST
    # The filter knows minutes, and each request begins up to three of them early.
    step = timedelta(minutes=5)
    # Whether its cursor counts items is not documented.
    paging = CursorOfAddress(size=PAGE_SIZE, size_in="limit")
    items_at = "/results"
    changed_at = ("/lastModified", "/content/version/when")

    def __init__(self, asked_by: datetime, begin: datetime | None) -> None:
        self.asked_by = self.answered_at = asked_by
        self._begin = begin
        self._minutes = 0
        self.began = self.latest = asked_by

    def query(self, place: Place) -> Query:
        # One minute since the answer may come later, one since the vendor may not round its clock down.
        begin = self._begin or _whole(place.since) - 2 * _MINUTE
        self.latest = self._begin or begin + _MINUTE
        self._minutes = max(0, (_whole(self.asked_by) - begin) // _MINUTE)
        self.began = _whole(self.asked_by) - self._minutes * _MINUTE
        minutes = self._minutes
        spaces = place.settings.get("spaces")
        scope = f" and space in ({', '.join(map(_quoted, spaces))})" if spaces else ""
        cql = f'lastmodified >= now("-{minutes}m") and type in ({", ".join(_KINDS)}){scope} order by lastmodified asc'
        return Query(path=SEARCH_PATH, params={"cql": cql, "expand": _EXPANDED})

    def wish(self, answer: Response) -> float | None:
        self.answered_at = account.clock(answer)
        self.began = _whole(self.answered_at) - self._minutes * _MINUTE
        return None

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        return _told(item, place)

    def refusal(self, error: ProviderError, place: Place) -> ProviderError:
        if isinstance(error, AuthFailed):
            lacks = "the token is not valid, or lacks search:confluence, or its account may not use Confluence"
            return AuthFailed(f"Confluence refuses the search ({error.status}): {lacks}.", status=error.status)
        if isinstance(error, Rejected) and place.settings.get("spaces"):
            hint = "a space in the settings may not exist, or not for this account"
            return Rejected(f"Confluence refused the search ({error.status}): {hint}.", status=error.status)
        return error


def _whole(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _quoted(text: str) -> str:
    """A CQL string: backslashes and quotes escaped, so that a value can never become syntax."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _told(item: Document, place: Place) -> Iterator[ProviderEvent]:
    """That something was made and, from its second version on, that it was changed."""
    own, kind = item.text("/content/id", limit=60), _KINDS.get(item.text("/content/type") or "")
    version, changed = item.integer("/content/version/number"), item.time("/content/version/when", "/lastModified")
    if own is None or kind is None or version is None or changed is None:
        raise ProviderFault("An item of Confluence's answer has no id, no known type, no version or no time.")
    maker = item.text("/content/history/createdBy/accountId")
    editor = item.text("/content/version/by/accountId")
    created = item.time("/content/history/createdDate") or (changed if version == 1 else None)
    shared = {kind: _content(item, kind, place, own, version, changed), "excerpt": item.text("/excerpt")}
    if created:
        yield polled(
            f"{kind}_created", created, {**shared, "userAccountId": maker or (editor if version == 1 else None)}
        )
    if version > 1:
        message = item.text("/content/version/message")
        notes = {"minorEdit": item.boolean("/content/version/minorEdit"), "versionMessage": message}
        yield polled(f"{kind}_updated", changed, {**shared, **notes, "userAccountId": editor})


def polled(event_type: str, moment: datetime | None, payload: JSON) -> ProviderEvent:
    """A polled happening in the shape a webhook has."""
    told = compact({"event": event_type, "timestamp": milliseconds(moment) if moment else None, **payload})
    body = Document(told)
    identity = mapping.identity(event_type, body)
    return ProviderEvent(
        event_type=event_type,
        dedupe_key=identity,
        payload=told,
        signal_type=mapping_rules.EVENTS[event_type],
        occurred_at=moment,
        happening=identity,
        ordering_key=mapping.ordering_key(event_type, body),
        correlation_id=identity,
    )


def milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def page_of(settings: Mapping[str, Any], path: str | None) -> str | None:
    """The address people open. Behind the gateway only the settings know the site."""
    site = settings.get("site_url") or settings.get("base_url") or ""
    if not path or urlsplit(site).hostname == _GATEWAY:
        return None
    return f"{site.rstrip('/')}/{path.lstrip('/')}"


def _content(item: Document, kind: str, place: Place, own: str, version: int, changed: datetime) -> JSON:
    path = item.text("/content/_links/webui", "/url")
    created = item.time("/content/history/createdDate")
    above = item.text("/content/container/id", limit=60)
    parent = {
        "id": above,
        "title": item.text("/content/container/title"),
        "contentType": item.text("/content/container/type"),
    }
    return compact(
        {
            "id": own,
            "contentType": item.text("/content/type"),
            "title": item.text("/content/title", "/title"),
            "version": version,
            "spaceKey": item.text("/content/space/key"),
            "spaceId": item.text("/content/space/id"),
            "self": page_of(place.settings, path),
            "creatorAccountId": item.text("/content/history/createdBy/accountId"),
            "lastModifierAccountId": item.text("/content/version/by/accountId"),
            "creationDate": milliseconds(created) if created else None,
            "modificationDate": milliseconds(changed),
            "parent": compact(parent) if kind == "comment" and above else None,
        }
    )
