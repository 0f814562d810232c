"""The simulated tracker behind a server that loses answers, fails after it has done what was asked, or is slow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db.models.functions import Now

from actions import schedule
from actions.models import ActionStatus, NormalisedAction
from connections.models import IntegrationConnection
from providers.adapters.fake.simulator import Simulator
from providers.simulation import SimulatedAnswer
from tests.contract.provider_server import Server, serving
from tests.factories import ACME, make_connection

FAILED = SimulatedAnswer(500, {}, b"{}")
READS = ("GET",)

# What becomes of one write: it is given what does it, and answers.
Vice = Callable[[Callable[[], SimulatedAnswer]], SimulatedAnswer]


def answer_lost(do: Callable[[], SimulatedAnswer]) -> SimulatedAnswer:
    """Done, and the answer does not arrive."""
    do()
    raise ConnectionAbortedError("on purpose")


def fails_afterwards(do: Callable[[], SimulatedAnswer]) -> SimulatedAnswer:
    """Done, and answered 500."""
    do()
    return FAILED


def fails_before(do: Callable[[], SimulatedAnswer]) -> SimulatedAnswer:
    """Not done, and answered 500."""
    return FAILED


def says_nothing_readable(do: Callable[[], SimulatedAnswer]) -> SimulatedAnswer:
    """Done, and answered with a page."""
    do()
    return SimulatedAnswer(200, {"content-type": "text/html"}, b"<html>")


def limited(do: Callable[[], SimulatedAnswer]) -> SimulatedAnswer:
    """Refused for the rate limit."""
    return SimulatedAnswer(429, {"retry-after": "20"}, b"{}")


@dataclass
class Tracker:
    """A running tracker. ``vices`` are the next writes' fates, then all go well."""

    world: Simulator
    server: Server
    vices: list[Vice] = field(default_factory=list)
    reads_fail: bool = False
    writes: list[tuple[str, str]] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        def do() -> SimulatedAnswer:
            with self.lock:
                return self.world.handle(method, path, query, headers, body)

        if method in READS:
            return FAILED if self.reads_fail else do()
        self.writes.append((method, path))
        return self.vices.pop(0)(do) if self.vices else do()

    def connect(self, tenant_id: str = ACME, **values: Any) -> IntegrationConnection:
        settings = Simulator.settings(self.server.url)
        return make_connection(
            "fake", tenant_id, credential=dict(Simulator.credential), **{"settings": settings, **values}
        )

    def effects(self, mark: str = "") -> list[str]:
        return [effect for effect in self.world.effects() if mark in effect]


@contextmanager
def running_tracker() -> Iterator[Tracker]:
    world = Simulator(seed=1, faults=False)
    with serving(world.handle) as server:
        tracker = Tracker(world, server)
        server.answer = tracker.answer
        yield tracker


def command(connection: IntegrationConnection, **values: Any) -> dict[str, Any]:
    """A body for the execute endpoint: a comment, unless told otherwise."""
    return {
        "provider_id": connection.provider_id,
        "connection_id": str(connection.pk),
        "canonical_type": "comment_on_issue",
        "target": {"issue_key": "ACME-1"},
        "payload": {"body": "Deployed to staging."},
        "idempotency_key": "deploy-1",
        **values,
    }


CREATE = {"canonical_type": "create_issue", "target": {"project": "ACME"}, "payload": {"title": "Door sticks"}}


def due_now() -> None:
    """The pauses of all actions are over; what settles later still does."""
    NormalisedAction.objects.filter(status=ActionStatus.PENDING).update(next_attempt_at=Now())


def settled() -> None:
    """As long has passed as the provider needs to show what was done."""
    NormalisedAction.objects.filter(in_doubt=True).update(settles_at=Now())


def work() -> None:
    """What beat and a worker do in one tick."""
    for claim in schedule.claim_due():
        schedule.run_claimed([str(action_id) for action_id in claim.action_ids], str(claim.token))
