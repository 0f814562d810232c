"""Repairs that must come to an end, and faults of one door, hook or gap that must stay with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.db import DataError
from django.utils import timezone

from connections.models import ConnectionStatus, Incident, IntegrationConnection
from events.gap_models import GapCause
from events.gaps import end_gaps, note_gap, note_gaps, widen_gap
from events.models import AdapterEvent, DeliveryGap
from polling import gap_repair
from polling.gap_repair import fill_gaps
from polling.models import Backfill
from providers.errors import ProviderFault
from providers.simulation import SimulatedAnswer
from tests.integration.test_gap_repair_polling import HOUR, MINUTE, due, found, step
from tests.lost_deliveries import API, WEB, looked_after, lose, states, turn
from tests.missed_world import World
from tests.polling_provider import Ledger, ledger_connection
from webhooks import ingress, missed
from webhooks.hook_work import HookWork
from webhooks.models import MissedDelivery, WatchedHook, WebhookRegistration
from webhooks.reconciliation import reconcile_due, run_message
from webhooks.registrations import delete_registration, resume_registration, suspend_registration
from webhooks.repair_closing import close_repairs
from webhooks.repair_lease import claim_due, make_due

pytestmark = pytest.mark.django_db


@pytest.fixture
def made(settings: Any) -> Iterator[World]:
    with looked_after(settings) as running:
        yield running


def answers(made: World, ending: str, change: Any) -> None:
    """The provider's answers to such paths are changed on the way."""
    usual = made.server.answer

    def changed(method: str, path: str, *rest: Any) -> SimulatedAnswer:
        answer = usual(method, path, *rest)
        return change(answer) if path.partition("?")[0].endswith(ending) else answer

    made.server.answer = changed


def give_up_all() -> None:
    """The provider fails for as long as any gap is tried."""
    for _ in range(14):
        due()
        fill_gaps()
        Backfill.objects.update(status="failed", last_error="The provider is away.")


class TestHooks:
    def test_a_door_whose_hooks_take_longer_than_a_run_rests_when_each_was_looked_at(self, made: World) -> None:
        asked_for: dict[int, int] = {}

        def is_over(work: HookWork) -> bool:
            asked_for[id(work)] = asked_for.get(id(work), 0) + 1
            return asked_for[id(work)] > 1

        made.time.pass_by(timedelta(minutes=4))
        runs = []
        with patch.object(HookWork, "is_over", property(is_over)):
            for _ in range(20):
                made.time.pass_by(timedelta(seconds=5))
                ingress.beat()
                runs += reconcile_due()
                asked_for.clear()
        assert [run.hooks for run in runs] == [1, 1]
        assert runs[-1].due_in > timedelta(minutes=2)

    def test_an_outage_has_all_hooks_looked_at_at_once(self, made: World) -> None:
        make_due([WebhookRegistration.objects.get().pk])
        assert [run.hooks for run in reconcile_due()] == [2]

    def test_a_value_the_database_refuses_is_the_fault_of_one_hook(self, made: World) -> None:
        made.time.pass_by(timedelta(minutes=4))
        (claim,) = claim_due(10)
        with patch("webhooks.reconciliation.look", side_effect=DataError("value out of range")):
            assert run_message([str(claim.registration_id)], str(claim.token)) == 1
        assert {hook.last_error for hook in WatchedHook.objects.all()} == {"Our own fault (DataError)."}

    def test_words_postgresql_does_not_keep_are_told_without_them(self, made: World) -> None:
        with patch("webhooks.reconciliation.look", side_effect=ProviderFault("a\0b")):
            turn(made)
        assert {hook.last_error for hook in WatchedHook.objects.all()} == {"ab"}

    def test_an_entry_from_the_end_of_the_calendar_stops_nothing(self, made: World) -> None:
        lose(made)

        def future(answer: SimulatedAnswer) -> SimulatedAnswer:
            rows = json.loads(answer.body)
            rows.insert(0, {**rows[0], "id": 999999, "guid": "aaaa", "delivered_at": "9999-12-31T23:59:59Z"})
            return SimulatedAnswer(200, {}, json.dumps(rows).encode())

        answers(made, "/480001/deliveries", future)
        turn(made)
        hook = WatchedHook.objects.get(place=WEB)
        assert hook.last_error == ""
        assert hook.read_to < timezone.now() + timedelta(minutes=6)
        assert MissedDelivery.objects.count() == 2

    def test_beyond_so_many_missed_deliveries_the_window_is_polled(self, made: World, monkeypatch: Any) -> None:
        monkeypatch.setattr(missed, "UNSETTLED_A_HOOK", 2)
        lose(made, 5)
        with patch("webhooks.reconciliation.repair", return_value=False):
            turn(made)
            turn(made)
        assert states() == ["missing", "missing"]
        gap = DeliveryGap.objects.get(cause=GapCause.NOT_OBTAINABLE)
        assert (gap.repair, gap.place) == ("poll", WEB)
        oldest = min(MissedDelivery.objects.values_list("delivered_at", flat=True))
        assert gap.since < oldest < gap.until


class TestClosedDoors:
    @pytest.fixture(autouse=True)
    def _off_and_missed(self, made: World) -> None:
        """The hook of one place is off, and deliveries to another were missed."""
        made.simulator.hooks.kept[WEB][480001]["active"] = False
        lose(made, 2, API)
        with patch("webhooks.hook_standing._cure"), patch("webhooks.reconciliation.repair", return_value=False):
            turn(made)
        assert states() == ["missing", "missing"]
        assert DeliveryGap.objects.filter(until=None).count() == 1

    def test_of_a_deleted_door_the_gaps_end_and_what_it_missed_is_polled(self, made: World) -> None:
        delete_registration(WebhookRegistration.objects.get(), actor="staff:ravi")
        assert close_repairs() == 3
        assert not DeliveryGap.objects.filter(until=None).exists()
        assert states() == ["polled", "polled"]
        assert not DeliveryGap.objects.filter(repair="ledger", status__in=("open", "filling")).exists()
        assert DeliveryGap.objects.filter(cause=GapCause.NOT_OBTAINABLE, repair="poll", place=API).count() == 1
        assert close_repairs() == 0

    def test_of_a_suspended_door_the_gaps_end_and_its_ledger_is_waited_for_as_long_as_it_lasts(
        self, made: World
    ) -> None:
        door = WebhookRegistration.objects.get()
        suspend_registration(door, actor="staff:ravi")
        assert close_repairs() == 1
        assert not DeliveryGap.objects.filter(until=None).exists()
        assert states() == ["missing", "missing"]
        made.time.pass_by(timedelta(days=4))
        assert close_repairs() == 2
        assert states() == ["polled", "polled"]

    def test_a_hook_that_is_still_off_when_its_door_is_opened_again_is_a_gap_again(self, made: World) -> None:
        door = WebhookRegistration.objects.get()
        suspend_registration(door, actor="staff:ravi")
        close_repairs()
        resume_registration(door, actor="staff:ravi")
        with patch("webhooks.hook_standing._cure"):
            turn(made)
        assert DeliveryGap.objects.filter(cause=GapCause.HOOK_DISABLED, until=None).count() == 1

    def test_a_place_that_was_taken_out_of_the_settings_is_looked_after_no_more(self, made: World) -> None:
        IntegrationConnection.objects.update(settings={**made.connection.settings, "repositories": [API]})
        (run,) = turn(made)
        assert run.hooks == 1
        made.time.pass_by(timedelta(hours=2))
        assert close_repairs() >= 1
        assert not DeliveryGap.objects.filter(until=None).exists()
        turn(made)
        assert not DeliveryGap.objects.filter(until=None).exists()

    def test_an_open_door_keeps_its_gaps(self, made: World) -> None:
        assert close_repairs() == 0
        assert DeliveryGap.objects.filter(until=None).count() == 1


class TestGaps:
    def test_a_gap_that_lasts_is_never_given_up_and_is_filled_when_the_provider_is_back(self, ledger: Ledger) -> None:
        lasting = found(ledger_connection(ledger), until=None, cause=GapCause.HOOK_DISABLED)
        gap = note_gap(lasting)
        give_up_all()
        gap.refresh_from_db()
        assert gap.status == "filling"
        assert gap.attempts > gap_repair.TRIES
        ledger.add(3)
        note_gaps([lasting])
        end_gaps(DeliveryGap.objects.all(), timezone.now())
        filled = step()
        assert (filled.status, filled.fetched, AdapterEvent.objects.count()) == ("filled", 3, 3)

    def test_once_it_is_over_it_has_as_many_tries_as_any_other(self, ledger: Ledger) -> None:
        gap = note_gap(found(ledger_connection(ledger), until=None, cause=GapCause.HOOK_DISABLED))
        give_up_all()
        end_gaps(DeliveryGap.objects.all(), timezone.now())
        gap.refresh_from_db()
        assert gap.attempts == 0
        give_up_all()
        gap.refresh_from_db()
        assert gap.status == "lost"

    @pytest.mark.parametrize("is_over", [False, True], ids=["lasting", "just over"])
    def test_the_days_for_a_person_do_not_count_from_when_it_began(self, ledger: Ledger, is_over: bool) -> None:
        connection = ledger_connection(ledger)
        gap = note_gap(found(connection, until=None, cause=GapCause.HOOK_DISABLED))
        began_at, now = timezone.now() - timedelta(days=8), timezone.now()
        DeliveryGap.objects.update(detected_at=began_at, since=began_at, filled_to=now - 5 * MINUTE)
        DeliveryGap.objects.update(until=now if is_over else None)
        IntegrationConnection.objects.update(status=ConnectionStatus.SUSPENDED)
        due()
        fill_gaps()
        gap.refresh_from_db()
        assert gap.status == "open"
        assert "switch polling on" in gap.last_error

    @pytest.mark.parametrize("grows_in", ["start_backfill", "_look"])
    def test_a_gap_that_is_widened_while_a_step_is_taken_is_read_whole(self, ledger: Ledger, grows_in: str) -> None:
        window = found(ledger_connection(ledger))
        note_gap(window)
        ledger.add(2, at=window.since + MINUTE)
        ledger.add(5, at=window.since - 20 * MINUTE)
        real, grown = getattr(gap_repair, grows_in), []

        def meanwhile(*given: Any, **named: Any) -> Any:
            done = real(*given, **named) if grows_in == "start_backfill" else None
            if not grown:
                grown.append(widen_gap(replace(window, since=window.since - 30 * MINUTE)))
            return done if grows_in == "start_backfill" else real(*given, **named)

        with patch.object(gap_repair, grows_in, meanwhile):
            step()
        step(), step()
        filled = DeliveryGap.objects.get()
        assert (filled.status, filled.since, AdapterEvent.objects.count()) == ("filled", grown[0].since, 7)

    def test_a_gap_that_faults_keeps_no_other_and_is_not_tried_without_end(self, ledger: Ledger) -> None:
        faulty, sound = note_gap(found(ledger_connection(ledger))), note_gap(found(ledger_connection(ledger)))
        real = gap_repair.start_backfill

        def start(connection: Any, *given: Any, **named: Any) -> Any:
            if connection.pk == faulty.connection_id:
                raise RuntimeError("of an adapter")
            return real(connection, *given, **named)

        with patch.object(gap_repair, "start_backfill", start):
            due()
            DeliveryGap.objects.filter(pk=faulty.pk).update(next_try_at=timezone.now() - HOUR)
            assert fill_gaps() == 2
            faulty.refresh_from_db(), sound.refresh_from_db()
            assert (faulty.last_error, faulty.attempts) == ("Our own fault (RuntimeError).", 1)
            assert sound.backfill_id is not None
            for _ in range(4):
                due()
                fill_gaps()
        faulty.refresh_from_db()
        assert faulty.status == "lost"

    def test_a_deleted_connection_lost_nothing_anybody_is_told_of(self, ledger: Ledger) -> None:
        note_gap(found(ledger_connection(ledger)))
        IntegrationConnection.objects.update(status=ConnectionStatus.DELETED)
        assert step().status == "lost"
        assert not Incident.objects.exists()
