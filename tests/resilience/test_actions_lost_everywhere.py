"""Every command of every adapter, with the answer to its write lost: found or repeated, and done once."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import redis
from django.conf import settings as deployment

from actions.dispatcher import execute
from actions.intake import Wish
from actions.models import ActionStatus, NormalisedAction
from providers import registry
from providers.actions import OneEffect
from providers.simulation import EffectKeeper, SimulatedAnswer
from tests.contract.provider_server import serving
from tests.contract.subject import Subject
from tests.factories import make_connection
from tests.tracker import due_now, settled, work

pytestmark = pytest.mark.django_db
ACTING = [slug for slug in registry.slugs() if registry.get(slug).actions]


@pytest.mark.parametrize("slug", ACTING)
def test_an_answer_that_is_lost_leaves_one_effect_and_a_completed_action(slug: str) -> None:
    subject = Subject.of(registry.get(slug))
    assert subject.simulator is not None
    examples = orjson.loads((subject.directory / "actions.json").read_bytes())
    for action in subject.adapter.actions:
        # Nobody's quota shall keep the next command waiting.
        redis.Redis.from_url(deployment.REDIS_URL).flushdb()
        NormalisedAction.objects.all().delete()
        world = subject.simulator(seed=1, faults=False)
        assert isinstance(world, EffectKeeper)
        lost: list[str] = []

        def losing(*request: Any, world: Any = world, lost: list[str] = lost) -> SimulatedAnswer:
            before = len(world.effects())
            answer: SimulatedAnswer = world.handle(*request)
            if len(world.effects()) > before and not lost:
                lost.append("once")
                raise ConnectionAbortedError("on purpose")
            return answer

        with serving(losing) as server:
            connection = make_connection(
                slug, credential=dict(world.credential), settings=subject.simulator.settings(server.url)
            )
            example = examples[action.type.value]
            wish = Wish(
                provider_id=slug,
                canonical_type=action.type.value,
                target=example["target"],
                payload=example["payload"],
                idempotency_key="once",
            )
            execute(connection, wish, actor="test", wait=True)
            for _ in range(3):
                settled()
                due_now()
                redis.Redis.from_url(deployment.REDIS_URL).flushdb()
                work()
        done = NormalisedAction.objects.get()
        wanted = ActionStatus.NEEDS_REVIEW if action.one_effect is OneEffect.UNKNOWABLE else ActionStatus.COMPLETED
        assert lost, f"{action.type}: nothing was lost"
        assert done.status == wanted, f"{action.type}: {done.status}, {done.evidence}"
        assert len(world.effects()) == 1, f"{action.type}: {world.effects()}"
