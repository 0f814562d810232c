"""The sandbox's HTTP side: ``/<provider>/<tenant>/…``, ``/sink/…`` and ``/control``, on loopback."""

from __future__ import annotations

import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from integration_adapters.sandbox.faults import SINK, BadFault, Switchboard
from integration_adapters.sandbox.sink import Sink
from integration_adapters.sandbox.worlds import World

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_DELAY_SECONDS = 120.0
RETRY_AFTER_SECONDS = 1

Reply = tuple[int, dict[str, str], bytes]


class Sandbox:
    """What the sandbox is made of, and which part answers a request."""

    def __init__(self, worlds: dict[tuple[str, str], World], sink: Sink, switchboard: Switchboard) -> None:
        self._worlds = worlds
        self._sink = sink
        self._switchboard = switchboard

    def reply(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> Reply | None:
        """The answer to one request; ``None`` closes the connection without one."""
        service, _, rest = path.lstrip("/").partition("/")
        if service == "control":
            return self._control(method, body)
        if service == SINK and rest in ("summary", "signals"):
            return self._show(method, rest, query)
        if service == SINK:
            return self._answer_unless_faulty(SINK, lambda: self._arrive(method, rest, headers, body))
        tenant_id, _, rest = rest.partition("/")
        world = self._worlds.get((service, tenant_id))
        if world is not None:

            def answer() -> Reply:
                given = world.handle(method, f"/{rest}", query, headers, body)
                return given.status, dict(given.headers), given.body

            return self._answer_unless_faulty(service, answer)
        if path == "/":
            return _json(200, self._index())
        return _json(404, {"detail": "Not Found"})

    def _index(self) -> dict[str, Any]:
        return {
            "providers": [f"/{slug}/{tenant_id}/" for slug, tenant_id in self._worlds],
            "sink": ["/sink/summary", "/sink/signals?tenant_id=&signal_type=&source=&signal_id=&limit="],
            "control": "GET and POST /control; POST {service: {fault: value}}, an empty object mends a service",
            "faults": self._switchboard.state(),
        }

    def _control(self, method: str, body: bytes) -> Reply:
        if method == "GET":
            return _json(200, self._switchboard.state())
        try:
            return _json(200, self._switchboard.change(orjson.loads(body)))
        except (BadFault, orjson.JSONDecodeError) as error:
            return _json(400, {"detail": str(error)})

    def _show(self, method: str, what: str, query: dict[str, list[str]]) -> Reply:
        if method == "DELETE" and what == "signals":
            self._sink.clear()
            return 204, {}, b""
        return _json(200, self._sink.summary() if what == "summary" else self._sink.signals(query))

    def _answer_unless_faulty(self, service: str, answer: Callable[[], Reply]) -> Reply | None:
        faults = self._switchboard.of(service)
        time.sleep(max(0.0, min(faults.delay_seconds, MAX_DELAY_SECONDS)))
        match self._switchboard.verdict(service):
            case "drop":
                return None
            case "fail":
                return _json(500, {"detail": "A fault that was switched on"})
            case "throttle":
                status, headers, body = _json(429, {"detail": "A limit that was switched on"})
                return status, {**headers, "retry-after": str(RETRY_AFTER_SECONDS)}, body
        return answer()

    def _arrive(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        if (method, path) in (("GET", "v1/health"), ("GET", "v1/ready")):
            return _json(200, {"status": "ok"})
        tenant_id = self._sink.tenant_of(headers)
        if tenant_id is None:
            return _json(401, {"detail": "Not authenticated"})
        return _json(*self._sink.answer(method, path, tenant_id, body))


def serve(sandbox: Sandbox, host: str, port: int) -> ThreadingHTTPServer:
    """A server bound to the address; the caller runs and closes it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "Sandbox"
        # Without it the two writes of an answer wait for each other on the wire.
        disable_nagle_algorithm = True

        def _answer(self) -> None:
            body = self._body()
            if body is None:
                return
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = sandbox.reply(
                self.command, parts.path, parse_qs(parts.query, keep_blank_values=True), headers, body
            )
            if reply is None:
                self.close_connection = True
                return
            status, answer_headers, content = reply
            self.send_response(status)
            for name, value in answer_headers.items():
                if name.lower() != "content-length":
                    self.send_header(name, value)
            if status not in (204, 304):
                self.send_header("content-length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD" and status not in (204, 304):
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _answer  # noqa: N815 (the base class's names)

        def _body(self) -> bytes | None:
            length = self.headers.get("content-length", "0")
            if not length.isascii() or not length.isdigit() or int(length) > MAX_BODY_BYTES:
                self.send_error(413)
                return None
            return self.rfile.read(int(length))

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
            """Requests are not worth a line; what arrives at the sink is."""

    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer.request_queue_size = 128
    return ThreadingHTTPServer((host, port), Handler)


def _json(status: int, value: Any) -> Reply:
    return status, {"content-type": "application/json"}, orjson.dumps(value, option=orjson.OPT_INDENT_2)
