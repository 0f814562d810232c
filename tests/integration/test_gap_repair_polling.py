"""Gaps that are filled by polling: a backfill of exactly the window, slice by slice where it still lasts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from connections.models import ConnectionStatus, Incident, IntegrationConnection
from events.gap_models import GapCause
from events.gaps import Found, end_gaps, note_gap, note_gaps, purge_gaps, widen_gap
from events.models import AdapterEvent, DeliveryGap
from polling.backfill import cancel_backfill
from polling.backfill_turns import run_due
from polling.gap_repair import fill_gaps
from polling.models import Backfill
from tests.factories import GLOBEX, make_connection
from tests.hub_provider import Hub, HubAdapter, hub_connection
from tests.polling_provider import Ledger, ledger_connection

pytestmark = pytest.mark.django_db

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def found(connection: IntegrationConnection, **values: Any) -> Found:
    """A hole of ten minutes, an hour ago."""
    since = timezone.now() - HOUR
    usual = {
        "connection": connection,
        "key": "test:1",
        "cause": GapCause.DOOR_DOWN,
        "explanation": "Nobody listened.",
        "since": since,
        "until": since + 10 * MINUTE,
    }
    return Found(**{**usual, **values})


def due() -> None:
    """What would be due in a while is due now."""
    DeliveryGap.objects.update(next_try_at=timezone.now() - MINUTE)
    Backfill.objects.update(next_run_at=timezone.now() - MINUTE)


def step() -> DeliveryGap:
    """Everybody has a turn."""
    due()
    fill_gaps()
    due()
    run_due()
    due()
    fill_gaps()
    return DeliveryGap.objects.get()


def test_exactly_the_window_is_read_and_the_figures_are_told(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    gap = note_gap(found(connection))
    ledger.add(3, at=gap.since - 30 * MINUTE)
    ledger.add(4, at=gap.since + 5 * MINUTE)
    ledger.add(2, at=gap.since + 40 * MINUTE)
    filled = step()
    assert (filled.status, filled.missing, filled.fetched, filled.looked_at) == ("filled", 4, 4, 4)
    assert (filled.repaired, filled.lost, filled.last_error) == (4, 0, "")
    assert filled.settled_at is not None
    backfill = Backfill.objects.get()
    assert (backfill.purpose, backfill.requested_by) == ("repair", "system:gap-repair")
    assert gap.since - 3 * MINUTE < backfill.since < gap.since
    assert gap.until < backfill.until < gap.until + 3 * MINUTE
    assert AdapterEvent.objects.count() == 4
    assert fill_gaps() == 0


def test_what_was_there_already_is_looked_at_and_not_counted(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    gap = note_gap(found(connection))
    ledger.add(2, at=gap.since + 5 * MINUTE)
    step()
    DeliveryGap.objects.all().delete()
    note_gap(found(connection))
    again = step()
    assert (again.status, again.missing, again.looked_at) == ("filled", 0, 2)


def test_a_gap_that_lasts_is_filled_as_it_goes_on(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    gap = note_gap(found(connection, until=None))
    ledger.add(2, at=timezone.now() - 5 * MINUTE)
    lasting = step()
    assert (lasting.status, lasting.fetched, lasting.until) == ("filling", 2, None)
    first_end = lasting.filled_to
    assert first_end is not None
    assert lasting.next_try_at > timezone.now() + 4 * MINUTE
    ledger.add(1)
    end_gaps(DeliveryGap.objects.all(), timezone.now())
    filled = step()
    assert (filled.status, filled.fetched) == ("filled", 3)
    assert Backfill.objects.order_by("pk").last().since < first_end
    assert gap.pk == filled.pk


def test_a_window_that_grew_meanwhile_is_not_settled_with_the_smaller_one(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    gap = note_gap(found(connection))
    due()
    fill_gaps()
    ledger.add(1, at=gap.since + 25 * MINUTE)
    wider = found(connection, since=gap.since, until=gap.since + 30 * MINUTE)
    widen_gap(wider)
    due()
    run_due()
    due()
    fill_gaps()
    halfway = DeliveryGap.objects.get()
    assert (halfway.status, halfway.fetched) == ("filling", 0)
    filled = step()
    assert (filled.status, filled.fetched, filled.until) == ("filled", 1, wider.until)


def test_a_settled_gap_that_grows_is_open_again_and_one_that_does_not_stays(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    gap = note_gap(found(connection))
    step()
    widen_gap(found(connection, since=gap.since, until=gap.until))
    assert DeliveryGap.objects.get().status == "filled"
    widen_gap(found(connection, since=gap.since - HOUR, until=gap.until))
    opened = DeliveryGap.objects.get()
    assert (opened.status, opened.filled_to, opened.settled_at) == ("open", None, None)
    assert step().status == "filled"


def test_a_found_gap_is_kept_once(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    assert note_gaps([found(connection), found(connection, key="test:2")]) == 2
    assert note_gaps([found(connection), found(connection, key="test:3")]) == 1
    assert note_gaps([]) == 0


def test_a_failing_provider_is_tried_again_and_then_the_gap_is_lost_with_an_incident(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    note_gap(found(connection))
    for attempt in range(1, 6):
        due()
        fill_gaps()
        cancel_backfill(Backfill.objects.order_by("pk").last(), actor="staff:ravi")
        due()
        fill_gaps()
        assert DeliveryGap.objects.get().attempts == attempt
    lost = DeliveryGap.objects.get()
    assert (lost.status, lost.settled_at is not None) == ("lost", True)
    incident = Incident.objects.get()
    assert (incident.cause, incident.severity) == ("events_lost", "error")
    assert "Nobody listened." in incident.detail


def test_without_polling_it_waits_for_a_person_and_says_so(ledger: Ledger) -> None:
    connection = ledger_connection(ledger, enabled_capabilities={"polling": False})
    note_gap(found(connection))
    waiting = step()
    assert (waiting.status, waiting.attempts) == ("open", 0)
    assert "switch polling on" in waiting.last_error
    IntegrationConnection.objects.update(enabled_capabilities={"polling": True})
    ledger.add(1, at=waiting.since + MINUTE)
    assert step().status == "filled"


def test_nobody_waits_for_ever(ledger: Ledger) -> None:
    connection = ledger_connection(ledger, enabled_capabilities={"polling": False})
    note_gap(found(connection))
    long_ago = timezone.now() - timedelta(days=8)
    DeliveryGap.objects.update(detected_at=long_ago, since=long_ago - HOUR, until=long_ago)
    assert step().status == "lost"


def test_a_deleted_connection_has_nothing_to_fill(ledger: Ledger) -> None:
    connection = ledger_connection(ledger)
    note_gap(found(connection))
    IntegrationConnection.objects.update(status=ConnectionStatus.DELETED)
    assert step().status == "lost"


class TestWithoutLists:
    def test_what_no_list_can_tell_is_lost(self, hub: Hub) -> None:
        note_gap(found(hub_connection(hub)))
        lost = step()
        assert (lost.status, lost.repair) == ("lost", "none")
        assert "no list" in lost.last_error

    def test_a_provider_that_tries_for_longer_tells_it_itself(self, hub: Hub, monkeypatch: Any) -> None:
        persistent = replace(HubAdapter.manifest, retry_schedule_seconds=(60, 3600))
        monkeypatch.setattr(HubAdapter, "manifest", persistent)
        gap = note_gap(
            found(hub_connection(hub), since=timezone.now() - 30 * MINUTE, until=timezone.now() - 20 * MINUTE)
        )
        waiting = step()
        assert (waiting.status, waiting.repair) == ("filling", "provider")
        assert "for 1 h" in waiting.last_error
        DeliveryGap.objects.update(since=gap.since - 2 * HOUR, until=gap.until - 2 * HOUR)
        assert step().status == "filled"

    def test_a_hook_that_was_off_is_not_told_of_by_anybody(self, hub: Hub, monkeypatch: Any) -> None:
        persistent = replace(HubAdapter.manifest, retry_schedule_seconds=(60, 36000))
        monkeypatch.setattr(HubAdapter, "manifest", persistent)
        note_gap(found(hub_connection(hub), cause=GapCause.HOOK_DISABLED))
        assert step().status == "lost"


def test_tenants_take_turns(ledger: Ledger) -> None:
    mine, other = ledger_connection(ledger), ledger_connection(ledger, GLOBEX)
    note_gaps([found(mine, key=f"test:{n}") for n in range(5)])
    note_gaps([found(other)])
    assert fill_gaps(limit=2) == 2
    assert {backfill.tenant_id for backfill in Backfill.objects.all()} == {mine.tenant_id, GLOBEX}


def test_a_gap_another_worker_took_a_moment_ago_is_left(ledger: Ledger) -> None:
    note_gap(found(ledger_connection(ledger)))
    due()
    assert (fill_gaps(), fill_gaps()) == (1, 0)
    assert Backfill.objects.count() == 1


def test_settled_gaps_are_removed_by_age_and_others_stay() -> None:
    connection = make_connection()
    note_gaps([found(connection, key=f"test:{n}") for n in range(3)])
    old: datetime = timezone.now() - timedelta(days=31)
    keys = list(DeliveryGap.objects.order_by("pk").values_list("pk", flat=True))
    DeliveryGap.objects.filter(pk__in=keys[:2]).update(status="filled", settled_at=old)
    DeliveryGap.objects.filter(pk=keys[1]).update(settled_at=timezone.now())
    assert purge_gaps() == 1
    assert set(DeliveryGap.objects.values_list("pk", flat=True)) == set(keys[1:])
