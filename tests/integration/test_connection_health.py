"""/internal/integrations/connections/{id}/health: last success, error counts, breaker, rate limits and lag."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from connections import breaker
from connections.health import call_failed
from connections.models import IntegrationConnection, record_success
from connections.tenancy import SERVICE
from connections.verification import verify_connection
from providers.errors import AuthFailed, ProviderFault
from tests.api import client_of, error_of
from tests.factories import ACME, GLOBEX, make_action, make_connection, make_event
from tests.polling_provider import Ledger, ledger_connection, poll

pytestmark = pytest.mark.django_db


def health_of(connection: IntegrationConnection) -> dict[str, Any]:
    url = f"/internal/integrations/connections/{connection.pk}/health"
    error_of(client_of(GLOBEX, SERVICE).get(url), 404)
    response = client_of(ACME, SERVICE).get(url)
    assert response.status_code == 200, response.content
    told: dict[str, Any] = response.json()
    return told


def test_a_new_connection_has_no_trouble() -> None:
    told = health_of(make_connection(status="pending_verification"))
    assert (told["status"], told["last_success_at"], told["verification"]) == ("pending_verification", None, None)
    assert set(told["error_counts"].values()) == {0}
    assert set(told["actions"].values()) == {0}
    assert told["breaker"] == {
        "state": "closed",
        "held": False,
        "failures": 0,
        "opened_at": None,
        "retry_after_seconds": None,
        "last_error": "",
    }
    assert told["credential"] == {"state": "unknown", "expires_at": None}


def test_failures_of_every_road_are_counted_and_a_success_ends_the_row(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.outage = 503
    poll(connection)
    call_failed(connection, AuthFailed("Refused (401).", status=401), actor="system:actions")
    make_action(connection, status="failed")
    make_action(connection, status="needs_review")
    make_event(connection, delivery_status="dead")
    told = health_of(connection)
    assert told["error_counts"] == {
        "consecutive_failures": 2,
        "consecutive_refusals": 1,
        "failures_total": 2,
        "streams_failing": 1,
        "events_failed": 0,
        "events_dead": 1,
    }
    assert told["actions"] == {"pending": 0, "processing": 0, "completed": 0, "failed": 1, "needs_review": 1}
    assert told["last_error"] == "Refused (401)."
    now = timezone.now()
    record_success(connection.pk, now)
    told = health_of(connection)
    assert (told["error_counts"]["consecutive_failures"], told["error_counts"]["failures_total"]) == (0, 2)
    assert told["last_success_at"]


def test_an_open_breaker_is_shown_with_its_time() -> None:
    connection = make_connection()
    for _ in range(breaker.OPENS_AFTER):
        breaker.failed(breaker.admit(connection), ProviderFault("The provider failed (503).", status=503))
    told = health_of(connection)["breaker"]
    assert (told["state"], told["failures"], told["held"]) == ("open", breaker.OPENS_AFTER, False)
    assert 0 < told["retry_after_seconds"] <= breaker.RESTS_SECONDS
    assert "503" in told["last_error"]


def test_how_far_behind_each_stream_is_and_what_waits_is_shown(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    poll(connection)
    make_event(connection, received_at=timezone.now() - timedelta(seconds=120))
    told = health_of(connection)
    assert [stream["stream"] for stream in told["streams"]] == ["entries"]
    assert told["streams"][0]["lag_seconds"] < 60
    assert told["lag_seconds"] >= 120
    assert told["backlog"] == 1


def test_the_step_that_failed_is_named(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.answers = [(401, {})]
    verify_connection(connection, actor="api:zoe")
    told = health_of(connection)["verification"]
    assert (told["outcome"], told["failed_step"]) == ("failed", "first_read")
