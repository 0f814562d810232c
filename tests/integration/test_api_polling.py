"""Polling, backfills and health over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from connections.models import ConnectionStatus
from connections.tenancy import SERVICE, TENANT_ADMIN, TENANT_READER
from events.services import tally
from polling.models import Backfill, PollingCursor
from tests.api import CONNECTIONS, client_of, error_of, pointers_of
from tests.factories import ACME, make_connection, make_event

pytestmark = pytest.mark.django_db


def test_polling_now_makes_the_streams_due_and_the_state_shows_them() -> None:
    connection = make_connection()
    url = f"{CONNECTIONS}/{connection.pk}"
    response = client_of().post(f"{url}/poll")
    assert response.status_code == 202
    due = response.json()["cursors_due"]
    assert due == PollingCursor.objects.filter(next_poll_at__lte=timezone.now()).count() > 0
    state = client_of(ACME, TENANT_READER).get(f"{url}/polling").json()
    assert (state["status"], state["enabled"], len(state["streams"])) == ("active", True, due)
    assert state["streams"][0]["events_total"] == 0


def test_what_is_not_active_is_not_polled() -> None:
    connection = make_connection(status=ConnectionStatus.SUSPENDED)
    url = f"{CONNECTIONS}/{connection.pk}"
    error_of(client_of().post(f"{url}/poll"), 409)
    assert client_of().get(f"{url}/polling").json()["enabled"] is False
    window = {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}
    error_of(client_of().post(f"{url}/backfill", window), 409)


def test_a_backfill_is_taken_on_and_shown() -> None:
    connection = make_connection()
    url = f"{CONNECTIONS}/{connection.pk}"
    window = {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00+01:00"}
    response = client_of().post(f"{url}/backfill", window)
    assert response.status_code == 202, response.content
    told = response.json()
    assert (told["status"], told["progress_percent"], told["requested_by"]) == ("pending", 0, "api:zoe")
    assert client_of().get(f"{url}/polling").json()["backfills"][0]["backfill_id"] == told["backfill_id"]


@pytest.mark.parametrize(
    ("window", "pointers"),
    [
        ({}, {"/since", "/until"}),
        ({"since": "2026-01-01T00:00:00Z"}, {"/until"}),
        ({"since": "2026-01-01T00:00:00", "until": "2026-01-02T00:00:00Z"}, {"/since"}),
        ({"since": "yesterday", "until": 5}, {"/since", "/until"}),
        ({"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z", "x": 1}, {"/x"}),
    ],
)
def test_a_window_that_is_none_is_refused(window: dict[str, Any], pointers: set[str]) -> None:
    connection = make_connection()
    assert pointers_of(client_of().post(f"{CONNECTIONS}/{connection.pk}/backfill", window)) == pointers
    assert not Backfill.objects.exists()


@pytest.mark.parametrize(
    "window",
    [
        {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"since": "2026-01-02T00:00:00Z", "until": "2999-01-01T00:00:00Z"},
        {"since": "0001-01-01T00:00:00+14:00", "until": "0001-01-01T00:00:00-14:00"},
        {"since": "9999-12-31T23:59:59-14:00", "until": "9999-12-31T23:59:59-14:00"},
    ],
)
def test_a_window_that_cannot_be_is_refused(window: dict[str, Any]) -> None:
    connection = make_connection()
    error_of(client_of().post(f"{CONNECTIONS}/{connection.pk}/backfill", window), 400)


def test_health_tells_lag_backlog_and_where_everything_went() -> None:
    connection = make_connection()
    tally(connection.pk, received=2, duplicate=2)
    make_event(connection, received_at=timezone.now() - timedelta(seconds=90))
    make_event(connection, delivery_status="failed")
    make_event(connection, delivery_status="dead")
    make_event(connection, delivery_status="delivered")
    client_of().post(f"{CONNECTIONS}/{connection.pk}/poll")
    url = f"/internal/integrations/connections/{connection.pk}/health"
    health = client_of(ACME, SERVICE).get(url).json()
    assert 90 <= health["lag_seconds"] < 120
    assert health["backlog"] == 2
    counts = {"pending": 1, "failed": 1, "dead": 1, "delivered": 1, "ignored": 0, "duplicate": 2, "received": 6}
    assert health["events"] == counts
    assert (health["breaker"]["state"], health["breaker"]["retry_after_seconds"]) == ("closed", None)
    for quota in health["rate_limit"]:
        assert quota["remaining"] == quota["limit"], quota
        assert (quota["blocked_until"], quota["in_flight"]) == (None, 0)
    assert health["rate_limit"], "the fake provider declares a quota"
    assert len(health["streams"]) > 0
    for role in (TENANT_ADMIN, TENANT_READER):
        error_of(client_of(ACME, role).get(url), 403)
