"""Polls of many connections where nothing is new, by a process that has done some.

``python -m … time ADDRESS RECORDS`` prints how long a poll takes, ``count`` what passes the wires to PostgreSQL and
Redis meanwhile.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import timedelta
from statistics import median
from typing import Any

import django

from integration_adapters.bench import records
from integration_adapters.bench.relay import Relay, through_postgres, through_redis

POLLS, WARM_POLLS = 100, 10
_LAST_RECORDS = 50


def _claims(address: str, number: int) -> list[Any]:
    """Claims of cursors that have read their lists to the end, each of a connection of its own."""
    from django.db.models.functions import Now

    from connections.models import IntegrationConnection
    from integration_adapters.bench.poll_road import connect, run
    from polling.models import PollingCursor
    from polling.schedule import claim_due

    for _ in range(WARM_POLLS + POLLS):
        connect(address, records.changed_at(number - _LAST_RECORDS))
    while unread := PollingCursor.objects.filter(last_success_at=None).update(next_poll_at=Now()):
        for claim in claim_due(unread):
            run(claim)
    PollingCursor.objects.update(next_poll_at=Now())
    # As after the usual pause between polls.
    IntegrationConnection.objects.update(last_success_at=Now() - timedelta(minutes=5))
    return claim_due(WARM_POLLS + POLLS)


def _poll(claims: list[Any]) -> dict[str, float]:
    from integration_adapters.bench.poll_road import run

    requests, milliseconds = 0, []
    for claim in claims:
        began = time.perf_counter()
        result = run(claim)
        milliseconds.append(1000 * (time.perf_counter() - began))
        if result.events_found:
            raise RuntimeError("A quiet poll found something.")
        requests += result.requests
    milliseconds.sort()
    return {
        "requests": requests / len(claims),
        "p50_ms": median(milliseconds),
        "p95_ms": milliseconds[int(0.95 * len(claims))],
    }


def timed(address: str, number: int) -> dict[str, float]:
    django.setup()
    claims = _claims(address, number)
    _poll(claims[:WARM_POLLS])
    return _poll(claims[WARM_POLLS:])


def counted(address: str, number: int) -> dict[str, float]:
    os.environ["DATABASE_URL"], postgres = through_postgres(os.environ["DATABASE_URL"])
    os.environ["REDIS_URL"], redis = through_redis(os.environ["REDIS_URL"])
    django.setup()
    claims = _claims(address, number)
    _poll(claims[:WARM_POLLS])
    _clear(postgres, redis)
    _poll(claims[WARM_POLLS:])
    asked = postgres.passed
    return {
        "sql_statements": (asked.messages["E"] + asked.messages["Q"]) / POLLS,
        "postgres_round_trips": asked.asked / POLLS,
        "redis_round_trips": redis.passed.asked / POLLS,
    }


def _clear(*relays: Relay) -> None:
    for relay in relays:
        relay.clear()


if __name__ == "__main__":
    json.dump({"time": timed, "count": counted}[sys.argv[1]](sys.argv[2], int(sys.argv[3])), sys.stdout)
