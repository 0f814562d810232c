"""A provider on loopback: a simulator, or a function, behind a real HTTP server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from providers.simulation import SimulatedAnswer

Answer = Callable[[str, str, dict[str, list[str]], dict[str, str], bytes], SimulatedAnswer]


@dataclass
class Server:
    """Where it listens and what it was asked."""

    url: str
    answer: Answer
    asked: list[tuple[str, str]] = field(default_factory=list)
    answered: list[SimulatedAnswer] = field(default_factory=list)


@contextmanager
def serving(answer: Answer) -> Iterator[Server]:
    """Serve until the block ends; ``server.answer`` may be replaced meanwhile."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # One write an answer: two would wait 40 ms for each other (Nagle and delayed acknowledgement).
        wbufsize = -1
        # Answers larger than the buffer are several writes all the same.
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.asked.append((self.command, self.path))
            answer = server.answer(
                self.command, parts.path, parse_qs(parts.query, keep_blank_values=True), headers, body
            )
            server.answered.append(answer)
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status not in (204, 304):
                self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body if answer.status not in (204, 304) else b"")

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_any  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    server = Server(f"http://127.0.0.1:{listener.server_port}", answer)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
