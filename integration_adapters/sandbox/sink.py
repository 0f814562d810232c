"""A stand-in for the ingestion service: takes producers and signals by its rules, and shows what it took."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from events.envelope import SCHEMA_VERSION
from integration_adapters.sandbox.faults import SINK, Switchboard

MAX_SIGNALS = 1000
PLANES = ("edge", "tenant_cloud", "product_cloud", "shared_services")
KINDS = ("event", "metric", "log", "trace")
DUPLICATE = "Duplicate signal discarded"
TOKEN_PREFIX = "sandbox-"
ANY_TENANT_TOKEN = "sandbox"

_TEXTS = ("signal_id", "tenant_id", "producer_id", "signal_type", "schema_version")
_TABLES = """
CREATE TABLE IF NOT EXISTS producers (
    tenant_id TEXT, producer_id TEXT, body BLOB, PRIMARY KEY (tenant_id, producer_id));
CREATE TABLE IF NOT EXISTS signals (
    signal_id TEXT, producer_id TEXT, tenant_id TEXT, signal_type TEXT, source TEXT, arrived_at TEXT, body BLOB,
    times_seen INTEGER DEFAULT 1, PRIMARY KEY (signal_id, producer_id));
CREATE TABLE IF NOT EXISTS refusals (code TEXT PRIMARY KEY, number INTEGER);
"""

Answer = tuple[int, Any]


class Sink:
    """Producers and signals in one SQLite file, so that it remembers when it is started again."""

    def __init__(self, path: Path, switchboard: Switchboard) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._switchboard = switchboard
        self._lock = threading.RLock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + _TABLES)

    def tenant_of(self, headers: dict[str, str]) -> str | None:
        """The tenant a request's token belongs to; ``None`` without a token it knows."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        if token == ANY_TENANT_TOKEN:
            return headers.get("x-tenant-id") or None
        return token.removeprefix(TOKEN_PREFIX) if token.startswith(TOKEN_PREFIX) else None

    def answer(self, method: str, path: str, tenant_id: str, body: bytes) -> Answer:
        """One call of the ingestion service's interface, after authentication."""
        match (method, path.strip("/").split("/")):
            case ("POST", ["v1", "signals", "ingest"]):
                return self._ingest(tenant_id, _json(body))
            case ("POST", ["v1", "producers", "register"]):
                return self._register(tenant_id, _json(body), None)
            case ("PUT", ["v1", "producers", producer_id]):
                return self._register(tenant_id, _json(body), producer_id)
            case ("GET", ["v1", "producers", producer_id]):
                producer = self._producer(tenant_id, producer_id)
                return (200, producer) if producer else (404, {"detail": "Producer not found"})
        return 404, {"detail": "Not Found"}

    # Producers

    def _register(self, tenant_id: str, body: Any, known_id: str | None) -> Answer:
        producer = body.get("producer") if isinstance(body, dict) else None
        if not isinstance(producer, dict) or not isinstance(producer.get("producer_id"), str):
            return 422, {"detail": "producer with a producer_id is needed"}
        problem = _problem_of_producer(producer)
        producer_id = producer["producer_id"]
        with self._transaction():
            exists = self._producer(tenant_id, producer_id) is not None
            if known_id is not None and (known_id != producer_id or not exists):
                return 404, {"detail": "Producer not found"}
            if known_id is None and exists:
                problem = f"Producer {producer_id} already exists"
            if problem:
                return 400, {"detail": problem}
            self._database.execute(
                "INSERT OR REPLACE INTO producers VALUES (?, ?, ?)", (tenant_id, producer_id, orjson.dumps(producer))
            )
        verb = "registered" if known_id is None else "updated"
        return (201 if known_id is None else 200), {
            "producer_id": producer_id,
            "status": verb,
            "message": f"Producer {verb}",
        }

    def _producer(self, tenant_id: str, producer_id: str) -> dict[str, Any] | None:
        with self._lock:
            row = self._database.execute(
                "SELECT body FROM producers WHERE tenant_id = ? AND producer_id = ?", (tenant_id, producer_id)
            ).fetchone()
        return orjson.loads(row[0]) if row else None

    # Signals

    def _ingest(self, tenant_id: str, body: Any) -> Answer:
        signals = body.get("signals") if isinstance(body, dict) else None
        if not isinstance(signals, list) or not 1 <= len(signals) <= MAX_SIGNALS:
            return 422, {"detail": f"signals must be a list of 1 to {MAX_SIGNALS}"}
        with self._transaction():
            results = [self._take(tenant_id, signal) for signal in signals]
        count = Counter(result["status"] for result in results)
        _report(tenant_id, [s for s, result in zip(signals, results, strict=True) if result["status"] == "accepted"])
        summary = {"total": len(results), **{name: count[name] for name in ("accepted", "rejected", "dlq")}}
        return 200, {"results": results, "summary": summary}

    def _take(self, tenant_id: str, signal: Any) -> dict[str, Any]:
        signal_id = signal.get("signal_id") if isinstance(signal, dict) else None
        code, message = self._refusal(tenant_id, signal)
        if code:
            self._database.execute(
                "INSERT INTO refusals VALUES (?, 1) ON CONFLICT (code) DO UPDATE SET number = number + 1", (code,)
            )
            if code == "dlq":
                return _result(signal_id, "dlq", "DOWNSTREAM_ERROR", message, dlq_id=str(uuid.uuid4()))
            return _result(signal_id, "rejected", code, message)
        times_seen = self._database.execute(
            "INSERT INTO signals VALUES (?, ?, ?, ?, ?, ?, ?, 1) "
            "ON CONFLICT DO UPDATE SET times_seen = times_seen + 1 RETURNING times_seen",
            (
                *(signal[name] for name in ("signal_id", "producer_id", "tenant_id", "signal_type")),
                str(signal["payload"].get("provider_metadata", {}).get("source", "")),
                datetime.now(UTC).isoformat(timespec="milliseconds"),
                orjson.dumps(signal),
            ),
        ).fetchone()[0]
        if times_seen > 1:
            return _result(signal_id, "rejected", None, DUPLICATE)
        return _result(signal_id, "accepted", None, None)

    def _refusal(self, tenant_id: str, signal: Any) -> tuple[str, str]:
        """Error code and message, or two empty texts for a signal that can be taken."""
        faults = self._switchboard.of(SINK)
        if faults.signal_error and random.random() < faults.signal_error_rate:  # noqa: S311
            return faults.signal_error, "A fault that was switched on"
        problem = _problem_of_signal(signal)
        if problem:
            return "SCHEMA_VIOLATION", problem
        if signal["tenant_id"] != tenant_id:
            return "TENANT_ISOLATION_VIOLATION", "The token belongs to another tenant"
        producer = self._producer(tenant_id, signal["producer_id"])
        if producer is None:
            return "PRODUCER_NOT_REGISTERED", "Producer is not registered"
        if (
            signal["signal_type"] not in producer["allowed_signal_types"]
            or signal["signal_kind"] not in producer["allowed_signal_kinds"]
        ):
            return "SIGNAL_TYPE_NOT_ALLOWED", "Producer may not send this type"
        if signal["signal_type"] not in producer["contract_versions"]:
            return "SCHEMA_VIOLATION", "No contract version for this type"
        return "", ""

    # What arrived

    def summary(self) -> dict[str, Any]:
        """Counts by signal_id: each row is one distinct signal; ``repeats`` are sends of one that was there already."""
        with self._lock:
            signals, seen = self._database.execute("SELECT count(*), sum(times_seen) FROM signals").fetchone()
            groups = {
                column: dict(
                    self._database.execute(f"SELECT {column}, count(*) FROM signals GROUP BY 1 ORDER BY 2 DESC")  # noqa: S608
                )
                for column in ("tenant_id", "source", "signal_type")
            }
            return {
                "signals": signals,
                "repeats": (seen or 0) - signals,
                "refused": dict(self._database.execute("SELECT code, number FROM refusals")),
                "producers": self._database.execute("SELECT count(*) FROM producers").fetchone()[0],
                **{f"by_{column}": counts for column, counts in groups.items()},
            }

    def signals(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        """Newest first; filters tenant_id, producer_id, signal_type, source and signal_id; limit, 50 by default."""
        wanted = {
            name: query[name][-1]
            for name in ("tenant_id", "producer_id", "signal_type", "source", "signal_id")
            if name in query
        }
        where = " AND ".join(f"{name} = ?" for name in wanted) or "1"
        limit = query.get("limit", ["50"])[-1]
        with self._lock:
            rows = self._database.execute(
                f"SELECT arrived_at, times_seen, body FROM signals WHERE {where} ORDER BY rowid DESC LIMIT ?",  # noqa: S608
                (*wanted.values(), int(limit) if limit.isascii() and limit.isdigit() else 50),
            ).fetchall()
        return [{"arrived_at": at, "times_seen": seen, "signal": orjson.loads(body)} for at, seen, body in rows]

    def clear(self) -> None:
        """Forget the signals and refusals, keep the producers."""
        with self._transaction():
            self._database.execute("DELETE FROM signals")
            self._database.execute("DELETE FROM refusals")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                self._database.execute("COMMIT")


def _problem_of_producer(producer: dict[str, Any]) -> str:
    types, versions = producer.get("allowed_signal_types"), producer.get("contract_versions")
    if producer.get("plane") not in PLANES:
        return "plane is not known"
    if not isinstance(types, list) or not isinstance(producer.get("allowed_signal_kinds"), list):
        return "allowed_signal_types and allowed_signal_kinds must be lists"
    if not isinstance(versions, dict) or any(version != SCHEMA_VERSION for version in versions.values()):
        return "a contract version is not in the schema registry"
    return ""


def _problem_of_signal(signal: Any) -> str:
    if not isinstance(signal, dict):
        return "signal must be an object"
    for name in _TEXTS:
        if not isinstance(signal.get(name), str) or not signal[name]:
            return f"{name} must be a text"
    if signal.get("environment") not in ("dev", "stage", "prod"):
        return "environment must be dev, stage or prod"
    if signal.get("signal_kind") not in KINDS:
        return "signal_kind is not known"
    for name in ("occurred_at", "ingested_at"):
        try:
            if datetime.fromisoformat(signal.get(name, "")).tzinfo is None:
                return f"{name} has no time zone"
        except (TypeError, ValueError):
            return f"{name} must be an ISO 8601 time"
    payload, resource = signal.get("payload"), signal.get("resource") or {}
    if not isinstance(payload, dict) or not payload:
        return "payload must be an object that is not empty"
    if not isinstance(resource, dict) or not isinstance(resource.get("pr_id", 0), int):
        return "resource must be an object, its pr_id an integer"
    return ""


def _result(
    signal_id: Any, status: str, code: str | None, message: str | None, dlq_id: str | None = None
) -> dict[str, Any]:
    return {
        "signal_id": signal_id,
        "status": status,
        "error_code": code,
        "error_message": message,
        "dlq_id": dlq_id,
        "warnings": [],
    }


def _report(tenant_id: str, taken: list[dict[str, Any]]) -> None:
    """Lines for the person who watches."""
    if len(taken) > 3:
        types = Counter(signal["signal_type"] for signal in taken)
        print(f"arrived: {len(taken)} signals of {tenant_id}: {', '.join(f'{n} {t}' for t, n in types.most_common(6))}")
        return
    for signal in taken:
        about = signal["payload"].get("provider_metadata", {})
        origin = f"{about.get('provider_id')} {about.get('source')}"
        title = str(signal["payload"].get("title") or signal["payload"].get("name") or "")[:60]
        print(f"arrived: {signal['signal_type']} of {tenant_id}, by {origin}: {title}")


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
