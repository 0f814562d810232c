"""Who may spend what is left of a quota: each class leaves a reserve to those above it. On the real Valkey."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connections.quota import QuotaGate
from providers.errors import QuotaSpent
from providers.quotas import Quota, Traffic
from tests.quota_rig import HEADERS, Rig, call, refused, running_rig, spent_by

MOST_URGENT_LAST = (Traffic.BACKFILL, Traffic.POLL, Traffic.REPAIR, Traffic.ACTION)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with running_rig(monkeypatch) as running:
        yield running


def fixed(units: int = 1000) -> Quota:
    return Quota(name="requests", kind="fixed", units=units, window_seconds=1000, headers=HEADERS)


def gates(rig: Rig, quota: Quota) -> dict[Traffic, QuotaGate]:
    return {traffic: rig.gate(quota, traffic=traffic) for traffic in Traffic}


@pytest.mark.parametrize(
    ("left", "spent"),
    [
        # 30, 15 and 10 % are kept while the window is whole …
        (1000, [700, 150, 50, 100]),
        # … half as much in the middle of it …
        (500, [850, 75, 25, 50]),
        # … and at its end 3, 2 and 1 %.
        (10, [970, 10, 10, 10]),
    ],
)
def test_a_reserve_shrinks_with_the_time_that_is_left(rig: Rig, left: int, spent: list[int]) -> None:
    mine = gates(rig, fixed())
    call(rig.gate(fixed()), rig.told(1000, 1000, left - 1))
    assert [spent_by(mine[traffic]) for traffic in MOST_URGENT_LAST] == spent


def test_a_class_that_is_refused_is_told_when_its_turn_comes(rig: Rig) -> None:
    backfill = gates(rig, fixed())[Traffic.BACKFILL]
    call(rig.gate(fixed()), rig.told(1000, 1000, 999))
    spent_by(backfill)
    for _ in range(20):
        wait = refused(backfill).retry_after_seconds or 0
        rig.advance(wait - 0.01)
        refused(backfill)
        rig.advance(0.01)
        call(backfill)


@pytest.mark.parametrize("traffic", [Traffic.BACKFILL, Traffic.POLL])
@pytest.mark.parametrize("units", [20, 50, 1000])
def test_demand_alone_uses_up_a_window_but_for_what_an_action_needs(rig: Rig, units: int, traffic: Traffic) -> None:
    gate = gates(rig, fixed(units))[traffic]
    call(rig.gate(fixed(units)), rig.told(units, units, 999))
    resets_at, used = rig.now + 999, 0
    while rig.now < resets_at:
        try:
            call(gate)
            used += 1
        except QuotaSpent as spent:
            rig.advance(spent.retry_after_seconds or 0)
    assert 0.95 * units <= used < units


def test_an_action_finds_something_at_every_moment_of_a_saturated_window(rig: Rig) -> None:
    mine = gates(rig, fixed(100))
    call(rig.gate(fixed(100)), rig.told(100, 100, 999))
    for _ in range(10):
        spent_by(mine[Traffic.BACKFILL])
        spent_by(mine[Traffic.POLL])
        call(mine[Traffic.ACTION])
        rig.advance(99)


def test_of_a_rolling_window_little_is_kept_because_it_has_no_end(rig: Rig) -> None:
    mine = gates(rig, Quota(name="points", units=900, window_seconds=60, write_cost=5))
    assert spent_by(mine[Traffic.BACKFILL]) == 873
    assert spent_by(mine[Traffic.POLL]) == 9
    for _ in range(3):
        call(mine[Traffic.ACTION], method="POST")


def test_what_is_kept_suffices_for_one_call_of_the_dearest_kind(rig: Rig) -> None:
    mine = gates(rig, Quota(name="points", units=100, window_seconds=60, write_cost=5))
    assert spent_by(mine[Traffic.BACKFILL]) == 95
    call(mine[Traffic.ACTION], method="POST")


def test_a_bucket_that_refills_gives_all_it_refills(rig: Rig) -> None:
    mine = gates(rig, Quota(name="requests", kind="leaky", units=100, window_seconds=100))
    assert spent_by(mine[Traffic.BACKFILL]) == 70
    rig.advance(20)
    assert spent_by(mine[Traffic.BACKFILL]) == 20
    assert spent_by(mine[Traffic.ACTION]) == 30


@pytest.mark.parametrize("traffic", list(Traffic))
def test_a_quota_of_one_is_everybodys(rig: Rig, traffic: Traffic) -> None:
    assert spent_by(rig.gate(Quota(name="history", units=1), traffic=traffic)) == 1


def test_a_call_that_costs_more_than_there_is_goes_alone(rig: Rig) -> None:
    gate = rig.gate(Quota(name="points", units=50, read_cost=80, window_seconds=60), traffic=Traffic.POLL)
    assert spent_by(gate) == 1
