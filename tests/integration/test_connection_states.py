"""A connection's state follows what its provider says, on whatever road it was asked; each change has its history."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from connections.health import REFUSALS_UNTIL_ERROR, call_failed
from connections.models import (
    ConnectionHistory,
    ConnectionStatus,
    Incident,
    IntegrationConnection,
    record_success,
)
from connections.secret_store import put_credential
from connections.services import resume_connection, suspend_connection, update_connection
from connections.verification import verify_connection
from providers.errors import AuthFailed, LacksAccess, ProviderError, ProviderFault
from tests.factories import ACME, make_connection
from tests.polling_provider import TOKEN, Ledger, ledger_connection, poll

pytestmark = pytest.mark.django_db

REFUSED = AuthFailed("The provider refused the credential (401).", status=401)


def fail(connection: IntegrationConnection, error: ProviderError = REFUSED, times: int = 1) -> str:
    for _ in range(times):
        call_failed(connection, error, actor="system:test")
    connection.refresh_from_db()
    return connection.status


def told(connection: IntegrationConnection) -> list[tuple[str, str]]:
    rows = ConnectionHistory.objects.filter(connection=connection).order_by("entry_id")
    return [(row.operation, row.outcome) for row in rows]


def test_a_credential_refused_again_and_again_stops_the_connection() -> None:
    connection = make_connection()
    assert fail(connection, times=REFUSALS_UNTIL_ERROR - 1) == ConnectionStatus.ACTIVE
    assert not Incident.objects.exists()
    assert fail(connection) == ConnectionStatus.ERROR
    assert (connection.consecutive_refusals, connection.streams_stale) == (REFUSALS_UNTIL_ERROR, True)
    assert told(connection) == [("credential_refused", "failed")]
    assert Incident.objects.get().cause == "credential_refused"
    fail(connection)
    assert Incident.objects.get().occurrences == 1, "it is told once"


def test_a_success_between_begins_anew() -> None:
    connection = make_connection()
    for _ in range(4):
        fail(connection, times=REFUSALS_UNTIL_ERROR - 1)
        record_success(connection.pk, timezone.now())
    assert fail(connection) == ConnectionStatus.ACTIVE
    assert connection.failures_total == 4 * (REFUSALS_UNTIL_ERROR - 1) + 1
    assert not Incident.objects.exists()


@pytest.mark.parametrize(
    "error",
    [
        AuthFailed("The provider refused the credential (403).", status=403),
        LacksAccess("A scope is missing.", status=200),
        ProviderFault("The provider failed (503).", status=503),
    ],
)
def test_what_does_not_concern_the_credential_stops_nothing(error: ProviderError) -> None:
    connection = make_connection()
    assert fail(connection, error, times=10) == ConnectionStatus.ACTIVE
    assert (connection.consecutive_failures, connection.consecutive_refusals) == (10, 0)


def test_refusals_of_a_replaced_credential_do_not_count() -> None:
    connection = make_connection()
    new = put_credential(ACME, {"token": "new"})
    IntegrationConnection.objects.filter(pk=connection.pk).update(auth_ref=new)
    for _ in range(REFUSALS_UNTIL_ERROR):
        call_failed(connection, REFUSED, actor="system:test")
    connection.refresh_from_db()
    assert (connection.status, connection.consecutive_failures, connection.last_error) == ("active", 0, "")


@pytest.mark.parametrize("status", [ConnectionStatus.SUSPENDED, ConnectionStatus.PENDING_VERIFICATION])
def test_only_an_active_connection_is_stopped(status: str) -> None:
    connection = make_connection(status=status)
    assert fail(connection, times=REFUSALS_UNTIL_ERROR + 1) == status
    assert not Incident.objects.exists()


def test_polls_that_are_refused_stop_it_and_a_good_verification_brings_it_back(ledger: Ledger) -> None:
    connection = ledger_connection(ledger, credential={"token": "revoked"})
    for _ in range(REFUSALS_UNTIL_ERROR):
        poll(connection)
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ERROR
    assert Incident.objects.get().status == "open"
    connection.auth_ref = put_credential(ACME, {"token": TOKEN})
    connection.save(update_fields=["auth_ref"])
    assert verify_connection(connection, actor="api:zoe").status == ConnectionStatus.ACTIVE
    assert Incident.objects.get().status == "resolved"
    assert told(connection) == [("credential_refused", "failed"), ("verified", "ok")]
    assert "was error and is active" in ConnectionHistory.objects.latest("entry_id").detail


def test_refusals_of_several_roads_add_up(ledger: Ledger) -> None:
    connection = ledger_connection(ledger, credential={"token": "revoked"})
    poll(connection)
    call_failed(connection, REFUSED, actor="system:actions")
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ACTIVE
    poll(connection)
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ERROR


def test_trouble_that_comes_and_goes_is_one_incident(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    for _ in range(3):
        ledger.outage = 401
        while connection.status == ConnectionStatus.ACTIVE:
            poll(connection)
            connection.refresh_from_db()
        ledger.outage = 0
        assert verify_connection(connection, actor="api:zoe").status == ConnectionStatus.ACTIVE
        connection.refresh_from_db()
    incident = Incident.objects.get()
    assert (incident.status, incident.reopened) == ("resolved", 2)


def test_a_verification_that_is_refused_stops_an_active_connection_at_once_and_says_so(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.answers = [(401, {})]
    assert verify_connection(connection, actor="api:zoe").status == ConnectionStatus.ERROR
    assert Incident.objects.get().cause == "credential_refused"
    assert told(connection) == [("verified", "failed")]


def test_a_pending_connection_that_is_not_proven_troubles_nobody(ledger: Ledger) -> None:
    connection = ledger_connection(ledger, status=ConnectionStatus.PENDING_VERIFICATION)
    ledger.answers = [(401, {})]
    assert verify_connection(connection, actor="api:zoe").status == ConnectionStatus.ERROR
    assert not Incident.objects.exists()


def test_every_change_of_status_has_its_entry() -> None:
    connection = make_connection()
    suspend_connection(connection, actor="api:zoe")
    resume_connection(connection, actor="api:zoe")
    row = update_connection(connection, actor="api:zoe", settings={"base_url": "http://127.0.0.1:1"})
    assert row.status == ConnectionStatus.PENDING_VERIFICATION
    assert [operation for operation, _ in told(connection)] == ["suspended", "resumed", "updated"]
    assert "verified again" in ConnectionHistory.objects.latest("entry_id").detail


def test_a_quiet_poll_of_a_healthy_connection_writes_no_health(ledger: Ledger) -> None:
    connection = ledger_connection(ledger, last_success_at=timezone.now() - timedelta(minutes=1))
    before = IntegrationConnection.objects.filter(pk=connection.pk).values().get()
    poll(connection)
    assert IntegrationConnection.objects.filter(pk=connection.pk).values().get() == before
