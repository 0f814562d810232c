"""How runs of Actions and releases are read: more of them than GitHub shows at once, and names that last."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from providers.adapters.github.simulated_lists import OtherLists, published_release, workflow_run
from providers.canonical import JSON
from providers.simulation import SimulatedAnswer
from providers.spi import Page, Window
from tests.contract.provider_server import Server, serving
from tests.unit.providers.test_github_polling import ADAPTER, LIVE, START, at, client


class Actions:
    def __init__(self) -> None:
        self.lists = OtherLists()
        self.server: Server

    def run(self, own: int, created: str, ended: str = "") -> JSON:
        row = workflow_run(own, "acme/web", "c" * 40, "ci", "Mended", created)
        row |= {"status": "completed", "conclusion": "success", "created_at": created, "updated_at": ended or created}
        self.lists.add("acme/web", "actions/runs", row)
        return row

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        asked = {name: values[0] for name, values in query.items()}
        kind = path.removeprefix("/repos/acme/web/")
        found, given = self.lists.handle("acme/web", kind, f"{self.server.url}{path}", asked)
        return SimulatedAnswer(200, given, orjson.dumps(found))

    def poll(self, window: Window = LIVE, stream: str = "workflow_runs", position: JSON | None = None) -> list[Page]:
        pages: list[Page] = []
        with client(self.server) as connected:
            while not pages or pages[-1].more:
                assert len(pages) < 100, "the run has no end"
                before = orjson.loads(orjson.dumps(pages[-1].position)) if pages else position or {}
                pages.append(
                    ADAPTER.stream(stream).page(
                        connected, partition="acme/web", settings={}, position=before, window=window
                    )
                )
        return pages

    @property
    def spans(self) -> list[str]:
        return [parse_qs(urlsplit(path).query)["created"][0] for _, path in self.server.asked]


@pytest.fixture
def actions() -> Iterator[Actions]:
    made = Actions()
    with serving(made.answer) as server:
        made.server = server
        yield made


def told(pages: list[Page]) -> set[int]:
    return {event.payload["workflow_run"]["id"] for page in pages for event in page.events}


def keys(pages: list[Page]) -> set[str]:
    return {event.dedupe_key for page in pages for event in page.events}


def test_more_runs_than_github_shows_of_a_span_are_read_whole(actions: Actions) -> None:
    for number in range(1250):
        actions.run(number + 1, at(seconds=10 * number))
    assert told(actions.poll()) == set(range(1, 1251))


def test_more_than_a_page_of_runs_created_in_one_second_is_read_whole(actions: Actions) -> None:
    for number in range(320):
        actions.run(number + 1, at(5))
    actions.run(400, at(1))
    actions.run(401, at(9))
    assert told(actions.poll()) == {*range(1, 321), 400, 401}


def test_window_of_the_past_is_asked_for_with_its_end_and_told_by_the_end_of_the_runs(actions: Actions) -> None:
    actions.run(1, at(-60 * 24 * 2), ended=at(10))
    actions.run(2, at(-30), ended=at(-20))
    actions.run(3, at(50), ended=at(70))
    for number in range(1100):
        actions.run(1000 + number, at(60 * 24 + number))
    past = Window(since=START, until=START + timedelta(hours=1))
    assert told(actions.poll(past)) == {1}
    assert actions.spans == ["2026-02-27T08:00:00Z..2026-03-02T09:00:00Z"]
    assert ADAPTER.stream("workflow_runs").slice


def test_run_of_the_margin_behind_a_full_page_is_told(actions: Actions) -> None:
    for number in range(150):
        actions.run(number + 1, at(-60 * 24 - number), ended=at(10))
    past = Window(since=START, until=START + timedelta(hours=1))
    assert told(actions.poll(past)) == set(range(1, 151))


def test_run_created_before_polling_began_is_told_when_it_ends(actions: Actions) -> None:
    actions.run(1, at(-30), ended=at(5))
    actions.run(2, at(-30), ended=at(-5))
    assert told(actions.poll()) == {1}


def test_end_of_a_run_keeps_its_key_when_its_time_of_change_moves(actions: Actions) -> None:
    row = actions.run(1, at(1), ended=at(5))
    first = keys(actions.poll())
    row["updated_at"] = at(5, seconds=7)
    assert keys(actions.poll()) == first
    row |= {"run_attempt": 2, "updated_at": at(30)}
    assert not keys(actions.poll()) & first


def test_release_keeps_its_key_when_it_is_dated_anew(actions: Actions) -> None:
    row = published_release(7, "acme/web", {"login": "zoe"}, at(5))
    actions.lists.add("acme/web", "releases", row)
    first = keys(actions.poll(stream="releases"))
    row["published_at"] = at(6)
    assert keys(actions.poll(stream="releases")) == first
    assert len(first) == 1


def test_quiet_list_of_runs_is_one_request(actions: Actions) -> None:
    for number in range(40):
        actions.run(number + 1, at(number))
    position = actions.poll()[-1].position
    before = len(actions.server.asked)
    quiet = actions.poll(position=position)
    assert len(actions.server.asked) == before + 1
    assert datetime.fromisoformat(quiet[-1].position["watermark"]) == START + timedelta(minutes=39)
