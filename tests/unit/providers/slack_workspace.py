"""One app in a small workspace over HTTP, and a reader of its channels."""

from __future__ import annotations

import email.utils
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from providers.adapters.slack.adapter import SlackAdapter
from providers.adapters.slack.simulated_lists import Channels, Refused
from providers.canonical import JSON
from providers.client import ProviderClient
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from providers.spi import ProviderEvent, WebhookRequest, Window
from tests.contract.provider_server import Server

ADAPTER = SlackAdapter()
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
LIVE = Window(since=START)
WHO = {"ok": True, "team_id": "T1", "user_id": "U1BOT", "bot_id": "B1"}
PIER = "C1PIER"


def ts(minutes: float = 0, micros: int = 0) -> str:
    moment = START + timedelta(minutes=minutes, microseconds=micros)
    return f"{int(moment.timestamp())}.{moment.microsecond:06}"


class Workspace:
    """One app in a workspace, over HTTP; ``meanwhile`` happens after each answer."""

    def __init__(self) -> None:
        self.channels = Channels(PIER, "D1MARIT")
        self.clock = START + timedelta(hours=1)
        self.meanwhile: Callable[[], None] = lambda: None
        self.server: Server

    def post(self, at: str, text: str = "Hello", *, channel: str = PIER, **more: Any) -> JSON:
        message = {"type": "message", "user": "U1MARIT", "text": text, "ts": at, "team": "T1", **more}
        self.channels.post(channel, message)
        return message

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        asked = {name: values[0] for name, values in query.items()}
        lists = {"history": self.channels.history, "replies": self.channels.replies}
        try:
            answer = WHO if path == "/auth.test" else lists[path.removeprefix("/conversations.")](asked)
        except Refused as refused:
            answer = {"ok": False, "error": str(refused)}
        body = orjson.dumps(answer)
        self.meanwhile()
        return SimulatedAnswer(200, {"date": email.utils.format_datetime(self.clock, usegmt=True)}, body)

    def run(
        self,
        stream: str = "messages",
        position: JSON | None = None,
        *,
        channel: str = PIER,
        window: Window = LIVE,
        **settings: Any,
    ) -> Run:
        """One run, each page by a client of its own and from a position that was JSON."""
        run, before = Run(position or {}), len(self.server.asked)
        for _ in range(100):
            with client(self.server) as connected:
                page = ADAPTER.stream(stream).page(
                    connected, partition=channel, settings=settings, position=run.position, window=window
                )
            run.events += page.events
            run.position = orjson.loads(orjson.dumps(page.position))
            run.pauses.append(page.poll_after_seconds)
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
        self.pauses: list[float | None] = []

    @property
    def told(self) -> set[tuple[str, str]]:
        return {(event.happening, str(event.signal_type)) for event in self.events if event.signal_type}

    @property
    def posted(self) -> set[str]:
        return {event.happening.split(":")[2] for event in self.events if event.happening.endswith(":posted")}

    def parameters(self, index: int = -1) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.asked[index]).query).items()}


def client(server: Server) -> ProviderClient:
    config = ADAPTER.client_config({"base_url": server.url}, {"token": "xoxb-t"}, "")
    return ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"]))


def pushed(event: JSON) -> ProviderEvent:
    """What the webhook makes of an event of this workspace."""
    entry = {"team_id": "T1", "user_id": "U1BOT", "is_bot": True}
    body = {"type": "event_callback", "team_id": "T1", "api_app_id": "A1", "event_id": "Ev1", "authorizations": [entry]}
    headers = {"content-type": "application/json"}
    [told] = ADAPTER.process_webhook(WebhookRequest(headers=headers, body=orjson.dumps({**body, "event": event})))
    return told
