"""Incidents as rows: one a connection and cause, raised inside the caller's transaction, ended and removed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from prometheus_client import REGISTRY

from connections.incidents import (
    KEPT_DAYS,
    REOPENS_WITHIN,
    Cause,
    purge_incidents,
    raise_incident,
    resolve_incident,
    resolve_resting,
)
from connections.models import ConnectionStatus, Incident, IncidentSeverity, IncidentStatus, IntegrationConnection
from tests.factories import ACME, GLOBEX, make_connection
from tests.incidents import later, only, trouble

pytestmark = pytest.mark.django_db


def test_trouble_that_goes_on_is_one_incident_that_is_counted() -> None:
    connection = make_connection()
    for number in range(3):
        trouble(connection, summary=f"It is down, told {number} times.")
        later(timedelta(minutes=1))
    incident = only()
    assert (incident.status, incident.occurrences, incident.reopened) == (IncidentStatus.OPEN, 3, 0)
    assert incident.summary == "It is down, told 0 times."
    assert incident.last_seen_at - incident.started_at >= timedelta(minutes=2)


def test_causes_and_connections_have_incidents_of_their_own() -> None:
    ours, theirs = make_connection(), make_connection(tenant_id=GLOBEX)
    for connection in (ours, theirs):
        for cause in (Cause.PROVIDER_DOWN, Cause.CREDENTIAL_REFUSED):
            trouble(connection, cause)
    assert Incident.objects.count() == 4
    assert resolve_incident(ours, Cause.PROVIDER_DOWN)
    assert set(Incident.objects.filter(status="open").values_list("tenant_id", "cause")) == {
        (ACME, "credential_refused"),
        (GLOBEX, "provider_down"),
        (GLOBEX, "credential_refused"),
    }


def test_what_is_not_open_cannot_be_resolved() -> None:
    connection = make_connection()
    assert not resolve_incident(connection, Cause.PROVIDER_DOWN)
    trouble(connection)
    assert resolve_incident(connection, Cause.PROVIDER_DOWN)
    assert not resolve_incident(connection, Cause.PROVIDER_DOWN)
    assert (only().status, only().resolution) == (IncidentStatus.RESOLVED, "It works again.")


def test_trouble_that_comes_back_soon_is_the_same_incident_and_later_a_new_one() -> None:
    connection = make_connection()
    trouble(connection, summary="First.")
    resolve_incident(connection, Cause.PROVIDER_DOWN)
    later(REOPENS_WITHIN - timedelta(seconds=5))
    trouble(connection, summary="Second.")
    incident = only()
    assert (incident.status, incident.reopened, incident.summary) == (IncidentStatus.OPEN, 1, "Second.")
    assert (incident.resolved_at, incident.resolution) == (None, "")
    resolve_incident(connection, Cause.PROVIDER_DOWN)
    later(REOPENS_WITHIN + timedelta(seconds=5))
    trouble(connection, summary="Third.")
    newest, oldest = Incident.objects.all()
    assert (newest.summary, newest.reopened, newest.current) == ("Third.", 0, True)
    assert (oldest.status, oldest.current) == (IncidentStatus.RESOLVED, False)


def test_the_callers_transaction_decides_and_only_then_is_it_counted(
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    connection = make_connection()
    labels = {"provider": "fake", "tenant": ACME, "cause": "provider_down"}

    def raised() -> float:
        return REGISTRY.get_sample_value("integration_incidents_raised_total", labels) or 0.0

    @transaction.atomic
    def change_their_mind() -> None:
        trouble(connection)
        raise KeyError

    before = raised()
    with django_capture_on_commit_callbacks(execute=True), pytest.raises(KeyError):
        change_their_mind()
    assert not Incident.objects.exists()
    assert raised() == before
    with django_capture_on_commit_callbacks(execute=True):
        trouble(connection)
        trouble(connection)
    assert raised() == before + 1


def test_what_is_kept_of_an_incident_is_redacted_and_bounded() -> None:
    raise_incident(
        make_connection(),
        Cause.OWN_FAULT,
        severity=IncidentSeverity.WARNING,
        summary="Authorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789 \x00" + "x" * 1000,
        detail="password=hunter2hunter2 " + "y" * 10_000,
    )
    incident = only()
    assert "abcdefghijklmnop" not in incident.summary
    assert "hunter2" not in incident.detail
    assert len(incident.summary) <= 300
    assert len(incident.detail) <= 4000


def test_incidents_of_connections_that_rest_end_and_old_ones_go() -> None:
    kept, suspended, deleted = (make_connection() for _ in range(3))
    for connection in (kept, suspended, deleted):
        trouble(connection)
    IntegrationConnection.objects.filter(pk=suspended.pk).update(status=ConnectionStatus.SUSPENDED)
    IntegrationConnection.objects.filter(pk=deleted.pk).update(status=ConnectionStatus.DELETED)
    assert resolve_resting() == 2
    assert Incident.objects.get(connection=suspended).resolution == "The connection is suspended."
    assert Incident.objects.get(status=IncidentStatus.OPEN).connection_id == kept.pk
    assert purge_incidents() == 0
    later(timedelta(days=KEPT_DAYS + 1))
    assert purge_incidents() == 2
    assert only().connection_id == kept.pk  # an open one is not too old for anything


@pytest.mark.django_db(transaction=True)
def test_many_that_raise_and_resolve_at_once_make_one_incident() -> None:
    connection = make_connection()
    start = threading.Barrier(6)
    ended: list[int] = []

    def run(number: int) -> None:
        try:
            start.wait(10)
            for _ in range(5):
                trouble(connection)
                if number == 0:
                    resolve_incident(connection, Cause.PROVIDER_DOWN)
            ended.append(number)
        finally:
            database.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 6
    incident = only()
    assert incident.occurrences == 30
    assert incident.reopened <= 5
