"""What polling raises: trouble that lasts, one incident a connection and cause, and its end without a hand."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import settings as deployment
from django.db.models import F
from django.utils import timezone

from connections.models import ConnectionStatus, Incident, IncidentStatus, IntegrationConnection
from connections.services import authorisation_ended, update_connection, verify_connection
from polling.cursors import sync_now, sync_stale
from polling.models import PollingCursor, PollOutcome
from polling.outages import IN_A_ROW, WAITS_FOR_AN_ANSWER, settle_all
from polling.runner import LEASE_LOST, poll_once
from polling.schedule import claim_connection
from polling.tasks import settle_incidents
from providers import client
from providers.errors import QuotaSpent
from tests.factories import GLOBEX, make_connection
from tests.incidents import only
from tests.polling_provider import EntryStream, Ledger, at_once, ledger_connection, poll

pytestmark = pytest.mark.django_db

HOURS = timedelta(hours=2)


def poll_all(connection: IntegrationConnection) -> list[str]:
    """One run of each cursor, in the order of their names."""
    return [poll_once(claim.cursor_id, claim.lease_token).outcome for claim in claim_connection(connection)]


def later(**ago: timedelta) -> None:
    """Time passes for cursors: the named columns are so much older, and what Redis knew is out of date."""
    redis.Redis.from_url(deployment.REDIS_URL).flushdb()
    PollingCursor.objects.update(**{name: F(name) - length for name, length in ago.items()})


@pytest.fixture
def silent(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """A ledger that does not answer the lists in ``silent_lists`` in time."""
    monkeypatch.setattr(client, "READ_TIMEOUT_SECONDS", 0.2)
    over = threading.Event()

    def hold(query: dict[str, str]) -> None:
        if query["list"].startswith("mute"):
            over.wait(10)

    ledger.before_answer = hold
    yield ledger
    over.set()


@pytest.mark.parametrize(
    ("outage", "cause", "severity"),
    [(500, "provider_down", "error"), (404, "request_refused", "warning")],
)
def test_a_failure_that_lasts_raises_one_incident_and_a_success_ends_it(
    ledger: Ledger, outage: int, cause: str, severity: str
) -> None:
    connection = ledger_connection(ledger)
    poll(connection)
    ledger.outage = outage
    for _ in range(IN_A_ROW - 1):
        poll(connection)
    assert not Incident.objects.exists()
    for _ in range(3):
        poll(connection)
    incident = only()
    assert (incident.cause, incident.severity, incident.occurrences) == (cause, severity, 3)
    assert incident.summary.startswith("ledger of acme: ")
    assert str(outage) in incident.detail
    assert "entries main was last read to its end at " in incident.detail
    ledger.outage = 0
    poll(connection)
    incident.refresh_from_db()
    assert (incident.status, incident.resolution) == (IncidentStatus.RESOLVED, "Polling works again.")


def test_what_passes_within_minutes_raises_none(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    for _ in range(3):
        ledger.outage = 502
        for _ in range(IN_A_ROW - 1):
            poll(connection)
        ledger.outage = 0
        poll(connection)
    assert not Incident.objects.exists()


def test_few_failures_far_apart_raise_as_well(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.answers = [(503, {"Retry-After": "1200"})] * 2
    poll(connection)
    later(last_polled_at=timedelta(minutes=20))
    poll(connection)
    assert only().cause == "provider_down"


def test_waiting_for_the_quota_between_two_failures_is_no_success(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    for _ in range(IN_A_ROW):
        ledger.answers = [(503, {"Retry-After": "600"})]
        assert poll(connection).outcome == PollOutcome.SERVER
        # Another one that uses the credential was told to wait.
        assert poll(connection).outcome == PollOutcome.BUDGET
        later(last_polled_at=timedelta(minutes=1))
    assert only().cause == "provider_down"
    assert settle_all() == 0
    poll(connection)
    assert only().status == IncidentStatus.RESOLVED


def test_a_failure_of_another_kind_begins_anew(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    for outage in (500, 404, 500, 404, 500, 404):
        ledger.outage = outage
        poll(connection)
    assert not Incident.objects.exists()


def test_many_streams_of_a_connection_make_one_incident_that_ends_with_the_last_of_them(ledger: Ledger) -> None:
    connection = ledger_connection(ledger, settings={"lists": ["a", "b", "c"]})
    other = ledger_connection(ledger, GLOBEX)
    ledger.outage = 500
    for _ in range(IN_A_ROW):
        poll_all(connection)
    assert only().connection_id == connection.pk
    assert only().occurrences == 3
    ledger.outage = 0
    for place, claim in enumerate(claim_connection(connection), start=1):
        assert only().status == IncidentStatus.OPEN, place
        poll_once(claim.cursor_id, claim.lease_token)
    assert only().status == IncidentStatus.RESOLVED
    assert not PollingCursor.objects.filter(connection=other).exclude(consecutive_failures=0).exists()


def test_the_first_success_wakes_the_streams_that_back_off_but_none_that_was_asked_to_wait(ledger: Ledger) -> None:
    connection = ledger_connection(ledger, settings={"lists": ["a", "b", "patient"]})

    def fail(query: dict[str, str]) -> None:
        ledger.answers = [(503, {"Retry-After": "2000"} if query["list"] == "patient" else {})]

    ledger.before_answer = fail
    for _ in range(IN_A_ROW):
        poll_all(connection)
        later(last_polled_at=timedelta(minutes=1))
    ledger.before_answer = at_once
    first, *_ = claim_connection(connection)
    PollingCursor.objects.exclude(pk=first.cursor_id).update(lease_token=None, next_poll_at=timezone.now() + HOURS)
    assert poll_once(first.cursor_id, first.lease_token).outcome == PollOutcome.COMPLETED
    waits = {c.partition: c.next_poll_at - timezone.now() for c in PollingCursor.objects.all()}
    assert waits["b"] < timedelta(seconds=15)
    assert waits["patient"] > timedelta(hours=1)


def test_of_streams_that_get_no_answer_one_asks_at_a_time_and_each_has_its_turn(silent: Ledger) -> None:
    connection = ledger_connection(silent, settings={"lists": ["mute1", "mute2", "mute3"]})
    outcomes = poll_all(connection)
    assert outcomes == [PollOutcome.NETWORK, LEASE_LOST, LEASE_LOST]
    assert len(silent.requests) == 1
    asked, *waiting = PollingCursor.objects.order_by("partition")
    for cursor in waiting:
        assert cursor.interval_reason == WAITS_FOR_AN_ANSWER
        assert timedelta(seconds=25) < cursor.next_poll_at - timezone.now() < timedelta(seconds=35)
        assert cursor.next_poll_at < asked.next_poll_at
    assert poll_once(*take(waiting[0])).outcome == PollOutcome.NETWORK
    waiting[1].refresh_from_db()
    assert timedelta(seconds=55) < waiting[1].next_poll_at - timezone.now() < timedelta(seconds=70)
    silent.before_answer = at_once
    poll_once(*take(waiting[0]))
    others = PollingCursor.objects.exclude(pk=waiting[0].pk)
    assert {cursor.interval_reason for cursor in others} == {"the provider answers again"}
    soon = timezone.now() + timedelta(seconds=15)
    assert all(cursor.next_poll_at < soon for cursor in others)


def test_the_calls_of_streams_that_get_no_answer_count_together(silent: Ledger) -> None:
    connection = ledger_connection(silent, settings={"lists": [f"mute{number}" for number in range(IN_A_ROW)]})
    for number, cursor in enumerate(PollingCursor.objects.order_by("partition")):
        assert Incident.objects.count() == 0, number
        poll_once(*take(cursor))
    assert only().cause == "provider_down"
    assert connection.incidents.count() == 1


def take(cursor: PollingCursor) -> tuple[Any, Any]:
    """A lease on this cursor alone."""
    token = uuid.uuid4()
    PollingCursor.objects.filter(pk=cursor.pk).update(
        lease_token=token, next_poll_at=timezone.now() + timedelta(minutes=2)
    )
    return cursor.pk, token


def test_a_refused_credential_is_told_when_polling_stops_and_stays_open_until_it_is_proven(ledger: Ledger) -> None:
    connection = ledger_connection(ledger, credential={"token": "revoked"})
    for _ in range(3):
        poll(connection)
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ERROR
    assert only().cause == "credential_refused"
    assert "verify" in only().detail
    sync_stale(10)
    settle_incidents()
    assert only().status == IncidentStatus.OPEN  # nothing is polled, and nothing is well
    connection.auth_ref = ledger_connection(ledger).auth_ref
    connection.save()
    verify_connection(connection, actor="staff:zoe")
    assert only().status == IncidentStatus.RESOLVED
    sync_stale(10)
    cursor = PollingCursor.objects.get(connection=connection)
    assert poll_once(*take(cursor)).outcome == PollOutcome.COMPLETED
    assert only().status == IncidentStatus.RESOLVED


def test_many_streams_that_are_refused_once_are_told_of_when_polling_stops(ledger: Ledger) -> None:
    connection = ledger_connection(
        ledger, credential={"token": "revoked"}, settings={"lists": ["a", "b", "c", "d", "e"]}
    )
    poll_all(connection)
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ERROR
    assert (only().cause, only().occurrences) == ("credential_refused", 1)


def test_an_incident_ends_with_the_stream_that_was_in_trouble(ledger: Ledger) -> None:
    connection = ledger_connection(ledger, settings={"lists": ["gone", "there"]})
    ledger.before_answer = lambda query: setattr(ledger, "outage", 404 if query["list"] == "gone" else 0)
    for _ in range(IN_A_ROW):
        poll_all(connection)
    assert only().cause == "request_refused"
    assert settle_all() == 0
    connection.refresh_from_db()
    update_connection(connection, actor="staff:zoe", settings={**connection.settings, "lists": ["there"]})
    sync_stale(10)
    assert settle_all() == 1
    assert only().resolution == "No stream is in this trouble any more."


def test_an_end_that_no_run_has_told_is_found(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.outage = 500
    for _ in range(IN_A_ROW):
        poll(connection)
    # As if the worker had died between its commit and the word that it works again.
    PollingCursor.objects.update(last_outcome=PollOutcome.COMPLETED, consecutive_failures=0)
    assert settle_all() == 1
    assert only().status == IncidentStatus.RESOLVED


def test_limits_are_trouble_only_where_a_stream_is_not_read_for_hours(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = ledger_connection(ledger)
    poll(connection)
    page = EntryStream.page

    def spent(*args: Any, **kwargs: Any) -> Any:
        raise QuotaSpent("What is left is kept for more urgent calls.", retry_after_seconds=30)

    monkeypatch.setattr(EntryStream, "page", spent)
    for hours, raised in ((2, False), (4, False), (2, True)):
        poll(connection)
        assert Incident.objects.exists() is False
        later(last_success_at=timedelta(hours=hours))
        poll(connection)
        assert Incident.objects.exists() is raised, hours
    assert (only().cause, only().severity) == ("rate_limited", "warning")
    assert settle_all() == 0
    monkeypatch.setattr(EntryStream, "page", page)
    poll(connection)
    assert only().status == IncidentStatus.RESOLVED


def test_the_providers_word_that_an_authorisation_has_ended_is_an_incident() -> None:
    connection = make_connection()
    authorisation_ended(connection, actor="provider")
    assert (only().cause, only().severity) == ("credential_refused", "error")
    assert settle_all() == 0
    IntegrationConnection.objects.update(status=ConnectionStatus.ACTIVE)
    sync_now(connection)
    assert settle_all() == 1
