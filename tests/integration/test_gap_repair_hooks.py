"""Hooks that deliver nothing any more: noticed, shown, put right, and the hole they leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest

from connections.models import ConnectionHistory
from events.models import AdapterEvent, DeliveryGap
from providers.adapters.gitlab.simulator import Simulator as GitLab
from providers.client import ProviderClient
from providers.ledgers import HookCondition, HookState, HookWatcher
from providers.simulation import SimulatedAnswer, SimulatedDelivery
from tests.hub_provider import Hub, HubRegistrar, hub_connection
from tests.lost_deliveries import API, WEB, asked, looked_after, lose, states, turn
from tests.missed_world import World, world
from tests.simulated_time import simulated_time
from webhooks import hook_upkeep, ingress, provider_hooks
from webhooks.models import MissedDelivery, WatchedHook, WebhookRegistration
from webhooks.reconciliation import reconcile_due

pytestmark = pytest.mark.django_db


@pytest.fixture
def made(settings: Any) -> Iterator[World]:
    with looked_after(settings) as running:
        yield running


def watch(place: str = WEB) -> WatchedHook:
    return WatchedHook.objects.get(place=place)


def put_right() -> list[str]:
    return list(ConnectionHistory.objects.filter(operation="hook_put_right").values_list("detail", flat=True))


def test_a_hook_that_was_switched_off_is_switched_on_and_its_hole_is_a_gap(made: World) -> None:
    off_since = watch().enabled_seen_at
    made.simulator.hooks.kept[WEB][480001]["active"] = False
    turn(made)
    gap = DeliveryGap.objects.get()
    assert (gap.cause, gap.repair, gap.place, gap.status, gap.until) == ("hook_disabled", "poll", WEB, "open", None)
    assert gap.since == off_since
    assert made.simulator.hooks.kept[WEB][480001]["active"] is True
    assert put_right() == [f"The hook in {WEB} was switched off at the provider. It is switched on again."]
    assert watch().standing == "disabled"
    turn(made)
    gap.refresh_from_db()
    assert gap.until == watch().enabled_seen_at
    assert (watch().standing, watch(API).standing) == ("enabled", "enabled")
    turn(made)
    assert DeliveryGap.objects.count() == 1


def test_a_hook_somebody_removed_is_made_anew(made: World) -> None:
    (old,) = made.simulator.hooks.kept[WEB]
    secret = made.simulator.hooks.kept[WEB][old]["config"]["secret"]
    del made.simulator.hooks.kept[WEB][old]
    lose(made, place=API)
    turn(made)
    (new,) = made.simulator.hooks.kept[WEB]
    assert new != old
    assert made.simulator.hooks.kept[WEB][new]["config"]["secret"] == secret
    assert WebhookRegistration.objects.get().provider_hooks[WEB] == str(new)
    assert DeliveryGap.objects.get(cause="hook_gone").until is None
    turn(made)
    assert DeliveryGap.objects.get(cause="hook_gone").until is not None
    lose(made)
    turn(made), turn(made)
    assert states() == ["arrived", "arrived"]


def test_what_a_removed_hook_still_owed_is_polled(made: World) -> None:
    lose(made)
    with patch("webhooks.reconciliation.repair", return_value=False):
        turn(made)
    assert states() == ["missing"]
    del made.simulator.hooks.kept[WEB][480001]
    turn(made)
    assert states() == ["polled"]
    assert DeliveryGap.objects.filter(cause="not_obtainable", repair="poll").count() == 1


def test_a_hook_that_was_given_another_address_is_left_and_one_of_ours_is_made(made: World) -> None:
    hook = made.simulator.hooks.kept[WEB][480001]
    hook["config"] = {**hook["config"], "url": "https://elsewhere.example/hook"}
    lose(made)
    before = asked(made, "/480001/deliveries")
    turn(made)
    assert DeliveryGap.objects.get().cause == "hook_moved"
    assert asked(made, "/480001/deliveries") == before, "deliveries to somebody else were compared"
    assert set(made.simulator.hooks.kept[WEB]) > {480001}
    assert hook["config"]["url"] == "https://elsewhere.example/hook"


def test_somebody_who_switches_it_off_again_and_again_is_believed(made: World) -> None:
    hooks = made.simulator.hooks.kept[WEB]
    for _ in range(4):
        hooks[480001]["active"] = False
        turn(made), turn(made)
    assert hooks[480001]["active"] is False
    assert len(put_right()) == 3
    assert "keeps switching off" in watch().last_error
    assert DeliveryGap.objects.filter(until=None).count() == 1
    made.time.pass_by(timedelta(days=1))
    ingress.beat()
    turn(made)
    assert hooks[480001]["active"] is True


def test_no_access_is_not_taken_for_gone(made: World) -> None:
    usual = made.server.answer
    made.server.answer = lambda method, path, *rest: (
        SimulatedAnswer(404, {}, b"{}") if "/hooks" in path else usual(method, path, *rest)
    )
    turn(made)
    assert watch().standing == "enabled"
    assert "not visible" in watch().last_error
    assert not DeliveryGap.objects.exists()


def test_while_somebody_else_is_at_the_hooks_it_waits(made: World) -> None:
    made.simulator.hooks.kept[WEB][480001]["active"] = False
    with hook_upkeep.held(WebhookRegistration.objects.get()):
        turn(made)
        assert made.simulator.hooks.kept[WEB][480001]["active"] is False
    for _ in range(5):
        turn(made)
    assert made.simulator.hooks.kept[WEB][480001]["active"] is True


class Expiring(HookWatcher):
    """Hooks that live for a month, as the hub does not have them."""

    def __init__(self, until: datetime) -> None:
        self.until = until

    def state(self, client: ProviderClient, *, target: str, hook_id: str) -> HookState:
        return HookState(condition=HookCondition.ENABLED, expires_at=self.until)

    def enable(
        self, client: ProviderClient, *, target: str, hook_id: str, url: str, secret: str, events: Sequence[str]
    ) -> str:
        return hook_id

    def renew(self, client: ProviderClient, *, target: str, hook_id: str) -> datetime | None:
        self.until += timedelta(days=30)
        return self.until


def test_a_hook_that_is_about_to_end_is_renewed_well_before(hub: Hub, monkeypatch: Any) -> None:
    with simulated_time() as time:
        watcher = Expiring(datetime.now(UTC) + timedelta(days=30))
        monkeypatch.setattr(HubRegistrar, "watcher", watcher)
        first = watcher.until
        provider_hooks.register(hub_connection(hub, "north"), actor="staff:ravi")
        for _ in range(30):
            reconcile_due()
            time.pass_by(timedelta(days=1))
        assert watcher.until == first + timedelta(days=30)
        assert WatchedHook.objects.get().expires_at == watcher.until
        entry = ConnectionHistory.objects.get(operation="hook_renewed")
        assert f"{watcher.until:%Y-%m-%d}" in entry.detail
        assert timedelta(days=19) < entry.created_at - (first - timedelta(days=30)) < timedelta(days=22)


class TestPauses:
    """After four failures in a row the simulated provider sends nothing for a while, and notes nothing."""

    @pytest.fixture
    def paused(self, settings: Any) -> Iterator[World]:
        def issue(simulator: Any) -> list[SimulatedDelivery]:
            simulator._now = datetime.now(UTC)
            return simulator._open_issue("zoe")

        with simulated_time() as time, world("gitlab", GitLab(seed=3, faults=False), time, issue, settings) as running:
            look(running)
            yield running

    def test_a_pause_that_nobody_saw_is_concluded_from_the_ledger(self, paused: World) -> None:
        fail(paused, 4)
        began = paused.time.now()
        paused.time.pass_by(timedelta(minutes=2))
        paused.happen(paused.open_issue())
        look(paused)
        gap = DeliveryGap.objects.get(cause="hook_paused")
        assert gap.since <= began
        assert gap.until is not None
        assert gap.until >= began + timedelta(minutes=2)
        assert DeliveryGap.objects.get(cause="deliveries_failed").fetched == 4

    def test_failures_that_are_no_row_are_no_pause(self, paused: World) -> None:
        for _ in range(3):
            fail(paused, 3)
            paused.happen(paused.open_issue())
            look(paused)
        assert not DeliveryGap.objects.filter(cause="hook_paused").exists()
        assert WatchedHook.objects.get().failing_since is None

    def test_a_row_that_goes_on_from_one_look_to_the_next_is_one(self, paused: World) -> None:
        fail(paused, 2)
        look(paused)
        assert WatchedHook.objects.get().failed_in_row == 2
        fail(paused, 2)
        look(paused)
        assert DeliveryGap.objects.filter(cause="hook_paused").count() == 1

    def test_a_pause_that_is_seen_is_shown_and_ends(self, paused: World) -> None:
        fail(paused, 7)
        look(paused)
        row = WatchedHook.objects.get()
        assert (row.standing, row.paused_until is not None) == ("paused", True)
        paused.time.pass_by(timedelta(minutes=5))
        look(paused)
        assert WatchedHook.objects.get().standing == "enabled"
        assert not DeliveryGap.objects.filter(until=None).exists()

    def test_after_a_long_pause_the_hook_is_made_anew_once_what_it_owed_is_here(self, paused: World) -> None:
        fail(paused, 9)
        ((old, _),) = paused.simulator.hooks.kept["projects/acme/web"].items()
        with patch("webhooks.ledger_reading.take", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
            look(paused)
        assert MissedDelivery.objects.filter(state="missing").count() == 9
        paused.time.pass_by(timedelta(minutes=2))
        look(paused)
        assert AdapterEvent.objects.count() == 9
        ((new, hook),) = paused.simulator.hooks.kept["projects/acme/web"].items()
        assert new != old
        assert hook["url"].endswith(paused.simulator.kept_hooks()[0][0].rpartition("/")[2])
        assert WebhookRegistration.objects.get().provider_hooks == {"project:acme/web": str(new)}
        look(paused)
        assert WatchedHook.objects.get().standing == "enabled"

    def test_while_the_door_is_shut_a_paused_hook_is_left(self, paused: World) -> None:
        fail(paused, 9)
        (old,) = paused.simulator.hooks.kept["projects/acme/web"]
        paused.web_runs = False
        look(paused)
        assert list(paused.simulator.hooks.kept["projects/acme/web"]) == [old]


def look(made: World) -> None:
    made.time.pass_by(timedelta(minutes=4))
    if made.web_runs:
        ingress.beat()
    reconcile_due()


def fail(made: World, number: int) -> None:
    """So many deliveries fail, whatever the provider holds of the hook."""
    for _ in range(number):
        made.time.pass_by(timedelta(seconds=1))
        for delivery in made.open_issue():
            made.simulator.hooks.ledger.paused_until.clear()
            for attempt in made.simulator.attempts_of(delivery):
                made.simulator.attempted(attempt, 503)
