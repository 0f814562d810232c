"""Replies in threads, which a channel's history leaves out.

Source: https://docs.slack.dev/reference/methods/conversations.replies. There is no list of all replies, so a run reads
the history of the last days for first messages whose ``latest_reply`` is newer than what was read, and of each of these
its new replies: a request for each thread that went on. Threads that began earlier are not looked at any more.

Position between runs: ``history`` (of the list of first messages) and ``read_to`` (all replies until then are told).
Inside a run also ``began`` (the provider's clock), ``newest`` (``read_to`` to be), ``threads`` (still to be read),
``replies`` (position in the first of them) and ``more`` (whether the history goes on).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from providers.adapters.slack import mapping
from providers.adapters.slack.answers import ThreadGone
from providers.adapters.slack.polling import MessageStream, knowing_the_account, of_channel, span, told
from providers.canonical import JSON
from providers.client import ProviderClient, Response
from providers.document import Document, compact
from providers.errors import ProviderError, StaleMark
from providers.listing import ListStream, Order, Place
from providers.paging import Query
from providers.spi import Page, ProviderEvent, Stream, Window
from providers.waits import sent_at

LOOK_BACK: Final = timedelta(days=3)
# So many first messages a request, since a position holds all of them that went on.
_THREADS: Final = 100
_ID_LENGTH: Final = 60
_CLOCK_SPREAD: Final = timedelta(seconds=60)


class ReplyStream(Stream):
    """Two lists: the first messages of the last days, and the replies to those that have new ones."""

    name = "replies"
    description = "Replies in threads that began within three days of the channel's last message."
    enabled_by_default = False
    overlap_seconds = MessageStream.overlap_seconds
    slice = timedelta(days=7)

    def partitions(self, settings: Mapping[str, Any]) -> Sequence[str]:
        return settings.get("channels") or ()

    def page(
        self,
        client: ProviderClient,
        *,
        partition: str,
        settings: Mapping[str, Any],
        position: JSON,
        window: Window,
    ) -> Page:
        def read(known: Mapping[str, Any]) -> Page:
            run = _Run(client, partition, known, position, window)
            return run.next_replies() if run.threads else run.next_threads()

        return knowing_the_account(client, settings, position, read)


class _Run:
    """One page of a run, and the position after it."""

    def __init__(
        self, client: ProviderClient, partition: str, settings: Mapping[str, Any], position: JSON, window: Window
    ) -> None:
        self._client, self._partition, self._settings, self._window = client, partition, settings, window
        self._position = position
        here = Document(position)
        self.threads = here.texts("/threads")
        self._read_to, self._newest = here.time("/read_to"), here.time("/newest")
        self._began = here.time("/began")
        self._more = here.boolean("/more") is True

    def next_threads(self) -> Page:
        """A page of the history, which tells nothing but which threads went on."""
        first_page = not self._more
        history = _FirstMessages()
        span_of_it = replace(self._window, since=self._window.since - LOOK_BACK)
        page = self._page(history, "history", span_of_it)
        if first_page:
            self._began = history.told_at
        went_on = {ts: last for ts, last in history.threads if self._is_new(last)}
        # Up to ``newest`` every thread must have been seen after its last reply. The first page shows all its threads
        # at once; of a later one only what is older than the run is certain.
        certain = self._began - _CLOCK_SPREAD if self._began else None
        passed = [last for last in went_on.values() if first_page or (certain and last <= certain)]
        self._newest = max([*passed, *filter(None, [self._newest])], default=None)
        return self._after(page, history=page.position, threads=[*went_on], more=page.more)

    def next_replies(self) -> Page:
        """A page of the first of the threads that went on."""
        since = self._window.since
        if self._read_to:
            since = max(since, self._read_to - timedelta(seconds=ReplyStream.overlap_seconds))
        try:
            page = self._page(_Replies(self.threads[0]), "replies", replace(self._window, since=since))
        except ThreadGone:
            page = Page(events=(), position={})
        threads = self.threads if page.more else self.threads[1:]
        replies = page.position if page.more else {}
        return self._after(page, history=self._part("history"), threads=threads, more=self._more, replies=replies)

    def _is_new(self, last: datetime) -> bool:
        return last > self._read_to if self._read_to else last >= self._window.since

    def _part(self, name: str) -> JSON:
        part = self._position.get(name)
        return part if isinstance(part, dict) else {}

    def _page(self, stream: ListStream, part: str, window: Window) -> Page:
        try:
            return stream.page(
                self._client,
                partition=self._partition,
                settings=self._settings,
                position=self._part(part),
                window=window,
            )
        except StaleMark as stale:
            stale.position = {**self._position, part: dict(stale.position)}
            raise

    def _after(self, page: Page, *, history: JSON, threads: list[str], more: bool, replies: JSON | None = None) -> Page:
        if not threads and not more:
            known = [moment for moment in (self._read_to, self._newest) if moment]
            position: JSON = {"history": history, "read_to": _text(max(known, default=None))}
            return Page(events=page.events, position=compact(position))
        inside = {
            "history": history,
            "read_to": _text(self._read_to),
            "began": _text(self._began),
            "newest": _text(self._newest),
            "threads": threads,
            "replies": replies or None,
            "more": more,
        }
        return Page(events=page.events, position=compact(inside), more=True)


class _FirstMessages(ListStream):
    """The history of the last days; made anew for every page, since it keeps what the page shows."""

    name = "first_messages"
    overlap_seconds = int(LOOK_BACK.total_seconds())
    order = MessageStream.order
    paging = MessageStream.paging
    items_at = MessageStream.items_at

    def __init__(self) -> None:
        self.threads: list[tuple[str, datetime]] = []
        self.told_at: datetime | None = None

    def query(self, place: Place) -> Query:
        params = span(place)
        return Query(path="conversations.history", params={**params, "limit": min(int(params["limit"]), _THREADS)})

    def changed(self, item: Document) -> datetime | None:
        return mapping.moment(item.at("/ts"))

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        ts, last = item.text("/ts", limit=_ID_LENGTH), mapping.moment(item.at("/latest_reply"))
        if ts and last:
            self.threads.append((ts, last))
        return iter(())

    def wish(self, answer: Response) -> float | None:
        told_at = sent_at(answer.headers)
        self.told_at = datetime.fromtimestamp(told_at, tz=UTC) if told_at else None
        return None

    def refusal(self, error: ProviderError, place: Place) -> ProviderError:
        return of_channel(error, place)


class _Replies(ListStream):
    """``conversations.replies`` of one thread, from the last reply that is known on."""

    name = "thread"
    order = Order.NONE
    paging = MessageStream.paging
    items_at = MessageStream.items_at

    def __init__(self, thread: str) -> None:
        self._thread = thread

    def query(self, place: Place) -> Query:
        return Query(path="conversations.replies", params={**span(place), "ts": self._thread})

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        # The first message comes with every page, whatever span is asked for; the history tells it.
        return iter(()) if item.text("/ts") == self._thread else told(item, place)

    def refusal(self, error: ProviderError, place: Place) -> ProviderError:
        return of_channel(error, place)


def _text(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""
