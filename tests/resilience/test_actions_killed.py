"""Actions while answers are lost, new objects show late, and workers are killed between sending and recording.

The short form runs with the others; ``ACTIONS=5000 ./script/test tests/resilience/test_actions_killed.py -s`` is the
long one and prints its figures.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

from actions import schedule
from actions.dispatcher import execute
from actions.intake import Wish
from actions.models import OVER, ActionStatus, NormalisedAction
from connections.models import IntegrationConnection, Receipt
from providers.simulation import SimulatedAnswer
from tests.chaotic_tracker import SHOWS_AFTER
from tests.extent import extent
from tests.factories import make_connection
from tests.tracker import Tracker, answer_lost, fails_afterwards, fails_before, running_tracker

pytestmark = pytest.mark.django_db(transaction=True)

NUMBER = int(os.environ.get("ACTIONS", extent(60, 1000)))
WORKERS = 3
CONNECTIONS = 6
# Of a hundred writes.
LOST, DONE_AND_FAILED, NOT_DONE, SLOW = 5, 2, 2, 5
SECONDS_A_LIFE = (0.2, 0.8)


@pytest.fixture
def tracker(settings: Any) -> Iterator[Tracker]:
    settings.EXTRA_ADAPTERS = {"chaotic": "tests.chaotic_tracker.ChaoticAdapter"}
    settings.ACTION_LEASE_SECONDS, settings.ACTION_ATTEMPT_SECONDS = 4, 2.0
    with running_tracker() as running:
        running.world.writes.visible_after_seconds = SHOWS_AFTER
        yield running


def chaotic(tracker: Tracker) -> Callable[..., SimulatedAnswer]:
    """Answers as the tracker does, but for some writes."""
    dice = random.Random(7)

    def answer(method: str, *request: Any) -> SimulatedAnswer:
        if method == "GET":
            return tracker.world.handle(method, *request)
        with tracker.lock:
            drawn = dice.random() * 100

        def do() -> SimulatedAnswer:
            with tracker.lock:
                return tracker.world.handle(method, *request)

        tracker.writes.append((method, str(request[0])))
        if drawn < LOST:
            return answer_lost(do)
        if drawn < LOST + DONE_AND_FAILED:
            return fails_afterwards(do)
        if drawn < LOST + DONE_AND_FAILED + NOT_DONE:
            return fails_before(do)
        done = do()
        if drawn < LOST + DONE_AND_FAILED + NOT_DONE + SLOW:
            # Done, and the worker may be killed before it hears of it.
            time.sleep(0.3)
        return done

    return answer


def wishes(connections_of: list[IntegrationConnection]) -> Iterator[tuple[IntegrationConnection, Wish]]:
    """New issues, comments and changes in turn, and now and then one that is refused."""
    for number in range(NUMBER):
        connection = connections_of[number % len(connections_of)]
        kind = ("create_issue", "comment_on_issue", "update_issue")[number % 3]
        issue = "ACME-1" if number % 50 else "ACME-9999"
        target = {"project": "ACME"} if kind == "create_issue" else {"issue_key": issue}
        texts: dict[str, Any] = {"body": f"Text {number}"}
        payload = {"title": f"Title {number}"} if kind != "comment_on_issue" else texts
        yield (
            connection,
            Wish(
                provider_id="chaotic",
                canonical_type=kind,
                target=target,
                payload=payload,
                idempotency_key=f"key-{number}",
            ),
        )


def worker() -> int:
    """Fork a process that does what a worker does until it is killed."""
    child = os.fork()
    if child == 0:
        try:
            # The parent's connection belongs to the parent; this process makes its own.
            connections["default"].connection = None
            connections["default"].inc_thread_sharing()
            while True:
                claims = schedule.claim_due()
                for claim in claims:
                    schedule.run_claimed([str(key) for key in claim.action_ids], str(claim.token))
                if not claims:
                    time.sleep(0.05)
        finally:
            os._exit(1)
    return child


def test_killed_workers_and_lost_answers_leave_one_effect_at_most(tracker: Tracker) -> None:
    tracker.server.answer = chaotic(tracker)
    rows = [
        make_connection(
            "chaotic", credential=dict(tracker.world.credential), settings=tracker.world.settings(tracker.server.url)
        )
        for _ in range(CONNECTIONS)
    ]
    for connection, wish in wishes(rows):
        execute(connection, wish, actor="test", wait=False)
    began, kills = time.monotonic(), 0
    dice = random.Random(11)
    alive = [worker() for _ in range(WORKERS)]
    try:
        while NormalisedAction.objects.exclude(status__in=OVER).exists():
            assert time.monotonic() - began < 60 + NUMBER / 10, "it does not come to an end"
            time.sleep(dice.uniform(*SECONDS_A_LIFE))
            victim = alive.pop(dice.randrange(len(alive)))
            os.kill(victim, signal.SIGKILL)
            os.waitpid(victim, 0)
            kills += 1
            alive.append(worker())
    finally:
        for child in alive:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    effects = Counter(effect.split()[-1] if effect.startswith("issue") else effect for effect in tracker.effects())
    outcomes = Counter(NormalisedAction.objects.values_list("status", flat=True))
    sys.stdout.write(
        f"\n{NUMBER} actions, {kills} workers killed, {len(tracker.writes)} requests that change, "
        f"{dict(outcomes)}, {time.monotonic() - began:.0f} s\n"
    )
    made = [effect for effect in effects if not effect.startswith("change")]
    assert max((effects[effect] for effect in made), default=0) == 1, "an effect twice"
    for action in NormalisedAction.objects.exclude(canonical_type="update_issue"):
        done = any(str(action.pk) in effect for effect in made)
        assert action.status != ActionStatus.COMPLETED or done, f"{action.pk} was told as done and was not"
        assert action.status != ActionStatus.FAILED or not done, f"{action.pk} was told as failed and was done"
    assert outcomes[ActionStatus.NEEDS_REVIEW] <= NUMBER * 0.005
    assert outcomes[ActionStatus.COMPLETED] > NUMBER * 0.9
    assert Receipt.objects.count() == NUMBER
