"""How often each provider is asked in a day when nothing happens there: every stream that is on, against its simulator.

``python -m …`` prints it as JSON. Polls follow each other at once; how long the pause would have been is what counts.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import django

_DAY_SECONDS = 86_400
# By then the pause has grown as far as it does.
POLLS = 12


def main() -> dict[str, Any]:
    django.setup()
    from integration_adapters.sandbox.worlds import simulated_slugs
    from providers import registry

    return {slug: streams_of(slug) for slug in simulated_slugs() if registry.get(slug).streams}


def streams_of(slug: str, *, polls: int = POLLS) -> list[dict[str, Any]]:
    """Of each stream: whether it is on if nobody chooses, and what one part of it (a repository, a channel) asks.

    ``polls`` is how often each is polled before its last poll counts.
    """
    from django.db.models.functions import Now

    from integration_adapters.bench.poll_road import run
    from integration_adapters.sandbox.worlds import simulator_class
    from polling.models import PollingCursor
    from polling.schedule import claim_connection
    from providers import registry

    simulator = simulator_class(slug)
    if simulator is None:
        raise LookupError(slug)
    with _served(simulator(seed=1, faults=False)) as address:
        connection = _connect(slug, simulator, address)
        cursors = PollingCursor.objects.filter(connection=connection, active=True)
        requests: dict[Any, int] = {}
        for _ in range(polls):
            for claim in claim_connection(connection):
                requests[claim.cursor_id] = run(claim).requests
            cursors.update(next_poll_at=Now())
    found = []
    for stream in registry.get(slug).streams:
        parts = list(cursors.filter(stream=stream.name))
        # Where parts differ, the one that asks most.
        days = [requests[part.pk] * _DAY_SECONDS / part.interval_seconds for part in parts]
        found.append(
            {
                "stream": stream.name,
                "on": stream.enabled_by_default,
                "requests_a_poll": max(requests[part.pk] for part in parts),
                "requests_a_day": round(max(days)),
            }
        )
    return found


def _connect(slug: str, simulator: Any, address: str) -> Any:
    from connections.models import ConnectionStatus, IntegrationConnection
    from connections.secret_store import put_credential
    from polling.cursors import sync_now
    from providers import registry

    adapter = registry.get(slug)
    chosen = {"streams": [stream.name for stream in adapter.streams]}
    connection = IntegrationConnection.objects.create(
        tenant_id="bench",
        provider_id=slug,
        display_name="Quiet",
        status=ConnectionStatus.ACTIVE,
        auth_ref=put_credential("bench", dict(simulator.credential)),
        api_version=adapter.api_versions[0],
        enabled_capabilities=adapter.capabilities(),
        settings={**simulator.settings(address), **chosen},
    )
    sync_now(connection)
    return connection


@contextmanager
def _served(simulator: Any) -> Iterator[str]:
    """The simulator's API on loopback, and its address."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            place = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with lock:
                answer = simulator.handle(self.command, place.path, parse_qs(place.query), headers, body)
            self.send_response(answer.status)
            for name, value in {**answer.headers, "content-length": str(len(answer.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    json.dump(main(), sys.stdout)
