"""Beat's tick over many connections, as beat runs it. ``python -m … CONNECTIONS ROUNDS`` prints what it took as JSON.

The broker is real; what is handed over waits there for workers that do not run, and is thrown away.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from statistics import median
from typing import Any

import django

from integration_adapters.bench import records
from integration_adapters.bench.many import multiply

DUE = 500
TENANTS = 200
DISPATCHERS = 4
_DUE_AT_ONCE = 10_000
_WARM = 3


def main(number: int, rounds: int) -> dict[str, Any]:
    django.setup()
    from django.db import connection as database
    from django.utils import timezone

    # The application beat has, so that messages go to the broker.
    import integration_adapters.celery  # noqa: F401
    from integration_adapters.bench.poll_road import connect
    from polling.models import PollingCursor
    from polling.schedule import claim_due, hand_over
    from polling.services import PollingService

    model = connect("http://127.0.0.1:9", records.FIRST_CHANGE)
    type(model).objects.update(streams_stale=False)
    model.refresh_from_db()
    multiply(model, PollingCursor.objects.get(connection=model), number, TENANTS)
    with database.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE polling_cursors")

    def rest() -> None:
        """Nothing is due, and the dead rows of the round before are where vacuum left them."""
        PollingCursor.objects.filter(lease_token__isnull=False).update(
            lease_token=None, next_poll_at=timezone.now() + timedelta(hours=1)
        )

    def make_due(due: int) -> Callable[[], None]:
        def prepare() -> None:
            rest()
            keys = PollingCursor.objects.order_by("?").values_list("pk", flat=True)[:due]
            PollingCursor.objects.filter(pk__in=list(keys)).update(next_poll_at=timezone.now())

        return prepare

    tick = PollingService().poll_all_due_connections
    idle = _timed(tick, rest, 10 * rounds)
    busy = _timed(tick, make_due(DUE), rounds)
    claims: list[Any] = []

    def claim() -> None:
        claims[:] = claim_due(DUE)

    claiming = _timed(claim, make_due(DUE), rounds)
    handing_over = _timed(lambda: hand_over(claims), lambda: None, rounds)
    make_due(min(_DUE_AT_ONCE, number))()
    return {
        "connections": number,
        "idle": idle,
        "due": busy,
        "claim": claiming,
        "hand_over": handing_over,
        "plan": _plan(claim_due),
        "dispatchers": _at_once(claim_due),
    }


def _timed(measured: Callable[[], Any], prepare: Callable[[], None], rounds: int) -> dict[str, float]:
    milliseconds = []
    for _ in range(_WARM + rounds):
        prepare()
        began = time.perf_counter()
        measured()
        milliseconds.append(1000 * (time.perf_counter() - began))
    measuring = sorted(milliseconds[_WARM:])
    return {"least": measuring[0], "median": median(measuring), "most": measuring[-1]}


def _plan(claim_due: Callable[[int], list[Any]]) -> list[str]:
    """How PostgreSQL reads its tables for a claim, by the plan of the very statement."""
    from django.db import connection as database
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(database) as queries:
        claim_due(DUE)
    with database.cursor() as cursor:
        cursor.execute(f"EXPLAIN (COSTS OFF) {queries[0]['sql']}")
        lines = [line.strip(" ->") for (line,) in cursor.fetchall()]
    return [line for line in lines if " Scan " in line and not line.startswith(("CTE Scan", "Subquery Scan"))]


def _at_once(claim_due: Callable[[int], list[Any]]) -> dict[str, float]:
    """Several dispatchers until nothing is due: how many claims there were, and of how many cursors."""
    from django.db import connections

    claimed: list[Any] = []

    def dispatch() -> None:
        while claims := claim_due(DUE):
            claimed.extend(claim.cursor_id for claim in claims)
        connections.close_all()

    threads = [threading.Thread(target=dispatch) for _ in range(DISPATCHERS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"claimed": len(claimed), "cursors": len(set(claimed)), "seconds": time.perf_counter() - began}


if __name__ == "__main__":
    json.dump(main(int(sys.argv[1]), int(sys.argv[2])), sys.stdout)
