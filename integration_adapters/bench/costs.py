"""What one request costs, counted on the wires to PostgreSQL and Redis, and what it leaves in memory."""

from __future__ import annotations

from typing import Any

from integration_adapters.bench.load import Job
from integration_adapters.bench.relay import through_postgres, through_redis
from integration_adapters.bench.stage import Stage
from integration_adapters.bench.throughput import CONNECTIONS, SIZES

REQUESTS = 2_000
MEMORY_REQUESTS = 20_000
LONG_MEMORY_REQUESTS = 200_000
STEPS = 10


def count(stage: Stage) -> dict[str, Any]:
    """Questions, messages and bytes a request, with doors looked up as often as in life."""
    database_url, postgres = through_postgres(stage.database_url)
    redis_url, redis = through_redis(stage.redis_url)
    road = stage.serve(DATABASE_URL=database_url, REDIS_URL=redis_url)
    found = {}
    for size in SIZES:
        job = Job(port=road.port, doors=stage.doors, size=size, connections=CONNECTIONS, count=REQUESTS)
        stage.forget()
        stage.send(job)
        postgres.clear()
        redis.clear()
        before = _log_position(stage)
        stage.send(job)
        written = _log_position(stage) - before
        asked = postgres.passed
        found[str(size)] = {
            "sql_statements": (asked.messages["E"] + asked.messages["Q"]) / REQUESTS,
            "postgres_round_trips": asked.asked / REQUESTS,
            "bytes_to_postgres": asked.sent_bytes / REQUESTS,
            "bytes_from_postgres": asked.answered_bytes / REQUESTS,
            "bytes_of_write_ahead_log": written / REQUESTS,
            "redis_round_trips": redis.passed.asked / REQUESTS,
            "bytes_to_redis": redis.passed.sent_bytes / REQUESTS,
        }
    return found


def watch_memory(stage: Stage, *, long: bool) -> dict[str, Any]:
    """Resident bytes of the web server after each tenth of the requests; the first tenth warms it up."""
    road = stage.serve()
    total = LONG_MEMORY_REQUESTS if long else MEMORY_REQUESTS
    resident = []
    for _ in range(STEPS):
        job = Job(port=road.port, doors=stage.doors, size=SIZES[0], connections=CONNECTIONS, count=total // STEPS)
        stage.send(job)
        resident.append(road.resident_bytes())
        stage.forget()
    return {
        "requests": total,
        "resident_mib": [round(step / 2**20, 1) for step in resident],
        "growth_mib": round((resident[-1] - resident[0]) / 2**20, 1),
    }


def _log_position(stage: Stage) -> int:
    with stage.connect() as connection:
        (position,) = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone() or (0,)
    return int(position)
