"""Neighbouring services as real HTTP servers on loopback that check what they are sent."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Pm3Stub:
    """The ingestion service after its own contract: one tenant a request, producers first, a result each."""

    def __init__(self) -> None:
        self.signals: dict[str, dict[str, Any]] = {}
        self.arrivals: Counter[str] = Counter()
        self.producers: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.faults: list[str] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self.outage: int = 0
        self.poison: str = ""
        self.commit_then_drop = False
        self._lock = threading.Lock()
        self.url = ""

    def handle(self, method: str, path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        self.requests.append((method, path, headers))
        tenant = headers.get("x-tenant-id", "")
        if not headers.get("authorization", "").startswith("Bearer "):
            return 401, {"detail": "Not authenticated"}
        if self.outage:
            return self.outage, {"detail": "down"}
        if path == "/v1/producers/register" and method == "POST":
            return self._register(body["producer"])
        if path.startswith("/v1/producers/") and method == "PUT":
            producer = body["producer"]
            if path.rsplit("/", 1)[1] not in self.producers:
                return 404, {"detail": "unknown"}
            self.producers[producer["producer_id"]] = producer
            return 200, {"producer_id": producer["producer_id"], "status": "updated", "message": ""}
        if path == "/v1/signals/ingest" and method == "POST":
            return self._ingest(tenant, body["signals"])
        return 404, {"detail": "not found"}

    def _register(self, producer: dict[str, Any]) -> tuple[int, Any]:
        if set(producer["allowed_signal_types"]) != set(producer["contract_versions"]):
            self.faults.append("a signal type without a contract version")
        if producer["plane"] not in ("edge", "tenant_cloud", "product_cloud", "shared_services"):
            self.faults.append(f"plane {producer['plane']}")
        if producer["producer_id"] in self.producers:
            return 400, {"detail": "exists"}
        self.producers[producer["producer_id"]] = producer
        return 201, {"producer_id": producer["producer_id"], "status": "registered", "message": ""}

    def _ingest(self, tenant: str, signals: list[dict[str, Any]]) -> tuple[int, Any]:
        if not 1 <= len(signals) <= 1000:
            self.faults.append(f"{len(signals)} signals in a request")
        if {signal["tenant_id"] for signal in signals} != {tenant}:
            self.faults.append("signals of another tenant than the token's")
        if self.poison and any(self.poison in json.dumps(signal) for signal in signals):
            return 422, {"detail": "unprocessable"}
        with self._lock:
            results = [self._take(signal) for signal in signals]
        if self.commit_then_drop:
            self.commit_then_drop = False
            return 0, None
        return 200, {"results": results, "summary": {"total": len(results)}}

    def _take(self, signal: dict[str, Any]) -> dict[str, Any]:
        key = signal["signal_id"]
        empty = {"signal_id": key, "error_code": None, "error_message": None, "dlq_id": None, "warnings": []}
        self.arrivals[key] += 1
        producer = self.producers.get(signal["producer_id"])
        if producer is None:
            return {**empty, "status": "rejected", "error_code": "PRODUCER_NOT_REGISTERED", "error_message": "?"}
        if signal["signal_type"] not in producer["contract_versions"]:
            return {**empty, "status": "rejected", "error_code": "SIGNAL_TYPE_NOT_ALLOWED", "error_message": "?"}
        if signal["signal_type"] in self.answers:
            return {**empty, **self.answers[signal["signal_type"]]}
        if key in self.signals:
            return {**empty, "status": "rejected", "error_message": "Duplicate signal discarded"}
        self.signals[key] = signal
        return {**empty, "status": "accepted"}


@contextmanager
def running_pm3() -> Iterator[Pm3Stub]:
    """A stub listening on loopback; ``stub.url`` is its address."""
    stub = Pm3Stub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer = stub.handle(self.command, self.path, headers, json.loads(body or b"{}"))
            if status == 0:  # took the signals, then the connection broke
                self.close_connection = True
                self.connection.close()
                return
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _serve  # noqa: N815 - named by the standard library

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
