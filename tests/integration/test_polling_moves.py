"""A cursor is moved by a person, on the record, and by nobody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection as database
from django.utils import timezone

from connections.errors import ServiceError
from connections.models import ConnectionHistory
from events.models import AdapterEvent
from polling.cursor_moves import move_cursor
from polling.models import PollingCursor
from polling.runner import LEASE_LOST, poll_once
from polling.schedule import claim_connection
from tests.factories import make_connection
from tests.integration.test_admin_lists import make_cursor
from tests.polling_provider import Ledger, ledger_connection, poll
from tests.staff import auditor, operator, page_of

pytestmark = pytest.mark.django_db


def test_a_moved_cursor_reads_again_and_tells_only_what_is_not_known(ledger: Ledger) -> None:
    ledger.add(4, at=timezone.now() - timedelta(days=2))
    connection = ledger_connection(ledger)
    ledger.add(3)
    assert poll(connection).events_new == 3
    cursor = PollingCursor.objects.get()
    since = timezone.now() - timedelta(days=3)
    move_cursor(cursor, since, actor="staff:zoe")
    result = poll(connection)
    assert (result.events_found, result.events_new) == (7, 4)
    assert AdapterEvent.objects.count() == 7
    entry = ConnectionHistory.objects.get(operation="cursor_moved")
    assert entry.actor == "staff:zoe"
    assert since.isoformat() in entry.detail
    assert '{"after":7}' in entry.detail


@pytest.mark.django_db(transaction=True)
def test_a_run_under_way_cannot_put_a_moved_cursor_back(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.add(5)
    (claim,) = claim_connection(connection)

    def move_meanwhile(query: dict[str, str]) -> None:
        move_cursor(PollingCursor.objects.get(), timezone.now() - timedelta(days=1), actor="staff:zoe")
        database.close()

    ledger.before_answer = move_meanwhile
    assert poll_once(claim.cursor_id, claim.lease_token).outcome == LEASE_LOST
    cursor = PollingCursor.objects.get()
    assert (cursor.cursor_position, cursor.lease_token, AdapterEvent.objects.count()) == ({}, None, 0)


@pytest.mark.parametrize(
    ("since", "words"),
    [
        (datetime(2026, 1, 1), "time zone"),  # noqa: DTZ001 - the naive time is the point
        (datetime(2999, 1, 1, tzinfo=UTC), "future"),
        (datetime(1999, 1, 1, tzinfo=UTC), "year"),
    ],
)
def test_a_time_that_cannot_be_is_refused_in_words(ledger: Ledger, since: datetime, words: str) -> None:
    ledger_connection(ledger)
    cursor = PollingCursor.objects.get()
    with pytest.raises(ServiceError, match=words):
        move_cursor(cursor, since, actor="staff:zoe")
    assert not ConnectionHistory.objects.filter(operation="cursor_moved").exists()


def test_staff_move_a_cursor_and_auditors_do_not() -> None:
    cursor = make_cursor(make_connection(), cursor_position={"watermark": "2026-05-01"})
    page = page_of(cursor, "move")
    assert auditor().post(page, {"since_0": "2026-11-01", "since_1": "12:00:00"}).status_code == 403
    client = operator()
    assert b"backfill instead" in client.get(page).content
    assert b"future" in client.post(page, {"since_0": "2999-01-01", "since_1": "12:00:00"}, follow=True).content
    cursor.refresh_from_db()
    assert cursor.cursor_position == {"watermark": "2026-05-01"}
    since = timezone.now() - timedelta(days=9)
    client.post(page, {"since_0": f"{since:%Y-%m-%d}", "since_1": f"{since:%H:%M:%S}"})
    cursor.refresh_from_db()
    assert (cursor.cursor_position, cursor.started_from) == ({}, since.replace(microsecond=0))
    assert ConnectionHistory.objects.get(operation="cursor_moved").actor.startswith("staff:")
