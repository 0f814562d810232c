"""A provider that can be down in every way there is: a ledger on a port of its own that is shut, hangs, or fails."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import orjson

from tests.polling_provider import Ledger, LedgerAdapter

REFUSED, HANGS, FAILS, GARBAGE = "refused", "hangs", "fails", "garbage"


class SteadyAdapter(LedgerAdapter):
    """Another provider of the same kind, that stays well."""

    slug = "steady"
    label = "Steady"


class BrokenProvider:
    """``mode`` is empty while it is well. ``arrivals`` counts the requests it saw in each mode."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.mode = ""
        self.arrivals: Counter[str] = Counter()
        self._woken = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    def be(self, mode: str) -> None:
        """Break in this way, or be well again with an empty one."""
        self._woken.set()
        self.mode, self._woken = mode, threading.Event()
        if mode == REFUSED:
            self._shut()
        elif self._server is None:
            self._open()

    @property
    def ledger_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def close(self) -> None:
        self._woken.set()
        self._shut()

    def _open(self) -> None:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.arrivals[provider.mode] += 1
                match provider.mode:
                    case "hangs":
                        provider._woken.wait(30)
                        self.close_connection = True
                    case "fails":
                        self._answer(500, b"{}")
                    case "garbage":
                        self._answer(200, b"<html>We are down for maintenance.</html>")
                    case _:
                        query = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
                        status, _, body = provider.ledger.answer(query, self.headers.get("Authorization") or "")
                        self._answer(status, orjson.dumps(body))

            def _answer(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None: ...

        server = self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        server.daemon_threads = True
        self._port = server.server_port
        self._thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        self.ledger.url = self.ledger_url

    def _shut(self) -> None:
        server, self._server = self._server, None
        if server is not None and self._thread is not None:
            server.shutdown()
            server.server_close()
            self._thread.join()


@contextmanager
def broken_provider() -> Iterator[BrokenProvider]:
    """One that is well and listens on loopback."""
    provider = BrokenProvider()
    provider.be("")
    try:
        yield provider
    finally:
        provider.close()
