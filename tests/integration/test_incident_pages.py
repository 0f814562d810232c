"""Incidents as people and clients see them: the API, the admin, the first page, the metrics, the settings."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from connections.checks import check_alerting
from connections.incident_outbox import send_due
from connections.incidents import Cause, resolve_incident
from connections.models import Incident, IntegrationConnection
from tests.api import CONNECTIONS, client_of, error_of
from tests.factories import ACME, GLOBEX, make_connection
from tests.incidents import only, trouble
from tests.neighbours import AlertingStub
from tests.staff import auditor, list_of, operator, page_of

pytestmark = pytest.mark.django_db


def test_the_api_lists_incidents_of_a_connection_newest_first() -> None:
    connection = make_connection()
    trouble(connection, Cause.PROVIDER_DOWN)
    trouble(connection, Cause.RATE_LIMITED, summary="Too many calls.")
    trouble(make_connection(), Cause.PROVIDER_DOWN)
    resolve_incident(connection, Cause.PROVIDER_DOWN)
    path = f"{CONNECTIONS}/{connection.pk}/incidents"
    newest, oldest = client_of().get(path).json()["results"]
    assert (newest["cause"], newest["status"], newest["summary"]) == ("rate_limited", "open", "Too many calls.")
    assert (oldest["cause"], oldest["status"], oldest["resolution"]) == (
        "provider_down",
        "resolved",
        "It works again.",
    )
    (only_open,) = client_of().get(path, {"status": "open"}).json()["results"]
    assert only_open["incident_id"] == newest["incident_id"]
    page = client_of().get(path, {"page_size": 1}).json()
    assert len(page["results"]) == 1
    assert page["next"]
    error_of(client_of().get(path, {"status": "asleep"}), 400)
    error_of(client_of(GLOBEX).get(path), 404)


def test_staff_read_what_is_wrong_what_to_do_and_what_was_told(alerting: AlertingStub) -> None:
    connection = make_connection(display_name="Payments")
    trouble(connection, summary="Payments: it is down.")
    client = auditor()
    page = client.get(page_of(only())).content.decode()
    for words in ("Payments: it is down.", "See its status page.", "open, error", "Nothing yet."):
        assert words in page
    send_due()
    assert "That it is open." in client.get(page_of(only())).content.decode()
    resolve_incident(connection, Cause.PROVIDER_DOWN)
    page = client.get(page_of(only())).content.decode()
    assert "It works again." in page
    assert "Next message" in page
    assert "Payments: it is down." in client.get(page_of(connection)).content.decode()


def test_staff_see_that_the_alerting_service_was_not_told_and_why(alerting: AlertingStub) -> None:
    trouble(make_connection())
    alerting.outage = 503
    send_due()
    client = operator()
    for address in (list_of(Incident), page_of(only())):
        assert "cannot take messages now (503)" in client.get(address).content.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"status": "open"}, {ACME}),
        ({"status": "resolved"}, {GLOBEX}),
        ({"severity": "error"}, {ACME, GLOBEX}),
        ({"severity": "critical"}, set()),
        ({"cause": "provider_down"}, {ACME}),
        ({"provider": "fake"}, {ACME, GLOBEX}),
    ],
)
def test_the_list_is_filtered(query: dict[str, str], found: set[str]) -> None:
    trouble(make_connection())
    other = make_connection(tenant_id=GLOBEX)
    trouble(other, Cause.CREDENTIAL_REFUSED)
    resolve_incident(other, Cause.CREDENTIAL_REFUSED)
    shown = operator().get(list_of(Incident), query).context["cl"].result_list
    assert {row.tenant_id for row in shown} == found


def test_the_first_page_says_how_many_are_open() -> None:
    connection = make_connection()
    client = operator()
    assert "nothing is in trouble" in client.get("/admin/").content.decode()
    trouble(connection)
    assert "newest began" in client.get("/admin/").content.decode()


def test_open_and_untold_incidents_are_gauges(alerting: AlertingStub) -> None:
    for _ in range(2):
        trouble(make_connection())
    resolve_incident(IntegrationConnection.objects.first(), Cause.PROVIDER_DOWN)  # type: ignore[arg-type]
    alerting.outage = 503
    send_due()
    text = Client().get("/metrics").content.decode()
    assert 'integration_incidents_open{cause="provider_down",provider="fake"} 1.0' in text
    assert "integration_incidents_untold 1.0" in text
    assert "# HELP integration_incidents_raised_total" in text


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("ALERTING_SERVICE_URL", "alerts.example.com", "connections.E001"),
        ("ALERTING_SERVICE_URL", "ftp://alerts.example.com", "connections.E001"),
        ("ALERTING_SERVICE_URL", "https://[alerts", "connections.E001"),
        ("ALERTING_TIMEOUT_SECONDS", 0.0, "connections.E002"),
        ("ALERTING_TIMEOUT_SECONDS", 60.0, "connections.E002"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_boot(settings: Any, name: str, value: Any, problem: str) -> None:
    settings.ALERTING_SERVICE_URL = "https://alerts.example.com"
    assert check_alerting() == []
    setattr(settings, name, value)
    assert [found.id for found in check_alerting()] == [problem]
