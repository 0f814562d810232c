"""Pages are stored by a road of their own: the rows are those any other road stores, and so is the promise."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from django.test.utils import CaptureQueriesContext

from connections.models import IntegrationConnection
from events.ledger import ledger
from events.models import AdapterEvent, IntakeTally, Source
from events.services import Recorded, record
from tests.factories import GLOBEX, make_connection
from tests.integration.test_delivery import issue

pytestmark = pytest.mark.django_db

# What is each row's own: its ids, its times, whose it is, and the proof of the road that needs one.
OWN = {"event_id", "connection", "signal_id", "received_at", "next_attempt_at", "created_at", "updated_at"}
OWN |= {"signature_hash"}

AWKWARD = [
    issue(1),
    issue(2, dedupe_key="k" * 300, happening="h" * 300, ordering_key="ö" * 300),
    issue(3, dedupe_key="nul\x00 and \ud83d lone", correlation_id="\x00", event_type="é" * 200),
    issue(4, signal_type=None, ignored_reason="unknown event type"),
    issue(5, occurred_at=datetime(1990, 1, 2, tzinfo=UTC), happening="happening", ordering_key="entity"),
    issue(6, occurred_at=datetime(2026, 3, 29, 2, 30, 0, 123457, tzinfo=timezone(timedelta(hours=5, minutes=45)))),
    issue(7, occurred_at=datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    issue(8, issue={"title": "token=abcdef123456 of zoe@example.com", "empty": None, "deep": [[[{}]]]}),
    issue(9, issue={"title": "x" * 100_000}),
    issue(10, correlation_id="'); DROP TABLE adapter_events; --", dedupe_key='{"a\\",NULL}'),
]


def singly(connection: IntegrationConnection) -> None:
    for event in AWKWARD:
        record(connection, [event], Source.POLL)


def as_a_page(connection: IntegrationConnection) -> None:
    record(connection, AWKWARD, Source.POLL)


def signed(connection: IntegrationConnection) -> None:
    record(connection, AWKWARD, Source.POLL, signature_hash=b"s" * 32)


def rows(connection: IntegrationConnection) -> list[dict[str, Any]]:
    names = [field.name for field in AdapterEvent._meta.concrete_fields if field.name not in OWN]
    found = AdapterEvent.objects.filter(connection=connection).order_by("dedupe_key").values(*names)
    return [{name: bytes(v) if isinstance(v, memoryview) else v for name, v in row.items()} for row in found]


@pytest.mark.parametrize("road", [singly, signed])
def test_every_road_stores_the_same_rows(road: Callable[[IntegrationConnection], None]) -> None:
    one, other = make_connection(), make_connection()
    road(one)
    as_a_page(other)
    assert len(rows(one)) == len(AWKWARD)
    assert rows(one) == rows(other)


def test_ids_are_in_the_order_in_which_the_provider_told() -> None:
    connection = make_connection()
    record(connection, [issue(number) for number in (3, 1, 2)], Source.POLL)
    told = AdapterEvent.objects.order_by("event_id").values_list("dedupe_key", flat=True)
    assert list(told) == ["event:3", "event:1", "event:2"]


def test_a_page_is_one_statement_that_says_what_was_new() -> None:
    connection = make_connection()
    record(connection, [issue(2), issue(4)], Source.WEBHOOK)
    with CaptureQueriesContext(database) as queries:
        recorded = record(connection, [issue(number) for number in (1, 2, 3, 3, 4)], Source.POLL)
    assert len(queries) == 1
    new = AdapterEvent.objects.filter(source=Source.POLL)
    assert set(recorded.event_ids) == set(new.values_list("pk", flat=True))
    assert set(new.values_list("dedupe_key", flat=True)) == {"event:1", "event:3"}
    assert (recorded.new, recorded.duplicates) == (2, 3)
    assert ledger(connection.pk).unaccounted == 0


def test_the_same_keys_of_another_connection_are_other_events() -> None:
    events = [issue(1), issue(2)]
    assert record(make_connection(), events, Source.POLL).new == 2
    assert record(make_connection(tenant_id=GLOBEX), events, Source.POLL).new == 2


def test_a_page_is_part_of_the_callers_transaction() -> None:
    connection = make_connection()
    with transaction.atomic():
        assert record(connection, [issue(1), issue(2)], Source.POLL).new == 2
        transaction.set_rollback(True)
    assert not AdapterEvent.objects.exists()
    assert not IntakeTally.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("prepared", [True, False])
def test_the_statement_is_planned_once_a_session_unless_a_pooler_forbids_it(settings: Any, prepared: bool) -> None:
    settings.DATABASE_PREPARED_STATEMENTS = prepared
    connection = make_connection()
    database.close()
    for page in range(3):
        record(connection, [issue(10 * page), issue(10 * page + 1)], Source.POLL)
    with database.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM pg_prepared_statements WHERE statement LIKE '%unnest%'")
        assert cursor.fetchone() == (int(prepared),)
    database.close()
    assert AdapterEvent.objects.count() == 6


@pytest.mark.django_db(transaction=True)
def test_the_same_page_in_opposite_orders_at_once_is_stored_once_and_nobody_waits_in_a_circle() -> None:
    connection = make_connection()
    results: list[Recorded] = []
    barrier = threading.Barrier(2)

    def store(turned: bool) -> None:
        for page in range(10):
            events = [issue(100 * page + number) for number in range(100)]
            barrier.wait(30)
            results.append(record(connection, events[::-1] if turned else events, Source.POLL))
        database.close()

    threads = [threading.Thread(target=store, args=(turned,)) for turned in (False, True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 20
    assert sum(result.new for result in results) == AdapterEvent.objects.count() == 1000
    assert ledger(connection.pk).duplicate == 1000
