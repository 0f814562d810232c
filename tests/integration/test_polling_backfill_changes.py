"""A backfill paused, resumed and cancelled by people, and one whose connection changes meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.utils import timezone

from connections.errors import ServiceError
from connections.models import ConnectionHistory, ConnectionStatus, IntegrationConnection
from connections.secret_store import put_credential
from polling import backfill_turns as turns
from polling.backfill import cancel_backfill, pause_backfill, resume_backfill
from polling.backfill_runner import run_once
from polling.backfill_status import backfill_status
from polling.backfill_turns import claim_due, run_due
from polling.models import Backfill, BackfillPurpose, BackfillStatus, PollOutcome
from polling.runner import LEASE_LOST, NOT_POLLED
from providers.errors import QuotaSpent
from providers.spi import Page
from tests.backfills import ACTOR, WITHIN, asked, connect, make_due, runs_until_it_ends, tick
from tests.factories import ACME
from tests.polling_provider import TOKEN, EntryStream, Ledger, at_once

pytestmark = pytest.mark.django_db

OPERATOR = "staff:mia"


@pytest.fixture
def one_page_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PAGES_A_RUN", 1)


def refusal(change: Callable[..., None], backfill: Backfill) -> str:
    with pytest.raises(ServiceError) as caught:
        change(backfill, actor=ACTOR)
    assert caught.value.status == 409
    return caught.value.code


def test_a_paused_backfill_keeps_its_place_and_goes_on_there(ledger: Ledger, one_page_a_run: None) -> None:
    ledger.add(25, at=WITHIN)
    backfill = asked(connect(ledger))
    tick(backfill)
    place = backfill.position
    pause_backfill(backfill, actor=OPERATOR)
    tick(backfill)
    assert (backfill.status, backfill.position, backfill.pages) == (BackfillStatus.PAUSED, place, 1)
    assert backfill.paused_by == OPERATOR
    assert backfill.paused_at is not None
    resume_backfill(backfill, actor=ACTOR)
    backfill.refresh_from_db()
    assert (backfill.status, backfill.paused_by, backfill.paused_at) == (BackfillStatus.RUNNING, "", None)
    list(runs_until_it_ends(backfill))
    assert [query["after"] for query in ledger.requests] == ["0", "10", "20"]
    assert (backfill.status, backfill.events_found) == (BackfillStatus.COMPLETED, 25)
    operations = ConnectionHistory.objects.order_by("entry_id").values_list("operation", "actor")
    assert list(operations)[-2:] == [("backfill_paused", OPERATOR), ("backfill_resumed", ACTOR)]


def test_one_that_was_paused_before_it_began_begins_when_it_is_resumed(ledger: Ledger) -> None:
    backfill = asked(connect(ledger))
    pause_backfill(backfill, actor=ACTOR)
    assert tick(backfill).status == BackfillStatus.PAUSED
    assert ledger.requests == []
    resume_backfill(backfill, actor=ACTOR)
    backfill.refresh_from_db()
    assert backfill.status == BackfillStatus.PENDING
    assert [result.outcome for result in run_due()] == [PollOutcome.COMPLETED]


def test_a_run_that_holds_it_finds_its_lease_gone(ledger: Ledger) -> None:
    backfill = asked(connect(ledger))
    make_due()
    ((backfill_id, token),) = claim_due(5)
    pause_backfill(backfill, actor=ACTOR)
    assert run_once(backfill_id, token, pages=5).outcome == LEASE_LOST
    # Neither does it come back with the old token when it goes on.
    resume_backfill(backfill, actor=ACTOR)
    assert run_once(backfill_id, token, pages=5).outcome == LEASE_LOST
    assert ledger.requests == []


def test_impossible_changes_are_refused_with_their_reason(ledger: Ledger) -> None:
    backfill = asked(connect(ledger))
    assert refusal(resume_backfill, backfill) == "BACKFILL_NOT_PAUSED"
    pause_backfill(backfill, actor=ACTOR)
    assert refusal(pause_backfill, backfill) == "BACKFILL_PAUSED"
    cancel_backfill(backfill, actor=ACTOR)
    assert {refusal(change, backfill) for change in (pause_backfill, resume_backfill, cancel_backfill)} == {
        "BACKFILL_ENDED"
    }
    backfill.refresh_from_db()
    assert (backfill.status, backfill.paused_by, backfill.paused_at) == (BackfillStatus.CANCELLED, "", None)


def test_a_paused_one_still_counts_as_unfinished(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polling.backfill.UNFINISHED_A_CONNECTION", 1)
    connection = connect(ledger)
    pause_backfill(asked(connection), actor=ACTOR)
    with pytest.raises(ServiceError) as caught:
        asked(connection)
    assert caught.value.code == "TOO_MANY_BACKFILLS"
    # What somebody asked for does not keep a gap from being repaired.
    assert asked(connection, purpose=BackfillPurpose.REPAIR).purpose == BackfillPurpose.REPAIR


def test_a_connection_suspended_meanwhile_holds_it_up_and_that_is_said(ledger: Ledger, one_page_a_run: None) -> None:
    ledger.add(25, at=WITHIN)
    connection = connect(ledger)
    backfill = asked(connection)
    tick(backfill)
    IntegrationConnection.objects.update(status=ConnectionStatus.SUSPENDED)
    make_due()
    assert [result.outcome for result in run_due()] == [NOT_POLLED]
    backfill.refresh_from_db()
    told = backfill_status(backfill, timezone.now())
    assert (told["status"], told["waiting_for"]) == ("running", "The connection is not active: suspended.")
    assert (told["eta_seconds"], told["last_error"]) == (None, "")
    assert backfill.next_run_at > timezone.now() + timedelta(seconds=200)
    IntegrationConnection.objects.update(status=ConnectionStatus.ACTIVE)
    list(runs_until_it_ends(backfill))
    assert [query["after"] for query in ledger.requests] == ["0", "10", "20"]
    assert backfill.waiting_for == ""


def test_polling_switched_off_meanwhile_holds_it_up(ledger: Ledger) -> None:
    backfill = asked(connect(ledger))
    IntegrationConnection.objects.update(enabled_capabilities={"polling": False})
    assert tick(backfill).waiting_for == "Polling is switched off for the connection."


def test_a_credential_changed_meanwhile_is_used_from_the_next_run_on(ledger: Ledger, one_page_a_run: None) -> None:
    ledger.add(15, at=WITHIN)
    backfill = asked(connect(ledger, credential={"token": "of yesterday"}))
    assert "401" in tick(backfill).last_error
    IntegrationConnection.objects.update(auth_ref=put_credential(ACME, {"token": TOKEN}))
    list(runs_until_it_ends(backfill))
    assert (backfill.status, backfill.events_new) == (BackfillStatus.COMPLETED, 15)


def test_a_rate_limit_keeps_the_place_and_is_waited_for(ledger: Ledger, settings: Any) -> None:
    ledger.add(25, at=WITHIN)

    def limit_the_third(query: dict[str, str]) -> None:
        if query["after"] == "20":
            ledger.before_answer = at_once
            ledger.answers = [(429, {"Retry-After": "700"})]

    ledger.before_answer = limit_the_third
    backfill = tick(asked(connect(ledger)))
    assert (backfill.position["page"], backfill.last_error) == ({"after": 20}, "")
    assert backfill.waiting_for
    assert backfill.next_run_at > timezone.now() + timedelta(seconds=699)
    redis.Redis.from_url(settings.REDIS_URL).flushdb()  # where the wait is remembered
    list(runs_until_it_ends(backfill))
    assert [query["after"] for query in ledger.requests] == ["0", "10", "20", "20"]


def test_a_quota_that_is_spent_keeps_the_place_and_is_no_failure(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.add(15, at=WITHIN)
    backfill = asked(connect(ledger))
    page = EntryStream.page

    def spent_after_one(self: EntryStream, *args: Any, **values: Any) -> Page:
        if values["position"]:
            raise QuotaSpent("The rest of the quota is kept for live polling.", retry_after_seconds=90)
        return page(self, *args, **values)

    monkeypatch.setattr(EntryStream, "page", spent_after_one)
    make_due()
    assert [result.outcome for result in run_due()] == [PollOutcome.BUDGET]
    backfill.refresh_from_db()
    assert (backfill.position["page"], backfill.consecutive_failures) == ({"after": 10}, 0)
    assert backfill.waiting_for == "The rest of the quota is kept for live polling."
    assert backfill.next_run_at > timezone.now() + timedelta(seconds=89)
    monkeypatch.undo()
    list(runs_until_it_ends(backfill))
    assert backfill.events_new == 15


def test_the_time_left_is_unknown_until_the_second_look_and_then_told(ledger: Ledger, one_page_a_run: None) -> None:
    now = timezone.now()
    for days in (80, 60, 40, 20):
        ledger.add(10, at=now - timedelta(days=days))
    backfill = asked(connect(ledger), since=now - timedelta(days=100), until=now)
    assert backfill_status(backfill, now)["eta_seconds"] is None
    tick(backfill)
    # The first page was asked for a minute ago.
    Backfill.objects.update(pace=[[backfill.updated_at.timestamp() - 60, 0.0]])
    backfill.refresh_from_db()
    told = backfill_status(backfill, timezone.now())
    assert told["eta_seconds"] == pytest.approx(4 * 60, abs=5)
    assert told["eta_at"] > timezone.now()
    pause_backfill(backfill, actor=ACTOR)
    resume_backfill(backfill, actor=ACTOR)
    backfill.refresh_from_db()
    assert backfill_status(backfill, timezone.now())["eta_seconds"] is None
