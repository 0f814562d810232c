"""Answers that tell of a quota what cannot be: they lock nobody out, and no call is free for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from connections import quota_ledger
from connections.quota_state import _state
from providers.quotas import Quota
from tests.quota_rig import HEADERS, Rig, call, entered, refused, running_rig, spent_by

FIXED = Quota(name="requests", kind="fixed", units=10, window_seconds=60, headers=HEADERS)
DELTA = replace(FIXED, headers=replace(HEADERS, reset_format="delta_seconds"))
IN_ANOTHER_UNIT = 1000
CENTURY = 100 * 366 * 86_400.0


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with running_rig(monkeypatch) as running:
        yield running


def wrong(rig: Rig, quota: Quota, remaining: int, far: float) -> dict[str, str]:
    """Headers with a reset that is too far off."""
    reset = far if quota is DELTA else rig.now + far
    return {**rig.told(10, remaining, 60), "x-reset": str(round(reset))}


class TestResetTooFarOff:
    @pytest.mark.parametrize("quota", [FIXED, DELTA], ids=["epoch", "delta"])
    @pytest.mark.parametrize("far", [400.0, 90_000.0, CENTURY])
    def test_closes_an_empty_quota_no_longer_than_a_window(self, rig: Rig, quota: Quota, far: float) -> None:
        gate = rig.gate(quota)
        call(gate, wrong(rig, quota, 0, far))
        assert 0 < (refused(gate).retry_after_seconds or 0) <= 62
        rig.advance(62)
        call(gate)

    @pytest.mark.parametrize("quota", [FIXED, DELTA], ids=["epoch", "delta"])
    def test_explains_no_refusal(self, rig: Rig, quota: Quota) -> None:
        gate = rig.gate(quota, pause_seconds=5)
        call(gate, wrong(rig, quota, 0, CENTURY), status=429, limited=True)
        rig.advance(62)
        call(gate)

    def test_in_milliseconds_is_none(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        call(gate, {**rig.told(10, 0, 60), "x-reset": str(round(rig.now * IN_ANOTHER_UNIT))})
        rig.advance(62)
        call(gate)

    def test_does_not_make_the_right_one_after_it_look_old(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        call(gate, wrong(rig, FIXED, 9, CENTURY))
        rig.advance(1)
        call(gate, rig.told(10, 2, 60))
        assert spent_by(gate) == 2

    def test_of_a_long_window_closes_for_a_day_at_most(self, rig: Rig) -> None:
        gate = rig.gate(replace(FIXED, window_seconds=30 * 86_400))
        call(gate, rig.told(10, 0, 20 * 86_400), status=429, limited=True)
        charge = quota_ledger.charges(gate._quotas, "GET", "/items")[0]
        (seen,) = quota_ledger.run(gate._owner, [charge], "look", [charge.stated()])["quotas"]
        assert seen["block"]["ends"] == pytest.approx(rig.now + 86_400)

    def test_is_not_shown(self) -> None:
        seen = {"under_way": 0, "resets_at": 1.8e12, "block": {"ends": 1.8e15, "why": "spent"}}
        state = _state("requests", seen, None)
        assert (state.resets_at, state.blocked_until) == (None, None)
        assert state.reason


class TestNoCallIsFree:
    def test_when_the_reset_that_is_told_is_past(self, rig: Rig) -> None:
        assert spent_by(rig.gate(FIXED), rig.told(10, 9, -5)) <= 10

    def test_when_an_earlier_reset_is_told_than_the_one_known(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        call(gate, rig.told(10, 9, 110))
        assert spent_by(gate, rig.told(10, 9, 60)) <= 9

    @pytest.mark.parametrize("quota", [FIXED, DELTA], ids=["epoch", "delta"])
    def test_when_the_clock_is_set_back(self, rig: Rig, quota: Quota) -> None:
        gate = rig.gate(quota)
        resets = rig.now + 60
        call(gate, {**rig.told(10, 9, 60), "x-reset": "60" if quota is DELTA else str(round(resets))})
        rig.advance(-30)
        # No time has passed for the provider: its counter goes on in the same window.
        told = {**rig.told(10, 5, 60), "x-reset": "60"} if quota is DELTA else wrong(rig, FIXED, 5, 90)
        call(gate, {**told, "date": ""})
        assert spent_by(gate) == 5

    def test_but_one_that_left_before_the_window_began_was_counted_in_the_one_before(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        (late,) = entered(gate)
        old = rig.told(10, 0, 10)
        call(gate, old)
        rig.advance(11)
        call(gate, rig.told(10, 9, 59))
        late.answered(200, old, limited=False)
        assert spent_by(gate) == 9
