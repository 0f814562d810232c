"""An ingestion service that does next to nothing: it takes every signal, as fast as it can read it."""

from __future__ import annotations

import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body of an answer in one packet

    def do_GET(self) -> None:
        self._answer(200, {})

    def do_POST(self) -> None:
        body = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "signals" not in body:
            self._answer(201, {})
            return
        taken: dict[str, object] = {"status": "accepted", "error_code": None, "error_message": None, "dlq_id": None}
        results = [{"signal_id": signal["signal_id"], **taken} for signal in body["signals"]]
        self._answer(200, {"results": results, "summary": {"total": len(results), "accepted": len(results)}})

    def _answer(self, status: int, value: object) -> None:
        content = orjson.dumps(value)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, *_: object) -> None: ...


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address


if __name__ == "__main__":
    _Server(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
