"""A provider whose list never holds still: a real HTTP server on loopback, and one adapter stream for each way to page.

Between any two answers things happen by a seed: items appear with equal times, late, or with a time in the future; are
edited, so that they move; vanish, so that others move up. ``versions`` is everything that ever was visible, ``final``
what has to have been told once nothing moves any more.
"""

from __future__ import annotations

import email.utils
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

import orjson

from providers.canonical import JSON, Category, Signal, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.document import Document
from providers.listing import ListStream, Order, Place
from providers.manifest import Manifest
from providers.paging import HeaderToken, LinkHeader, NextAddress, NextToken, Offset, Query
from providers.simulation import SimulatedAnswer
from providers.spi import Adapter, Identity, ProviderEvent

PAGE = 7
START = datetime(2026, 5, 1, 12, tzinfo=UTC)
# What the streams below read again; what is late stays inside it, less the spread allowed to the provider's clock.
OVERLAP_SECONDS = 150
LATEST_SECONDS = 80

Row = dict[str, Any]


class ShiftingSource:
    """The far side. ``restless``: whether things happen between answers; ``tells_time``: whether these have a date,
    without which nobody can tell that a time is wrong, or when a long run began."""

    def __init__(self, seed: int, *, tells_time: bool = True) -> None:
        self._tells_time = tells_time
        self._random = random.Random(seed)
        self._now = START
        self._rows: dict[str, Row] = {}
        self._made = 0
        self.restless = False
        self.versions: set[str] = set()
        self.requests = 0
        for _ in range(self._random.randint(20, 60)):
            self._add()
            self._pass(self._random.choice([0, 0, 0, 0.4, 1, 20, 900]))

    @property
    def final(self) -> set[str]:
        return {_version(row) for row in self._rows.values()}

    def happen(self) -> None:
        """Up to three things, in random order."""
        for _ in range(self._random.randint(0, 3)):
            self._pass(self._random.choice([0, 0, 0.3, 2, 11]))
            self._random.choice(
                [self._add, self._add_late, self._edit, self._edit, self._edit, self._remove, self._burst, self._ahead]
            )()

    def much_later(self) -> None:
        """Hours pass, then one thing happens: what was not read by now is out of every overlap."""
        self._pass(7200)
        self._add()

    def keep_only(self, number: int) -> None:
        """So many items, all within the overlap of the newest."""
        self._rows.clear()
        for _ in range(number):
            self._add()
            self._pass(1)

    def add_at_the_same_time(self, number: int) -> None:
        for _ in range(number):
            self._add()

    def burst(self, number: int) -> None:
        for _ in range(number):
            self._add()
            self._pass(1)

    def weeks_pass(self) -> None:
        self._pass(30 * 86400)

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        self.requests += 1
        asked = {name: values[-1] for name, values in query.items()}
        answer = self._answer(path.strip("/"), asked, headers)
        if self.restless:
            self.happen()
        return answer

    def _answer(self, way: str, asked: dict[str, str], headers: dict[str, str]) -> SimulatedAnswer:
        since = datetime.fromisoformat(asked["since"]) if "since" in asked else None
        rows = [row for row in self._rows.values() if since is None or _moment(row, way) >= since]
        if "after" in way:
            rows = [row for row in rows if since is None or _moment(row, way) > since]
        rows.sort(key=lambda row: (_moment(row, way), row["id"]), reverse="newest" in way)
        if "unsorted" in way:
            rows.sort(key=lambda row: row["id"][::-1])
        told = {"date": email.utils.format_datetime(self._now, usegmt=True)} if self._tells_time else {}
        if "token" in way:
            return self._by_token(way, rows, asked.get("token", ""), told)
        start = int(asked.get("start", "0"))
        page = rows[start : start + PAGE]
        etag = f'"{hash((way, str(asked), str([_version(row) for row in page])))}"'
        told |= {"etag": etag}
        if headers.get("if-none-match") == etag:
            return SimulatedAnswer(304, told)
        following = ""
        if start + PAGE < len(rows):
            following = f"/{way}?{urlencode({**asked, 'start': start + PAGE})}"
            told["link"] = f'<{following}>; rel="next"'
        return _json({"rows": page, "next": following}, told)

    def _by_token(self, way: str, rows: list[Row], token: str, told: dict[str, str]) -> SimulatedAnswer:
        """The token names the last row read, as a keyset does."""
        newest_first = "newest" in way
        if token:
            rows = [row for row in rows if (_place(row) < token if newest_first else _place(row) > token)]
        page = rows[:PAGE]
        more = len(rows) > PAGE
        following = _place(page[-1]) if more else ""
        if following:
            told["x-next"] = following
        return _json({"rows": page, "more": more, "token": following}, told)

    def _pass(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def _add(self, moment: datetime | None = None) -> None:
        self._made += 1
        self._put({"id": f"i{self._made:04d}", "version": 1}, moment or self._now)

    def _add_late(self) -> None:
        late = self._random.randint(1, LATEST_SECONDS) if self._tells_time else 0
        self._add(self._now - timedelta(seconds=late))

    def _burst(self) -> None:
        for _ in range(PAGE + 3):
            self._add()

    def _ahead(self) -> None:
        self._add(self._now + timedelta(hours=1) if self._tells_time else self._now)

    def _edit(self) -> None:
        if self._rows:
            row = self._random.choice(list(self._rows.values()))
            self._put({"id": row["id"], "version": row["version"] + 1}, self._now)

    def _remove(self) -> None:
        if self._rows:
            del self._rows[self._random.choice(list(self._rows))]

    def _put(self, row: Row, moment: datetime) -> None:
        row["changed"] = moment.isoformat(timespec="milliseconds")
        self._rows[row["id"]] = row
        self.versions.add(_version(row))


def _version(row: Row) -> str:
    return f"{row['id']}:{row['version']}"


def _place(row: Row) -> str:
    return f"{row['changed']}~{row['id']}"


def _moment(row: Row, way: str) -> datetime:
    """The row's time as the list sorts and filters by it: to the millisecond or to the second."""
    moment = datetime.fromisoformat(row["changed"])
    return moment.replace(microsecond=0) if "seconds" in way else moment


def _json(body: Any, headers: Mapping[str, str]) -> SimulatedAnswer:
    return SimulatedAnswer(200, {"content-type": "application/json", **headers}, orjson.dumps(body))


class RowStream(ListStream):
    """What all the ways have in common."""

    overlap_seconds = OVERLAP_SECONDS
    items_at = "/rows"
    changed_at = ("/changed",)
    filtered: ClassVar[bool] = True
    enabled_by_default = False

    def query(self, place: Place) -> Query:
        # To the second, cut off: the vendor's filter knows no more.
        since = place.since.replace(microsecond=0) if self.step == timedelta(seconds=1) else place.since
        return Query(path=f"/{self.name}", params={"since": since.isoformat()} if self.filtered else {})

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        yield ProviderEvent(
            event_type="row",
            dedupe_key=f"{item.text('/id')}:{item.integer('/version')}",
            payload=item.value,
            signal_type=SignalType.ISSUE_UPDATED,
            occurred_at=item.time("/changed"),
        )


class SecondsByLink(RowStream):
    name = "oldest-seconds-link"
    order = Order.OLDEST_FIRST
    step = timedelta(seconds=1)
    paging = LinkHeader(size=PAGE)
    conditional = True
    enabled_by_default = True


class AfterByAddress(RowStream):
    name = "oldest-after-address"
    order = Order.OLDEST_FIRST
    step = timedelta(milliseconds=1)
    paging = NextAddress(size=PAGE)


class OldestByToken(RowStream):
    name = "oldest-token"
    order = Order.OLDEST_FIRST
    paging = NextToken(size=PAGE, token_at="/token", token_in="token", more_at="/more")


class OldestByOffset(RowStream):
    name = "oldest-offset"
    order = Order.OLDEST_FIRST
    paging = Offset(size=PAGE, offset_in="start")


class NewestByToken(RowStream):
    name = "newest-token"
    order = Order.NEWEST_FIRST
    paging = HeaderToken(size=PAGE, header="x-next", token_in="token")


class NewestByLink(RowStream):
    name = "newest-link"
    order = Order.NEWEST_FIRST
    paging = LinkHeader(size=PAGE)
    conditional = True
    filtered = False


class NewestByOffset(RowStream):
    name = "newest-offset"
    order = Order.NEWEST_FIRST
    paging = Offset(size=PAGE, offset_in="start")


class UnsortedByOffset(RowStream):
    name = "unsorted-offset"
    order = Order.NONE
    paging = Offset(size=PAGE, offset_in="start")
    filtered = False


WAYS: Sequence[RowStream] = (
    SecondsByLink(),
    AfterByAddress(),
    OldestByToken(),
    OldestByOffset(),
    NewestByToken(),
    NewestByLink(),
    NewestByOffset(),
    UnsortedByOffset(),
)


class ShiftingAdapter(Adapter):
    slug = "shifting"
    label = "Shifting"
    category = Category.KNOWLEDGE
    api_versions = ("1",)
    development_only = True
    manifest = Manifest(
        ack_budget_seconds=10, redelivery_horizon=timedelta(days=1), delivery_id_header="", documentation="-"
    )
    settings_schema = {"type": "object"}
    credential_schema = {"type": "object"}
    streams = WAYS

    def normalise(self, signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
        return Signal(signal_type=signal_type)

    def client_config(
        self, settings: Mapping[str, Any], credential: Mapping[str, str], api_version: str
    ) -> ClientConfig:
        return ClientConfig(base_url=settings["base_url"])

    def verify(self, client: ProviderClient) -> Identity:
        return Identity(account="shifting")
