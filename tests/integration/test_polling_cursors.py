"""Cursors follow the settings and are never moved by them."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from connections.models import IntegrationConnection
from connections.services import resume_connection, suspend_connection, update_connection
from events.models import AdapterEvent
from polling.cursors import flag_new_streams, sync_stale
from polling.models import PollingCursor
from tests.polling_provider import EntryStream, Ledger, ledger_connection, poll

ACTOR = "staff:zoe"


def cursors(connection: IntegrationConnection) -> dict[str, bool]:
    return dict(PollingCursor.objects.filter(connection=connection).values_list("partition", "active"))


@pytest.mark.django_db
def test_each_part_named_by_the_settings_has_one_cursor_due_at_once(ledger: Ledger) -> None:
    connection = ledger_connection(ledger, settings={"lists": ["a", "b"]})
    assert cursors(connection) == {"a": True, "b": True}
    rows = PollingCursor.objects.filter(connection=connection)
    assert all(row.next_poll_at <= timezone.now() + timedelta(seconds=4) for row in rows)
    assert len({row.next_poll_at for row in rows}) == 2  # not all in the same moment
    assert all(abs((row.started_from - timezone.now()).total_seconds()) < 5 for row in rows)


@pytest.mark.django_db
def test_an_edit_of_the_settings_switches_cursors_and_moves_none(ledger: Ledger) -> None:
    connection = ledger_connection(ledger, settings={"lists": ["main", "old"]})
    ledger.add(4)
    PollingCursor.objects.filter(partition="old").delete()
    poll(connection)
    before = PollingCursor.objects.get(partition="main")

    update_connection(connection, actor=ACTOR, settings={"base_url": ledger.url, "lists": ["other"]})
    assert sync_stale(10) == 1
    assert cursors(connection) == {"main": False, "other": True}
    update_connection(connection, actor=ACTOR, settings={"base_url": ledger.url, "lists": ["main", "other"]})
    sync_stale(10)
    after = PollingCursor.objects.get(partition="main")
    assert after.active
    assert (after.pk, after.cursor_position, after.started_from) == (
        before.pk,
        {"after": 4},
        before.started_from,
    )
    assert AdapterEvent.objects.count() == 4


@pytest.mark.django_db
def test_a_suspended_connection_is_switched_off_and_resumed_where_it_stood(ledger: Ledger) -> None:
    connection = ledger_connection(ledger, last_verified_at=timezone.now())
    ledger.add(2)
    poll(connection)
    suspend_connection(connection, actor=ACTOR)
    sync_stale(10)
    assert cursors(connection) == {"main": False}
    ledger.add(3)
    resume_connection(connection, actor=ACTOR)
    sync_stale(10)
    assert poll(connection).events_new == 3  # what happened meanwhile is not lost


@pytest.mark.django_db
def test_a_shorter_interval_holds_at_once(ledger: Ledger) -> None:
    connection = ledger_connection(ledger, settings={"poll_interval_seconds": 3000})
    poll(connection)
    update_connection(connection, actor=ACTOR, settings={"base_url": ledger.url, "poll_interval_seconds": 60})
    sync_stale(10)
    cursor = PollingCursor.objects.get()
    assert (cursor.next_poll_at - timezone.now()).total_seconds() < 61
    assert cursor.interval_seconds == 60


@pytest.mark.django_db
def test_a_connection_whose_parts_cannot_be_told_does_not_stop_the_others(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = ledger_connection(ledger), ledger_connection(ledger)
    IntegrationConnection.objects.update(streams_stale=True)
    IntegrationConnection.objects.filter(pk=broken.pk).update(settings={"lists": 5})
    PollingCursor.objects.all().delete()
    assert sync_stale(10) == 2
    assert cursors(sound) == {"main": True}
    broken.refresh_from_db()
    assert "cannot be told" in broken.last_error
    assert sync_stale(10) == 0


@pytest.mark.django_db
def test_streams_off_by_default_are_polled_when_named(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EntryStream, "enabled_by_default", False)
    assert cursors(ledger_connection(ledger)) == {}
    assert cursors(ledger_connection(ledger, settings={"streams": ["entries"]})) == {"main": True}


@pytest.mark.django_db
def test_a_stream_the_adapter_has_learnt_is_polled_after_the_next_migration(ledger: Ledger) -> None:
    connection, suspended = ledger_connection(ledger), ledger_connection(ledger)
    sync_stale(10)
    assert flag_new_streams() == 0
    PollingCursor.objects.all().delete()  # as if the stream had not been there before
    IntegrationConnection.objects.filter(pk=suspended.pk).update(status="suspended")
    assert flag_new_streams() == 1
    sync_stale(10)
    assert cursors(connection) == {"main": True}


@pytest.mark.django_db(transaction=True)
def test_a_change_during_the_look_is_looked_at_again(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = ledger_connection(ledger)
    IntegrationConnection.objects.update(streams_stale=True)
    looking, changed = threading.Event(), threading.Event()
    plain = EntryStream.partitions

    def slow(self: EntryStream, settings: dict[str, list[str]]) -> list[str]:
        looking.set()
        changed.wait(0.5)  # the edit below waits for this transaction, so this runs out
        return list(plain(self, settings))

    def edit() -> None:
        looking.wait(10)
        update_connection(connection, actor=ACTOR, settings={"base_url": ledger.url, "lists": ["new"]})
        changed.set()
        database.close()

    monkeypatch.setattr(EntryStream, "partitions", slow)
    editor = threading.Thread(target=edit)
    editor.start()
    sync_stale(10)
    editor.join()
    monkeypatch.setattr(EntryStream, "partitions", plain)
    assert IntegrationConnection.objects.get().streams_stale
    sync_stale(10)
    assert cursors(connection) == {"main": False, "new": True}


@pytest.mark.django_db(transaction=True)
def test_events_can_be_stored_while_cursors_are_looked_at(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    ledger.add(2)
    with transaction.atomic():
        IntegrationConnection.objects.select_for_update(no_key=True).get(pk=connection.pk)
        results = []

        def run() -> None:
            results.append(poll(connection))
            database.close()

        poller = threading.Thread(target=run)
        poller.start()
        # The page is stored although the row is locked; only health waits for it.
        for _ in range(100):
            if AdapterEvent.objects.count() == 2:
                break
            poller.join(0.05)
        assert AdapterEvent.objects.count() == 2
    poller.join()
    assert results[0].events_new == 2
