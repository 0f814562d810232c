"""A simulated provider whose deliveries get lost, and the look that notices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from events.models import AdapterEvent
from providers.adapters.github.simulator import Simulator
from providers.simulation import SimulatedAnswer, SimulatedAttempt, SimulatedDelivery
from tests.missed_world import World, world
from tests.simulated_time import simulated_time
from webhooks import ingress
from webhooks.models import MissedDelivery
from webhooks.reconciliation import Reconciled, reconcile_due

WEB, API = "acme/web", "acme/api"


@contextmanager
def looked_after(settings: Any) -> Iterator[World]:
    """A connection with hooks in two repositories, that has been looked at once."""
    with simulated_time() as time, world("github", Simulator(seed=3, faults=False), time, issue, settings) as running:
        turn(running)
        yield running


def issue(simulator: Any, place: str = WEB) -> list[SimulatedDelivery]:
    simulator._now = datetime.now(UTC).replace(microsecond=0)
    return simulator._open(place, pull_request=False)


def turn(made: World, *, sends: bool = True) -> list[Reconciled]:
    """The next look, minutes later; the provider then sends what it was asked for, or does not."""
    made.time.pass_by(timedelta(minutes=4))
    if made.web_runs:
        ingress.beat()
    done = reconcile_due()
    for attempt in made.simulator.asked_again():
        made.simulator.attempted(attempt, made.post(attempt) if sends else 0)
    return done


def lose(made: World, number: int = 1, place: str = WEB, status: int = 0) -> list[SimulatedAttempt]:
    """So many issues are opened, and their deliveries do not come in."""
    lost = [attempt for _ in range(number) for d in issue(made.simulator, place) for attempt in at(made, d)]
    for attempt in lost:
        made.simulator.attempted(attempt, status)
    return lost


def at(made: World, delivery: SimulatedDelivery) -> list[SimulatedAttempt]:
    attempts: list[SimulatedAttempt] = made.simulator.attempts_of(delivery)
    return attempts


def id_of(attempt: SimulatedAttempt) -> str:
    return attempt.delivery.headers["x-github-delivery"]


def asked(made: World, ending: str, method: str = "GET") -> int:
    """How often the provider was asked for something."""
    return sum(m == method and path.partition("?")[0].endswith(ending) for m, path in made.server.asked)


def states() -> list[str]:
    return sorted(MissedDelivery.objects.values_list("state", flat=True))


def event_of(attempt: SimulatedAttempt) -> AdapterEvent:
    return AdapterEvent.objects.get(dedupe_key=f"delivery:{id_of(attempt)}")


def forget(made: World, attempt: SimulatedAttempt) -> None:
    """The delivery is still listed, but can neither be read nor sent again."""
    usual, number = made.server.answer, made.simulator.hooks.ledger.kept[attempt.hook][-1]["id"]

    def forgetful(method: str, path: str, *rest: Any) -> SimulatedAnswer:
        return SimulatedAnswer(404, {}, b"{}") if f"deliveries/{number}" in path else usual(method, path, *rest)

    made.server.answer = forgetful
