"""What is counted, and that its labels stay few."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from prometheus_client import REGISTRY

from connections.runtime import client_for
from connections.services import verify_connection
from connections.tenancy import SERVICE
from events.models import Source
from events.services import record
from providers.adapters.fake.simulator import Simulator
from providers.canonical import SignalType
from providers.spi import ProviderEvent
from tests.api import CONNECTIONS, client_of
from tests.contract.provider_server import serving
from tests.factories import ACME, make_connection, make_event
from tests.integration.test_api_events import NORMALISED, envelope

pytestmark = pytest.mark.django_db


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_requests_are_counted_by_route_and_the_backlog_is_shown() -> None:
    connection = make_connection()
    make_event(connection)
    make_event(connection, delivery_status="failed")
    client_of().get(f"{CONNECTIONS}/{connection.pk}")
    client_of().get("/v1/some/where/else")
    text = Client().get("/metrics").content.decode()
    route = "v1/integrations/connections/<uuid:connection_id>"
    assert re.search(
        rf'http_request_duration_seconds_count{{method="GET",route="{re.escape(route)}",status="200"}}', text
    )
    assert 'route="unmatched"' in text
    assert str(connection.pk) not in text
    assert 'integration_delivery_backlog{provider="fake",status="pending"} 1.0' in text
    assert 'integration_delivery_backlog{provider="fake",status="failed"} 1.0' in text
    assert 'integration_delivery_lag_seconds{provider="fake"}' in text
    assert 'integration_connections{provider="fake",status="active"} 1.0' in text


@pytest.mark.parametrize("name", ["events", "provider_calls", "webhooks", "polls", "budget_refusals"])
def test_each_counter_is_served_with_its_meaning(name: str) -> None:
    assert f"# HELP integration_{name}_total" in Client().get("/metrics").content.decode()


def test_an_event_is_counted_once_by_its_type() -> None:
    connection = make_connection()
    event = ProviderEvent(event_type="issue.created", dedupe_key="1", payload={}, signal_type=SignalType.ISSUE_CREATED)
    ignored = ProviderEvent(event_type="star", dedupe_key="2", payload={}, ignored_reason="unknown")
    before = [_events("issue_created"), _events("ignored")]
    for _ in range(2):
        record(connection, [event, ignored], Source.WEBHOOK)
    assert [_events("issue_created"), _events("ignored")] == [before[0] + 1, before[1] + 1]


def test_a_type_made_up_by_a_client_is_no_label() -> None:
    connection = make_connection()
    before = _events("other", source="api")
    body = envelope(connection, signal_type="made_up_by_a_client")
    client_of(ACME, SERVICE).post(NORMALISED, body)
    assert _events("other", source="api") == before + 1
    assert "made_up_by_a_client" not in Client().get("/metrics").content.decode()


def test_provider_calls_are_counted_by_outcome() -> None:
    with serving(Simulator(seed=1, faults=False).handle) as server:
        good = make_connection(credential=dict(Simulator.credential), settings={"base_url": server.url})
        bad = make_connection(settings={"base_url": server.url})
        before = [_calls("ok"), _calls("auth"), _calls("network")]
        verify_connection(good, actor="staff:ravi")
        verify_connection(bad, actor="staff:ravi")
    verify_connection(good, actor="staff:ravi")
    # What is good is asked who it is, and for a first page.
    assert [_calls("ok"), _calls("auth"), _calls("network")] == [before[0] + 2, before[1] + 1, before[2] + 1]


def test_a_scrape_adds_up_all_processes(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    response = Client().get("/metrics")
    assert response.status_code == 200
    assert "integration_connections" in response.content.decode()


def test_a_client_made_for_a_connection_is_the_counted_one() -> None:
    connection = make_connection(settings={"base_url": "http://127.0.0.1:1"})
    before = _calls("network")
    with client_for(connection) as client, pytest.raises(Exception, match="No answer"):
        client.get("/me")
    assert _calls("network") == before + 1


def _events(signal_type: str, source: str = "webhook") -> float:
    labels = {"provider": "fake", "tenant": ACME, "source": source, "signal_type": signal_type}
    return value("integration_events_total", **labels)


def _calls(outcome: str) -> float:
    return value("integration_provider_calls_total", provider="fake", tenant=ACME, outcome=outcome)
