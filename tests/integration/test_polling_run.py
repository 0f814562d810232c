"""One run of a cursor against a real provider, database and budget store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connections.models import ConnectionHistory, ConnectionStatus, IntegrationConnection
from events.models import AdapterEvent, Source
from polling.cursors import sync_stale
from polling.models import PollingCursor, PollOutcome
from polling.runner import LEASE_LOST, NOT_POLLED, poll_once
from polling.schedule import claim_connection
from providers.canonical import SignalType
from providers.errors import StaleMark
from tests.factories import GLOBEX
from tests.polling_provider import EntryStream, Ledger, at_once, ledger_connection, poll

pytestmark = pytest.mark.django_db


def cursor_of(connection: IntegrationConnection) -> PollingCursor:
    return PollingCursor.objects.get(connection=connection)


def waits(cursor: PollingCursor) -> float:
    """Seconds until the cursor is due."""
    return (cursor.next_poll_at - timezone.now()).total_seconds()


def test_a_poll_stores_what_is_new_and_moves_the_cursor(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.add(25)
    result = poll(connection)
    assert (result.outcome, result.pages, result.events_new) == (PollOutcome.COMPLETED, 3, 25)
    cursor = cursor_of(connection)
    assert cursor.cursor_position == {"after": 25}
    assert (cursor.events_total, cursor.requests_total, cursor.run_in_progress) == (25, 3, False)
    assert cursor.lease_token is None
    assert cursor.last_success_at is not None
    events = AdapterEvent.objects.filter(connection=connection)
    assert events.count() == 25
    assert {(event.source, event.tenant_id) for event in events} == {(Source.POLL, "acme")}


def test_live_polling_tells_nothing_that_happened_before_it_began(ledger: Ledger) -> None:
    ledger.add(5, at=timezone.now() - timedelta(days=1))
    connection = ledger_connection(ledger)
    ledger.add(2)
    assert poll(connection).events_new == 2


def test_a_quiet_second_poll_is_one_request_and_three_statements(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.add(3)
    poll(connection)
    IntegrationConnection.objects.update(last_success_at=timezone.now() - timedelta(minutes=5))
    (claim,) = claim_connection(connection)
    ledger.requests.clear()
    with CaptureQueriesContext(database) as queries:
        result = poll_once(claim.cursor_id, claim.lease_token)
    spoken = [q["sql"] for q in queries]
    assert (result.outcome, result.requests, result.events_found) == (PollOutcome.COMPLETED, 1, 0)
    assert len(ledger.requests) == 1
    # Cursor with its connection, credential, cursor written; a transaction would be two more.
    assert len(spoken) == 3, spoken


def test_a_run_stops_after_its_pages_and_goes_on_where_it_was(ledger: Ledger, settings: Any) -> None:
    settings.POLL_PAGES_PER_RUN = 2
    connection = ledger_connection(ledger)
    ledger.add(45)
    first = poll(connection)
    cursor = cursor_of(connection)
    assert (first.outcome, first.events_new) == (PollOutcome.CONTINUES, 20)
    assert cursor.run_in_progress
    assert cursor.last_success_at is None
    assert waits(cursor) < 1
    assert [poll(connection).outcome for _ in range(2)] == [PollOutcome.CONTINUES, PollOutcome.COMPLETED]
    assert [request["after"] for request in ledger.requests] == ["0", "10", "20", "30", "40"]
    assert AdapterEvent.objects.count() == 45
    assert not cursor_of(connection).run_in_progress


def test_a_provider_that_repeats_a_page_is_stopped_and_told(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.add(3)
    ledger.repeating = True
    result = poll(connection)
    cursor = cursor_of(connection)
    assert result.outcome == PollOutcome.SERVER
    assert [request["after"] for request in ledger.requests] == ["0", "0"]
    assert "repeats a page" in cursor.last_error
    assert cursor.cursor_position == {"after": 0}
    assert AdapterEvent.objects.count() == 3  # what the page held is not lost
    ledger.repeating = False
    assert poll(connection).outcome == PollOutcome.COMPLETED
    assert AdapterEvent.objects.count() == 3


def test_an_outage_is_recorded_on_cursor_and_health_and_backed_off(ledger: Ledger) -> None:
    """RF-IA-01: a provider's failure is never "no events"."""
    connection = ledger_connection(ledger)
    ledger.add(2)
    ledger.outage = 503
    expected = [30, 60, 120]
    for number, seconds in enumerate(expected, start=1):
        assert poll(connection).outcome == PollOutcome.SERVER
        cursor = cursor_of(connection)
        assert cursor.consecutive_failures == number
        assert seconds * 0.9 - 1 <= waits(cursor) <= seconds * 1.1
    assert "503" in cursor.last_error
    assert cursor.last_success_at is None
    assert (cursor.consecutive_quiet, cursor.cursor_position) == (0, {})
    connection.refresh_from_db()
    assert connection.consecutive_failures == 3
    assert "503" in connection.last_error
    assert connection.status == ConnectionStatus.ACTIVE

    ledger.outage = 0
    assert poll(connection).events_new == 2
    cursor, _ = cursor_of(connection), connection.refresh_from_db()
    assert (cursor.consecutive_failures, cursor.last_error, connection.consecutive_failures) == (0, "", 0)


def test_a_failure_between_pages_keeps_the_pages_before_it(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.add(25)

    def fail_on_the_third(query: dict[str, str]) -> None:
        ledger.outage = 500 if query["after"] == "20" else 0

    ledger.before_answer = fail_on_the_third
    result = poll(connection)
    assert (result.outcome, result.events_new) == (PollOutcome.SERVER, 20)
    cursor = cursor_of(connection)
    assert (cursor.cursor_position, cursor.run_in_progress) == ({"after": 20}, True)
    ledger.before_answer = at_once
    ledger.outage = 0
    assert poll(connection).events_new == 5


def test_retry_after_is_obeyed_by_every_cursor_of_the_connection(ledger: Ledger) -> None:
    """RF-IA-02: one 429 quietens the connection, and no other."""
    connection = ledger_connection(ledger, settings={"lists": ["a", "b", "c"]})
    other = ledger_connection(ledger, GLOBEX)
    claims = claim_connection(connection)
    ledger.answers = [(429, {"Retry-After": "900"})]
    outcomes = [poll_once(claim.cursor_id, claim.lease_token).outcome for claim in claims]
    # The two that were handed out with it lost their lease instead of asking again.
    assert outcomes == [PollOutcome.RATE_LIMIT, LEASE_LOST, LEASE_LOST]
    assert len(ledger.requests) == 1
    assert all(waits(cursor) + 1 >= 900 for cursor in PollingCursor.objects.filter(connection=connection))
    assert waits(cursor_of(other)) < 10


def test_the_pause_the_provider_asks_for_in_an_answer_is_obeyed(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.poll_after = 2000
    poll(connection)
    cursor = cursor_of(connection)
    assert waits(cursor) >= 1999
    assert "provider asked to wait 2000 s" in cursor.interval_reason


def test_refusals_of_everything_it_reads_stop_the_connection_after_five_times(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    # 403 says that this may not be read, which is not yet that the credential is bad.
    ledger.outage = 403
    for _ in range(4):
        assert poll(connection).outcome == PollOutcome.AUTH
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ACTIVE
    poll(connection)
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ERROR
    entry = ConnectionHistory.objects.get(connection=connection, operation="polling_stopped")
    assert (entry.actor, entry.outcome) == ("system:polling", "failed")
    sync_stale(10)
    assert not cursor_of(connection).active
    assert len(ledger.requests) == 5


def test_a_refusal_of_one_stream_beside_one_that_works_is_no_dead_connection(ledger: Ledger) -> None:
    connection = ledger_connection(ledger, settings={"lists": ["allowed", "forbidden"]})

    def refuse(query: dict[str, str]) -> None:
        ledger.outage = 403 if query["list"] == "forbidden" else 0

    ledger.before_answer = refuse
    for _ in range(7):
        for claim in claim_connection(connection):
            poll_once(claim.cursor_id, claim.lease_token)
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ACTIVE
    assert PollingCursor.objects.get(partition="forbidden").consecutive_refused == 7
    assert PollingCursor.objects.get(partition="allowed").last_error == ""


def test_a_fault_of_the_adapter_stops_its_stream_alone(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = ledger_connection(ledger)

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise KeyError("token-in-a-message")

    monkeypatch.setattr(EntryStream, "page", broken)
    assert poll(connection).outcome == PollOutcome.INTERNAL
    cursor = cursor_of(connection)
    assert "KeyError" in cursor.last_error
    assert "token-in-a-message" not in cursor.last_error
    assert cursor.consecutive_failures == 1


@pytest.mark.parametrize(
    "change",
    [{"status": ConnectionStatus.SUSPENDED}, {"status": ConnectionStatus.DELETED}, {"enabled_capabilities": {}}],
)
def test_a_connection_switched_off_after_the_claim_is_not_called(ledger: Ledger, change: dict[str, Any]) -> None:
    connection = ledger_connection(ledger)
    (claim,) = claim_connection(connection)
    IntegrationConnection.objects.filter(pk=connection.pk).update(**change)
    assert poll_once(claim.cursor_id, claim.lease_token).outcome == NOT_POLLED
    assert ledger.requests == []
    assert cursor_of(connection).lease_token is None


def test_busy_is_polled_more_often_and_says_so(ledger: Ledger) -> None:
    connection = ledger_connection(ledger, settings={"poll_interval_seconds": 200})
    ledger.add(3)
    poll(connection)
    cursor = cursor_of(connection)
    assert cursor.interval_seconds == 100
    assert "3 new" in cursor.interval_reason
    assert 89 <= waits(cursor) <= 110


def test_events_of_two_tenants_of_one_provider_stay_apart(ledger: Ledger) -> None:
    acme, globex = ledger_connection(ledger), ledger_connection(ledger, GLOBEX)
    ledger.add(4)
    poll(acme)
    assert not AdapterEvent.objects.filter(tenant_id=GLOBEX).exists()
    poll(globex)
    # The same happening seen by two connections is two events: one of each tenant.
    assert AdapterEvent.objects.filter(tenant_id=GLOBEX, connection=globex).count() == 4
    assert AdapterEvent.objects.filter(connection=acme).values_list("tenant_id", flat=True).distinct().get() == "acme"


def test_a_poll_beside_arriving_webhooks_waits_longer_and_says_why(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    IntegrationConnection.objects.update(last_webhook_at=timezone.now() - timedelta(hours=1))
    poll(connection)
    cursor = cursor_of(connection)
    assert cursor.interval_seconds == 3 * 300
    assert cursor.interval_reason == "webhooks arrive: polling looks for what they missed"
    IntegrationConnection.objects.update(last_webhook_at=timezone.now() - timedelta(days=4))
    poll(connection)
    assert cursor_of(connection).interval_seconds == 300


def test_what_a_poll_tells_waits_for_the_webhook_that_says_more(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = EntryStream.page

    def named(self: EntryStream, client: Any, **asked: Any) -> Any:
        page = tell(self, client, **asked)
        vague = [replace(event, signal_type=SignalType.ISSUE_UPDATED) for event in page.events]
        events = [replace(event, happening=f"h:{event.dedupe_key}" * (n > 0)) for n, event in enumerate(vague)]
        return replace(page, events=events)

    monkeypatch.setattr(EntryStream, "page", named)
    connection = ledger_connection(ledger)
    ledger.add(2)
    IntegrationConnection.objects.update(last_webhook_at=timezone.now())
    poll(connection)
    unnamed, telling = AdapterEvent.objects.order_by("dedupe_key")
    assert unnamed.next_attempt_at <= timezone.now()  # no other road can tell it
    assert 0 < (telling.next_attempt_at - timezone.now()).total_seconds() <= 10
    IntegrationConnection.objects.update(last_webhook_at=None)
    ledger.add(2)
    poll(connection)
    assert AdapterEvent.objects.filter(next_attempt_at__gt=timezone.now()).count() == 1


def test_pages_the_provider_keeps_forgetting_are_a_failure_that_the_next_run_recovers_from(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(self: EntryStream, client: Any, **asked: Any) -> Any:
        raise StaleMark("The provider keeps forgetting the pages it named.", status=400, position={"after": 4})

    connection = ledger_connection(ledger)
    ledger.add(9)
    with monkeypatch.context() as patched:
        patched.setattr(EntryStream, "page", forgetful)
        assert poll(connection).outcome == PollOutcome.CLIENT
    cursor = cursor_of(connection)
    assert (cursor.cursor_position, cursor.consecutive_failures) == ({"after": 4}, 1)
    assert poll(connection).events_new == 5
