"""Neighbouring services as real HTTP servers on loopback that check what they are sent."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import jwt

from tests.platform_stub import listening


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


def at_once(path: str) -> None:
    """Nothing happens before the answer."""


class AlertingStub:
    """The alerting service after its own contract: HS256 tokens of the tenant, one open alert a dedup key."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}  # of each tenant
        self.alerts: dict[str, dict[str, Any]] = {}
        self.told: list[tuple[str, str]] = []  # what was taken: raised or resolved, and the dedup key
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.faults: list[str] = []
        self.outage = 0
        self.take_then_drop = False
        self.before_answer: Callable[[str], None] = at_once
        self.url = ""

    def handle(self, method: str, path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        self.requests.append((method, path, headers))
        self.before_answer(path)
        if self.outage:
            return self.outage, {"detail": "down"}
        tenant = headers.get("x-tenant-id", "")
        scheme, _, token = headers.get("authorization", "").partition(" ")
        try:
            claims = jwt.decode(token, self.keys.get(tenant, ""), algorithms=["HS256"], options={"require": ["sub"]})
        except jwt.InvalidTokenError:
            return 401, {"detail": "Not authenticated"}
        if scheme != "Bearer" or claims.get("tenant_id") != tenant:
            return 403, {"detail": "Another tenant"}
        if (method, path) == ("POST", "/v1/alerts"):
            answer = self._raise(tenant, body)
        elif method == "POST" and re.fullmatch(r"/v1/alerts/[^/]+/resolve", path):
            answer = self._resolve(tenant, path.split("/")[3], body)
        else:
            return 404, {"detail": "not found"}
        if self.take_then_drop:
            self.take_then_drop = False
            return 0, None
        return answer

    def _raise(self, tenant: str, alert: dict[str, Any]) -> tuple[int, Any]:
        known = {
            **dict.fromkeys(("alert_id", "tenant_id", "source_module", "plane", "environment", "component_id"), str),
            **dict.fromkeys(("severity", "category", "summary", "description", "started_at", "dedup_key"), str),
            "status": str,
            "labels": dict,
            "ended_at": type(None),
        }
        wrong = [name for name, kind in known.items() if not isinstance(alert.get(name), kind)]
        if wrong or set(alert) - set(known):
            self.faults.append(f"fields of an alert: {wrong} {set(alert) - set(known)}")
        if alert["tenant_id"] != tenant or alert["status"] != "open":
            self.faults.append("an alert of another tenant, or not open")
        if not all(isinstance(value, str) for value in alert["labels"].values()):
            self.faults.append("a label that is no text")
        if datetime.fromisoformat(alert["started_at"]).tzinfo is None:
            self.faults.append("a time without zone")
        alert_id = alert["alert_id"]
        rivals = [a for key, a in self.alerts.items() if a["dedup_key"] == alert["dedup_key"] and key != alert_id]
        if any(rival["status"] == "open" for rival in rivals):
            self.faults.append("two open alerts of one dedup key")
        if self.alerts.get(alert_id, {}).get("status") != "open":
            self.told.append(("raised", alert["dedup_key"]))
        self.alerts[alert_id] = alert
        return 201, {"alert_id": alert_id, "status": "open", "incident_id": f"incident of {alert_id}"}

    def _resolve(self, tenant: str, alert_id: str, body: dict[str, Any]) -> tuple[int, Any]:
        alert = self.alerts.get(alert_id)
        if alert is None or alert["tenant_id"] != tenant:
            return 404, {"detail": "unknown alert"}
        if set(body) != {"actor", "reason"} or not body["reason"]:
            self.faults.append(f"fields of a resolution: {set(body)}")
        if alert["status"] == "open":
            self.told.append(("resolved", alert["dedup_key"]))
        self.alerts[alert_id] = {**alert, "status": "resolved"}
        return 200, {"alert_id": alert_id, "status": "resolved", "incident_id": f"incident of {alert_id}"}


@contextmanager
def running_pm3() -> Iterator[Pm3Stub]:
    """A stub listening on loopback; ``stub.url`` is its address."""
    stub = Pm3Stub()
    with listening(stub):
        yield stub


@contextmanager
def running_alerting() -> Iterator[AlertingStub]:
    """A stub listening on loopback; ``stub.url`` is its address."""
    stub = AlertingStub()
    with listening(stub):
        yield stub
