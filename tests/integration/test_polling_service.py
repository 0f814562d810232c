"""PollingService, as the API, the admin and other code use it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.utils import timezone

from connections.errors import ServiceError
from connections.models import ConnectionHistory, ConnectionStatus, IntegrationConnection
from polling.models import PollingCursor
from polling.schedule import claim_connection, claim_due
from polling.services import PollingService, poll_now
from tests.factories import ACME, GLOBEX
from tests.polling_provider import Ledger, ledger_connection, poll

pytestmark = pytest.mark.django_db


def test_polling_a_connection_runs_all_its_cursors_and_sums_up(ledger: Ledger) -> None:
    connection = ledger_connection(ledger, settings={"lists": ["a", "b"]})
    ledger.add(12, "a")
    ledger.add(3, "b")
    summary = PollingService().poll_connection(connection.pk, ACME)
    assert (summary.cursors, summary.polled, summary.held, summary.failed) == (2, 2, 0, 0)
    assert (summary.events_new, summary.pages, summary.requests) == (15, 3, 3)
    assert PollingService().poll_connection(str(connection.pk), ACME).events_new == 0


def test_cursors_another_run_holds_are_left_to_it(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    claim_connection(connection)
    summary = PollingService().poll_connection(connection.pk, ACME)
    assert (summary.polled, summary.held) == (0, 1)
    assert ledger.requests == []


def test_a_failure_is_told_in_the_summary(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.outage = 500
    summary = PollingService().poll_connection(connection.pk, ACME)
    assert summary.failed == 1
    assert "500" in summary.errors[0]


def test_the_interval_given_counts_where_the_settings_name_none(ledger: Ledger) -> None:
    plain = ledger_connection(ledger)
    own = ledger_connection(ledger, settings={"poll_interval_seconds": 90})
    for connection in (plain, own):
        PollingService().poll_connection(connection.pk, ACME, poll_interval_minutes=2)
    assert PollingCursor.objects.get(connection=plain).interval_seconds == 120
    assert PollingCursor.objects.get(connection=own).interval_seconds == 90


@pytest.mark.parametrize("use", ["poll_connection", "get_polling_status"])
def test_another_tenants_connection_and_an_unknown_one_are_the_same_404(ledger: Ledger, use: str) -> None:
    """SEC-IA-02."""
    connection = ledger_connection(ledger)
    answers = []
    for connection_id, tenant_id in ((connection.pk, GLOBEX), (uuid.uuid4(), ACME), ("not-an-id", ACME)):
        with pytest.raises(ServiceError) as caught:
            getattr(PollingService(), use)(connection_id, tenant_id)
        answers.append((caught.value.status, caught.value.code, caught.value.message))
    assert set(answers) == {(404, "NOT_FOUND", "The connection does not exist.")}
    assert ledger.requests == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": ConnectionStatus.SUSPENDED}, "CONNECTION_NOT_ACTIVE"),
        ({"enabled_capabilities": {"polling": False}}, "POLLING_DISABLED"),
    ],
)
def test_what_may_not_be_polled_is_refused_with_a_reason(ledger: Ledger, change: dict[str, Any], code: str) -> None:
    connection = ledger_connection(ledger)
    IntegrationConnection.objects.filter(pk=connection.pk).update(**change)
    connection.refresh_from_db()
    with pytest.raises(ServiceError) as first:
        PollingService().poll_connection(connection.pk, ACME)
    with pytest.raises(ServiceError) as second:
        poll_now(connection, actor="api:zoe")
    assert (first.value.code, first.value.status) == (second.value.code, second.value.status) == (code, 409)


def test_poll_now_makes_every_cursor_due_and_says_who_asked(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    poll(connection)
    assert claim_due(10) == []
    assert poll_now(connection, actor="api:zoe") == 1
    assert len(claim_due(10)) == 1
    entry = ConnectionHistory.objects.get(operation="poll_asked_for")
    assert (entry.actor, entry.tenant_id) == ("api:zoe", ACME)


def test_the_status_tells_where_every_stream_stands_and_why(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.add(2)
    poll(connection)
    ledger.outage = 502
    poll(connection)
    status = PollingService().get_polling_status(connection.pk, ACME)
    (stream,) = status["streams"]
    assert status["enabled"]
    assert (stream["stream"], stream["partition"], stream["active"]) == ("entries", "main", True)
    assert stream["events_total"] == 2
    assert "502" in stream["last_error"]
    assert stream["last_outcome"] == "server"
    assert "failed once" in stream["interval_reason"]
    assert stream["next_poll_at"] > timezone.now()
    assert 0 <= stream["lag_seconds"] < 60
    assert status["backfills"] == []
