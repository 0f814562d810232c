"""A small site over HTTP with a clock of its own, and a reader of its lists."""

from __future__ import annotations

import email.utils
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from providers.adapters.confluence.adapter import ConfluenceAdapter
from providers.adapters.confluence.simulated_lists import Refused, Wiki
from providers.canonical import JSON
from providers.client import ProviderClient
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from providers.spi import ProviderEvent, Window
from tests.contract.provider_server import Server

ADAPTER = ConfluenceAdapter()
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
LIVE = Window(since=START)
LOOPBACK = OutboundPolicy.parse(["127.0.0.1"])
AINO, BRAM = "712020:aino", "712020:bram"


def after(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


class Site:
    """``meanwhile`` happens after each answer."""

    def __init__(self) -> None:
        self.wiki = Wiki()
        self.now = after(60)
        self.who: JSON = {"type": "known", "accountId": AINO, "timeZone": "Pacific/Apia"}
        self.meanwhile: Callable[[], None] = lambda: None
        self.tells_time = True
        self.change_answer: Callable[[JSON], None] = lambda _: None
        self.server: Server

    def page(self, title: str, at: datetime, *, kind: str = "page", space: str = "ENG", container: str = "") -> JSON:
        return self.wiki.add(kind, title, space, BRAM, at, container)

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        asked = {name: values[0] for name, values in query.items()}
        status, answer = 200, JSON()
        try:
            match path.rpartition("/wiki")[2]:
                case "/rest/api/user/current":
                    answer = self.who
                case "/rest/api/search":
                    answer = self.wiki.search(asked, self.now)
                case "/api/v2/spaces":
                    answer = self.wiki.spaces(asked)
                case "/api/v2/pages" | "/api/v2/blogposts" as listed:
                    answer = self.wiki.listed(listed.rpartition("/")[2].removesuffix("s"), asked)
        except Refused as refused:
            status = refused.status
        self.change_answer(answer)
        told = {"date": email.utils.format_datetime(self.now, usegmt=True)} if self.tells_time else {}
        reply = SimulatedAnswer(status, told, orjson.dumps(answer))
        self.meanwhile()
        return reply

    def run(
        self,
        stream: str = "content",
        position: JSON | None = None,
        *,
        window: Window = LIVE,
        base: str = "/wiki",
        **more: Any,
    ) -> Run:
        """One run, each page by a client of its own and from a position that was JSON."""
        run, before = Run(position or {}), len(self.server.asked)
        settings = {"base_url": f"{self.server.url}{base}", **more}
        config = ADAPTER.client_config(settings, {"token": "t" * 8}, "")
        for _ in range(100):
            with ProviderClient(config, LOOPBACK) as client:
                page = ADAPTER.stream(stream).page(
                    client, partition="pages" if stream == "trash" else "", settings=settings,
                    position=run.position, window=window,
                )  # fmt: skip
            run.events += page.events
            run.position = orjson.loads(orjson.dumps(page.position))
            assert len(orjson.dumps(run.position)) <= 4096
            if not page.more:
                run.asked = [path for _, path in self.server.asked[before:]]
                return run
        raise AssertionError("the run has no end")


class Run:
    def __init__(self, position: JSON) -> None:
        self.position = position
        self.events: list[ProviderEvent] = []
        self.asked: list[str] = []

    @property
    def told(self) -> list[tuple[str, str]]:
        """Title and signal type of each event."""
        contents = (next(e.payload[k] for k in ("page", "blog", "comment") if k in e.payload) for e in self.events)
        return [(c["title"], str(e.signal_type)) for c, e in zip(contents, self.events, strict=True)]

    @property
    def titles(self) -> set[str]:
        return {title for title, _ in self.told}

    def parameters(self, index: int) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.asked[index]).query).items()}

    @property
    def minutes(self) -> list[int]:
        found = (self.parameters(index).get("cql", "") for index in range(len(self.asked)))
        return [int(cql.partition('now("-')[2].partition("m")[0]) for cql in found if cql]
