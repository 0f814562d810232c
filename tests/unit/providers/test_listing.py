"""Lists that change while they are read: every way to page tells the oracle set, whatever stops it and where."""

from __future__ import annotations

import random
from datetime import timedelta

import orjson
import pytest

from providers.canonical import JSON
from providers.client import ClientConfig, ProviderClient
from providers.listing import Order
from providers.outbound import OutboundPolicy
from providers.spi import Page, Window
from tests.contract.provider_server import Server, serving
from tests.extent import extent
from tests.shifting_source import PAGE, START, WAYS, NewestByToken, RowStream, SecondsByLink, ShiftingSource

LOOPBACK = OutboundPolicy.parse(["127.0.0.1"])
EVER = Window(since=START - timedelta(days=1))


class Reader:
    """One reader of a list: each page by a client of its own, as after a crash, from a position that was JSON."""

    def __init__(self, stream: RowStream, server: Server) -> None:
        self._stream, self._server = stream, server
        self.position: JSON = {}
        self.told: list[str] = []

    def page(self) -> Page:
        with ProviderClient(ClientConfig(base_url=self._server.url), LOOPBACK) as client:
            page = self._stream.page(client, partition="", settings={}, position=self.position, window=EVER)
        self.told += [event.dedupe_key for event in page.events]
        return page

    def keep(self, page: Page) -> bool:
        self.position = orjson.loads(orjson.dumps(page.position))
        return page.more

    def run(self) -> int:
        """One run to its end; the number of pages."""
        for number in range(1, 400):
            if not self.keep(self.page()):
                return number
        raise AssertionError("the run does not end")


@pytest.mark.parametrize("stream", WAYS, ids=lambda stream: stream.name)
@pytest.mark.parametrize("seed", range(extent(3, 12)))
def test_what_is_told_is_what_there_was(stream: RowStream, seed: int) -> None:
    dice = random.Random(seed)
    source = ShiftingSource(seed, tells_time=seed % 3 != 0)
    with serving(source.handle) as server:
        reader = Reader(stream, server)
        source.restless = True
        for _ in range(60):
            page = reader.page()
            if dice.random() < 0.8:  # else the process died before it could commit the page
                reader.keep(page)
            if dice.random() < 0.1:
                source.happen()
        source.restless = False
        reader.run()
        reader.run()
        source.much_later()
        reader.run()
        reader.run()
    told = set(reader.told)
    assert source.final - told == set(), "skipped"
    assert told - source.versions == set(), "invented"
    assert len(source.versions) > 60


@pytest.mark.parametrize("stream", WAYS, ids=lambda stream: stream.name)
def test_a_quiet_list_is_one_request_where_it_fits_a_page(stream: RowStream) -> None:
    source = ShiftingSource(3)
    with serving(source.handle) as server:
        reader = Reader(stream, server)
        reader.run()
        source._rows = dict(list(source._rows.items())[:3])
        reader.run()
        reader.run()
        before = source.requests
        reader.run()
        assert source.requests - before == 1


@pytest.mark.parametrize("stream", [way for way in WAYS if way.order is not Order.NONE], ids=lambda stream: stream.name)
def test_what_was_told_long_ago_is_not_told_again_by_a_quiet_list(stream: RowStream) -> None:
    """Events are kept for a time only; what is read again after that would count as new."""
    source = ShiftingSource(5)
    with serving(source.handle) as server:
        reader = Reader(stream, server)
        reader.run()
        for _ in range(3):
            source.weeks_pass()
            reader.run()
        reader.told.clear()
        reader.run()
        assert reader.told == []
        source.much_later()
        reader.run()
        assert len(reader.told) == 1


@pytest.mark.parametrize("stream", WAYS, ids=lambda stream: stream.name)
def test_a_page_is_handed_on_in_the_order_in_which_things_happened(stream: RowStream) -> None:
    with serving(ShiftingSource(6).handle) as server:
        moments = [event.occurred_at for event in Reader(stream, server).page().events]
    assert len(moments) > 1
    assert moments == sorted(moments)


def test_what_comes_behind_a_page_that_was_just_full_is_read() -> None:
    """An ETag is made of a page's body: a page that stays as it is says nothing of those behind it."""
    source = ShiftingSource(8)
    source.keep_only(PAGE)
    with serving(source.handle) as server:
        reader = Reader(SecondsByLink(), server)
        for _ in range(3):
            reader.run()
        source.add_at_the_same_time(5)
        reader.run()
    assert source.final <= set(reader.told)


def test_an_item_that_jumps_in_each_of_several_long_runs_has_its_making_told() -> None:
    """Newest first: what is read of it is above the page where its making would have been met."""
    source = ShiftingSource(9)
    with serving(source.handle) as server:
        reader = Reader(NewestByToken(), server)
        reader.run()
        floor = reader.position["watermark"]
        for _ in range(2):
            source.much_later()
            source.burst(3 * PAGE)
            reader.keep(reader.page())
            assert "floor" in reader.position
            reader.run()
        assert reader.position["told_from"] <= floor
