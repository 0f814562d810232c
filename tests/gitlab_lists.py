"""GitLab's lists on loopback, filled by a test row by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from providers.adapters.gitlab import simulated_rows as rows
from providers.adapters.gitlab.adapter import GitLabAdapter
from providers.adapters.gitlab.simulated_lists import SimulatedLists
from providers.canonical import JSON, Signal
from providers.client import ProviderClient
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from providers.spi import Page, ProviderEvent, WebhookRequest, Window
from tests.contract.provider_server import Server, serving

ADAPTER = GitLabAdapter()
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
LIVE = Window(since=START)
PROJECT, GROUP = "acme/web", "group:acme"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


class GitLab:
    """The simulated lists behind a server, filled by the test; addresses of pages are absolute, as GitLab's are."""

    def __init__(self) -> None:
        self.lists = SimulatedLists({f"projects/{PROJECT}", "projects/4101", "groups/acme"})
        self.server: Server
        self.settings: dict[str, Any] = {}
        self.last_id = 100

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        found = self.lists.handle(method, path.removeprefix("/api/v4"), query)
        return found or SimulatedAnswer(404, {}, b'{"message":"404 Not Found"}')

    def put(self, stream: str, moment: datetime, **more: Any) -> JSON:
        """An item made, and last changed, at that moment."""
        self.last_id += 1
        if stream == "events":
            row = rows.event(self.last_id, "joined", "zoe", moment) | more
        else:
            row = rows.item(self.last_id, self.last_id, "Basket", "zoe", moment, stream)
            row = (rows.issue(row) if stream == "issues" else rows.merge_request(row, "a" * 40)) | more
        self.lists.rows[stream].append(row)
        return row

    @contextmanager
    def client(self) -> Iterator[ProviderClient]:
        config = ADAPTER.client_config(self.settings, {"token": "t"}, "4")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            yield client

    def page(self, stream: str, position: JSON, window: Window = LIVE, partition: str = PROJECT) -> Page:
        with self.client() as client:
            return ADAPTER.stream(stream).page(
                client, partition=partition, settings=self.settings, position=position, window=window
            )

    def poll(self, stream: str, position: JSON | None = None, window: Window = LIVE, partition: str = PROJECT) -> Run:
        run = Run(position or {})
        before = len(self.server.asked)
        while True:
            page = self.page(stream, run.position, window, partition)
            run.events += page.events
            run.position = orjson.loads(orjson.dumps(page.position))
            if not page.more:
                break
            assert len(self.server.asked) - before < 60, "the run has no end"
        run.asked = [parse_qs(urlsplit(path).query) for _, path in self.server.asked[before:]]
        return run

    def told(self, stream: str, **more: Any) -> list[ProviderEvent]:
        """What one item tells."""
        self.put(stream, at(60), **more)
        return self.poll(stream).events


class Run:
    def __init__(self, position: JSON) -> None:
        self.position = position
        self.events: list[ProviderEvent] = []
        self.asked: list[dict[str, list[str]]] = []

    @property
    def ids(self) -> set[int]:
        return {event.payload["object_attributes"]["id"] for event in self.events}

    @property
    def keys(self) -> set[str]:
        return {event.dedupe_key for event in self.events}


@contextmanager
def serving_lists() -> Iterator[GitLab]:
    made = GitLab()
    with serving(made.answer) as server:
        made.server = server
        made.lists.address = f"{server.url}/api/v4"
        made.settings = {"base_url": f"{server.url}/api/v4", "projects": [PROJECT]}
        yield made


def types(events: list[ProviderEvent]) -> list[str]:
    return [str(event.signal_type) for event in events]


def signal(event: ProviderEvent) -> Signal:
    assert event.signal_type
    return ADAPTER.normalise(event.signal_type, event.event_type, event.payload)


def webhook(body: Mapping[str, Any]) -> list[ProviderEvent]:
    return ADAPTER.process_webhook(WebhookRequest(headers={"webhook-id": "id-1"}, body=orjson.dumps(body)))
