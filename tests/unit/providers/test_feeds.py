"""Feeds read on from a token: all that became visible is told, whatever stops the reader or makes the token void."""

from __future__ import annotations

import email.utils
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from providers.canonical import JSON, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.document import Document
from providers.errors import ProviderError, ProviderFault, Rejected
from providers.feeds import FeedStream, FeedToken
from providers.listing import RESTARTS, Place
from providers.outbound import OutboundPolicy
from providers.paging import Query
from providers.simulation import SimulatedAnswer
from providers.spi import Page, ProviderEvent, Window
from tests.contract.provider_server import Server, serving

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
LIVE = Window(since=START - timedelta(hours=1))
OVERLAP_SECONDS = 600
BEFORE = timedelta(seconds=1)


class RowFeed(FeedStream):
    name = "rows"
    overlap_seconds = OVERLAP_SECONDS
    items_at = "/rows"
    paging = FeedToken(size=7, size_in="size", token_at="/token", token_in="token", last_at="/last", since_in="since")

    def query(self, place: Place) -> Query:
        # What is given lies after the time that is asked for.
        return Query(path="/rows", params={"since": (place.since - BEFORE).isoformat(), "all": "yes"})

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        yield ProviderEvent(
            event_type="row",
            dedupe_key=str(item.text("/id")),
            payload=item.value,
            signal_type=SignalType.ISSUE_UPDATED,
            occurred_at=item.time("/at"),
        )


class Log:
    """The far side: rows in the order in which they became visible, which is not that of their times."""

    def __init__(self, rows: int = 0) -> None:
        self.now = START
        self.rows: list[JSON] = []
        self.forgets = False
        self.spoilt: JSON = {}
        self.asked: list[dict[str, str]] = []
        for _ in range(rows):
            self.add()

    def add(self, behind: float = 0) -> None:
        self.now += timedelta(seconds=1)
        self.rows.append({"id": f"r{len(self.rows)}", "at": (self.now - timedelta(seconds=behind)).isoformat()})

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        asked = {name: values[0] for name, values in query.items()}
        self.asked.append(asked)
        if ("token" in asked) == ("since" in asked):
            return SimulatedAnswer(400, {}, b"{}")
        if "token" in asked and self.forgets:
            return SimulatedAnswer(410, {}, b"{}")
        start = int(asked.get("token", "0"))
        found = [(index, row) for index, row in enumerate(self.rows) if index >= start]
        found = [(index, row) for index, row in found if "since" not in asked or row["at"] > asked["since"]]
        page = found[: int(asked["size"])]
        told = {
            "rows": [row for _, row in page],
            "token": page[-1][0] + 1 if page else len(self.rows),
            "last": len(page) < int(asked["size"]),
            **self.spoilt,
        }
        date = email.utils.format_datetime(self.now, usegmt=True)
        return SimulatedAnswer(200, {"content-type": "application/json", "date": date}, orjson.dumps(told))


class Reader:
    """Each page by a client of its own, as after a crash, from a position that was JSON."""

    def __init__(self, server: Server, window: Window = LIVE) -> None:
        self._server, self._window = server, window
        self.position: JSON = {}
        self.told: list[str] = []

    def page(self) -> Page:
        with ProviderClient(ClientConfig(base_url=self._server.url), OutboundPolicy.parse(["127.0.0.1"])) as client:
            page = RowFeed().page(client, partition="", settings={}, position=self.position, window=self._window)
        self.told += [event.dedupe_key for event in page.events]
        return page

    def keep(self, page: Page) -> bool:
        assert not page.more or page.position != self.position
        self.position = orjson.loads(orjson.dumps(page.position))
        return page.more

    def run(self) -> int:
        for number in range(1, 100):
            if not self.keep(self.page()):
                return number
        raise AssertionError("the run does not end")


@pytest.mark.parametrize("seed", range(20))
def test_all_that_became_visible_is_told(seed: int) -> None:
    dice, log = random.Random(seed), Log(rows=10 + seed * 3)
    with serving(log.answer) as server:
        reader = Reader(server)
        for _ in range(60):
            log.forgets = dice.random() < 0.1
            try:
                page = reader.page()
            except Rejected:
                continue
            if dice.random() < 0.8:  # else the process died before it could commit the page
                reader.keep(page)
            for _ in range(dice.choice([0, 0, 1, 3, 9])):
                log.add(behind=dice.choice([0, 0, 5, 400]))
        log.forgets = False
        reader.run()
    assert set(reader.told) == {row["id"] for row in log.rows}
    assert len(log.rows) > 60


def test_a_quiet_feed_is_one_request_and_tells_nothing_again() -> None:
    log = Log(rows=20)
    with serving(log.answer) as server:
        reader = Reader(server)
        assert reader.run() == 3
        told = list(reader.told)
        assert reader.run() == 1
    assert reader.told == told == [row["id"] for row in log.rows]
    assert log.asked[-1] == {"token": "20", "all": "yes", "size": "7"}


def test_a_row_with_an_old_time_is_told_when_it_becomes_visible() -> None:
    """No watermark in time could: it lies further back than anything is read again."""
    log = Log(rows=5)
    with serving(log.answer) as server:
        reader = Reader(server)
        reader.run()
        log.add(behind=OVERLAP_SECONDS * 3)
        reader.run()
    assert reader.told[-1] == "r5"


def test_after_a_forgotten_token_a_run_begins_an_overlap_before_the_last_one_that_ended() -> None:
    log = Log(rows=20)
    with serving(log.answer) as server:
        reader = Reader(server)
        reader.run()
        for _ in range(12):
            log.add()
        begun = log.now
        reader.keep(reader.page())
        log.add()  # while the run goes on: what became visible by then is read, but nobody has to know
        reader.run()
        assert set(reader.position) == {"token", "read_at"}
        for _ in range(30):
            log.add()
        reader.keep(reader.page())  # a run that began later, and did not come to its end
        log.forgets = True
        reader.keep(reader.page())
        log.forgets = False
        before = len(log.asked)
        reader.run()
    assert log.asked[before]["since"] == (begun - timedelta(seconds=OVERLAP_SECONDS) - BEFORE).isoformat()
    assert set(reader.told) == {row["id"] for row in log.rows}


def test_a_feed_that_forgets_every_token_is_given_up() -> None:
    log = Log(rows=20)
    log.forgets = True
    with serving(log.answer) as server:
        reader = Reader(server)
        with pytest.raises(Rejected):
            reader.run()
    assert len(log.asked) == 2 * (RESTARTS + 1)


def test_a_refusal_without_a_token_is_told_at_once() -> None:
    with serving(lambda *_: SimulatedAnswer(404, {}, b"{}")) as server, pytest.raises(Rejected):
        Reader(server).page()


@pytest.mark.parametrize(
    "spoilt",
    [{"last": None}, {"last": "no"}, {"token": None}, {"token": "", "last": True}, {"rows": None}, {"rows": [7]}],
    ids=str,
)
def test_an_answer_that_does_not_say_where_it_goes_on_is_no_page(spoilt: JSON) -> None:
    log = Log(rows=20)
    log.spoilt = spoilt
    with serving(log.answer) as server, pytest.raises(ProviderFault):
        Reader(server).page()


def test_a_page_that_leads_to_itself_is_a_fault() -> None:
    log = Log(rows=20)
    log.spoilt = {"token": "7"}
    with serving(log.answer) as server:
        reader = Reader(server)
        reader.keep(reader.page())
        with pytest.raises(ProviderFault, match="repeats"):
            reader.page()


def test_what_happened_outside_the_window_is_not_told() -> None:
    log = Log(rows=20)
    window = Window(since=START + timedelta(seconds=5), until=START + timedelta(seconds=9))
    with serving(log.answer) as server:
        reader = Reader(server, window)
        reader.run()
    assert reader.told == ["r4", "r5", "r6", "r7"]


def test_a_failure_is_an_error_and_no_empty_page() -> None:
    answers: list[Any] = [SimulatedAnswer(500, {}, b""), SimulatedAnswer(401, {}, b""), SimulatedAnswer(429, {}, b"")]
    for answer in answers:
        with serving(lambda *_, answer=answer: answer) as server, pytest.raises(ProviderError):
            Reader(server).page()
