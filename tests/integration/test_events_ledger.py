"""Conservation: everything a connection received is somewhere, whatever happens on the way."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from django.test import Client
from django.utils import timezone

from connections.models import IntegrationConnection
from events import conservation
from events.conservation import check_ledgers
from events.ledger import Ledger, fold_tallies, ledger, ledgers
from events.models import AdapterEvent, DeliveryAttempt, IntakeTally, IntakeTotals, LedgerCheck, Source
from events.outbox import deliver_batch
from events.retention import purge_batch
from events.services import record, replay
from events.tasks import check, fold
from tests.factories import GLOBEX, make_connection, make_event
from tests.integration.test_delivery import issue
from tests.integration.test_event_roads_hardening import at_once
from tests.neighbours import Pm3Stub

pytestmark = pytest.mark.django_db


def accounts(**numbers: int) -> Ledger:
    return Ledger(**{**dict.fromkeys(Ledger.__dataclass_fields__, 0), **numbers})


def one(connection: IntegrationConnection) -> None:
    record(connection, [issue(1)], Source.WEBHOOK)


def page(connection: IntegrationConnection) -> None:
    record(connection, [issue(number) for number in range(1, 4)], Source.POLL)


def long_page(connection: IntegrationConnection) -> None:
    record(connection, [issue(number) for number in range(450)], Source.POLL)


def signed(connection: IntegrationConnection) -> None:
    record(connection, [issue(number) for number in range(1, 4)], Source.WEBHOOK, signature_hash=b"s" * 32)


def itself_repeated(connection: IntegrationConnection) -> None:
    record(connection, [issue(1), issue(1), issue(2)], Source.WEBHOOK)


@pytest.mark.parametrize(
    ("road", "new", "repeated"),
    [(one, 1, 0), (page, 3, 0), (long_page, 450, 0), (signed, 3, 0), (itself_repeated, 2, 1)],
)
def test_what_came_in_is_tallied_and_so_is_its_repetition(
    road: Callable[[IntegrationConnection], None], new: int, repeated: int
) -> None:
    connection, other = make_connection(), make_connection(tenant_id=GLOBEX)
    one(other)
    road(connection)
    total = new + repeated
    assert ledger(connection.pk) == accounts(received=total, pending=new, duplicate=repeated)
    road(connection)
    found = ledger(connection.pk)
    assert found == accounts(received=2 * total, pending=new, duplicate=2 * total - new)
    assert found.unaccounted == 0
    assert ledger(other.pk) == accounts(received=1, pending=1)


def test_nothing_presented_is_nothing_tallied() -> None:
    connection = make_connection()
    record(connection, [], Source.POLL)
    assert not IntakeTally.objects.exists()
    assert ledger(connection.pk) == accounts()


def test_a_known_signature_under_new_ids_counts_as_repetitions() -> None:
    connection = make_connection()
    signed(connection)
    record(connection, [issue(8), issue(9)], Source.WEBHOOK, signature_hash=b"s" * 32)
    record(connection, [issue(7)], Source.WEBHOOK, signature_hash=b"s" * 32)
    assert ledger(connection.pk) == accounts(received=6, pending=3, duplicate=3)


@pytest.mark.parametrize("road", [one, page, long_page, signed])
def test_rows_and_tallies_of_a_transaction_that_fails_are_gone_together(
    road: Callable[[IntegrationConnection], None],
) -> None:
    connection = make_connection()
    with transaction.atomic():
        road(connection)
        assert ledger(connection.pk).pending > 0
        transaction.set_rollback(True)
    assert ledger(connection.pk) == accounts()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("road", [one, page, signed])
def test_told_by_eight_at_once_it_is_stored_once_and_tallied_eight_times(
    road: Callable[[IntegrationConnection], None],
) -> None:
    connection = make_connection()
    at_once(8, lambda _number: road(connection))
    found = ledger(connection.pk)
    assert found.unaccounted == 0
    assert found.received == 8 * found.pending
    assert found.duplicate == 7 * found.pending


def test_folding_changes_no_ledger() -> None:
    connection, other = make_connection(), make_connection(tenant_id=GLOBEX)
    for road in (one, page, signed):
        road(connection)
    one(other)
    before = ledgers()
    assert fold() == 4
    assert not IntakeTally.objects.exists()
    assert ledgers() == before
    totals = IntakeTotals.objects.get(connection=connection)
    assert (totals.received, totals.duplicate, totals.tenant_id) == (7, 4, connection.tenant_id)
    page(connection)
    assert fold_tallies() == 1
    assert ledger(connection.pk) == accounts(received=10, pending=3, duplicate=7)
    assert fold_tallies() == 0


@pytest.mark.django_db(transaction=True)
def test_folding_recording_delivering_and_purging_at_once_keep_the_ledger() -> None:
    owners = [make_connection() for _ in range(4)]
    for number, owner in enumerate(owners):
        record(owner, [issue(n) for n in range(number * 50, number * 50 + 50)], Source.POLL)
        for _ in range(25):
            make_old_event(owner)
    wrong: list[Ledger] = []

    def work(number: int) -> None:
        for turn in range(25):
            if number < 2:
                for owner in owners if number else reversed(owners):
                    record(owner, [issue(turn), issue(turn + 1)], Source.POLL)
            elif number < 4:
                fold_tallies()
            elif number < 6:
                deliver_batch(limit=10)
                purge_batch()
            else:
                wrong.extend(found for found in ledgers().values() if found.unaccounted)

    at_once(7, work)
    assert wrong == []
    assert {owner.pk for owner in owners} == ledgers().keys()
    assert all(found.unaccounted == 0 for found in ledgers().values())


def test_tallies_of_a_connection_that_was_removed_hold_up_no_other() -> None:
    gone, kept = make_connection(), make_connection()
    one(gone)
    page(kept)
    with database.cursor() as cursor:
        for table in ("adapter_events", "integration_connections"):
            cursor.execute(f"DELETE FROM {table} WHERE connection_id = %s", [gone.pk])
    assert fold_tallies() == 2
    assert ledgers() == {kept.pk: accounts(received=3, pending=3)}


def make_old_event(connection: IntegrationConnection, status: str = "delivered", days: int = 31) -> AdapterEvent:
    """An event as old as that; its id is the time it was made."""
    at = timezone.now() - timedelta(days=days)
    key = uuid.UUID(int=(int(at.timestamp() * 1000) << 80) + secrets.randbits(62))
    return make_event(connection, event_id=key, received_at=at, delivery_status=status)


@pytest.mark.parametrize("folded", [False, True])
def test_what_is_purged_stays_in_the_ledger(folded: bool) -> None:
    connection, other = make_connection(), make_connection(tenant_id=GLOBEX)
    for status in ("delivered", "delivered", "ignored", "dead", "pending", "failed"):
        make_old_event(connection, status)
    make_event(connection, delivery_status="delivered")
    dead = make_old_event(other, "dead")
    DeliveryAttempt.objects.create(tenant_id=other.tenant_id, event=dead, number=1, error_code="X", error="x")
    if folded:
        fold_tallies()
    before = ledgers()
    assert purge_batch() == 5
    assert ledgers() == before
    assert not DeliveryAttempt.objects.exists()
    totals = IntakeTotals.objects.get(connection=connection)
    assert (totals.purged_delivered, totals.purged_ignored, totals.purged_dead) == (2, 1, 1)
    assert totals.received == (7 if folded else 0)
    assert IntakeTotals.objects.get(connection=other).purged_dead == 1
    assert purge_batch() == 0


def test_a_purge_that_fails_keeps_rows_and_account_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = make_connection()
    make_old_event(connection)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("django.db.models.query.QuerySet._raw_delete", fail)
    with pytest.raises(ZeroDivisionError):
        purge_batch()
    assert ledger(connection.pk) == accounts(received=1, delivered=1)


def test_a_replayed_event_changes_its_place_and_no_sum(pm3: Pm3Stub) -> None:
    connection = make_connection()
    page(connection)
    deliver_batch()
    assert ledger(connection.pk) == accounts(received=3, delivered=3)
    replay(AdapterEvent.objects.filter(dedupe_key="event:1"), actor="staff:zoe")
    assert ledger(connection.pk) == accounts(received=3, delivered=2, pending=1)
    deliver_batch()
    assert ledger(connection.pk) == accounts(received=3, delivered=3)


def test_a_superseded_event_is_ignored_in_the_ledger(pm3: Pm3Stub) -> None:
    connection = make_connection()
    record(connection, [issue(1, happening="h")], Source.WEBHOOK)
    record(connection, [issue(2, happening="h")], Source.POLL)
    deliver_batch()
    assert ledger(connection.pk) == accounts(received=2, delivered=1, ignored=1)


def test_a_row_that_vanished_or_that_nobody_received_shows() -> None:
    connection, other = make_connection(), make_connection()
    page(connection)
    page(other)
    AdapterEvent.objects.filter(connection=connection, dedupe_key="event:2").delete()
    IntakeTally.objects.filter(connection=other).delete()
    assert ledger(connection.pk).unaccounted == 1
    assert ledger(other.pk).unaccounted == -3


def errors_of(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    told = [record.msg for record in caplog.records if record.levelname == "ERROR"]
    return [message for message in told if isinstance(message, dict)]


def test_the_check_tells_of_the_one_that_does_not_add_up(caplog: pytest.LogCaptureFixture) -> None:
    good, bad = make_connection(), make_connection(tenant_id=GLOBEX)
    page(good)
    page(bad)
    assert check() == 0
    assert errors_of(caplog) == []
    AdapterEvent.objects.filter(connection=bad, dedupe_key="event:2").delete()
    assert check() == 1
    (error,) = errors_of(caplog)
    assert (error["event"], error["connection_id"], error["tenant_id"]) == (
        "ledger.does_not_add_up",
        str(bad.pk),
        GLOBEX,
    )
    assert (error["unaccounted"], error["received"], error["pending"]) == (1, 3, 2)
    found = LedgerCheck.objects.get(connection=bad)
    assert (found.unaccounted, found.received, found.pending, found.tenant_id) == (1, 3, 2, GLOBEX)


def test_the_check_takes_a_few_at_a_time_and_comes_to_everyone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conservation, "CONNECTIONS_A_BATCH", 2)
    owners = {make_connection().pk for _ in range(5)}
    assert [check_ledgers()[0] for _ in range(3)] == [2, 2, 2]
    assert set(LedgerCheck.objects.values_list("pk", flat=True)) == owners


def test_one_run_of_the_check_comes_to_every_connection_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conservation, "CONNECTIONS_A_BATCH", 2)
    for _ in range(5):
        AdapterEvent.objects.filter(connection=make_broken()).delete()
    assert check() == 5
    assert LedgerCheck.objects.filter(unaccounted=1).count() == 5


def make_broken() -> IntegrationConnection:
    connection = make_connection()
    one(connection)
    return connection


def test_unaccounted_events_are_a_metric_of_their_provider() -> None:
    connection, other = make_connection(), make_connection()
    page(connection)
    page(other)
    name = "integration_unaccounted_events"
    assert f'{name}{{provider="fake"}} 0.0' in metrics()
    AdapterEvent.objects.filter(connection=connection, dedupe_key="event:2").delete()
    IntakeTally.objects.filter(connection=other).delete()
    check()
    # One that is missing and three too many are four that are wrong, not minus two.
    assert f'{name}{{provider="fake"}} 4.0' in metrics()
    assert "integration_ledger_check_age_seconds" in metrics()


def metrics() -> str:
    return Client().get("/metrics").content.decode()
