"""The platform's evidence service as a real HTTP server on loopback that checks what it is sent."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from tests.platform_stub import listening

_MEMBERS = {
    "receipt_id": str,
    "gate_id": str,
    "policy_version_ids": list,
    "snapshot_hash": str,
    "timestamp_utc": str,
    "timestamp_monotonic_ms": int,
    "evaluation_point": str,
    "inputs": dict,
    "decision": dict,
    "result": dict,
    "actor": dict,
    "evidence_handles": list,
    "degraded": bool,
    "signature": type(None),
    "schema_version": str,
}


class EvidenceStub:
    """Takes receipts. ``answers`` is what is said to the receipt of an operation id instead."""

    def __init__(self) -> None:
        self.url = ""
        self.tokens: dict[str, str] = {}
        self.kept: dict[str, dict[str, Any]] = {}
        self.arrivals: Counter[str] = Counter()
        self.faults: list[str] = []
        self.answers: dict[str, tuple[int, Any]] = {}
        self.outage = 0
        self.take_then_drop = False
        self.requests = 0
        self.extra_headers: dict[str, str] = {}

    def handle(self, method: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        self.requests += 1
        if (method, path) != ("POST", "/v1/evidence/receipts"):
            return 404, {"detail": "Not Found"}
        tenant = headers.get("x-tenant-id", "")
        if headers.get("authorization") != f"Bearer {self.tokens.get(tenant)}":
            return 403, error("FORBIDDEN", "tenant", retryable=False)
        if self.outage:
            return self.outage, error("INTERNAL", "down", retryable=True)
        self._check(tenant, body)
        told = self.answers.get(body["inputs"]["request_metadata"]["operation_id"])
        if told is not None:
            return told
        self.arrivals[body["receipt_id"]] += 1
        if self.kept.setdefault(body["receipt_id"], body) != body:
            self.faults.append("one receipt id, two receipts")
        if self.take_then_drop:
            self.take_then_drop = False
            return 0, None
        return 201, {
            "receipt_id": body["receipt_id"],
            "status": "ingested",
            "signature_verification_status": "unsigned",
        }

    def _check(self, tenant: str, body: dict[str, Any]) -> None:
        if set(body) != set(_MEMBERS) or not all(isinstance(body[name], kind) for name, kind in _MEMBERS.items()):
            self.faults.append(f"members of a receipt: {sorted(body)}")
        uuid.UUID(body["receipt_id"])
        moment = datetime.fromisoformat(body["timestamp_utc"])
        checks = {
            "gate_id": re.fullmatch(r"integration\.(?:action|credential)\.[a-z_]+\.[a-z_]+", body["gate_id"]),
            "snapshot_hash": re.fullmatch(r"[0-9a-f]{64}", body["snapshot_hash"]),
            "timestamp_utc": moment.tzinfo is not None,
            "evaluation_point": body["evaluation_point"] == "post-deploy",
            "inputs": set(body["inputs"])
            == {"tenant_id", "connection_id", "provider_id", "request_metadata", "correlation_id"},
            "tenant": body["inputs"]["tenant_id"] == tenant,
            "decision": set(body["decision"]) == {"status", "rationale", "badges"}
            and body["decision"]["status"] in ("pass", "warn", "soft_block", "hard_block"),
            "result": set(body["result"]) == {"status", "status_code", "provider_ref"},
            "actor": set(body["actor"]) == {"repo_id", "type"}
            and body["actor"]["repo_id"]
            and body["actor"]["type"] in ("human", "ai_agent", "service"),
        }
        self.faults += [name for name, good in checks.items() if not good]


def error(code: str, message: str, *, retryable: bool) -> dict[str, Any]:
    """An error in the service's shape."""
    return {"detail": {"error": {"code": code, "message": message, "retryable": retryable}}}


@contextmanager
def running_evidence_service() -> Iterator[EvidenceStub]:
    """A stub listening on loopback."""
    stub = EvidenceStub()
    with listening(stub):
        yield stub
