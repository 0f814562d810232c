"""A backfill killed at every page, worked on by two at once, stopped by people in mid-page: nothing lost or twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from events.models import AdapterEvent
from polling.backfill import cancel_backfill, pause_backfill, resume_backfill
from polling.backfill_runner import run_once
from polling.backfill_turns import claim_due
from polling.models import Backfill, BackfillStatus, PollingCursor, PollOutcome
from polling.runner import LEASE_LOST
from tests.backfills import ACTOR, LEDGERS, WITHIN, asked, connect, make_due, runs_until_it_ends
from tests.polling_provider import Ledger, at_once
from tests.resilience.test_polling_crash import in_a_thread, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

WORKER = """
import django; django.setup()
import sys, uuid
from polling.backfill_runner import run_once
print(run_once(uuid.UUID(sys.argv[1]), uuid.UUID(sys.argv[2]), pages=50).outcome)
"""


@contextmanager
def worker(backfill_id: uuid.UUID, token: uuid.UUID) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that runs one claimed backfill on the test's database; killed at the end."""
    config = database.settings_dict
    host = config["HOST"] or config["OPTIONS"].get("host", "")
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(backfill_id), str(token)],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "integration_adapters.settings",
            "DATABASE_URL": f"postgresql://{config['USER']}:{config['PASSWORD']}@/{config['NAME']}?host={host}",
            "REDIS_URL": django_settings.REDIS_URL,
            "EXTRA_ADAPTERS": ",".join(f"{slug}={path}" for slug, path in LEDGERS.items()),
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


@pytest.fixture(autouse=True)
def _ledgers(ledger: Ledger, settings: Any) -> None:
    settings.EXTRA_ADAPTERS = LEDGERS


def claimed() -> tuple[uuid.UUID, uuid.UUID]:
    make_due()
    ((backfill_id, token),) = claim_due(5)
    return backfill_id, token


@pytest.mark.parametrize("killed_at", ["0", "10", "20", "30"])
def test_a_worker_killed_while_a_page_is_read_repeats_that_page_and_no_other(ledger: Ledger, killed_at: str) -> None:
    ledger.add(35, at=WITHIN)
    backfill = asked(connect(ledger))
    before = PollingCursor.objects.values().get()
    asked_for_it, killed = threading.Event(), threading.Event()

    def hold(query: dict[str, str]) -> None:
        if query["after"] == killed_at and not killed.is_set():
            asked_for_it.set()
            killed.wait(30)

    ledger.before_answer = hold
    with worker(*claimed()) as process:
        assert asked_for_it.wait(30)
        process.send_signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
    killed.set()
    backfill.refresh_from_db()
    assert (backfill.events_new, AdapterEvent.objects.count()) == (int(killed_at), int(killed_at))
    assert claim_due(5) == []  # its lease still runs
    list(runs_until_it_ends(backfill))
    assert (backfill.events_found, backfill.events_new, AdapterEvent.objects.count()) == (35, 35, 35)
    assert sorted(query["after"] for query in ledger.requests) == sorted(["0", "10", "20", "30", killed_at])
    assert PollingCursor.objects.values().get() == before


def test_a_worker_killed_inside_the_transaction_leaves_neither_events_nor_a_moved_place(ledger: Ledger) -> None:
    ledger.add(15, at=WITHIN)
    backfill = asked(connect(ledger))
    backfill_id, token = claimed()
    reached, locked = threading.Event(), threading.Event()

    def let_it_wait(query: dict[str, str]) -> None:
        reached.set()
        locked.wait(30)

    ledger.before_answer = let_it_wait
    with worker(backfill_id, token) as process:
        assert reached.wait(30)
        with transaction.atomic():
            # The worker stores the page and then waits for this row: its transaction is half done.
            Backfill.objects.select_for_update().get()
            locked.set()

            def is_waiting() -> bool:
                with database.cursor() as cursor:
                    cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                    return bool(cursor.fetchone()[0])

            wait_until(is_waiting, "the worker does not reach the end of its first page")
            process.send_signal(signal.SIGKILL)
            assert process.wait(10) == -signal.SIGKILL
    ledger.before_answer = at_once
    backfill.refresh_from_db()
    assert (AdapterEvent.objects.count(), backfill.position, backfill.pages) == (0, {}, 0)
    list(runs_until_it_ends(backfill))
    assert (backfill.events_new, backfill.pages) == (15, 2)


def test_of_two_workers_with_the_same_claim_one_goes_on(ledger: Ledger) -> None:
    ledger.add(35, at=WITHIN)
    backfill = asked(connect(ledger))
    backfill_id, token = claimed()
    runs = [in_a_thread(lambda: run_once(backfill_id, token, pages=50)) for _ in range(2)]
    for thread, _ in runs:
        thread.join()
    assert sorted(results[0].outcome for _, results in runs) == [PollOutcome.COMPLETED, LEASE_LOST]
    backfill.refresh_from_db()
    assert (backfill.pages, backfill.events_found, backfill.events_new) == (4, 35, 35)
    assert [query["after"] for query in ledger.requests] == ["0", "10", "20", "30"]


@pytest.mark.parametrize(
    ("change", "status"),
    [(pause_backfill, BackfillStatus.PAUSED), (cancel_backfill, BackfillStatus.CANCELLED)],
)
def test_a_page_in_hand_is_not_stored_once_a_person_has_decided(
    ledger: Ledger, change: Callable[..., None], status: BackfillStatus
) -> None:
    """The decision comes from another connection to the database, while the provider answers."""
    ledger.add(35, at=WITHIN)
    backfill = asked(connect(ledger))

    def decide(query: dict[str, str]) -> None:
        if query["after"] == "20":
            ledger.before_answer = at_once
            change(backfill, actor=ACTOR)
            database.close()

    ledger.before_answer = decide
    backfill_id, token = claimed()
    assert run_once(backfill_id, token, pages=50).outcome == LEASE_LOST
    backfill.refresh_from_db()
    assert (backfill.status, backfill.pages, AdapterEvent.objects.count()) == (status, 2, 20)
    assert backfill.position["page"] == {"after": 20}
    if status == BackfillStatus.PAUSED:
        resume_backfill(backfill, actor=ACTOR)
        list(runs_until_it_ends(backfill))
        assert (backfill.events_found, backfill.events_new) == (35, 35)


def test_a_worker_that_wakes_after_a_pause_and_a_resume_writes_nothing(ledger: Ledger) -> None:
    ledger.add(5, at=WITHIN)
    backfill = asked(connect(ledger))
    asked_for_it, may_answer = threading.Event(), threading.Event()

    def sleep_once(query: dict[str, str]) -> None:
        ledger.before_answer = at_once
        asked_for_it.set()
        may_answer.wait(30)

    ledger.before_answer = sleep_once
    backfill_id, token = claimed()
    sleeper, results = in_a_thread(lambda: run_once(backfill_id, token, pages=50))
    assert asked_for_it.wait(30)
    pause_backfill(backfill, actor=ACTOR)
    resume_backfill(backfill, actor=ACTOR)
    list(runs_until_it_ends(backfill))
    may_answer.set()
    sleeper.join()
    assert results[0].outcome == LEASE_LOST
    backfill.refresh_from_db()
    assert (backfill.pages, backfill.events_new, backfill.status) == (1, 5, BackfillStatus.COMPLETED)


def test_a_lease_that_ended_is_taken_over_at_the_stored_place(ledger: Ledger) -> None:
    ledger.add(25, at=WITHIN)
    backfill = asked(connect(ledger))
    backfill_id, token = claimed()
    run_once(backfill_id, token, pages=1)
    Backfill.objects.update(lease_token=uuid.uuid4(), next_run_at=timezone.now() - timedelta(seconds=1))
    list(runs_until_it_ends(backfill))
    assert [query["after"] for query in ledger.requests] == ["0", "10", "20"]
