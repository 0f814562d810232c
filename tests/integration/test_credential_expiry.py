"""The end of a credential is told in time: once, graver shortly before, and no more once it is replaced."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.utils import timezone

from connections.expiry import Forecast, forecast, look_at_all
from connections.incident_outbox import send_due
from connections.models import ConnectionStatus, Incident, IntegrationConnection
from connections.services import update_connection
from connections.tasks import look_at_expiries
from connections.verification import verify_connection
from integration_adapters.sandbox.worlds import simulator_class
from providers.adapters.github.account import expiration
from tests.api import CONNECTIONS, client_of
from tests.contract.provider_server import serving
from tests.factories import make_connection
from tests.neighbours import AlertingStub, at_once

pytestmark = pytest.mark.django_db


def ends_in(days: float, **values: Any) -> IntegrationConnection:
    return make_connection(credential_expires_at=timezone.now() + timedelta(days=days), **values)


def move(connection: IntegrationConnection, days: float) -> None:
    IntegrationConnection.objects.filter(pk=connection.pk).update(
        credential_expires_at=timezone.now() + timedelta(days=days)
    )


@pytest.mark.parametrize(
    ("days", "expected"),
    [(None, "unknown"), (15, "far"), (13.9, "expiring"), (0.1, "expiring"), (-0.1, "expired")],
)
def test_the_forecast_is_shown(days: float | None, expected: str) -> None:
    connection = ends_in(days) if days is not None else make_connection()
    assert forecast(connection) == Forecast(expected)
    assert client_of().get(f"{CONNECTIONS}/{connection.pk}").json()["credential_state"] == expected


def test_one_incident_is_raised_then_worsened_then_over(alerting: AlertingStub) -> None:
    connection = ends_in(20)
    look_at_expiries()
    assert not Incident.objects.exists()
    move(connection, 13)
    for _ in range(3):
        look_at_expiries()
    incident = Incident.objects.get()
    assert (incident.cause, incident.severity, incident.occurrences) == ("credential_expiring", "warning", 1)
    assert send_due().taken == 1
    move(connection, 2)
    look_at_expiries()
    look_at_expiries()
    assert send_due().taken == 1, "the alerting service is told that it is graver"
    (alert,) = alerting.alerts.values()
    assert (alert["severity"], alert["alert_id"]) == ("error", str(incident.pk))
    assert send_due().taken == 0
    move(connection, -1)
    look_at_expiries()
    assert "ended on" in Incident.objects.get().summary
    move(connection, 300)
    look_at_expiries()
    assert Incident.objects.get().status == "resolved"


@pytest.mark.django_db(transaction=True)
def test_what_is_graver_is_not_lost_to_a_message_under_way(alerting: AlertingStub) -> None:
    connection = ends_in(13)
    look_at_all()

    def worsen(_: str) -> None:
        # In the thread of the service, so over a database session of its own.
        move(connection, 2)
        look_at_all()
        database.close()

    alerting.before_answer = worsen
    send_due()
    alerting.before_answer = at_once
    (alert,) = alerting.alerts.values()
    assert alert["severity"] == "warning"
    send_due()
    (alert,) = alerting.alerts.values()
    assert alert["severity"] == "error"


@pytest.mark.parametrize("status", [ConnectionStatus.SUSPENDED, ConnectionStatus.DELETED])
def test_a_connection_that_rests_troubles_nobody(status: str) -> None:
    ends_in(1, status=status)
    look_at_all()
    assert not Incident.objects.exists()


def test_a_person_may_say_when_it_ends_and_that_it_does_not() -> None:
    connection = make_connection()
    url = f"{CONNECTIONS}/{connection.pk}"
    soon = (timezone.now() + timedelta(days=2)).isoformat()
    assert client_of().patch(url, {"credential_expires_at": soon}).json()["credential_state"] == "expiring"
    assert Incident.objects.get().severity == "error"
    assert client_of().patch(url, {"credential_expires_at": None}).json()["credential_state"] == "unknown"
    assert Incident.objects.get().status == "resolved"
    update_connection(connection, actor="api:zoe", display_name="Other")
    assert Incident.objects.count() == 1


@pytest.mark.parametrize(
    ("slug", "told", "expected"),
    [
        ("github", "2026-12-24 18:00:00 +0100", datetime(2026, 12, 24, 17, tzinfo=UTC)),
        ("github", "2026-12-24 18:00:00 UTC", datetime(2026, 12, 24, 18, tzinfo=UTC)),
        ("github", "", None),
        ("gitlab", datetime(2027, 1, 31, tzinfo=UTC), datetime(2027, 1, 31, tzinfo=UTC)),
    ],
)
def test_the_provider_knows_best(slug: str, told: Any, expected: datetime | None) -> None:
    world: Any = simulator_class(slug)(seed=1, faults=False)  # type: ignore[misc]
    world.token_ends = told
    by_hand = datetime(2030, 1, 1, tzinfo=UTC)
    with serving(world.handle) as server:
        connection = make_connection(
            slug,
            credential=dict(world.credential),
            settings=world.settings(server.url),
            enabled_capabilities={"polling": False},
            credential_expires_at=by_hand,
        )
        row = verify_connection(connection, actor="api:zoe")
    assert row.status == ConnectionStatus.ACTIVE
    assert row.credential_expires_at == (expected or by_hand)


@pytest.mark.parametrize("told", ["soon", "2026-13-40 10:00:00 UTC", "0001-01-01 00:00:00 +2359", "2026-12-24"])
def test_a_day_nobody_can_read_is_no_day(told: str) -> None:
    assert expiration(told) is None
