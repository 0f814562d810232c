"""Lists that are polled by the time of their items' last change: declared by an adapter, read by the rules here.

What every one of them has to stand: items of equal time, items that become visible late, items that change, move
between pages or vanish while a run goes on, and a run that stops after any page and goes on in another process.

How a run reads, by the order in which the list is given:

- Oldest first, with a filter that takes a time (``step``): the next page starts at the time of the last item, not at
  a page number, because what changes moves to the end. Only where one instant holds more than a page are pages
  followed.
- Oldest first without such steps: page by page to the end, then the watermark moves. In no order: all of it, each time.
- Newest first: down to where the last run began. The watermark becomes the newest time of the *first* page, since what
  changes meanwhile appears above it, and only at the end: a run that stops half way has moved nothing.

Every run begins ``overlap_seconds`` behind the watermark. The watermark never goes beyond the provider's own clock
(``Date``, RFC 9110, 6.6.1) at the begin of the run: an item with a time in the future must not hide all that follow,
and a long run not what became visible late behind it.
"""

from __future__ import annotations

import email.utils
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, ClassVar

from providers.canonical import JSON
from providers.client import ProviderClient, Response
from providers.document import Document, compact
from providers.errors import ProviderError, ProviderFault, Rejected, StaleMark
from providers.paging import Mark, Paging, Query
from providers.spi import Page, ProviderEvent, Stream, Window

# The provider's clock is told in whole seconds, and its servers do not all have the same.
_CLOCK_SPREAD = timedelta(seconds=60)
# A list that keeps taking back the marks it gave is not read from the start for ever.
RESTARTS = 3
# How late an item may be on a list that was quiet all the while, where its overlap is shorter.
SETTLED = timedelta(days=1)
# Where an item jumps in each of several long runs, it is followed for so long.
JUMPS_FOLLOWED = timedelta(days=7)
# A provider's clock is believed as far as it does not run ahead of ours by more than this.
_AHEAD_AT_MOST = timedelta(hours=1)
_AT_LAST = datetime.max.replace(tzinfo=UTC)
FORGETFUL = "The provider keeps forgetting the pages it named; the run begins again."


class Order(Enum):
    """How a list is sorted by the time of change."""

    OLDEST_FIRST = "oldest first"
    NEWEST_FIRST = "newest first"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is asked for: the part of the stream, the settings, and the span. ``until`` is ``None`` in live polling."""

    partition: str
    settings: Mapping[str, Any]
    since: datetime
    until: datetime | None = None

    def holds(self, moment: datetime | None) -> bool:
        """Whether what happened then is asked for; what has no time always counts."""
        return moment is None or (moment >= self.since and (self.until is None or moment < self.until))


class ListStream(Stream):
    """One list. Declare the class attributes, build the ``query``, tell the ``events`` of an item."""

    paging: ClassVar[Paging]
    order: ClassVar[Order]
    step: ClassVar[timedelta | None] = None
    """The smallest time the filter tells apart, where the list is given oldest first and filtered by a time from which
    on it is read. Each step reads its own instant again, so it does not matter whether the filter includes it."""
    conditional: ClassVar[bool] = False
    """Whether an unchanged list is answered 304 to its ETag; a run of one page is then asked for again with it."""
    items_at: ClassVar[str] = ""
    """Pointer to the list in the answer; empty if the answer is the list."""
    changed_at: ClassVar[tuple[str, ...]] = ()
    """Pointers to an item's time of change, the first that is there; an ordered list needs it in every item."""

    @abstractmethod
    def query(self, place: Place) -> Query:
        """The request for the list from ``place.since`` on (and to ``place.until`` where the provider can filter so);
        size and place of a page are added by ``paging``."""

    @abstractmethod
    def events(self, item: Document, place: Place) -> Iterable[ProviderEvent]:
        """What an item tells. What happened before ``place.since``, or at ``place.until`` or later, is left out by the
        caller; an event without a time always counts. Raises ``ProviderFault`` for an item that identifies nothing."""

    def changed(self, item: Document) -> datetime | None:
        """When the item changed last; to be overridden where the provider writes times in a way of its own."""
        return item.time(*self.changed_at)

    def refusal(self, error: ProviderError, place: Place) -> ProviderError:
        """The error in words a person can act on, such as which scope is missing."""
        return error

    def wish(self, answer: Response) -> float | None:
        """Seconds the provider wants between polls, if its answer says so."""
        return None

    def page(
        self,
        client: ProviderClient,
        *,
        partition: str,
        settings: Mapping[str, Any],
        position: JSON,
        window: Window,
    ) -> Page:
        run = _Run(self, position, window)
        place = Place(partition=partition, settings=settings, since=run.since, until=window.until)
        query = self.query(place)
        asked = self.paging.first(query) if run.mark is None else self.paging.at(query, run.mark)
        try:
            answer = asked.sent(client, run.etag)
        except Rejected as error:
            # A mark may be forgotten before it is used; from the run's start everything is still there.
            if run.mark is None:
                raise self.refusal(error, place) from None
            if run.restarts >= RESTARTS:
                raise StaleMark(FORGETFUL, status=error.status, position=run.begun()) from None
            return Page(events=(), position=run.restarted(), more=True)
        except ProviderError as error:
            raise self.refusal(error, place) from None
        wish = self.wish(answer)
        if answer.status == 304:
            if not run.etag:
                raise ProviderFault("The provider answers 304 to a request without a condition.", status=304)
            return Page(events=(), position=run.unchanged(answer), poll_after_seconds=wish)
        body = Document(answer.json())
        items = self._items(body)
        times = self._times(items)
        told = replace(place, since=run.floor)
        events = [event for item in items for event in self.events(item, told) if told.holds(event.occurred_at)]
        # They are handed on in this order, and some lists are given newest first.
        events.sort(key=lambda event: event.occurred_at or _AT_LAST)
        mark = self.paging.after(answer, body, len(items), run.mark)
        if mark is not None and mark == run.mark:
            raise ProviderFault("The provider repeats a page.")
        after, more = run.after(answer, times, mark, full=len(items) >= self.paging.size)
        return Page(events=events, position=after, more=more, poll_after_seconds=wish)

    def _items(self, body: Document) -> list[Document]:
        found = body.at(self.items_at)
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise ProviderFault("The provider's answer holds no list of items.")
        return [Document(item) for item in found]

    def _times(self, items: list[Document]) -> list[datetime]:
        if self.order is Order.NONE:
            return []
        times = [moment for item in items if (moment := self.changed(item))]
        if len(times) < len(items):
            raise ProviderFault("An item of the provider's list has no time of change.")
        return times


class _Run:
    """Where a run stands, out of a position and back into one.

    Between runs: ``watermark``, ``read_at`` (by the provider's clock, a later time up to which all was read),
    ``told_from`` (the next run tells what happened from there on); with a condition also ``since`` and ``etag`` of the
    request to repeat. Inside a run: ``since`` and ``mark`` (what is asked), ``floor`` (nothing older is told),
    ``newest`` (the watermark to be), ``asked_at`` (the run's begin, provider's clock), ``restarts``; and where marks
    are not stable ``edge`` (the mark before this one), or ``again`` (this page is read for the second time, and where
    it goes on).
    """

    def __init__(self, stream: ListStream, position: JSON, window: Window) -> None:
        self._stream, self._position = stream, position
        here = Document(position)
        self._watermark = here.time("/watermark")
        self._start = window.since.astimezone(UTC)
        self._overlap = timedelta(seconds=stream.overlap_seconds)
        self._behind = self._behind_of(self._watermark, here.time("/read_at"))
        self._resting = "floor" not in position
        self.since = here.time("/since") or self._behind
        self._told_from = here.time("/told_from")
        self.floor = here.time("/floor") or min(self._behind, self._told_from or self._behind)
        self.etag = (here.text("/etag") or "") if self._resting else ""
        self.mark: Mark | None = position.get("mark")
        self.restarts = here.integer("/restarts") or 0
        self._newest = here.time("/newest")
        self._asked_at = here.time("/asked_at")
        self._held: JSON = {}
        self._edge: list[Mark | None] = here.at("/edge") or []
        self._again: JSON | None = position.get("again")

    def unchanged(self, answer: Response) -> JSON:
        """The position after the word that nothing changed."""
        return {**self._position, **compact({"read_at": _text(clock_of(answer))})}

    def begun(self) -> JSON:
        """The run as it was before its first page."""
        self.restarts = 0
        return self._inside(self.since)

    def restarted(self) -> JSON:
        """The run from the first page of what it asks for again."""
        return {**self._inside(self.since), "restarts": self.restarts + 1}

    def after(self, answer: Response, times: list[datetime], mark: Mark | None, *, full: bool) -> tuple[JSON, bool]:
        """The position after this page, and whether the run goes on."""
        if self._again is not None:
            # What had moved over the edge was read now; the run goes on where it was.
            onward, edge = self._again.get("onward"), self._again.get("edge")
            return self._onward(onward, edge)
        self._note(answer, times, full=full)
        onward = self._next(times, mark)
        if self._edge and not self._stream.paging.stable:
            again = {"onward": onward, "edge": self.mark}
            return {**self._inside(self.since), **_marked(self._edge[0]), "again": again}, True
        return self._onward(onward, self.mark)

    def _next(self, times: list[datetime], mark: Mark | None) -> JSON | None:
        """What is asked next: a step in time, a page by its mark, or nothing."""
        if mark is None or not times:
            return None if mark is None else {"mark": mark}
        if self._stream.order is Order.NEWEST_FIRST and min(times) < self.since:
            return None
        if self._stream.order is Order.OLDEST_FIRST and self._stream.step is not None:
            start = max(times) - self._stream.step
            # By less than a step the filter would give the same page again.
            if start - self.since >= self._stream.step:
                return {"since": _text(start)}
        return {"mark": mark}

    def _onward(self, onward: JSON | None, edge: Mark | None) -> tuple[JSON, bool]:
        if onward is None:
            return self._rest(), False
        if "since" in onward:
            self.restarts = 0
            return {**self._inside(self.since), **onward}, True
        behind = {} if self._stream.paging.stable else {"edge": [edge]}
        return {**self._inside(self.since), **onward, **behind}, True

    def _note(self, answer: Response, times: list[datetime], *, full: bool) -> None:
        """The watermark to be (of a list given newest first, what its first page shows), and when it was asked for.

        Not after the run's begin: what becomes visible late while it goes on is looked for an overlap before that.
        """
        if self._resting:
            self._asked_at = clock_of(answer)
            etag = answer.headers.get("etag")
            # What is added behind a full page does not change it, nor its ETag.
            if self._stream.conditional and etag and not full:
                self._held = {"since": _text(self.since), "etag": etag}
        first_page = self._newest is None and self.mark is None
        if times and (self._stream.order is Order.OLDEST_FIRST or first_page):
            newest = min(max(times), self._asked_at + _CLOCK_SPREAD) if self._asked_at else max(times)
            self._newest = max(newest, self._newest) if self._newest else newest

    def _inside(self, since: datetime) -> JSON:
        """What every position inside a run has."""
        times = {"watermark": self._watermark, "newest": self._newest, "asked_at": self._asked_at}
        kept = {name: _text(moment) for name, moment in times.items()}
        kept |= {"floor": _text(self.floor), "since": _text(since)}
        return compact({**kept, "restarts": self.restarts or None})

    def _rest(self) -> JSON:
        """The position between two runs."""
        known = [moment for moment in (self._watermark, self._newest) if moment]
        watermark = max(known, default=None)
        # Nothing new at that time: in the end what is late has come, and need not be looked for again.
        read_at = self._asked_at if watermark == self._watermark else None
        behind = self._behind_of(watermark, None)
        held = Document(self._held).time("/since")
        # A condition has to cover all that is read again, in one page, and not much more: a change brings all of it.
        covers = held is not None and behind - self._overlap <= held <= behind
        # What jumped to the top of a list while pages of it were read is met by the next run, and may have more to tell
        # than its last change.
        told_from = None
        if self._stream.order is Order.NEWEST_FIRST and not self._resting:
            told_from = max(self.floor, self._behind - JUMPS_FOLLOWED)
        times = {"watermark": watermark, "read_at": read_at, "told_from": told_from}
        rest = compact({name: _text(moment) for name, moment in times.items()})
        return {**rest, **(self._held if covers else {})}

    def _behind_of(self, watermark: datetime | None, read_at: datetime | None) -> datetime:
        """Where a run begins: an overlap back, but never before the window.

        What was told long ago may be forgotten here, so a list that is quiet for long is not read from as far back.
        """
        behind = [watermark - self._overlap] if watermark else []
        behind += [read_at - max(self._overlap, SETTLED)] if read_at else []
        return max(self._start, *behind) if behind else self._start


def _marked(mark: Mark | None) -> JSON:
    return {} if mark is None else {"mark": mark}


def clock_of(answer: Response) -> datetime | None:
    """The provider's clock, to the second, unless it runs far ahead of ours."""
    told = answer.headers.get("date", "")
    try:
        clock = email.utils.parsedate_to_datetime(told) if told else None
    except (ValueError, OverflowError):
        return None
    if clock is None:
        return None
    clock = clock.replace(tzinfo=UTC) if clock.tzinfo is None else clock.astimezone(UTC)
    return min(clock, datetime.now(UTC) + _AHEAD_AT_MOST)


def _text(moment: datetime | None) -> str:
    return moment.astimezone(UTC).isoformat() if moment else ""
