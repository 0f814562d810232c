"""Events over HTTP: reading, filtering, replaying, and envelopes handed in."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from connections.models import ConnectionStatus, IntegrationConnection
from connections.tenancy import SERVICE, TENANT_ADMIN, TENANT_READER
from events.models import AdapterEvent, DeliveryStatus, Source
from events.outbox import deliver_batch
from tests.api import EVENTS, client_of, error_of, pointers_of
from tests.factories import ACME, GLOBEX, make_connection, make_event
from tests.neighbours import Pm3Stub

pytestmark = pytest.mark.django_db

NORMALISED = "/internal/integrations/events/normalised"


def ids(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [row["event_id"] for row in response.json()["results"]]


def envelope(connection: IntegrationConnection, **values: Any) -> dict[str, Any]:
    return {
        "signal_id": str(uuid.uuid4()),
        "tenant_id": connection.tenant_id,
        "environment": "dev",
        "producer_id": str(connection.pk),
        "signal_kind": "event",
        "signal_type": "issue_created",
        "occurred_at": "2026-03-01T09:00:00Z",
        "ingested_at": "2026-03-01T09:00:01Z",
        "payload": {
            "provider_metadata": {
                "provider_id": "fake",
                "connection_id": str(connection.pk),
                "provider_event_type": "issue.created",
                "source": "api",
            },
            "canonical_keys": {"issue_key": "WEB-1"},
            "event_name": "issue_created",
            "severity": "info",
            "title": "Door sticks",
        },
        "schema_version": "1.0.0",
        **values,
    }


def test_an_event_is_listed_without_and_read_with_its_envelope() -> None:
    event = make_event(make_connection(), occurred_at=datetime(2026, 3, 1, 9, tzinfo=UTC))
    client = client_of(ACME, TENANT_READER)
    listed = client.get(EVENTS).json()["results"][0]
    assert "envelope" not in listed
    read = client.get(f"{EVENTS}/{event.pk}").json()
    assert read == {**listed, "envelope": read["envelope"]}
    assert read["status"] == "pending"
    assert read["signal_type"] == "issue_created"
    assert read["envelope"]["signal_id"] == read["signal_id"] == str(event.signal_id)
    assert read["envelope"]["payload"]["title"] == "Door sticks"


def test_an_ignored_event_has_neither_signal_nor_envelope() -> None:
    event = make_event(
        make_connection(), signal_type="", signal_id=None, delivery_status="ignored", ignored_reason="unknown"
    )
    read = client_of().get(f"{EVENTS}/{event.pk}").json()
    assert (read["signal_type"], read["signal_id"], read["envelope"]) == (None, None, None)
    assert (read["status"], read["ignored_reason"]) == ("ignored", "unknown")


def test_each_filter_finds_what_it_says() -> None:
    first, second = make_connection(), make_connection()
    long_ago = timezone.now() - timedelta(days=2)
    old = make_event(first, received_at=long_ago)
    dead = make_event(second, delivery_status="dead", source=Source.POLL, signal_type="issue_closed")
    client = client_of()
    yesterday = (timezone.now() - timedelta(days=1)).isoformat()
    assert ids(client.get(EVENTS)) == [str(dead.pk), str(old.pk)]
    for query, found in (
        ({"connection_id": str(first.pk)}, old),
        ({"status": "dead"}, dead),
        ({"source": "poll"}, dead),
        ({"signal_type": "issue_closed"}, dead),
        ({"since": yesterday}, dead),
        ({"until": yesterday}, old),
        ({"provider_id": "fake", "status": "pending"}, old),
    ):
        assert ids(client.get(EVENTS, query)) == [str(found.pk)], query
    assert ids(client.get(EVENTS, {"connection_id": str(uuid.uuid4())})) == []


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("status=lost", "/status"),
        ("source=pigeon", "/source"),
        ("connection_id=1", "/connection_id"),
        ("signal_type=Issue%20Created", "/signal_type"),
        ("signal_type=%00", "/signal_type"),
        ("since=yesterday", "/since"),
        ("until=2026-99-99T00:00:00Z", "/until"),
        ("type=push", "/type"),
    ],
)
def test_a_query_nobody_understands_is_refused(query: str, pointer: str) -> None:
    assert pointers_of(client_of().get(f"{EVENTS}?{query}")) == {pointer}


def test_a_delivered_event_is_delivered_again_as_the_same_signal(pm3: Pm3Stub) -> None:
    event = make_event(make_connection())
    assert deliver_batch().delivered == 1
    response = client_of().post(f"{EVENTS}/{event.pk}/replay")
    assert response.status_code == 202
    assert response.json() == {"event_id": str(event.pk), "status": "pending"}
    assert deliver_batch().delivered == 1
    assert pm3.arrivals[str(event.signal_id)] == 2
    assert len(pm3.signals) == 1


def test_an_ignored_event_cannot_be_replayed() -> None:
    event = make_event(make_connection(), delivery_status=DeliveryStatus.IGNORED, signal_type="")
    assert error_of(client_of().post(f"{EVENTS}/{event.pk}/replay"), 409)["code"] == "NOTHING_TO_DELIVER"


def test_readers_cannot_replay() -> None:
    event = make_event(make_connection())
    error_of(client_of(ACME, TENANT_READER).post(f"{EVENTS}/{event.pk}/replay"), 403)
    error_of(client_of(ACME, TENANT_READER).post(f"{EVENTS}/replay", {"status": "dead"}), 403)


@pytest.mark.parametrize("wrap", [False, True])
def test_a_replay_by_filter_touches_what_the_filter_finds_and_no_other_tenant(wrap: bool) -> None:
    mine, theirs = make_connection(), make_connection(tenant_id=GLOBEX)
    dead = make_event(mine, delivery_status="dead")
    ignored = make_event(mine, delivery_status="ignored")
    delivered = make_event(mine, delivery_status="delivered")
    foreign = make_event(theirs, delivery_status="dead")
    conditions = {"status": "dead", "provider_id": "fake", "since": "2026-01-01T00:00:00Z"}
    response = client_of().post(f"{EVENTS}/replay", {"filter": conditions} if wrap else conditions)
    assert (response.status_code, response.json()) == (202, {"count": 1})
    statuses = dict(AdapterEvent.objects.values_list("pk", "delivery_status"))
    assert statuses == {dead.pk: "pending", ignored.pk: "ignored", delivered.pk: "delivered", foreign.pk: "dead"}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"filter": {}}, ""),
        ({"status": "dead", "filter": {"source": "poll"}}, ""),
        ({"status": "lost"}, "/status"),
        ({"filter": {"status": "lost"}}, "/filter/status"),
        ({"since": "2026-01-01T00:00:00"}, "/since"),
        ({"since": 5}, "/since"),
        ({"provider_id": "nobody"}, "/provider_id"),
        ({"connection_id": "1"}, "/connection_id"),
        ({"tenant_id": GLOBEX}, "/tenant_id"),
    ],
)
def test_a_replay_needs_at_least_one_condition_it_understands(body: dict[str, Any], pointer: str) -> None:
    make_connection()
    assert pointers_of(client_of().post(f"{EVENTS}/replay", body)) == {pointer}


def test_envelopes_of_other_adapters_are_stored_once_and_delivered_as_they_are(pm3: Pm3Stub) -> None:
    connection = make_connection()
    sent = [envelope(connection), envelope(connection, signal_type="something_of_their_own")]
    client = client_of(ACME, SERVICE)
    response = client.post(NORMALISED, {"signals": sent})
    assert response.status_code == 202
    assert [r["status"] for r in response.json()["results"]] == ["accepted", "accepted"]
    assert [r["signal_id"] for r in response.json()["results"]] == [e["signal_id"] for e in sent]
    again = client.post(NORMALISED, sent[0]).json()["results"]
    assert again == [
        {"signal_id": sent[0]["signal_id"], "status": "duplicate", "error_code": None, "error_message": None}
    ]
    stored = AdapterEvent.objects.get(signal_id=sent[0]["signal_id"])
    assert (stored.source, stored.occurred_at) == (Source.API, datetime(2026, 3, 1, 9, tzinfo=UTC))
    assert deliver_batch().delivered == 2
    assert pm3.signals[sent[0]["signal_id"]] == sent[0]


def test_the_same_envelope_twice_in_one_request_is_one_signal() -> None:
    one = envelope(make_connection())
    results = client_of(ACME, SERVICE).post(NORMALISED, {"signals": [one, one]}).json()["results"]
    assert [r["status"] for r in results] == ["accepted", "duplicate"]
    assert AdapterEvent.objects.count() == 1


def test_each_bad_envelope_is_refused_by_itself() -> None:
    mine, theirs = make_connection(), make_connection(tenant_id=GLOBEX)
    suspended = make_connection(status=ConnectionStatus.SUSPENDED)
    sent = [
        envelope(mine),
        envelope(mine, tenant_id=GLOBEX),
        envelope(theirs, tenant_id=ACME),
        envelope(suspended),
        envelope(mine, producer_id=str(uuid.uuid4())),
        envelope(mine, payload={}),
        {"signal_id": 5},
        "not an object",
    ]
    results = client_of(ACME, SERVICE).post(NORMALISED, {"signals": sent}).json()["results"]
    assert [r["error_code"] for r in results] == [
        None,
        "TENANT_ISOLATION_VIOLATION",
        "UNKNOWN_PRODUCER",
        "UNKNOWN_PRODUCER",
        "UNKNOWN_PRODUCER",
        *["SCHEMA_VIOLATION"] * 3,
    ]
    assert AdapterEvent.objects.count() == 1


@pytest.mark.parametrize("body", [{"signals": []}, {"signals": {}}, {"signals": [{}] * 1001}])
def test_a_request_without_a_sensible_number_of_envelopes_is_refused(body: dict[str, Any]) -> None:
    assert pointers_of(client_of(ACME, SERVICE).post(NORMALISED, body)) == {"/signals"}


@pytest.mark.parametrize("role", [TENANT_ADMIN, TENANT_READER])
def test_only_services_hand_envelopes_in(role: str) -> None:
    error_of(client_of(ACME, role).post(NORMALISED, {"signals": []}), 403)
