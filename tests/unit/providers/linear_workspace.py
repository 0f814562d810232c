"""A workspace of Linear on loopback, whose lists a test fills, and polls of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from providers.adapters.linear import simulated_lists
from providers.adapters.linear.adapter import LinearAdapter
from providers.canonical import JSON
from providers.client import ProviderClient
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from providers.spi import Page, ProviderEvent, Window

ADAPTER = LinearAdapter()
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
LIVE = Window(since=START)
TODO, DONE = {"id": "s-1", "name": "Todo", "type": "unstarted"}, {"id": "s-2", "name": "Done", "type": "completed"}
ENG = {"id": "t-1", "key": "ENG", "name": "Engineering"}
ISSUE = {
    "number": 7,
    "identifier": "ENG-7",
    "title": "Total is wrong",
    "url": "https://linear.app/x",
    "priority": 2,
    "priorityLabel": "High",
    "labelIds": [],
    "state": TODO,
    "team": ENG,
}


def at(minutes: float, milliseconds: int = 0) -> str:
    """So long after ``START``, as Linear writes it."""
    moment = START + timedelta(minutes=minutes, milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Workspace:
    """The lists as Linear gives them, on loopback."""

    def __init__(self) -> None:
        self.lists: dict[str, list[JSON]] = {}
        self.instead: SimulatedAnswer | None = None
        self.spoilt: Callable[[JSON], None] = lambda _: None
        self.meanwhile: list[Callable[[], object]] = []
        self.asked: list[JSON] = []
        self.costs: list[float] = []
        self.settings: JSON = {}
        self.url = ""

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        if self.instead:
            return self.instead
        request = orjson.loads(body)
        self.asked.append(request["variables"])
        empty: dict[str, list[JSON]] = {
            name: [] for name in ("issues", "comments", "projects", "projectUpdates", "cycles")
        }
        data, wrong, cost = simulated_lists.answer(request, empty | self.lists)
        assert not wrong, wrong
        self.costs.append(cost)
        self.spoilt(data or {})
        if self.meanwhile:
            self.meanwhile.pop(0)()
        return SimulatedAnswer(200, {"content-type": "application/json"}, orjson.dumps({"data": data}))

    def page(self, stream: str, position: JSON, window: Window = LIVE) -> Page:
        config = ADAPTER.client_config({"base_url": self.url}, {"token": "t"}, "graphql")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            return ADAPTER.stream(stream).page(
                client, partition="", settings=self.settings, position=position, window=window
            )

    def poll(self, stream: str, position: JSON | None = None, window: Window = LIVE) -> Run:
        run = Run(position or {})
        for _ in range(100):
            page = self.page(stream, run.position, window)
            run.pages += 1
            run.events += page.events
            run.position = orjson.loads(orjson.dumps(page.position))
            if not page.more:
                break
        return run

    def issue(self, name: str, made: str, updated: str = "", *entries: JSON, **more: Any) -> JSON:
        times = {"createdAt": made, "updatedAt": updated or made}
        history = [{"id": f"{name}-{index}", "createdAt": made, **entry} for index, entry in enumerate(entries)]
        issue = {
            **ISSUE,
            "id": name,
            **times,
            "labels": lambda _, **asked: simulated_lists.page([], **asked),
            "history": lambda _, **asked: simulated_lists.page(history[::-1], **asked),
            **more,
        }
        self.lists.setdefault("issues", []).append(issue)
        return issue


class Run:
    def __init__(self, position: JSON) -> None:
        self.position = position
        self.pages = 0
        self.events: list[ProviderEvent] = []

    @property
    def told(self) -> list[tuple[str, str]]:
        """Signal type and minute of each event."""
        return [
            (str(event.signal_type), f"{event.occurred_at - START}"[2:4])
            for event in self.events
            if event.occurred_at is not None
        ]

    @property
    def keys(self) -> set[str]:
        return {event.dedupe_key for event in self.events}
