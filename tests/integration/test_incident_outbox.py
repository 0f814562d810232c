"""Telling the alerting service: once, whatever fails between, against a real HTTP service that checks what it gets."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.db import connection as database
from django.db.models import F
from django.db.models.functions import Now

from connections import incident_outbox, outbox
from connections.incident_alerts import AlertingService
from connections.incident_outbox import send_due
from connections.incidents import CALM, CALM_LIMIT, Cause, resolve_incident
from connections.models import Incident
from connections.outbox import LEASE_SECONDS, Sent
from connections.secret_store import secret_store
from tests.factories import ACME, GLOBEX, make_connection
from tests.incidents import later, only, trouble
from tests.neighbours import AlertingStub

pytestmark = pytest.mark.django_db


def told_of(alerting: AlertingStub) -> list[str]:
    return [what for what, _ in alerting.told]


def test_without_an_alerting_service_the_table_is_all_there_is() -> None:
    trouble(make_connection())
    assert send_due() == Sent()
    assert (only().told, only().offered, only().attempts) == ("", False, 0)


def test_an_alert_is_raised_and_resolved_as_the_contract_says(alerting: AlertingStub) -> None:
    connection = make_connection(display_name="Acme's tools")
    trouble(connection)
    assert send_due() == Sent(claimed=1, taken=1)
    incident = only()
    alert = alerting.alerts[str(incident.pk)]
    assert alert == {
        "alert_id": str(incident.pk),
        "tenant_id": ACME,
        "source_module": "integration-adapters",
        "plane": "tenant_cloud",
        "environment": "dev",
        "component_id": str(connection.pk),
        "severity": "error",
        "category": "integration",
        "summary": "It is down.",
        "description": "See its status page.",
        "labels": {
            "cause": "provider_down",
            "provider_id": "fake",
            "connection": "Acme's tools",
            "occurrences": "1",
        },
        "started_at": incident.started_at.isoformat(),
        "ended_at": None,
        "dedup_key": f"{connection.pk}:provider_down",
        "status": "open",
    }
    assert send_due() == Sent()  # once
    resolve_incident(connection, Cause.PROVIDER_DOWN)
    later(CALM)
    assert send_due() == Sent(claimed=1, taken=1)
    assert [path for _, path, _ in alerting.requests] == ["/v1/alerts", f"/v1/alerts/{incident.pk}/resolve"]
    assert told_of(alerting) == ["raised", "resolved"]
    assert send_due() == Sent()


def test_each_tenant_speaks_with_a_token_of_its_own(alerting: AlertingStub) -> None:
    for tenant_id in (ACME, GLOBEX):
        trouble(make_connection(tenant_id=tenant_id))
    assert send_due().taken == 2
    for _, _, headers in alerting.requests:
        tenant_id, token = headers["x-tenant-id"], headers["authorization"].removeprefix("Bearer ")
        claims = jwt.decode(token, alerting.keys[tenant_id], algorithms=["HS256"])
        assert (claims["sub"], claims["tenant_id"]) == ("integration-adapters", tenant_id)
        assert claims["exp"] - claims["iat"] <= 600


def test_a_token_that_was_issued_is_sent_as_it_is(alerting: AlertingStub, settings: Any) -> None:
    issued = jwt.encode({"sub": "us", "tenant_id": ACME}, alerting.keys[ACME], algorithm="HS256")
    secret_store().put(ACME, issued, name="platform/alerting")
    trouble(make_connection())
    assert send_due().taken == 1
    assert alerting.requests[-1][2]["authorization"] == f"Bearer {issued}"
    secret_store().delete(GLOBEX, "platform/alerting")
    settings.PLATFORM_TOKEN = jwt.encode({"sub": "us", "tenant_id": GLOBEX}, alerting.keys[GLOBEX], algorithm="HS256")
    trouble(make_connection(tenant_id=GLOBEX))
    assert send_due().taken == 1
    assert alerting.requests[-1][2]["authorization"] == f"Bearer {settings.PLATFORM_TOKEN}"


@pytest.mark.parametrize("outage", [500, 503, 429])
def test_an_outage_over_there_costs_nothing_but_time(alerting: AlertingStub, outage: int) -> None:
    connection = make_connection()
    trouble(connection)
    alerting.outage = outage
    waits = []
    for number in range(1, 9):
        assert send_due() == Sent(claimed=1, failed=1)
        incident = only()
        assert incident.attempts == number
        assert str(outage) in incident.last_send_error
        left = Incident.objects.annotate(left=F("next_attempt_at") - Now()).get().left  # type: ignore[operator]
        waits.append(left.total_seconds())
        assert send_due() == Sent()
        later(left)
    assert all(2 <= wait <= 600 for wait in waits)
    assert waits[-1] > 4 * waits[0]
    alerting.outage = 0
    assert send_due().taken == 1
    assert (only().attempts, only().last_send_error) == (0, "")
    assert list(alerting.alerts) == [str(only().pk)]  # all tries told the same alert


def test_a_service_that_is_not_there_is_asked_once_a_run(settings: Any) -> None:
    settings.ALERTING_SERVICE_URL = "http://127.0.0.1:9"  # nothing listens on the discard port
    trouble(make_connection())
    trouble(make_connection())
    assert send_due() == Sent(claimed=2, failed=1, put_off=1)
    assert not Incident.objects.filter(next_attempt_at__lte=Now()).exists()
    first, second = Incident.objects.order_by("-attempts")
    assert (first.attempts, second.attempts) == (1, 0)
    assert "does not answer" in first.last_send_error


def test_an_answer_that_was_lost_makes_no_second_alert(alerting: AlertingStub) -> None:
    trouble(make_connection())
    alerting.take_then_drop = True
    assert send_due().failed == 1
    later(timedelta(minutes=1))
    assert send_due().taken == 1
    assert len(alerting.alerts) == 1
    assert told_of(alerting) == ["raised"]


def test_an_end_whose_beginning_may_have_arrived_is_told(alerting: AlertingStub) -> None:
    connection = make_connection()
    trouble(connection)
    alerting.take_then_drop = True
    send_due()
    resolve_incident(connection, Cause.PROVIDER_DOWN)
    later(CALM)
    assert send_due().taken == 1
    assert told_of(alerting) == ["raised", "resolved"]
    assert send_due() == Sent()


def test_what_was_over_before_it_could_be_told_is_not_told(alerting: AlertingStub) -> None:
    connection = make_connection()
    trouble(connection)
    resolve_incident(connection, Cause.PROVIDER_DOWN)
    later(CALM_LIMIT)
    assert send_due() == Sent()
    assert alerting.requests == []


def test_an_alert_over_there_that_is_unknown_is_over(alerting: AlertingStub) -> None:
    connection = make_connection()
    trouble(connection)
    send_due()
    alerting.alerts.clear()
    resolve_incident(connection, Cause.PROVIDER_DOWN)
    later(CALM)
    assert send_due().taken == 1
    assert send_due() == Sent()


def test_the_service_may_keep_it_under_an_id_of_its_own(
    alerting: AlertingStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = make_connection()
    trouble(connection)
    taken, ours = alerting.handle, str(only().pk)

    def renamed(method: str, path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        status, answer = taken(method, path.replace("of%2Ftheirs", ours), headers, body)
        return status, {**answer, "alert_id": "of/theirs"}

    monkeypatch.setattr(alerting, "handle", renamed)
    send_due()
    assert only().alert_id == "of/theirs"
    resolve_incident(connection, Cause.PROVIDER_DOWN)
    later(CALM)
    assert send_due().taken == 1
    assert told_of(alerting) == ["raised", "resolved"]


@pytest.mark.parametrize("answer", [{}, [], "ok", {"alert_id": None}, {"alert_id": 7}, {"alert_id": "x" * 101}])
def test_an_answer_that_is_not_understood_is_no_success(
    alerting: AlertingStub, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    trouble(make_connection())
    monkeypatch.setattr(alerting, "handle", lambda *_: (200, answer))
    assert send_due().failed == 1
    assert "not understood" in only().last_send_error


def test_a_refusal_is_of_one_message_and_the_others_go_on(alerting: AlertingStub) -> None:
    trouble(make_connection())
    trouble(make_connection(tenant_id=GLOBEX))
    alerting.keys[ACME] = "another key than ours".ljust(32, "-")
    assert send_due() == Sent(claimed=2, taken=1, failed=1)
    refused = Incident.objects.get(tenant_id=ACME)
    assert "401" in refused.last_send_error
    assert "token" in refused.last_send_error


@pytest.mark.parametrize("secret", ["", "-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----"])
def test_a_secret_that_is_no_key_stops_its_tenant_only(alerting: AlertingStub, secret: str) -> None:
    secret_store().put(ACME, secret, name="platform/alerting")
    trouble(make_connection())
    trouble(make_connection(tenant_id=GLOBEX))
    assert send_due() == Sent(claimed=2, taken=1, failed=1)
    row = Incident.objects.get(tenant_id=ACME)
    assert "platform/alerting" in row.last_send_error
    assert row.lease_token is None


@pytest.mark.parametrize("secret", ["e30.e30.\u20ac", "eyJhbGciOiJIUzI1NiJ9.e30.e30\n"])
def test_a_token_that_cannot_be_sent_stops_its_tenant_only(alerting: AlertingStub, secret: str) -> None:
    secret_store().put(ACME, secret, name="platform/alerting")
    trouble(make_connection())
    trouble(make_connection(tenant_id=GLOBEX))
    assert send_due() == Sent(claimed=2, taken=1, failed=1)


def test_a_fault_of_our_own_stops_one_message_only(alerting: AlertingStub, monkeypatch: pytest.MonkeyPatch) -> None:
    trouble(make_connection())
    trouble(make_connection(tenant_id=GLOBEX))
    usual = AlertingService.raise_alert

    def faulty(self: AlertingService, incident: Incident) -> str:
        if incident.tenant_id == ACME:
            raise RuntimeError("a secret may be in here")
        return usual(self, incident)

    monkeypatch.setattr(AlertingService, "raise_alert", faulty)
    assert send_due() == Sent(claimed=2, taken=1, failed=1)
    row = Incident.objects.get(tenant_id=ACME)
    assert (row.last_send_error, row.lease_token) == ("It could not be told (RuntimeError).", None)


def test_the_end_is_given_up_after_a_day_and_the_beginning_never(alerting: AlertingStub) -> None:
    ours, theirs = make_connection(), make_connection(tenant_id=GLOBEX)
    for connection in (ours, theirs):
        trouble(connection)
    assert send_due().taken == 2
    Incident.objects.filter(tenant_id=GLOBEX).update(told="", next_attempt_at=Now())
    resolve_incident(ours, Cause.PROVIDER_DOWN)
    alerting.outage = 400
    for _ in range(4):
        later(timedelta(hours=8))
        send_due()
    assert Incident.objects.get(tenant_id=ACME).next_attempt_at is None
    assert Incident.objects.get(tenant_id=GLOBEX).next_attempt_at is not None


def test_trouble_that_comes_and_goes_every_minute_is_one_alert_that_stays_open(alerting: AlertingStub) -> None:
    connection = make_connection()
    for _ in range(40):
        trouble(connection)
        send_due()
        later(timedelta(seconds=30))
        resolve_incident(connection, Cause.PROVIDER_DOWN)
        send_due()
        later(timedelta(seconds=30))
    assert only().reopened == 39
    assert told_of(alerting) == ["raised"]
    assert len(alerting.requests) == 1
    later(CALM_LIMIT)
    assert send_due().taken == 1
    assert told_of(alerting) == ["raised", "resolved"]


def test_the_longer_it_flaps_the_less_is_told(alerting: AlertingStub) -> None:
    connection = make_connection()
    for _ in range(60):  # ten hours in which it works for five minutes of every ten
        trouble(connection)
        send_due()
        later(timedelta(minutes=5))
        resolve_incident(connection, Cause.PROVIDER_DOWN)
        later(timedelta(minutes=5))
        send_due()
    assert told_of(alerting) == ["raised", "resolved"] * 2 + ["raised"]
    assert set(alerting.alerts) == {str(only().pk)}


def claimed() -> tuple[uuid.UUID, Incident]:
    """A message some sender has begun."""
    token = uuid.uuid4()
    (row,) = incident_outbox._claim(token)
    return token, row


def test_an_incident_that_ends_while_it_is_told_is_resolved_afterwards(alerting: AlertingStub) -> None:
    connection = make_connection()
    trouble(connection)
    token, row = claimed()
    resolve_incident(connection, Cause.PROVIDER_DOWN)
    assert send_due() == Sent()  # somebody is at it
    alert_id = AlertingService(alerting.url, 5.0).raise_alert(row)
    assert incident_outbox._mark_taken(row, token, alert_id) == 1
    assert (only().told, only().status) == ("open", "resolved")
    later(CALM)
    assert send_due().taken == 1
    assert told_of(alerting) == ["raised", "resolved"]


def test_an_incident_that_comes_back_while_its_end_is_told_is_raised_again(alerting: AlertingStub) -> None:
    connection = make_connection()
    trouble(connection)
    send_due()
    resolve_incident(connection, Cause.PROVIDER_DOWN)
    later(CALM)
    token, row = claimed()
    trouble(connection)
    AlertingService(alerting.url, 5.0).resolve_alert(row)
    assert incident_outbox._mark_taken(row, token, row.alert_id) == 1
    assert send_due().taken == 1
    assert told_of(alerting) == ["raised", "resolved", "raised"]
    assert list(alerting.alerts) == [str(only().pk)]


def test_what_a_sender_that_died_had_begun_another_one_tells(alerting: AlertingStub) -> None:
    trouble(make_connection())
    token, row = claimed()
    later(timedelta(seconds=LEASE_SECONDS + 1))
    assert send_due() == Sent(claimed=1, taken=1)
    # The first one was only slow: what it says now changes nothing.
    assert incident_outbox._mark_taken(row, token, "late") == 0
    assert (only().alert_id, only().attempts) == (str(only().pk), 0)
    assert send_due() == Sent()


def test_tenants_take_turns_and_a_run_is_bounded(alerting: AlertingStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incident_outbox, "MESSAGES_A_RUN", 5)
    for _ in range(8):
        trouble(make_connection())
    later(timedelta(hours=1))
    trouble(make_connection(tenant_id=GLOBEX))
    assert send_due() == Sent(claimed=5, taken=5)
    assert Incident.objects.get(tenant_id=GLOBEX).told == "open"
    assert [send_due().taken for _ in range(2)] == [4, 0]


def test_what_a_run_has_no_time_for_is_left_for_the_next(
    alerting: AlertingStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        trouble(make_connection())
    monkeypatch.setattr(outbox, "RUN_SECONDS", 0.0)
    assert send_due() == Sent(claimed=3, put_off=3)
    assert Incident.objects.filter(next_attempt_at__lte=Now(), attempts=0, lease_token=None).count() == 3
    monkeypatch.undo()
    assert send_due() == Sent(claimed=3, taken=3)


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_service_is_asked(
    alerting: AlertingStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    post = AlertingService._post

    def watched(self: AlertingService, *args: Any) -> Any:
        seen.append(database.in_atomic_block)
        return post(self, *args)

    monkeypatch.setattr(AlertingService, "_post", watched)
    trouble(make_connection())
    assert send_due().taken == 1
    assert seen == [False]
