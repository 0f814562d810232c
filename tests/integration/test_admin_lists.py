"""Lists of the admin: every one opens, filters and searches without counting, scanning or asking a row at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import connection as database
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from actions.models import NormalisedAction
from connections import history
from connections.breaker_models import ConnectionBreaker
from connections.breaker_overrides import force_open
from connections.models import ConnectionHistory, ConnectionStatus, Incident, IntegrationConnection, Receipt
from events.models import AdapterEvent, DeliveryAttempt, DeliveryGap, DeliveryStatus, Source
from integration_adapters.roles import AUDITOR, OPERATOR
from polling.models import Backfill, PollingCursor
from providers.console.filters import first_key_at
from tests.extent import extent
from tests.factories import (
    ACME,
    GLOBEX,
    make_action,
    make_connection,
    make_event,
    make_gap,
    make_missed,
    make_quarantined,
    make_registration,
    make_rejection,
    make_watched_hook,
)
from tests.incidents import trouble
from tests.receipts import emit
from tests.staff import list_of, operator, page_of, signed_in
from webhooks.models import MissedDelivery, QuarantinedDelivery, RejectedDelivery, WatchedHook, WebhookRegistration

pytestmark = pytest.mark.django_db


def make_cursor(connection: IntegrationConnection, **values: Any) -> PollingCursor:
    return PollingCursor.objects.create(
        **{
            "tenant_id": connection.tenant_id,
            "connection": connection,
            "stream": "issues",
            "started_from": timezone.now(),
            "next_poll_at": timezone.now(),
            "interval_seconds": 60,
            **values,
        }
    )


def test_a_date_that_is_none_is_said_and_shows_nothing() -> None:
    make_event(make_connection())
    client = operator()
    answer = client.get(list_of(AdapterEvent), {"received_at_from_0": "yesterday"})
    assert not answer.context["cl"].result_list
    assert "yesterday 00:00:00 is no date" in answer.content.decode()


def make_backfill(connection: IntegrationConnection, **values: Any) -> Backfill:
    now = timezone.now()
    return Backfill.objects.create(
        **{
            "tenant_id": connection.tenant_id,
            "connection": connection,
            "since": now - timedelta(days=2),
            "until": now - timedelta(days=1),
            "next_run_at": now,
            **values,
        }
    )


def make_history(connection: IntegrationConnection) -> ConnectionHistory:
    history.record(connection, "suspended", actor="staff:zoe")
    return ConnectionHistory.objects.latest("entry_id")


def make_attempt(connection: IntegrationConnection) -> DeliveryAttempt:
    event = make_event(connection)
    return DeliveryAttempt.objects.create(
        tenant_id=connection.tenant_id, event=event, number=1, error_code="http_503", error="answered 503"
    )


def make_incident(connection: IntegrationConnection) -> Incident:
    trouble(connection)
    return Incident.objects.latest("incident_id")


def make_breaker(connection: IntegrationConnection) -> ConnectionBreaker:
    force_open(connection.pk, actor="staff:zoe")
    return ConnectionBreaker.objects.get(pk=connection.pk)


MAKERS: dict[type[Model], Callable[[IntegrationConnection], Model]] = {
    IntegrationConnection: lambda row: row,
    WebhookRegistration: lambda row: make_registration(row)[0],
    RejectedDelivery: lambda row: make_rejection(make_registration(row)[0]),
    QuarantinedDelivery: lambda row: make_quarantined(make_registration(row)[0]),
    PollingCursor: make_cursor,
    Backfill: make_backfill,
    AdapterEvent: make_event,
    DeliveryAttempt: make_attempt,
    NormalisedAction: make_action,
    ConnectionHistory: make_history,
    Incident: make_incident,
    Receipt: emit,
    ConnectionBreaker: make_breaker,
    DeliveryGap: make_gap,
    WatchedHook: lambda row: make_watched_hook(make_registration(row)[0]),
    MissedDelivery: lambda row: make_missed(make_watched_hook(make_registration(row)[0])),
}
EVIDENCE = [
    Incident,
    Receipt,
    ConnectionBreaker,
    AdapterEvent,
    DeliveryAttempt,
    ConnectionHistory,
    RejectedDelivery,
    QuarantinedDelivery,
    DeliveryGap,
    WatchedHook,
    MissedDelivery,
]
models = pytest.mark.parametrize("model", MAKERS, ids=lambda model: model._meta.model_name)
# For what all pages have from the same base class.
some_models = pytest.mark.parametrize(
    "model", extent([*MAKERS][::3], [*MAKERS]), ids=lambda model: model._meta.model_name
)
SEARCHED = [model for model, page in admin.site._registry.items() if page.search_fields]


def queries_of(client: Client, address: str) -> list[str]:
    with CaptureQueriesContext(
        database,
    ) as captured:
        assert client.get(address).status_code == 200
    return [query["sql"] for query in captured.captured_queries]


def rows_of(response: Any) -> set[Any]:
    return {row.pk for row in response.context["cl"].result_list}


@models
def test_a_list_costs_the_same_number_of_queries_for_two_rows_and_for_twenty(model: type[Model]) -> None:
    client = operator()
    for _ in range(2):
        MAKERS[model](make_connection())
    few = queries_of(client, list_of(model))
    for _ in range(18):
        MAKERS[model](make_connection())
    assert len(queries_of(client, list_of(model))) == len(few)


@some_models
def test_a_list_counts_nothing_and_reads_by_primary_key(model: type[Model]) -> None:
    MAKERS[model](make_connection())
    queries = queries_of(operator(), list_of(model))
    table = model._meta.db_table
    assert not [sql for sql in queries if "COUNT(" in sql and table in sql]
    (listing,) = [sql for sql in queries if f'FROM "{table}"' in sql and "LIMIT" in sql]
    assert f'ORDER BY "{table}"."{model._meta.pk.column}" DESC' in listing


def test_the_list_of_events_leaves_payloads_in_the_database() -> None:
    make_event(make_connection())
    queries = queries_of(operator(), list_of(AdapterEvent))
    assert not [sql for sql in queries if '"adapter_events"."payload"' in sql]


@pytest.mark.parametrize("role", [OPERATOR, AUDITOR])
@models
def test_both_roles_open_every_list_and_every_row(model: type[Model], role: str) -> None:
    client = signed_in(role)
    row = MAKERS[model](make_connection(last_error="refused", last_error_at=timezone.now()))
    assert client.get(list_of(model)).status_code == 200
    page = client.get(page_of(row))
    assert page.status_code == 200
    assert str(row.pk) in page.content.decode()


def test_every_page_of_the_console_opens_for_a_superuser(admin_client: Client) -> None:
    make_connection()
    for model in admin.site._registry:
        assert admin_client.get(list_of(model)).status_code == 200, model


@pytest.mark.parametrize("model", EVIDENCE, ids=lambda model: model._meta.model_name)
def test_evidence_can_not_be_added_changed_or_deleted_even_by_a_superuser(
    model: type[Model], admin_client: Client
) -> None:
    row = MAKERS[model](make_connection())
    assert admin_client.get(list_of(model, "add")).status_code == 403
    assert admin_client.post(page_of(row), {"tenant_id": "other"}).status_code == 403
    assert admin_client.post(page_of(row, "delete"), {"post": "yes"}).status_code == 403
    admin_client.post(list_of(model), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert model._default_manager.get(pk=row.pk).tenant_id == ACME  # type: ignore[attr-defined]


@some_models
def test_lists_filter_by_tenant(model: type[Model]) -> None:
    ours = MAKERS[model](make_connection(tenant_id=ACME))
    MAKERS[model](make_connection(tenant_id=GLOBEX))
    assert rows_of(operator().get(list_of(model), {"tenant": ACME})) == {ours.pk}


@pytest.mark.parametrize(
    "model", [m for m in MAKERS if m not in (IntegrationConnection, DeliveryAttempt)], ids=lambda m: m._meta.model_name
)
def test_lists_filter_by_connection_and_a_broken_id_finds_nothing(model: type[Model]) -> None:
    connection = make_connection()
    ours = MAKERS[model](connection)
    MAKERS[model](make_connection())
    client = operator()
    assert rows_of(client.get(list_of(model), {"connection": str(connection.pk)})) == {ours.pk}
    assert rows_of(client.get(list_of(model), {"connection": "not-an-id"})) == set()


@pytest.mark.parametrize(
    "model",
    [IntegrationConnection, WebhookRegistration, PollingCursor, Backfill, AdapterEvent, NormalisedAction, Incident],
    ids=lambda model: model._meta.model_name,
)
def test_lists_filter_by_provider(model: type[Model]) -> None:
    ours = MAKERS[model](make_connection("fake"))
    client = operator()
    assert rows_of(client.get(list_of(model), {"provider": "fake"})) == {ours.pk}
    assert rows_of(client.get(list_of(model), {"provider": "jira"})) == set()


def test_events_filter_by_status_and_source() -> None:
    connection = make_connection()
    dead = make_event(connection, delivery_status=DeliveryStatus.DEAD)
    polled = make_event(connection, source=Source.POLL)
    client = operator()
    assert rows_of(client.get(list_of(AdapterEvent), {"status": "dead"})) == {dead.pk}
    assert rows_of(client.get(list_of(AdapterEvent), {"source": "poll"})) == {polled.pk}


def test_a_span_of_time_is_a_range_of_keys() -> None:
    connection = make_connection()
    hours_ago = timezone.now() - timedelta(hours=5)
    old = make_event(connection, event_id=first_key_at(hours_ago), received_at=hours_ago)
    new = make_event(connection)
    client = operator()
    assert rows_of(client.get(list_of(AdapterEvent), {"within": "1h"})) == {new.pk}
    assert rows_of(client.get(list_of(AdapterEvent), {"within": "24h"})) == {old.pk, new.pk}
    span = {
        "received_at_from_0": f"{hours_ago - timedelta(minutes=1):%Y-%m-%d}",
        "received_at_from_1": f"{hours_ago - timedelta(minutes=1):%H:%M:%S}",
        "received_at_to_0": f"{hours_ago + timedelta(minutes=1):%Y-%m-%d}",
        "received_at_to_1": f"{hours_ago + timedelta(minutes=1):%H:%M:%S}",
    }
    assert rows_of(client.get(list_of(AdapterEvent), span)) == {old.pk}
    listing = next(sql for sql in queries_of(client, f"{list_of(AdapterEvent)}?within=1h") if "LIMIT" in sql)
    assert '"received_at" >' not in listing


def test_connections_that_are_deleted_are_listed_only_when_asked_for() -> None:
    present, gone = make_connection(), make_connection(status=ConnectionStatus.DELETED)
    client = operator()
    assert rows_of(client.get(list_of(IntegrationConnection))) == {present.pk}
    assert rows_of(client.get(list_of(IntegrationConnection), {"status": "deleted"})) == {gone.pk}


def test_connections_are_found_by_id_tenant_and_the_beginning_of_their_name() -> None:
    ours = make_connection(display_name="Payments repos")
    make_connection(tenant_id=GLOBEX, display_name="Old payments")
    client = operator()
    for term in (str(ours.pk), ACME, "payments"):
        assert rows_of(client.get(list_of(IntegrationConnection), {"q": term})) == {ours.pk}, term
    assert rows_of(client.get(list_of(IntegrationConnection), {"q": "nothing"})) == set()


def test_events_are_found_by_their_ids() -> None:
    event = make_event(make_connection(), correlation_id="delivery-7")
    make_event(make_connection())
    client = operator()
    for term in (str(event.pk), str(event.signal_id), str(event.connection_id), "delivery-7"):
        assert rows_of(client.get(list_of(AdapterEvent), {"q": term})) == {event.pk}, term


def test_the_page_of_an_event_shows_envelope_payload_attempts_and_its_connection() -> None:
    connection = make_connection()
    event = make_event(
        connection,
        delivery_status=DeliveryStatus.FAILED,
        attempts=1,
        last_error="The ingestion service answered 503.",
        payload={"type": "issue.created", "issue": {"key": "WEB-77", "title": "Door sticks"}},
    )
    DeliveryAttempt.objects.create(
        tenant_id=ACME, event=event, number=1, error_code="http_503", error="First attempt: answered 503."
    )
    page = operator().get(page_of(event)).content.decode()
    assert "&quot;signal_type&quot;: &quot;issue_created&quot;" in page
    assert "&quot;title&quot;: &quot;Door sticks&quot;" in page
    assert "First attempt: answered 503." in page
    assert page_of(connection) in page


def test_markup_in_what_a_provider_sent_stays_text() -> None:
    event = make_event(
        make_connection(display_name="<b>bold</b>", last_error="<img src=x>"),
        provider_event_type="<script>alert(1)</script>",
        last_error="<script>alert(2)</script>",
        payload={"title": "</pre><script>alert(3)</script>"},
    )
    client = operator()
    for address in (page_of(event), list_of(AdapterEvent), list_of(IntegrationConnection), page_of(event.connection)):
        page = client.get(address).content.decode()
        assert "<script>alert(" not in page
        assert "<b>bold" not in page
        assert "<img src=x>" not in page


@pytest.mark.parametrize("model", extent(SEARCHED[::3], SEARCHED))
def test_every_list_can_be_searched_for_a_word(model: type[Model], admin_client: Client) -> None:
    assert admin_client.get(list_of(model), {"q": "zoe"}).status_code == 200


def test_the_log_of_staff_is_searched_by_user_name() -> None:
    row = make_connection()
    client = operator()
    client.post(page_of(row, "suspend"))
    assert "Suspend." in client.get(list_of(LogEntry), {"q": "operator-zoe"}).content.decode()
    assert "Suspend." not in client.get(list_of(LogEntry), {"q": "somebody-else"}).content.decode()


@pytest.mark.parametrize(
    "address",
    [
        "events/adapterevent/?tenant=%00",
        "connections/integrationconnection/?status=%00",
        "connections/integrationconnection/add/?provider=%00",
        "providers/integrationprovider/%00/change/",
        "autocomplete/?app_label=webhooks&model_name=webhookregistration&field_name=connection&term=%00",
    ],
)
def test_a_value_no_row_can_have_is_a_bad_request(address: str) -> None:
    client = operator()
    client.raise_request_exception = False
    assert client.get(f"/admin/{address}").status_code == 400


def test_a_selection_of_what_is_no_id_is_a_bad_request() -> None:
    client = operator()
    client.raise_request_exception = False
    chosen = {"action": "replay_events", "_selected_action": "not-an-id"}
    assert client.post(list_of(AdapterEvent), chosen).status_code == 400
