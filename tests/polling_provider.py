"""A provider for polling tests: a real HTTP server on loopback whose every answer the test decides, and its adapter."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from connections.models import IntegrationConnection
from polling.cursors import sync_now
from polling.runner import RunResult, poll_once
from polling.schedule import claim_connection
from providers.canonical import JSON, Category, Signal, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.manifest import Manifest
from providers.spi import Adapter, Identity, Page, ProviderEvent, Stream, Window
from tests.factories import ACME, make_connection

TOKEN = "ledger-token"


def at_once(query: dict[str, str]) -> None:
    """Nothing happens before the answer."""


class Ledger:
    """Lists of numbered entries. ``answers`` are served first, one a request, before the list is."""

    def __init__(self) -> None:
        self.entries: dict[str, list[dict[str, Any]]] = {}
        self.requests: list[dict[str, str]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.outage = 0
        self.repeating = False
        self.page_size = 10
        self.poll_after: float | None = None
        self.before_answer: Callable[[dict[str, str]], None] = at_once
        self.url = ""

    def add(self, number: int, name: str = "main", *, at: datetime | None = None) -> None:
        """Add ``number`` entries, the first at ``at`` (now by default), the next each a microsecond later."""
        entries = self.entries.setdefault(name, [])
        first = at or datetime.now(UTC)
        for index in range(number):
            moment = (first + timedelta(microseconds=index)).isoformat(timespec="microseconds")
            entries.append({"id": f"{name}-{len(entries) + 1}", "number": len(entries) + 1, "at": moment})

    def answer(self, query: dict[str, str], authorization: str) -> tuple[int, dict[str, str], Any]:
        self.requests.append(query)
        self.before_answer(query)
        if self.answers:
            status, headers = self.answers.pop(0)
            return status, headers, {}
        if self.outage:
            return self.outage, {}, {}
        if authorization != f"Bearer {TOKEN}":
            return 401, {}, {}
        after = int(query.get("after", "0"))
        rows = [entry for entry in self.entries.get(query["list"], []) if entry["number"] > after]
        rows = [entry for entry in rows if query["since"] <= entry["at"] < query.get("until", "9")]
        page = rows[: self.page_size]
        reached = page[-1]["number"] if page and not self.repeating else after
        more = self.repeating or len(rows) > len(page)
        return 200, {}, {"entries": page, "reached": reached, "more": more, "poll_after": self.poll_after}


class EntryStream(Stream):
    name = "entries"

    def partitions(self, settings: Mapping[str, Any]) -> Sequence[str]:
        return settings.get("lists", ["main"])

    def page(
        self, client: ProviderClient, *, partition: str, settings: Mapping[str, Any], position: JSON, window: Window
    ) -> Page:
        params = {"list": partition, "since": window.since.isoformat(), "after": position.get("after", 0)}
        if window.until:
            params["until"] = window.until.isoformat()
        body = client.get("/entries", params=params).json()
        events = [
            ProviderEvent(
                event_type="entry",
                dedupe_key=f"entry:{entry['id']}",
                payload=entry,
                signal_type=SignalType.ISSUE_CREATED,
                occurred_at=datetime.fromisoformat(entry["at"]),
            )
            for entry in body["entries"]
        ]
        return Page(
            events=events,
            position={"after": body["reached"]},
            more=body["more"],
            poll_after_seconds=body["poll_after"],
        )


class LedgerAdapter(Adapter):
    slug = "ledger"
    label = "Ledger"
    category = Category.KNOWLEDGE
    api_versions = ("1",)
    development_only = True
    manifest = Manifest(
        ack_budget_seconds=10, redelivery_horizon=timedelta(days=1), delivery_id_header="", documentation="-"
    )
    settings_schema = {"type": "object"}
    credential_schema = {"type": "object"}
    streams = (EntryStream(),)

    def normalise(self, signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
        return Signal(signal_type=signal_type)

    def client_config(
        self, settings: Mapping[str, Any], credential: Mapping[str, str], api_version: str
    ) -> ClientConfig:
        return ClientConfig(
            base_url=settings["base_url"], headers={"Authorization": f"Bearer {credential.get('token', '')}"}
        )

    def verify(self, client: ProviderClient) -> Identity:
        return Identity(account="ledger")


@contextmanager
def running_ledger() -> Iterator[Ledger]:
    """A ledger listening on loopback; ``ledger.url`` is its address."""
    ledger = Ledger()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
            status, headers, body = ledger.answer(query, self.headers.get("Authorization") or "")
            content = orjson.dumps(body)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    ledger.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield ledger
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ledger_connection(ledger: Ledger, tenant_id: str = ACME, **values: Any) -> IntegrationConnection:
    """An active connection to the ledger; its cursors are made."""
    values.setdefault("credential", {"token": TOKEN})
    values["settings"] = {"base_url": ledger.url, **values.get("settings", {})}
    connection = make_connection("ledger", tenant_id, **values)
    sync_now(connection)
    return connection


def poll(connection: IntegrationConnection) -> RunResult:
    """One run of the connection's only cursor, due or not."""
    (claim,) = claim_connection(connection)
    return poll_once(claim.cursor_id, claim.lease_token)
