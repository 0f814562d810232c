"""Bitbucket's lists on loopback, filled by a test row by row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from providers.adapters.bitbucket.adapter import BitbucketAdapter
from providers.adapters.bitbucket.simulated_lists import SimulatedLists
from providers.canonical import JSON, Signal
from providers.client import ProviderClient
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from providers.spi import Page, ProviderEvent, WebhookRequest, Window
from tests.contract.provider_server import Server, serving

ADAPTER = BitbucketAdapter()
LOOPBACK = OutboundPolicy.parse(["127.0.0.1"])
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
LIVE = Window(since=START)
REPOSITORY, UUID = "acme/web", "{00000050-0000-4000-8000-000000000050}"
ZOE = {"type": "user", "account_id": "712001:zoe", "display_name": "Zoe"}
MINA = {"type": "user", "account_id": "712003:mina", "display_name": "Mina"}


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat(timespec="microseconds")


class Bitbucket:
    """The simulated lists behind a server, filled by the test; addresses of pages are absolute, as Bitbucket's are."""

    def __init__(self) -> None:
        self.lists = SimulatedLists({REPOSITORY})
        self.pulls, self.log, self.pipelines = self.lists.rows[REPOSITORY].values()
        self.server: Server

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        found = self.lists.handle(method, path.replace("%7B", "{").replace("%7D", "}"), query)
        return found or SimulatedAnswer(404, {}, b"{}")

    def pull(self, seconds: float, *, updated: float | None = None, state: str = "OPEN", **more: Any) -> JSON:
        """A pull request made at that second, with the next number."""
        number = len(self.pulls) + 1
        repository = {"type": "repository", "full_name": REPOSITORY, "uuid": UUID}
        pull = {
            "id": number,
            "title": "Basket",
            "state": state,
            "author": ZOE,
            "source": {"branch": {"name": "basket"}, "commit": {"hash": "a" * 12}, "repository": repository},
            "destination": {"branch": {"name": "main"}, "repository": repository},
            "created_on": at(seconds),
            "updated_on": at(seconds if updated is None else updated),
            "links": {"html": {"href": f"https://bitbucket.org/{REPOSITORY}/pull-requests/{number}"}},
            **more,
        }
        self.pulls.append(pull)
        return pull

    def entry(self, number: int = 12, **entry: JSON) -> None:
        links = {"html": {"href": f"https://bitbucket.org/{REPOSITORY}/pull-requests/{number}"}}
        self.log.append({"pull_request": {"id": number, "title": "Basket", "links": links}, **entry})

    def page(self, stream: str, position: JSON, partition: str = REPOSITORY) -> Page:
        settings = {"base_url": f"{self.server.url}/2.0"}
        config = ADAPTER.client_config(settings, {"token": "t"}, "2.0")
        with ProviderClient(config, LOOPBACK) as client:
            return ADAPTER.stream(stream).page(
                client, partition=partition, settings=settings, position=position, window=LIVE
            )

    def poll(self, stream: str, position: JSON | None = None, partition: str = REPOSITORY) -> Run:
        run = Run(position or {})
        while True:
            page = self.page(stream, run.position, partition)
            run.events += page.events
            run.position = orjson.loads(orjson.dumps(page.position))
            run.pages += 1
            if not page.more:
                return run
            assert run.pages < 40, "the run has no end"

    def asked(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.server.asked[-1][1]).query)


class Run:
    def __init__(self, position: JSON) -> None:
        self.position = position
        self.events: list[ProviderEvent] = []
        self.pages = 0

    @property
    def numbers(self) -> set[int]:
        return {event.payload["pullrequest"]["id"] for event in self.events}

    @property
    def keys(self) -> set[str]:
        return {event.dedupe_key for event in self.events}


@contextmanager
def serving_lists() -> Iterator[Bitbucket]:
    made = Bitbucket()
    with serving(made.answer) as server:
        made.server = server
        made.lists.address = f"{server.url}/2.0"
        yield made


def types(events: list[ProviderEvent]) -> list[str | None]:
    return [event.signal_type and str(event.signal_type) for event in events]


def signal(event: ProviderEvent) -> Signal:
    assert event.signal_type
    return ADAPTER.normalise(event.signal_type, event.event_type, event.payload)


def webhook(event_key: str, body: JSON) -> ProviderEvent:
    headers = {"x-event-key": event_key, "x-request-uuid": "request-1"}
    (event,) = ADAPTER.process_webhook(WebhookRequest(headers=headers, body=orjson.dumps(body)))
    return event


def approve(bitbucket: Bitbucket, seconds: float) -> None:
    bitbucket.entry(approval={"date": at(seconds), "user": MINA})


def pipeline(bitbucket: Bitbucket, number: int, seconds: float, state: JSON, **more: Any) -> JSON:
    row = {
        "build_number": number,
        "repository": {"type": "repository", "full_name": REPOSITORY, "uuid": UUID},
        "creator": ZOE,
        "state": state,
        "target": {"ref_name": "main", "commit": {"hash": "c" * 40}},
        "created_on": at(seconds),
        "completed_on": None,
        **more,
    }
    bitbucket.pipelines.append(row)
    return row


RUNNING = {"name": "IN_PROGRESS"}
