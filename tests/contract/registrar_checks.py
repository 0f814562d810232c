"""Checks of hooks made through a provider's API, against the adapter's own simulator over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import pytest

from providers.client import ProviderClient
from providers.errors import AuthFailed, ProviderError, ProviderFault, RateLimited, Unreachable
from providers.simulation import HookKeeper, SimulatedAnswer, Simulator
from providers.spi import HookRegistrar
from providers.verification import new_secret
from tests.contract.provider_server import Server
from tests.contract.stream_checks import GARBAGE, served
from tests.contract.subject import Subject

URL = "https://signals.example/v1/integrations/webhooks/token-1"
Check = Callable[[Subject], None]


@dataclass
class Hooks:
    """A registrar at work in one place."""

    registrar: HookRegistrar
    server: Server
    client: ProviderClient
    world: Simulator
    keeper: HookKeeper
    target: str
    first: str
    second: str

    def create(self, secret: str) -> str:
        return self.registrar.create(self.client, target=self.target, url=URL, secret=secret, events=())

    def delete(self, hook_id: str) -> None:
        self.registrar.delete(self.client, target=self.target, hook_id=hook_id)


def _with_registrar(check: Check) -> Check:
    """Nothing to check where the adapter makes no hooks."""

    @wraps(check)
    def checked(subject: Subject) -> None:
        if subject.adapter.webhook is not None and subject.adapter.webhook.registrar is not None:
            check(subject)

    return checked


@contextmanager
def hooks_of(subject: Subject) -> Iterator[Hooks]:
    with served(subject) as (simulator, server, client):
        assert isinstance(simulator, HookKeeper), "the simulator does not say which hooks it keeps"
        webhook = subject.adapter.webhook
        assert webhook is not None
        assert webhook.registrar is not None
        assert subject.simulator is not None
        form = webhook.schemes[webhook.registrar.scheme].secret_form
        targets = webhook.registrar.targets(subject.simulator.settings(server.url))
        assert targets, "the simulator's settings name no place for a hook"
        secrets = new_secret(form), new_secret(form)
        yield Hooks(webhook.registrar, server, client, simulator, simulator, targets[0], *secrets)


@_with_registrar
def an_answer_lost_leaves_one_hook(subject: Subject) -> None:
    """Made, but not told: the next try leaves that hook, or one in its stead, with the secret it brings."""
    for loss in (SimulatedAnswer(502), ConnectionAbortedError("on purpose")):
        with hooks_of(subject) as hooks:
            world = hooks.server.answer

            def losing(
                *request: Any, world: Callable[..., SimulatedAnswer] = world, hooks: Hooks = hooks, loss: Any = loss
            ) -> SimulatedAnswer:
                before = len(hooks.keeper.kept_hooks())
                answer = world(*request)
                if len(hooks.keeper.kept_hooks()) == before:
                    return answer
                if isinstance(loss, Exception):
                    raise loss
                return SimulatedAnswer(loss.status)

            hooks.server.answer = losing
            with pytest.raises(ProviderError) as caught:
                hooks.create(hooks.first)
            assert isinstance(caught.value, ProviderFault | Unreachable), "an unknown outcome was taken for a refusal"
            hooks.server.answer = world
            hook_id = hooks.create(hooks.second)
            assert hooks.keeper.kept_hooks() == [(URL, hooks.second)]
            hooks.delete(hook_id)
            assert hooks.keeper.kept_hooks() == [], "the id is not that of the hook"


@_with_registrar
def a_hook_takes_a_new_secret(subject: Subject) -> None:
    """The hook stays the same one and signs with the new secret; for one that is gone it is an error."""
    with hooks_of(subject) as hooks:
        hook_id = hooks.create(hooks.first)
        assert hooks.keeper.kept_hooks() == [(URL, hooks.first)]
        hooks.registrar.change_secret(hooks.client, target=hooks.target, hook_id=hook_id, url=URL, secret=hooks.second)
        assert hooks.keeper.kept_hooks() == [(URL, hooks.second)]
        hooks.delete(hook_id)
        with pytest.raises(ProviderError):
            hooks.registrar.change_secret(
                hooks.client, target=hooks.target, hook_id=hook_id, url=URL, secret=hooks.first
            )


@_with_registrar
def a_hook_removed_twice_is_gone(subject: Subject) -> None:
    """Removing what is gone already is success."""
    with hooks_of(subject) as hooks:
        hook_id = hooks.create(hooks.first)
        hooks.delete(hook_id)
        assert hooks.keeper.kept_hooks() == []
        try:
            hooks.delete(hook_id)
        except ProviderError as error:
            pytest.fail(f"what is gone already is no success: {error}")


@_with_registrar
def a_refused_removal_is_told(subject: Subject) -> None:
    """Whatever is no success and no "gone already" is an error: the hook is still there."""
    with hooks_of(subject) as hooks:
        hook_id = hooks.create(hooks.first)
        for status in (400, 401, 403, 429, 500, 503):
            hooks.server.answer = lambda *_, status=status: SimulatedAnswer(status, {}, b"{}")
            with pytest.raises(ProviderError):
                hooks.delete(hook_id)


@_with_registrar
def refusals_of_a_hook_are_told_apart(subject: Subject) -> None:
    """401, 429 with a wait, 500 and garbage become the right error, without the secret in its words."""
    answers: list[tuple[SimulatedAnswer, type[ProviderError], float | None]] = [
        (SimulatedAnswer(401, {}, b"{}"), AuthFailed, None),
        (SimulatedAnswer(429, {"retry-after": "7"}, b"{}"), RateLimited, 7.0),
        (SimulatedAnswer(500, {}, b"oops"), ProviderFault, None),
        *((SimulatedAnswer(200, {"content-type": "application/json"}, body), ProviderError, None) for body in GARBAGE),
    ]
    with hooks_of(subject) as hooks:
        for answer, expected, wait in answers:
            hooks.server.answer = lambda *_, answer=answer: answer
            with pytest.raises(ProviderError) as caught:
                hooks.create(hooks.first)
            assert expected in (ProviderError, type(caught.value))
            assert caught.value.retry_after_seconds == wait, "Retry-After was lost"
            assert hooks.first not in str(caught.value)
