"""Our road, as a worker walks it: claims the cursor and runs it until the list is read, then maps what was stored.

``python -m … ADDRESS RECORDS read|map`` prints what it took as JSON; with ``read``, somebody else maps.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from typing import Any

import django

from integration_adapters.bench import mapping, records


def connect(address: str, since: datetime) -> Any:
    """A new connection to the API, with a cursor that begins there."""
    from connections.models import ConnectionStatus, IntegrationConnection
    from connections.secret_store import put_credential
    from polling.cursors import sync_now
    from polling.models import PollingCursor
    from providers import registry

    adapter = registry.get(records.PROVIDER)
    connection = IntegrationConnection.objects.create(
        tenant_id="bench",
        provider_id=records.PROVIDER,
        display_name="Bench",
        status=ConnectionStatus.ACTIVE,
        # Quotas are counted a credential, and no way shall spend another's.
        auth_ref=put_credential("bench", {"token": f"bench-{time.time_ns()}"}),
        api_version=adapter.api_versions[0],
        enabled_capabilities=adapter.capabilities(),
        settings={"base_url": address, "repositories": [records.REPOSITORY]},
    )
    sync_now(connection)
    PollingCursor.objects.filter(connection=connection).update(started_from=since)
    return connection


def run(claim: Any) -> Any:
    """One run of a claimed cursor. Raises ``RuntimeError`` if it fails."""
    from polling.models import PollOutcome
    from polling.runner import poll_once

    result = poll_once(claim.cursor_id, claim.lease_token)
    if result.outcome not in (PollOutcome.CONTINUES, PollOutcome.COMPLETED):
        raise RuntimeError(f"A run ended with {result.outcome}: {result.error}")
    return result


def read_all(connection: Any) -> dict[str, Any]:
    """Run after run until nothing is left, as fast as one worker can."""
    from polling.schedule import claim_connection

    found = new = requests = runs = 0
    began_at, began_processor = time.monotonic(), time.process_time()
    while True:
        (claim,) = claim_connection(connection)
        result = run(claim)
        runs += 1
        found, new, requests = found + result.events_found, new + result.events_new, requests + result.requests
        if result.outcome == "completed":
            break
    ended_at = time.monotonic()
    return {
        "records": new,
        "repeated": found - new,
        "requests": requests,
        "runs": runs,
        "began_at": began_at,
        "ended_at": ended_at,
        "seconds": ended_at - began_at,
        "processor_seconds": time.process_time() - began_processor,
    }


def main(address: str, number: int, *, maps: bool) -> dict[str, Any]:
    django.setup()
    connection = connect(address, records.FIRST_CHANGE)
    found = read_all(connection)
    if found["records"] != number:
        raise RuntimeError(f"{found['records']} of {number} records were stored.")
    return {**found, **mapping.measure(number)} if maps else found


if __name__ == "__main__":
    json.dump(main(sys.argv[1], int(sys.argv[2]), maps=sys.argv[3] == "map"), sys.stdout)
