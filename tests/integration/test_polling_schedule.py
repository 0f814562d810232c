"""Claiming due cursors and handing them over: disjoint, bounded, fair, and safe to lose."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.db import connection as database
from django.db import transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connections.models import ConnectionStatus, IntegrationConnection
from polling import schedule, tasks
from polling.lease import new_token
from polling.models import PollingCursor, PollOutcome
from polling.runner import LEASE_LOST, poll_once
from polling.schedule import claim_due, hand_over
from polling.services import PollingService
from tests.factories import ACME, GLOBEX
from tests.polling_provider import Ledger, ledger_connection


def make_cursors(connection: IntegrationConnection, number: int, *, overdue_seconds: float = 60) -> None:
    """``number`` further cursors of the connection, due for that long, a millisecond apart."""
    first = timezone.now() - timedelta(seconds=overdue_seconds)
    PollingCursor.objects.bulk_create(
        PollingCursor(
            tenant_id=connection.tenant_id,
            connection=connection,
            stream="entries",
            partition=f"part-{index}",
            started_from=first,
            next_poll_at=first + timedelta(milliseconds=index),
            interval_seconds=300,
        )
        for index in range(number)
    )


def tenants_of(claims: list[schedule.Claim]) -> Counter[str]:
    ids = [claim.cursor_id for claim in claims]
    return Counter(PollingCursor.objects.filter(pk__in=ids).values_list("tenant_id", flat=True))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], str]]:
    """Messages as they would reach a worker; the broker itself is not started."""
    messages: list[tuple[list[str], str]] = []

    def keep(name: str, *, args: tuple[list[str], str], **options: Any) -> None:
        assert name == "polling.poll_cursors"
        messages.append(args)

    monkeypatch.setattr(schedule.current_app, "send_task", keep)
    return messages


@pytest.mark.django_db
def test_a_claim_is_one_statement_with_a_lease_on_the_databases_clock(ledger: Ledger, settings: Any) -> None:
    settings.POLL_LEASE_SECONDS = 120
    make_cursors(ledger_connection(ledger), 5)
    with CaptureQueriesContext(database) as queries:
        claims = claim_due(3)
    assert len(queries) == 1
    assert len({claim.lease_token for claim in claims}) == 1
    held = PollingCursor.objects.filter(lease_token=claims[0].lease_token)
    assert {cursor.pk for cursor in held} == {claim.cursor_id for claim in claims}
    assert all(115 < (cursor.next_poll_at - timezone.now()).total_seconds() <= 121 for cursor in held)
    assert {cursor.partition for cursor in held} == {"part-0", "part-1", "part-2"}  # the longest overdue


@pytest.mark.django_db
def test_what_is_not_due_or_switched_off_is_not_claimed(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    make_cursors(connection, 2)
    PollingCursor.objects.filter(partition="part-0").update(active=False)
    PollingCursor.objects.filter(partition="main").update(next_poll_at=timezone.now() + timedelta(hours=1))
    assert len(claim_due(10)) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("status", [status for status in ConnectionStatus if status != ConnectionStatus.ACTIVE])
def test_only_active_connections_are_claimed(ledger: Ledger, status: str) -> None:
    connection = ledger_connection(ledger)
    make_cursors(connection, 2)
    IntegrationConnection.objects.filter(pk=connection.pk).update(status=status)
    assert claim_due(10) == []


@pytest.mark.django_db
def test_tenants_take_turns_within_a_batch(ledger: Ledger) -> None:
    make_cursors(ledger_connection(ledger), 50, overdue_seconds=600)
    make_cursors(ledger_connection(ledger, GLOBEX), 3, overdue_seconds=1)
    assert tenants_of(claim_due(10)) == {ACME: 7, GLOBEX: 3}


@pytest.mark.django_db
def test_a_small_tenant_is_found_behind_a_backlog_longer_than_the_window(ledger: Ledger) -> None:
    make_cursors(ledger_connection(ledger), 10 * schedule.WINDOW_BATCHES + 20, overdue_seconds=600)
    make_cursors(ledger_connection(ledger, GLOBEX), 2, overdue_seconds=1)
    assert tenants_of(claim_due(10)) == {ACME: 8, GLOBEX: 2}


@pytest.mark.django_db
def test_a_lone_tenant_may_have_the_whole_batch(ledger: Ledger) -> None:
    make_cursors(ledger_connection(ledger), 60)
    assert tenants_of(claim_due(10)) == {ACME: 10}


@pytest.mark.django_db(transaction=True)
def test_dispatchers_at_once_claim_every_cursor_once(ledger: Ledger) -> None:
    make_cursors(ledger_connection(ledger), 400)
    claimed: list[uuid.UUID] = []
    barrier = threading.Barrier(4)

    def dispatch() -> None:
        barrier.wait()
        while claims := claim_due(20):
            claimed.extend(claim.cursor_id for claim in claims)
        database.close()

    threads = [threading.Thread(target=dispatch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) >= 400


@pytest.mark.django_db(transaction=True)
def test_rows_another_dispatcher_is_taking_are_stepped_over_without_waiting(ledger: Ledger) -> None:
    make_cursors(ledger_connection(ledger), 6)
    taken, may_end = threading.Event(), threading.Event()

    def take_four() -> None:
        with transaction.atomic():
            claim_due(4)
            taken.set()
            may_end.wait(10)
        database.close()

    other = threading.Thread(target=take_four)
    other.start()
    assert taken.wait(10)
    mine = claim_due(10)
    may_end.set()
    other.join()
    assert {PollingCursor.objects.get(pk=claim.cursor_id).partition for claim in mine} <= {"part-4", "part-5", "main"}
    assert len(mine) >= 2


@pytest.mark.django_db
def test_two_beats_at_once_poll_everything_once(ledger: Ledger, sent: list[tuple[list[str], str]]) -> None:
    connection = ledger_connection(ledger)
    ledger.add(3)
    PollingCursor.objects.update(next_poll_at=timezone.now() - timedelta(seconds=1))
    for _ in range(2):
        tasks.poll_due_connections()
    for message in [*sent, *sent]:  # and a message the broker delivers twice
        tasks.poll_cursors(*message)
    assert len(ledger.requests) == 1
    assert PollingCursor.objects.get(connection=connection).events_total == 3


@pytest.mark.django_db
def test_messages_hold_at_most_25_ids_and_nothing_else(ledger: Ledger, sent: list[tuple[list[str], str]]) -> None:
    make_cursors(ledger_connection(ledger), 60)
    claims = claim_due(60)
    assert hand_over(claims) == 3
    assert [len(ids) for ids, _ in sent] == [25, 25, 10]
    assert {token for _, token in sent} == {str(claims[0].lease_token)}
    assert {uuid.UUID(cursor_id) for ids, _ in sent for cursor_id in ids} == {claim.cursor_id for claim in claims}


@pytest.mark.django_db
def test_a_lost_message_means_the_cursor_is_due_again_when_its_lease_ends(ledger: Ledger, settings: Any) -> None:
    settings.POLL_LEASE_SECONDS = 0
    ledger_connection(ledger)
    PollingCursor.objects.update(next_poll_at=timezone.now() - timedelta(seconds=1))
    (lost,) = claim_due(10)
    settings.POLL_LEASE_SECONDS = 120
    (again,) = claim_due(10)
    assert again.cursor_id == lost.cursor_id
    assert poll_once(lost.cursor_id, lost.lease_token).outcome == LEASE_LOST
    assert poll_once(again.cursor_id, again.lease_token).outcome == PollOutcome.COMPLETED


@pytest.mark.django_db
def test_a_slow_message_gives_back_what_it_has_no_time_for(ledger: Ledger, settings: Any) -> None:
    make_cursors(ledger_connection(ledger, settings={"lists": []}), 3)
    claims = claim_due(10)
    settings.POLL_LEASE_SECONDS = 0
    tasks.poll_cursors([str(claim.cursor_id) for claim in claims], str(claims[0].lease_token))
    assert ledger.requests == []
    assert len(claim_due(10)) == 3


@pytest.mark.django_db(transaction=True)
def test_a_tick_hands_over_through_the_real_broker(ledger: Ledger) -> None:
    ledger_connection(ledger)
    PollingCursor.objects.update(next_poll_at=timezone.now() - timedelta(seconds=1))
    assert PollingService().poll_all_due_connections() == {"synced": 1, "claimed": 1, "messages": 1}
    name = schedule.current_app.conf.task_default_queue
    with schedule.current_app.connection_for_read() as broker, broker.SimpleQueue(name) as queue:
        message = queue.get(timeout=5)
        arguments, keywords, _ = message.payload
        message.ack()
    cursor = PollingCursor.objects.get()
    assert (arguments, keywords) == ([[str(cursor.pk)], str(cursor.lease_token)], {})


def broker() -> redis.Redis:
    return redis.Redis.from_url(django_settings.REDIS_URL)


def claims_of(number: int) -> list[schedule.Claim]:
    token = new_token()
    return [schedule.Claim(uuid.uuid4(), token) for _ in range(number)]


def test_the_messages_of_a_batch_do_not_wait_for_each_other() -> None:
    hand_over(claims_of(1))  # the connection is there
    reads, tries = [], 5
    with broker() as asking:
        for _ in range(tries):
            before = asking.info("stats")["total_reads_processed"]
            assert hand_over(claims_of(500)) == 20
            reads.append(asking.info("stats")["total_reads_processed"] - before)
        assert asking.llen(schedule.current_app.conf.task_default_queue) == 1 + 20 * tries
    # Each that waits for an answer is a read of its own; together they are as many as their bytes need. The server
    # counts those of other tests that run beside this one as well, so the least counts.
    assert min(reads) < 15


def test_a_hand_over_survives_a_broker_that_hung_up() -> None:
    hand_over(claims_of(1))
    with broker() as asking:
        own = asking.client_info()
        # The server is shared by all workers of a run; those of others keep their connections.
        clients = [one for one in asking.client_list() if one["db"] == str(own["db"])]
        ours = [one["id"] for one in clients if one["id"] != str(own["id"])]
        assert ours
        for client_id in ours:
            asking.client_kill_filter(_id=client_id)
    assert hand_over(claims_of(60)) == 3
    assert broker().llen(schedule.current_app.conf.task_default_queue) >= 1 + 3
