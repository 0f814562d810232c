"""What this service adds to the provider's own time in a synchronous action."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import requests

from integration_adapters.bench import report
from integration_adapters.bench.relay import through_postgres, through_redis
from integration_adapters.bench.stage import Stage
from integration_adapters.embedded import free_port

# All together stay below the quota the tracker declares.
CALLS, WARM_CALLS = 400, 40
_OWN_P95_MS = 25.0
_DEVELOPMENT = {"ENVIRONMENT": "dev", "IAM_MODE": "local", "OUTBOUND_ALLOWED": "127.0.0.1"}


def measure(directory: Path, _options: argparse.Namespace) -> dict[str, Any]:
    """Actions one after the other, beside bare calls of the same provider; printed as they are found."""
    directory.chmod(0o755)
    with Stage(directory, doors=0) as stage:
        stage.environment |= _DEVELOPMENT
        port = free_port()
        stage.start("tracker", sys.executable, "-m", "integration_adapters.bench.action_calls", "serve", str(port))
        address = f"http://127.0.0.1:{port}"
        made = json.loads(stage.run_module("integration_adapters.bench.action_calls", "prepare", address))
        database_url, postgres = through_postgres(stage.database_url)
        redis_url, redis = through_redis(stage.redis_url)
        with requests.Session() as session:
            bare = _timed(lambda number: session.post(f"{address}/issues/A-1/comments", json={"id": str(number)}))
            whole = _timed(_execute(session, stage.serve().port, made))
            counted = _execute(session, stage.serve(DATABASE_URL=database_url, REDIS_URL=redis_url).port, made)
            for number in range(WARM_CALLS):
                counted(-1 - number)
            postgres.clear()
            redis.clear()
            for number in range(WARM_CALLS):
                counted(-1 - WARM_CALLS - number)
    asked = postgres.passed
    found = {
        "machine": report.machine(),
        "calls": CALLS,
        "action_ms": whole,
        "bare_call_ms": bare,
        "sql_statements": (asked.messages["E"] + asked.messages["Q"]) / WARM_CALLS,
        "redis_round_trips": redis.passed.asked / WARM_CALLS,
    }
    own = whole["p95"] - bare["p50"]
    print("A synchronous action in milliseconds, beside a bare call of the same provider")
    rows = (("action", whole), ("bare call", bare))
    for line in report.table(
        ("", "p50", "p95"), ([name, f"{one['p50']:.1f}", f"{one['p95']:.1f}"] for name, one in rows)
    ):
        print(line)
    met = "met" if own <= _OWN_P95_MS else "MISSED"
    print(f"own part, p95: {own:.1f} ms (wanted at most {_OWN_P95_MS:.0f}: {met})")
    print(f"{found['sql_statements']:.1f} SQL statements and {found['redis_round_trips']:.1f} round trips to Redis")
    return found


def _execute(session: requests.Session, port: int, made: dict[str, str]) -> Callable[[int], requests.Response]:
    address = f"http://127.0.0.1:{port}/internal/integrations/actions/execute"
    headers = {"Authorization": f"Bearer {made['token']}"}

    def call(number: int) -> requests.Response:
        body = {
            "provider_id": "fake",
            "connection_id": made["connection_id"],
            "canonical_type": "comment_on_issue",
            "target": {"issue_key": "A-1"},
            "payload": {"body": "Deployed to staging."},
            "idempotency_key": f"{port}-{number}",
        }
        answer = session.post(address, json=body, headers=headers)
        if answer.status_code != 200 or answer.json()["status"] != "completed":
            raise RuntimeError(f"The action was not done: {answer.status_code} {answer.text[:500]}")
        return answer

    return call


def _timed(call: Callable[[int], requests.Response]) -> dict[str, float]:
    milliseconds = []
    for number in range(WARM_CALLS + CALLS):
        began = time.perf_counter()
        call(number)
        milliseconds.append(1000 * (time.perf_counter() - began))
    measured = sorted(milliseconds[WARM_CALLS:])
    return {"p50": median(measured), "p95": measured[int(0.95 * len(measured))]}
