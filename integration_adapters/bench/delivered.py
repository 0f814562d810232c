"""From the sender to the ingestion service: how much comes through when all of it runs at once."""

from __future__ import annotations

import sys
import time
from typing import Any

from integration_adapters.bench import forwarding
from integration_adapters.bench.load import Job
from integration_adapters.bench.row import TABLE
from integration_adapters.bench.stage import Stage
from integration_adapters.bench.throughput import CONNECTIONS
from integration_adapters.embedded import free_port

EVENTS = 6_000
SETTLING = 200
SIZE = 8_000
WAIT_SECONDS = 180.0
_CELERY = (sys.executable, "-m", "celery", "-A", "integration_adapters")
_QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING")


def measure(stage: Stage) -> dict[str, Any]:
    """Webhook to delivered: web server, beat and one delivery worker of two processes, as in production."""
    port = free_port()
    stage.start("pm3", sys.executable, "-m", "integration_adapters.bench.pm3", str(port))
    stage.environment["PM3_SERVICE_URL"] = f"http://127.0.0.1:{port}"
    road = stage.serve()
    stage.start("beat", *_CELERY, "beat", "--pidfile", "", "--loglevel", "WARNING")
    stage.start("delivery", *_CELERY, "worker", "--queues", "delivery", "--concurrency", "2", *_QUIET)
    for count in (SETTLING, EVENTS):
        stage.forget()
        started = time.perf_counter()
        stage.send(Job(port=road.port, doors=stage.doors, size=SIZE, connections=CONNECTIONS, count=count))
        accepted_after = time.perf_counter() - started
        _wait_until_delivered(stage, count)
        delivered_after = time.perf_counter() - started
    return {
        "events": EVENTS,
        "accepted_per_second": EVENTS / accepted_after,
        "delivered_per_second": EVENTS / delivered_after,
    }


def one_worker(stage: Stage) -> dict[str, Any]:
    """What one forwarding process does with a backlog."""
    return dict(forwarding.measure(stage))


def _wait_until_delivered(stage: Stage, number: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    query = f"SELECT COUNT(*) FROM {TABLE} WHERE delivery_status = 'delivered'"  # noqa: S608
    with stage.connect() as connection:
        while True:
            (done,) = connection.execute(query).fetchone() or (0,)
            if done >= number:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"Only {done} of {number} events were delivered in {WAIT_SECONDS:.0f} s.")
            time.sleep(0.1)
