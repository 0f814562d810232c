"""Webhooks that are missed come in all the same, once and in time: hours of a provider's trouble, in simulated time.

How hours pass in seconds is explained in ``tests.simulated_time``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import orjson
import pytest

from events.models import DeliveryGap
from providers.adapters.fake.simulator import Simulator as FakeSimulator
from providers.adapters.github.simulator import Simulator as GitHub
from providers.adapters.gitlab.simulator import Simulator as GitLab
from providers.simulation import SimulatedDelivery
from tests.extent import extent
from tests.missed_world import ByHand, World, world
from tests.neighbours import Pm3Stub
from tests.simulated_time import SimulatedTime, simulated_time
from webhooks.models import IngressOutage, MissedDelivery

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def time() -> Iterator[SimulatedTime]:
    with simulated_time() as passing:
        yield passing


def github_issue(simulator: Any) -> list[SimulatedDelivery]:
    simulator._now = datetime.now(UTC).replace(microsecond=0)
    return simulator._open("acme/web", pull_request=False)


def gitlab_issue(simulator: Any) -> list[SimulatedDelivery]:
    simulator._now = datetime.now(UTC)
    return simulator._open_issue("zoe")


class Fake(ByHand, FakeSimulator):
    """It keeps no ledger, and its hook is made by hand."""


def fake_issue(simulator: Any) -> list[SimulatedDelivery]:
    issue = simulator._create(simulator._later())
    token = f"{issue['key']}-{len(simulator._issues)}"
    body = {"id": token, "at": issue["created"], "actor": "zoe", "type": "issue.created", "issue": issue}
    return [SimulatedDelivery({"content-type": "application/json", "x-fake-delivery": token}, orjson.dumps(body))]


CASES = {"github": (GitHub, github_issue), "gitlab": (GitLab, gitlab_issue)}


@pytest.mark.parametrize("slug", extent(["gitlab"], [*CASES]))
def test_every_missed_delivery_comes_in_once_and_in_time(
    slug: str, time: SimulatedTime, pm3: Pm3Stub, settings: Any
) -> None:
    simulator, open_issue = CASES[slug]
    with world(slug, simulator(seed=7, faults=False), time, open_issue, settings) as made:
        an_hour_of_drops(made)
        a_failing_door(made)
        a_hook_that_is_off(made)
        an_api_that_is_down(made)

        assert len(made.missed) >= 30
        assert made.late() == []
        assert made.told_twice() == {}
        assert {one.key for one in made.told} - made.delivered().keys() == set()
        the_report_says_so(made)


def test_without_a_ledger_the_time_nobody_listened_is_polled(time: SimulatedTime, pm3: Pm3Stub, settings: Any) -> None:
    """No web process runs for a while, and the provider neither tries again nor keeps a ledger."""
    with world("fake", Fake(seed=7, faults=False), time, fake_issue, settings) as made:
        for runs, minutes in ((True, 5), (False, 20), (True, 10)):
            made.web_runs = runs
            for _ in range(minutes):
                made.minute(made.open_issue, made.open_issue)

        assert len(made.missed) == 40
        assert made.late() == []
        assert set(made.delivered().values()) == {1}
        assert {one.key for one in made.told} == made.delivered().keys()
        gap = DeliveryGap.objects.get()
        assert (gap.cause, gap.repair, gap.status, gap.lost) == ("door_down", "poll", "filled", 0)
        assert gap.fetched >= 40
        outage = IngressOutage.objects.get()
        assert outage.told_at is not None
        assert outage.until is not None
        assert (gap.since, gap.until) == (outage.since, outage.until)


def test_the_verdict_sees_what_nobody_repairs(time: SimulatedTime, pm3: Pm3Stub, settings: Any) -> None:
    with (
        world("github", GitHub(seed=7, faults=False), time, github_issue, settings) as made,
        patch("tests.missed_world.reconcile_due"),
    ):
        made.loses_each = 10
        for _ in range(16):
            made.minute(made.open_issue)
        assert [key for key, _, _ in made.late()] == [one.key for one in made.missed] == [made.told[9].key]
        assert made.told[9].key not in made.delivered()


def an_hour_of_drops(made: World) -> None:
    """One delivery in ten is lost on the way."""
    made.loses_each = 10
    for _ in range(60):
        made.minute(made.simulator.tick, made.simulator.tick)
    made.loses_each = 0


def a_failing_door(made: World) -> None:
    """Ten minutes of 503, and ten in which all is well again."""
    made.door_fails = True
    for _ in range(10):
        made.minute(made.open_issue, made.open_issue)
    made.door_fails = False
    for _ in range(10):
        made.minute(made.open_issue)


def a_hook_that_is_off(made: World) -> None:
    made.simulator.switch_hooks(on=False)
    for _ in range(15):
        made.minute(made.open_issue)


def an_api_that_is_down(made: World) -> None:
    """Nobody can be asked, and every third delivery is lost."""
    made.go_down()
    made.loses_each = 3
    for _ in range(20):
        made.minute(made.open_issue)
    made.loses_each = 0
    made.come_back()
    for _ in range(20):
        made.minute(made.open_issue)


def the_report_says_so(made: World) -> None:
    gaps = DeliveryGap.objects.filter(connection=made.connection)
    assert set(gaps.values_list("status", flat=True)) == {"filled"}
    ledger = [gap for gap in gaps if gap.repair == "ledger"]
    assert sum(gap.missing for gap in ledger) == MissedDelivery.objects.count()
    assert sum(gap.arrived + gap.fetched for gap in ledger) == sum(gap.missing for gap in ledger)
    assert sum(gap.lost for gap in gaps) == 0
    assert {cause for gap in ledger for cause in gap.causes} == {"not_reached", "our_fault"}
    assert "hook_disabled" in {gap.cause for gap in gaps}
