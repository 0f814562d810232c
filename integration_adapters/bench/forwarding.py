"""How fast one worker sends stored events on and marks them, against an ingestion service on loopback.

``measure`` is for ``script/bench``. As a module it is the worker: it stores events, delivers them, and prints
what that took as JSON.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from typing import Any

import django

from integration_adapters.bench.payloads import PROVIDER, pull_request
from integration_adapters.bench.stage import START_SECONDS, Stage
from integration_adapters.embedded import free_port

SIZE = 8_000
EVENTS = 6_000
PAGE = 100


def measure(stage: Stage, *, events: int = EVENTS, size: int = SIZE) -> dict[str, dict[str, float]]:
    """One worker, all events of one tenant and then spread over many: events/s, and what an event costs."""
    port = free_port()
    stage.start("pm3", sys.executable, "-m", "integration_adapters.bench.pm3", str(port))
    url = f"http://127.0.0.1:{port}"
    _wait_for(url)
    found = {}
    for name, tenants in (("one tenant", 1), ("many tenants", len(stage.doors))):
        stage.forget()
        done = json.loads(
            stage.run_module("integration_adapters.bench.forwarding", url, str(events), str(size), str(tenants))
        )
        found[name] = {key: round(value, 3) for key, value in done.items()}
    return found


def deliver(url: str, events: int, size: int, tenants: int) -> dict[str, float]:
    """Store so many events, spread over so many connections, and deliver them all."""
    django.setup()
    from django.conf import settings

    from connections.models import IntegrationConnection
    from events.outbox import deliver_batch

    settings.PM3_SERVICE_URL = url
    connections = list(IntegrationConnection.objects.filter(provider_id=PROVIDER).order_by("tenant_id")[:tenants])
    for number in range(0, events, PAGE):
        _store(connections[number // PAGE % len(connections)], range(number, number + PAGE), size)
    delivered, batches = 0, 0
    began, began_processor = time.perf_counter(), time.process_time()
    while (done := deliver_batch()).claimed:
        delivered += done.delivered
        batches += 1
    seconds = time.perf_counter() - began
    if delivered != events:
        raise RuntimeError(f"{delivered} of {events} events were delivered.")
    return {
        "events_per_second": events / seconds,
        "worker_cpu_ms": 1000 * (time.process_time() - began_processor) / events,
        "batches": float(batches),
        "bytes": float(size),
    }


def _store(connection: Any, numbers: range, size: int) -> None:
    from events.models import Source
    from events.services import record
    from providers.canonical import SignalType
    from providers.spi import ProviderEvent

    payload = pull_request(size)
    told = [
        ProviderEvent(
            event_type="pull_request",
            dedupe_key=f"forwarding:{time.time_ns()}:{number}",
            payload={**payload, "pull_request": {**payload["pull_request"], "number": number}},
            signal_type=SignalType.PR_OPENED,
            ordering_key=f"pr:{number}",
        )
        for number in numbers
    ]
    record(connection, told, Source.WEBHOOK)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - of our own making
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[2:]]
    json.dump(deliver(sys.argv[1], *given), sys.stdout)
