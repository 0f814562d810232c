"""What a backfill reads, and in which order: part after part, each part's window in slices from old to new.

A slice holds its start and not its end, so two that follow each other share no instant and leave none out. They meet at
whole seconds: some providers filter by milliseconds or seconds, rounded down.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connections.models import IntegrationConnection
from connections.runtime import adapter_for
from polling.cursors import Part, parts_of
from polling.models import Backfill
from providers.canonical import JSON
from providers.errors import Misconfigured
from providers.spi import Adapter, Page, Stream

CHANGED = (
    "The connection's settings were changed while it ran: of what was added, the parts that come before the one being "
    "read then were not read."
)
# Of a part that is read in one go it is never known how much is left.
_NEARLY = 0.99
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Place:
    """A slice of a part, and where its next page starts. ``reached``: the newest time its pages have told of."""

    part: Part
    since: datetime
    until: datetime
    page: JSON
    reached: datetime | None = None

    def position(self) -> JSON:
        """What the row keeps of it."""
        stream, partition = self.part
        return {
            "stream": stream,
            "partition": partition,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "page": self.page,
            **({"reached": self.reached.isoformat()} if self.reached else {}),
        }


class Plan:
    """The parts of a backfill as the connection's settings name them now, and the way through them."""

    def __init__(self, backfill: Backfill, adapter: Adapter) -> None:
        self._backfill = backfill
        self._streams = {stream.name: stream for stream in adapter.streams}
        self.parts = sorted(parts_to_read(adapter, backfill.connection, backfill.streams))

    def first(self) -> Place | None:
        return self._start_of(self.parts)

    def stored(self) -> Place | None:
        """Where the row says it stands; or what comes after, if that part is not to be read any more."""
        position = self._backfill.position
        if "stream" not in position:
            return self.first()
        part = (str(position["stream"]), str(position["partition"]))
        if part not in self.parts:
            return self.after_part(part)
        return Place(
            part,
            _moment(position, "since") or self._backfill.since,
            _moment(position, "until") or self._backfill.until,
            position["page"],
            _moment(position, "reached"),
        )

    def after(self, place: Place, page: Page) -> Place | None:
        """Where to go on after ``page``: in the slice, in the next one, in the next part; ``None``: nothing is left."""
        if page.more:
            return replace(place, page=page.position, reached=self._reached(place, page))
        start = max(place.until, self._begin(place.part))
        return self._slice(place.part, start) if start < self._backfill.until else self.after_part(place.part)

    def after_part(self, part: Part) -> Place | None:
        return self._start_of([later for later in self.parts if later > part])

    def before(self, part: Part) -> str:
        """A mark of the parts that come before this one."""
        return hashlib.sha256(repr([earlier for earlier in self.parts if earlier < part]).encode()).hexdigest()[:16]

    def share(self, place: Place | None) -> float:
        """Share of everything that is read when ``place`` is next."""
        if place is None or not self.parts:
            return 1.0
        return (self.parts.index(place.part) + self._share_of_part(place)) / len(self.parts)

    def _share_of_part(self, place: Place) -> float:
        begin, end = self._begin(place.part), self._backfill.until
        if self._stream(place.part).slice is None and place.reached is not None:
            # Such a list does not end with the window: it is read on to the present.
            end = max(end, self._backfill.planned_at)
            return min(_NEARLY, _share(begin, place.reached, end))
        return _share(begin, place.since, end)

    def _reached(self, place: Place, page: Page) -> datetime | None:
        if self._stream(place.part).slice is not None:
            return None
        times = [place.reached, *(event.occurred_at for event in page.events)]
        return max((moment for moment in times if moment), default=None)

    def _start_of(self, parts: Sequence[Part]) -> Place | None:
        for part in parts:
            begin = self._begin(part)
            if begin < self._backfill.until:
                return self._slice(part, begin)
        return None

    def _slice(self, part: Part, since: datetime) -> Place:
        length = self._stream(part).slice
        until = self._backfill.until
        if length is not None:
            edge = (since + length).replace(microsecond=0)
            # What is left behind the last edge is at least a second.
            until = edge if until - edge >= _SECOND else until
        return Place(part, since, until, {})

    def _begin(self, part: Part) -> datetime:
        return begin_of(self._stream(part), self._backfill.since, self._backfill.planned_at)

    def _stream(self, part: Part) -> Stream:
        return self._streams[part[0]]


def parts_to_read(adapter: Adapter, connection: IntegrationConnection, streams: Sequence[str]) -> set[Part]:
    """The parts of ``streams``, or without them those the connection is polled for. Raises ``Misconfigured``."""
    settings: dict[str, Any] = connection.settings
    found = parts_of(adapter, {**settings, "streams": list(streams)} if streams else settings)
    if not found:
        raise Misconfigured("The connection's settings name nothing to read, such as a repository or a project.")
    return found


def begin_of(stream: Stream, since: datetime, now: datetime) -> datetime:
    """From when the stream is read: ``since``, or later if the provider does not keep it for so long."""
    return since if stream.retention is None else max(since, now - stream.retention)


def notice(adapter: Adapter, parts: set[Part], since: datetime, until: datetime, now: datetime) -> str:
    """What of the window the provider does not keep any more, in words; empty if it keeps all."""
    told = []
    for stream in (adapter.stream(name) for name in sorted({name for name, _ in parts})):
        begin = begin_of(stream, since, now)
        if begin == since:
            continue
        left = f"the window begins at {begin.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        if begin >= until:
            left = "nothing of the window is left"
        told.append(f"The provider keeps only {_words(stream.retention)} of {stream.name}: {left}.")
    return " ".join(told)


def notice_of(backfill: Backfill, now: datetime) -> str:
    """``notice`` for a backfill that exists. Raises ``registry.UnknownProvider`` or ``Misconfigured``."""
    adapter = adapter_for(backfill.connection)
    parts = parts_to_read(adapter, backfill.connection, backfill.streams)
    return notice(adapter, parts, backfill.since, backfill.until, now)


def _words(length: timedelta | None) -> str:
    hours = round(length / timedelta(hours=1)) if length else 0
    number, unit = (hours // 24, "day") if hours >= 48 else (hours, "hour")
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _share(begin: datetime, reached: datetime, end: datetime) -> float:
    if end <= begin:
        return 0.0
    return max(0.0, min(1.0, (reached - begin) / (end - begin)))


def _moment(position: JSON, name: str) -> datetime | None:
    text = position.get(name)
    return datetime.fromisoformat(text) if isinstance(text, str) else None
