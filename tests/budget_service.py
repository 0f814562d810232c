"""The platform's budget service as a real HTTP server on loopback that checks what it is sent."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BUDGETS, RATES, COSTS = (
    "/budget/v1/budgets/check",
    "/budget/v1/rate-limits/check",
    "/budget/v1/cost-tracking/record",
)
_KEYS = {
    BUDGETS: {
        "tenant_id",
        "resource_type",
        "estimated_cost",
        "operation_context",
        "allocated_to_type",
        "allocated_to_id",
    },
    RATES: {"tenant_id", "resource_type", "request_count", "priority", "resource_key"},
    COSTS: {
        "tenant_id",
        "resource_type",
        "cost_amount",
        "usage_quantity",
        "usage_unit",
        "service_name",
        "tags",
    },
}


class BudgetStub:
    """Allows everything until told otherwise. ``answers`` replaces the body of a path's answer, or its status."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.tokens: list[str] = []
        self.faults: list[str] = []
        self.answers: dict[str, Any] = {}
        self.silent_seconds = 0.0
        self.recorded = threading.Semaphore(0)
        self.costs: list[dict[str, Any]] = []

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def handle(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, bytes]:
        self.asked.append((path, body))
        self.tokens.append(headers.get("authorization", ""))
        self._check(path, headers, body)
        if path == COSTS:
            self.costs.append(body)
            self.recorded.release()
        time.sleep(self.silent_seconds)
        answer = self.answers.get(path, self._usual(path))
        if isinstance(answer, int):
            return answer, b"{}"
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return (202 if path == COSTS else 200), content

    def _check(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> None:
        if set(body) != _KEYS.get(path):
            self.faults.append(f"{path} was sent {sorted(body)}")
            return
        if body["tenant_id"] != headers.get("x-tenant-id"):
            self.faults.append("the tenant of the body is not the header's")
        if not re.fullmatch(r"integration\.[a-z_]+\.(poll|action)", body["resource_type"]):
            self.faults.append(f"resource_type {body['resource_type']}")
        if path == BUDGETS and not (body["estimated_cost"] >= 0 and body["allocated_to_type"] == "tenant"):
            self.faults.append("the cost or whose budget it is")
        if path == RATES and not (body["request_count"] >= 1 and body["priority"] in ("low", "normal")):
            self.faults.append("the count or the priority")

    def _usual(self, path: str) -> dict[str, Any]:
        correlation = {"correlation_id": "c-1"}
        if path == BUDGETS:
            known = {"remaining_budget": 90.5, "budget_id": "b-1", "enforcement_action": "hard_stop", "message": "ok"}
            return {"allowed": True, "utilization_ratio": 0.1, **known, **correlation}
        if path == RATES:
            known = {"remaining_requests": 9, "reset_time": "2027-01-01T00:00:00Z", "limit_value": 10}
            return {"allowed": True, "retry_after": None, "policy_id": "p-1", **known, **correlation}
        return {"record_id": "r-1", "recorded_at": "2026-11-23T12:00:00Z", **correlation}


@contextmanager
def running_budget_service() -> Iterator[BudgetStub]:
    """A stub listening on loopback; ``stub.url`` is its address."""
    stub = BudgetStub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, content = stub.handle(self.path, headers, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

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
