"""What a tick looks at: the head of an index, however many connections there are, and never all of a table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from integration_adapters.bench.many import multiply
from polling.cursors import sync_stale
from polling.models import PollingCursor
from polling.schedule import claim_due
from tests.factories import make_connection

pytestmark = pytest.mark.django_db

CONNECTIONS = 20_000
TENANTS = 100
TABLES = {"polling_cursors", "integration_connections"}


@pytest.fixture
def many() -> None:
    """Very many connections with a cursor each, none due for an hour; the planner knows."""
    connection = make_connection(streams_stale=False)
    cursor = PollingCursor.objects.create(
        tenant_id=connection.tenant_id,
        connection=connection,
        stream="entries",
        partition="copied from",
        started_from=timezone.now(),
        next_poll_at=timezone.now(),
        interval_seconds=300,
    )
    multiply(connection, cursor, CONNECTIONS, TENANTS)


def analyse() -> None:
    with database.cursor() as cursor:
        cursor.execute("ANALYZE polling_cursors, integration_connections")


def make_due(number: int) -> None:
    keys = PollingCursor.objects.order_by("next_poll_at").values_list("pk", flat=True)[:number]
    PollingCursor.objects.filter(pk__in=list(keys)).update(next_poll_at=timezone.now() - timedelta(seconds=1))


def scans(statement: str) -> list[dict[str, Any]]:
    """The parts of a statement's plan that read tables, after running it."""
    with database.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}")
        (found,) = cursor.fetchone()
    plan = orjson.loads(found) if isinstance(found, str) else found
    return [
        node for node in nodes(plan[0]["Plan"]) if node.get("Relation Name") in TABLES and "Scan" in node["Node Type"]
    ]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def plan_of_a_claim(limit: int) -> list[dict[str, Any]]:
    """Of the very statement a claim sends, asked again where nothing has changed."""
    with CaptureQueriesContext(database) as queries:
        claim_due(limit)
    (query,) = queries
    PollingCursor.objects.filter(lease_token__isnull=False).update(
        lease_token=None, next_poll_at=timezone.now() - timedelta(seconds=1)
    )
    return scans(query["sql"])


def rows_read(found: list[dict[str, Any]]) -> float:
    def read(node: dict[str, Any]) -> float:
        return float((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])

    return sum(map(read, found))


def walks_what_is_due(found: list[dict[str, Any]]) -> bool:
    """Whether the queue is read by its index, in order, and no table as a whole."""
    queue = [node["Node Type"] for node in found if node.get("Index Name") == "cursor_due"]
    return set(queue) == {"Index Scan"} and "Seq Scan" not in {node["Node Type"] for node in found}


@pytest.mark.parametrize("due", [0, 500, 5_000])
def test_a_claim_walks_the_index_of_what_is_due(many: None, due: int) -> None:
    make_due(due)
    assert walks_what_is_due(plan_of_a_claim(500))


@pytest.mark.parametrize("known", [0, 5_000], ids=["when nothing was due", "when much was due"])
def test_old_statistics_do_not_change_that(many: None, known: int) -> None:
    make_due(known)
    analyse()
    make_due(10_000)
    assert walks_what_is_due(plan_of_a_claim(500))


def test_a_backlog_of_many_tenants_is_looked_at_no_further_than_the_batch_needs(many: None) -> None:
    make_due(1_000)
    short = rows_read(plan_of_a_claim(50))
    make_due(10_000)
    assert rows_read(plan_of_a_claim(50)) == short


def test_nothing_due_means_that_nothing_is_read(many: None) -> None:
    assert rows_read(plan_of_a_claim(500)) == 0


def test_connections_that_changed_are_found_by_an_index(many: None) -> None:
    with CaptureQueriesContext(database) as queries:
        assert sync_stale(200) == 0
    (query,) = queries
    (found,) = scans(query["sql"])
    assert found["Index Name"] == "connection_streams_stale"
