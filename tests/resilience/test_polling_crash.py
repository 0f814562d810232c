"""Polling killed at every awkward moment: pages are repeated, never lost, and stored once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from events.ledger import ledger as where_everything_went
from events.models import AdapterEvent
from polling.backfill import cancel_backfill, start_backfill
from polling.backfill_runner import run_once
from polling.backfill_turns import claim_due as claim_due_backfills
from polling.models import Backfill, BackfillStatus, PollingCursor, PollOutcome
from polling.runner import LEASE_LOST, poll_once
from polling.schedule import Claim, claim_connection, claim_due
from tests.polling_provider import Ledger, at_once, ledger_connection, poll

pytestmark = pytest.mark.django_db(transaction=True)

WORKER = """
import django; django.setup()
import sys
from polling.runner import poll_once
print(poll_once(sys.argv[1], sys.argv[2]).outcome)
"""


@contextmanager
def worker(claim: Claim) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that runs one claimed cursor on the test's database; killed at the end."""
    config = database.settings_dict
    host = config["HOST"] or config["OPTIONS"].get("host", "")
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(claim.cursor_id), str(claim.lease_token)],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "integration_adapters.settings",
            "DATABASE_URL": f"postgresql://{config['USER']}:{config['PASSWORD']}@/{config['NAME']}?host={host}",
            "REDIS_URL": django_settings.REDIS_URL,
            "EXTRA_ADAPTERS": "ledger=tests.polling_provider.LedgerAdapter",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def end_leases() -> None:
    PollingCursor.objects.update(next_poll_at=timezone.now() - timedelta(seconds=1))


def in_a_thread(run: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []

    def target() -> None:
        results.append(run())
        database.close()

    thread = threading.Thread(target=target)
    thread.start()
    return thread, results


def test_a_worker_killed_between_pages_loses_nothing_and_repeats_one_page(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.add(45)
    (claim,) = claim_connection(connection)
    asked_for_the_third, killed = threading.Event(), threading.Event()

    def hold_the_third(query: dict[str, str]) -> None:
        if query["after"] == "20" and not killed.is_set():
            asked_for_the_third.set()
            killed.wait(30)

    ledger.before_answer = hold_the_third
    with worker(claim) as process:
        assert asked_for_the_third.wait(30)
        process.send_signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
    killed.set()

    cursor = PollingCursor.objects.get()
    assert (cursor.cursor_position, cursor.run_in_progress) == ({"after": 20}, True)
    assert AdapterEvent.objects.count() == 20
    assert claim_due(10) == []  # its lease still runs
    end_leases()
    (again,) = claim_due(10)
    assert poll_once(again.cursor_id, again.lease_token).events_new == 25
    assert AdapterEvent.objects.count() == 45
    assert [request["after"] for request in ledger.requests] == ["0", "10", "20", "20", "30", "40"]


def test_a_worker_killed_inside_the_transaction_leaves_neither_events_nor_a_moved_cursor(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.add(15)
    (claim,) = claim_connection(connection)
    with transaction.atomic():
        # The worker stores the page and then waits for this row: its transaction is half done.
        PollingCursor.objects.select_for_update().get()

        def is_waiting() -> bool:
            with database.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                return bool(cursor.fetchone()[0])

        with worker(claim) as process:
            wait_until(is_waiting, "the worker does not reach the end of its first page")
            process.send_signal(signal.SIGKILL)
            assert process.wait(10) == -signal.SIGKILL
    assert AdapterEvent.objects.count() == 0
    assert PollingCursor.objects.get().cursor_position == {}
    end_leases()
    (again,) = claim_due(10)
    assert poll_once(again.cursor_id, again.lease_token).events_new == 15
    assert AdapterEvent.objects.count() == 15


def test_a_page_read_again_is_absorbed_and_accounted_for(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.add(10)
    poll(connection)
    PollingCursor.objects.update(cursor_position={})
    again = poll(connection)
    assert (again.events_found, again.events_new) == (10, 0)
    counts = where_everything_went(connection.pk)
    assert (counts.received, counts.duplicate, counts.pending) == (20, 10, 10)


def test_a_worker_that_wakes_after_its_lease_commits_nothing(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.add(5)
    (old,) = claim_connection(connection)
    asked, may_answer = threading.Event(), threading.Event()

    def sleep_once(query: dict[str, str]) -> None:
        ledger.before_answer = at_once
        asked.set()
        may_answer.wait(30)

    ledger.before_answer = sleep_once
    sleeper, results = in_a_thread(lambda: poll_once(old.cursor_id, old.lease_token))
    assert asked.wait(10)
    end_leases()
    (new,) = claim_due(10)
    ledger.entries.clear()  # the newer run sees the world as it is now: nothing
    assert poll_once(new.cursor_id, new.lease_token).outcome == PollOutcome.COMPLETED
    ledger.add(5)
    may_answer.set()
    sleeper.join()
    assert results[0].outcome == LEASE_LOST
    assert AdapterEvent.objects.count() == 0
    assert PollingCursor.objects.get().cursor_position == {"after": 0}


def test_of_two_workers_with_the_same_message_one_goes_on(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.add(35)
    (claim,) = claim_connection(connection)
    together = threading.Barrier(2)

    def meet_at_the_first_page(query: dict[str, str]) -> None:
        if query["after"] == "0":
            together.wait(10)

    ledger.before_answer = meet_at_the_first_page
    runs = [in_a_thread(lambda: poll_once(claim.cursor_id, claim.lease_token)) for _ in range(2)]
    for thread, _ in runs:
        thread.join()
    assert sorted(results[0].outcome for _, results in runs) == [PollOutcome.COMPLETED, LEASE_LOST]
    assert AdapterEvent.objects.count() == 35
    assert PollingCursor.objects.get().cursor_position == {"after": 35}


def test_a_backfill_cancelled_while_a_page_is_read_stores_nothing_of_it(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.add(15, at=datetime(2026, 1, 15, tzinfo=UTC))
    since, until = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    backfill = start_backfill(connection, since, until, actor="api:zoe")
    Backfill.objects.update(next_run_at=timezone.now() - timedelta(seconds=1))
    ((backfill_id, token),) = claim_due_backfills(5)

    def cancel_at_the_second(query: dict[str, str]) -> None:
        if query["after"] == "10":
            cancel_backfill(backfill, actor="api:zoe")
            database.close()

    ledger.before_answer = cancel_at_the_second
    assert run_once(backfill_id, token, pages=5).outcome == LEASE_LOST
    backfill.refresh_from_db()
    assert (backfill.status, backfill.pages, AdapterEvent.objects.count()) == (BackfillStatus.CANCELLED, 1, 10)
