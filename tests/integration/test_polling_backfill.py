"""Backfill: a window of the past beside live polling."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from connections.errors import ServiceError
from connections.models import ConnectionHistory, ConnectionStatus, IntegrationConnection
from events.models import AdapterEvent, Source
from polling import backfill as backfills
from polling import backfill_turns as turns
from polling.backfill import cancel_backfill, start_backfill
from polling.backfill_runner import run_once
from polling.backfill_turns import claim_due, run_due
from polling.models import Backfill, BackfillStatus, PollingCursor, PollOutcome
from polling.runner import LEASE_LOST, NOT_POLLED
from polling.services import PollingService
from tests.backfills import ACTOR, SINCE, UNTIL, WITHIN, asked, connect, make_due, runs_until_it_ends
from tests.factories import ACME
from tests.polling_provider import Ledger, at_once, poll

pytestmark = pytest.mark.django_db


def test_a_backfill_reads_its_window_part_by_part_with_progress_to_be_seen(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PAGES_A_RUN", 2)
    connection = connect(ledger, settings={"lists": ["a", "b"]})
    ledger.add(25, "a", at=WITHIN)
    ledger.add(5, "b", at=WITHIN)
    ledger.add(5, "b", at=UNTIL + timedelta(days=1))
    backfill = asked(connection)
    assert (backfill.status, backfill.parts_total, backfill.requested_by) == (BackfillStatus.PENDING, 2, ACTOR)
    seen = [(b.status, b.parts_done, b.pages, b.events_new) for b in runs_until_it_ends(backfill)]
    assert seen == [(BackfillStatus.RUNNING, 0, 2, 20), (BackfillStatus.COMPLETED, 2, 4, 30)]
    assert backfill.progress_percent == 100
    assert set(AdapterEvent.objects.values_list("source", "tenant_id")) == {(Source.BACKFILL, ACME)}
    (shown,) = PollingService().get_polling_status(connection.pk, ACME)["backfills"]
    assert (shown["status"], shown["progress_percent"], shown["events_new"]) == ("completed", 100, 30)


def test_a_backfill_does_not_move_the_live_cursor_nor_wait_for_it(ledger: Ledger) -> None:
    connection = connect(ledger)
    ledger.add(15, at=WITHIN)
    ledger.add(3)
    poll(connection)
    before = PollingCursor.objects.values().get()
    backfill = asked(connection)
    list(runs_until_it_ends(backfill))
    assert PollingCursor.objects.values().get() == before
    ledger.add(1)
    assert poll(connection).events_new == 1
    assert AdapterEvent.objects.count() == 19


def test_what_is_already_known_is_found_but_not_new(ledger: Ledger) -> None:
    connection = connect(ledger)
    ledger.add(12, at=WITHIN)
    for _ in range(2):
        backfill = asked(connection)
        list(runs_until_it_ends(backfill))
    assert (backfill.events_found, backfill.events_new) == (12, 0)
    assert AdapterEvent.objects.count() == 12


def test_an_outage_is_recorded_and_the_backfill_goes_on_where_it_was(ledger: Ledger) -> None:
    connection = connect(ledger)
    ledger.add(25, at=WITHIN)

    def fail_late(query: dict[str, str]) -> None:
        ledger.outage = 503 if query["after"] == "20" else 0

    ledger.before_answer = fail_late
    backfill = asked(connection)
    make_due()
    run_due()
    backfill.refresh_from_db()
    assert (backfill.status, backfill.events_new, backfill.consecutive_failures) == (BackfillStatus.RUNNING, 20, 1)
    assert "503" in backfill.last_error
    assert backfill.next_run_at > timezone.now() + timedelta(seconds=20)
    ledger.before_answer, ledger.outage = at_once, 0
    ledger.requests.clear()
    list(runs_until_it_ends(backfill))
    assert [request["after"] for request in ledger.requests] == ["20"]
    assert (backfill.status, backfill.events_new, backfill.last_error) == (BackfillStatus.COMPLETED, 25, "")


def test_a_part_that_cannot_be_read_is_given_up_and_the_others_are_read(ledger: Ledger) -> None:
    connection = connect(ledger, settings={"lists": ["gone", "here"]})
    ledger.add(5, "here", at=WITHIN)

    def refuse(query: dict[str, str]) -> None:
        ledger.outage = 404 if query["list"] == "gone" else 0

    ledger.before_answer = refuse
    backfill = asked(connection)
    list(runs_until_it_ends(backfill))
    assert (backfill.status, backfill.parts_done, backfill.events_new) == (BackfillStatus.FAILED, 1, 5)
    assert backfill.last_error.startswith("Not read: entries gone (")
    assert len([request for request in ledger.requests if request["list"] == "gone"]) == 3


def test_a_long_outage_ends_the_backfill_as_failed(ledger: Ledger) -> None:
    ledger.outage = 500
    backfill = asked(connect(ledger))
    ends = [b.status for b in runs_until_it_ends(backfill)]
    assert ends == [BackfillStatus.PENDING] * 7 + [BackfillStatus.FAILED]


def test_a_rate_limit_is_a_pause_not_a_failure(ledger: Ledger) -> None:
    connection = connect(ledger)
    backfill = asked(connection)
    ledger.answers = [(429, {"Retry-After": "700"})]
    make_due()
    assert [result.outcome for result in run_due()] == [PollOutcome.RATE_LIMIT]
    backfill.refresh_from_db()
    assert backfill.consecutive_failures == 0
    assert backfill.next_run_at >= timezone.now() + timedelta(seconds=699)
    assert PollingCursor.objects.get().next_poll_at >= timezone.now() + timedelta(seconds=699)


def test_the_budget_pauses_a_backfill(ledger: Ledger, settings: Any) -> None:
    settings.POLLS_PER_MINUTE = 1
    connection = connect(ledger)
    poll(connection)
    ledger.requests.clear()
    backfill = asked(connection)
    make_due()
    assert [result.outcome for result in run_due()] == [PollOutcome.BUDGET]
    assert ledger.requests == []
    backfill.refresh_from_db()
    assert "polls for a minute" in backfill.waiting_for
    settings.POLLS_PER_MINUTE = 60
    list(runs_until_it_ends(backfill))
    assert backfill.status == BackfillStatus.COMPLETED


def test_a_cancelled_backfill_reads_nothing_more(ledger: Ledger) -> None:
    connection = connect(ledger)
    ledger.add(25, at=WITHIN)
    backfill = asked(connection)
    make_due()
    ((backfill_id, token),) = claim_due(5)
    cancel_backfill(backfill, actor=ACTOR)
    assert run_once(backfill_id, token, pages=5).outcome == LEASE_LOST
    backfill.refresh_from_db()
    assert (backfill.status, AdapterEvent.objects.count()) == (BackfillStatus.CANCELLED, 0)
    with pytest.raises(ServiceError) as caught:
        cancel_backfill(backfill, actor=ACTOR)
    assert caught.value.status == 409
    operations = ConnectionHistory.objects.order_by("entry_id").values_list("operation", "actor")
    assert list(operations) == [("backfill_started", ACTOR), ("backfill_cancelled", ACTOR)]


def test_a_suspended_connections_backfill_waits_and_a_deleted_ones_ends(ledger: Ledger) -> None:
    connection = connect(ledger)
    backfill = asked(connection)
    for status, expected in (
        (ConnectionStatus.SUSPENDED, BackfillStatus.PENDING),
        (ConnectionStatus.DELETED, BackfillStatus.CANCELLED),
    ):
        IntegrationConnection.objects.update(status=status)
        make_due()
        assert [result.outcome for result in run_due()] == [NOT_POLLED]
        backfill.refresh_from_db()
        assert backfill.status == expected
    assert ledger.requests == []


def test_parts_taken_out_of_the_settings_meanwhile_are_passed_over(ledger: Ledger) -> None:
    connection = connect(ledger, settings={"lists": ["a", "b", "c"]})
    for name in ("a", "b", "c"):
        ledger.add(2, name, at=WITHIN)
    backfill = asked(connection)
    Backfill.objects.update(position={"stream": "entries", "partition": "b", "page": {}}, parts_done=1)
    IntegrationConnection.objects.update(settings={"base_url": ledger.url, "lists": ["a", "c"]})
    list(runs_until_it_ends(backfill))
    assert [request["list"] for request in ledger.requests] == ["c"]
    assert (backfill.status, backfill.parts_total) == (BackfillStatus.COMPLETED, 2)


def test_a_worker_that_wakes_after_its_lease_writes_nothing(ledger: Ledger) -> None:
    connection = connect(ledger)
    ledger.add(5, at=WITHIN)
    backfill = asked(connection)
    make_due()
    ((backfill_id, old),) = claim_due(5)
    make_due()
    ((_, new),) = claim_due(5)
    assert run_once(backfill_id, old, pages=5).outcome == LEASE_LOST
    assert run_once(backfill_id, new, pages=5).outcome == PollOutcome.COMPLETED
    backfill.refresh_from_db()
    assert backfill.pages == 1


@pytest.mark.parametrize(
    ("since", "until", "reason"),
    [
        (UNTIL, SINCE, "before"),
        (SINCE, SINCE, "before"),
        (SINCE, datetime(2200, 1, 1, tzinfo=UTC), "future"),
        (SINCE.replace(tzinfo=None), UNTIL, "time zone"),
    ],
)
def test_a_window_that_cannot_be_is_refused(ledger: Ledger, since: datetime, until: datetime, reason: str) -> None:
    connection = connect(ledger)
    with pytest.raises(ServiceError) as caught:
        start_backfill(connection, since, until, actor=ACTOR)
    assert (caught.value.status, caught.value.code) == (400, "VALIDATION_FAILED")
    assert reason in caught.value.message
    assert not Backfill.objects.exists()


def test_a_connection_that_is_not_polled_cannot_be_backfilled_nor_asked_without_end(ledger: Ledger) -> None:
    connection = connect(ledger)
    for _ in range(backfills.UNFINISHED_A_CONNECTION):
        asked(connection)
    with pytest.raises(ServiceError) as caught:
        asked(connection)
    assert (caught.value.code, caught.value.status) == ("TOO_MANY_BACKFILLS", 409)
    IntegrationConnection.objects.update(status=ConnectionStatus.SUSPENDED)
    connection.refresh_from_db()
    with pytest.raises(ServiceError) as caught:
        asked(connection)
    assert (caught.value.code, caught.value.status) == ("CONNECTION_NOT_ACTIVE", 409)
