"""Whose turn it is: no tenant starves another, repairs go first, and live polling goes before all of them."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connections.models import IntegrationConnection
from events.models import AdapterEvent
from polling import backfill_runner
from polling import backfill_turns as turns
from polling.backfill_turns import claim_due, run_due
from polling.models import Backfill, BackfillPurpose, BackfillStatus, PollingCursor, PollOutcome
from polling.runner import poll_once
from polling.schedule import claim_due as claim_due_cursors
from providers.quotas import Traffic
from tests.backfills import WITHIN, asked, connect, make_due, runs_until_it_ends, tick
from tests.factories import ACME, GLOBEX
from tests.polling_provider import Ledger, poll

pytestmark = pytest.mark.django_db


def live_polling_is_due(connection: IntegrationConnection) -> None:
    PollingCursor.objects.filter(connection=connection).update(next_poll_at=timezone.now() - timedelta(seconds=1))


def give_back() -> None:
    """Every claim, as after its run."""
    Backfill.objects.exclude(lease_token=None).update(last_run_at=timezone.now(), lease_token=None)
    make_due()


def tenants_claimed(limit: int = 1) -> list[str]:
    tenants = [Backfill.objects.get(pk=backfill_id).tenant_id for backfill_id, _ in claim_due(limit)]
    give_back()
    return tenants


def test_tenants_take_turns_and_a_tick_is_bounded(ledger: Ledger) -> None:
    acme, globex = connect(ledger), connect(ledger, tenant_id=GLOBEX)
    for _ in range(8):
        asked(acme)
    asked(globex)
    make_due()
    claimed = [Backfill.objects.get(pk=backfill_id).tenant_id for backfill_id, _ in claim_due(turns.RUNS_A_TICK)]
    assert sorted(claimed) == [ACME] * 4 + [GLOBEX]


def test_a_tenant_with_many_backfills_has_no_more_turns_than_one_with_one(ledger: Ledger) -> None:
    acme, globex = connect(ledger), connect(ledger, tenant_id=GLOBEX)
    for _ in range(8):
        asked(acme)
    asked(globex)
    make_due()
    claimed = [tenants_claimed()[0] for _ in range(6)]
    assert sorted(claimed) == [ACME] * 3 + [GLOBEX] * 3
    assert all(first != second for first, second in itertools.pairwise(claimed))


def test_of_one_tenant_the_one_read_longest_ago_goes_on(ledger: Ledger) -> None:
    connection = connect(ledger)
    mine = [asked(connection).pk for _ in range(3)]
    make_due()
    claimed = []
    for _ in range(6):
        claimed += [backfill_id for backfill_id, _ in claim_due(1)]
        give_back()
    assert claimed == mine * 2


def test_a_repair_goes_before_what_was_asked_for(ledger: Ledger) -> None:
    connection = connect(ledger)
    asked(connection)
    asked(connect(ledger, tenant_id=GLOBEX))
    repair = asked(connection, purpose=BackfillPurpose.REPAIR)
    make_due()
    assert [backfill_id for backfill_id, _ in claim_due(1)] == [repair.pk]


def test_a_backfill_is_the_lowest_class_of_traffic_and_a_repair_above_polls(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes: list[Traffic] = []
    client_for = backfill_runner.client_for

    def noted(connection: IntegrationConnection, traffic: Traffic) -> Any:
        classes.append(traffic)
        return client_for(connection, traffic)

    monkeypatch.setattr(backfill_runner, "client_for", noted)
    connection = connect(ledger)
    list(runs_until_it_ends(asked(connection)))
    list(runs_until_it_ends(asked(connection, purpose=BackfillPurpose.REPAIR)))
    assert classes == [Traffic.BACKFILL, Traffic.REPAIR]


def test_while_live_polling_waits_a_backfill_reads_one_page_and_steps_back(ledger: Ledger) -> None:
    ledger.add(95, at=WITHIN)
    connection = connect(ledger)
    live_polling_is_due(connection)
    backfill = tick(asked(connection))
    assert (backfill.pages, backfill.status) == (1, BackfillStatus.RUNNING)
    assert backfill.waiting_for == "Live polling goes first: one page at a time."
    assert backfill.next_run_at > timezone.now() + timedelta(seconds=9)
    # Once a worker has the cursor, nothing waits any more.
    PollingCursor.objects.update(lease_token="3f" * 16, next_poll_at=timezone.now() + timedelta(seconds=60))
    assert (tick(backfill).pages, backfill.waiting_for) == (10, "")


def test_live_polling_of_another_connection_with_the_same_credential_goes_first_too(ledger: Ledger) -> None:
    ledger.add(25, at=WITHIN)
    first = connect(ledger)
    second = connect(ledger)
    stranger = connect(ledger, tenant_id=GLOBEX)
    live_polling_is_due(second)
    live_polling_is_due(stranger)
    assert tick(asked(first)).pages == 3  # another credential, another quota
    IntegrationConnection.objects.filter(pk=second.pk).update(auth_ref=first.auth_ref)
    assert tick(asked(first)).pages == 1


def test_a_repair_does_not_step_back(ledger: Ledger) -> None:
    ledger.add(25, at=WITHIN)
    connection = connect(ledger)
    live_polling_is_due(connection)
    assert tick(asked(connection, purpose=BackfillPurpose.REPAIR)).status == BackfillStatus.COMPLETED


def test_a_poll_that_falls_due_in_the_middle_of_a_run_ends_it(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.add(95, at=WITHIN)
    connection = connect(ledger)
    record, pages = backfill_runner.record, itertools.count(1)

    def recorded(*args: Any) -> Any:
        if next(pages) == 4:
            live_polling_is_due(connection)
        return record(*args)

    monkeypatch.setattr(backfill_runner, "record", recorded)
    # The fourth page was being stored when it fell due; the fifth is the last.
    assert tick(asked(connection)).pages == 5


def test_a_live_poll_finds_its_cursor_untouched_and_is_not_delayed(ledger: Ledger) -> None:
    """The row is compared: claimed, read and written by live polling alone."""
    connection = connect(ledger)
    ledger.add(3)
    live_polling_is_due(connection)
    backfill = asked(connection)
    before = PollingCursor.objects.values().get()
    make_due()
    run_due()
    assert PollingCursor.objects.values().get() == before
    (claim,) = claim_due_cursors(10)
    assert poll_once(claim.cursor_id, claim.lease_token).outcome == PollOutcome.COMPLETED
    after = PollingCursor.objects.values().get()
    list(runs_until_it_ends(backfill))
    assert PollingCursor.objects.values().get() == after
    assert AdapterEvent.objects.count() == 3


def test_half_of_a_connections_budget_is_kept_for_live_polling(
    ledger: Ledger, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.POLLS_PER_MINUTE = 6
    monkeypatch.setattr(turns, "PAGES_A_RUN", 1)
    ledger.add(95, at=WITHIN)
    connection = connect(ledger)
    backfill = asked(connection)
    for _ in range(8):
        tick(backfill)
    assert backfill.pages == 3
    assert "last 3 polls of a minute are kept for live polling" in backfill.waiting_for
    assert [poll(connection).outcome for _ in range(3)] == [PollOutcome.COMPLETED] * 3
    assert poll(connection).outcome == PollOutcome.BUDGET


def test_workers_hold_only_so_many_at_once(ledger: Ledger, settings: Any) -> None:
    settings.BACKFILLS_AT_ONCE = 2
    connection = connect(ledger)
    for _ in range(4):
        asked(connection)
    make_due()
    held = claim_due(1)
    assert len(run_due()) == 1
    # A worker that died holds its own no longer than the lease.
    Backfill.objects.filter(pk=held[0][0]).update(next_run_at=timezone.now() - timedelta(seconds=1))
    assert len(run_due()) == 2


def test_a_tick_divides_its_time_and_gives_back_what_it_has_no_time_for(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.add(95, at=WITHIN)
    connection = connect(ledger)
    for _ in range(3):
        asked(connection)
    make_due()
    monkeypatch.setattr(turns, "TICK_SECONDS", 0.0)
    assert run_due() == []
    assert Backfill.objects.filter(lease_token=None, next_run_at__lte=timezone.now()).count() == 3
    shares = []

    def run_once(backfill_id: Any, token: Any, *, pages: int, seconds: float) -> None:
        shares.append(seconds)

    monkeypatch.setattr(turns, "TICK_SECONDS", 9.0)
    monkeypatch.setattr(turns, "run_once", run_once)
    run_due()
    assert shares == pytest.approx([3.0, 4.5, 9.0], abs=0.5)


def test_nothing_due_costs_two_statements_however_many_wait(ledger: Ledger) -> None:
    connection = connect(ledger)
    for _ in range(9):
        asked(connection)
    Backfill.objects.update(next_run_at=timezone.now() + timedelta(hours=1))
    with CaptureQueriesContext(
        database,
    ) as queries:
        assert run_due() == []
    assert len(queries) == 2
