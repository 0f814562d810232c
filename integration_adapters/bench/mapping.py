"""Mapping what a poll stored, as delivery does before it sends: rows read back, mapped, sealed and validated.

As a module it is a worker that does so while the poll goes on: ``python -m … RECORDS`` says ``ready``, and prints what
it took as JSON when so many are done.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from typing import Any

import django

_AT_ONCE = 500
_PAUSE_SECONDS = 0.005


def measure(number: int) -> dict[str, float]:
    """Seconds to map and seal so many stored events, and to read them for that; waits for those to come."""
    from events.mapping import seal_event

    last, done = uuid.UUID(int=0), 0
    sealing = reading = 0.0
    while done < number:
        began = time.perf_counter()
        rows = _read(last)
        began_sealing = time.perf_counter()
        for event in rows:
            seal_event(event)
        if rows:
            reading, sealing = reading + began_sealing - began, sealing + time.perf_counter() - began_sealing
            last, done = rows[-1].pk, done + len(rows)
        else:
            time.sleep(_PAUSE_SECONDS)
    return {"normalising_seconds": sealing, "reading_seconds": reading}


def _read(after: uuid.UUID) -> list[Any]:
    """The next rows, with the columns and the one connection instance the outbox has."""
    from events.models import AdapterEvent

    rows = AdapterEvent.objects.filter(event_id__gt=after).prefetch_related("connection").order_by("event_id")
    unused = ("envelope", "signature_hash", "created_at", "updated_at", "next_attempt_at", "first_attempt_at")
    return list(rows.defer(*unused)[:_AT_ONCE])


def main(number: int) -> None:
    django.setup()
    _read(uuid.UUID(int=0))
    print("ready", flush=True)
    found = measure(number)
    json.dump({**found, "ended_at": time.monotonic()}, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]))
