"""Checks of what goes out, against the adapter's own simulator over real HTTP.

``actions.json`` beside the adapter's fixtures has an example of each command, good for a fresh world.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

import jsonschema_rs
import orjson
import pytest

from providers.actions import REPEATABLE, Command, Done, OneEffect, OutboundAction
from providers.client import ProviderClient
from providers.errors import AuthFailed, ProviderError, ProviderFault, RateLimited, Rejected
from providers.outbound import OutboundPolicy
from providers.simulation import EffectKeeper, SimulatedAnswer
from tests.contract.provider_server import Server, serving
from tests.contract.stream_checks import GARBAGE
from tests.contract.subject import Subject
from tests.extent import extent

MARK = "0193a1de-0000-7000-8000-00000000a001"
FOREIGN_MARK = "0193a1de-0000-7000-8000-00000000a002"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# Nothing, a page, something else, an object without what is looked for.
UNREADABLE = extent((b"", b"<html>Sorry</html>", b"null", b"{}"), GARBAGE)
Check = Callable[[Subject], None]


@dataclass
class Trial:
    """One action against a fresh world."""

    action: OutboundAction
    command: Command
    client: ProviderClient
    server: Server
    keeper: EffectKeeper

    def carry_out(self) -> Done:
        """What the runtime does when all goes well."""
        asked = self.action.request(self.client, self.command)
        if isinstance(asked, Done):
            return asked
        answer = self.client.write(asked.method, asked.path, json=asked.json, headers=asked.headers, lane=asked.lane)
        return self.action.done(self.command, answer)

    def carry_out_again(self) -> Done:
        """What it does when it does not know whether it did, and the means allow to ask again."""
        try:
            return self.carry_out()
        except Rejected as refused:
            settled = self.action.settled_by(self.command, refused) or self.action.find(self.client, self.command)
            assert settled is not None, f"{self.action.type}: a repetition is refused and nothing tells that it is done"
            return settled

    @property
    def effects(self) -> int:
        return len(self.keeper.effects())


def _for_each_action(check: Callable[[Subject, OutboundAction], None]) -> Check:
    @wraps(check)
    def checked(subject: Subject) -> None:
        for action in subject.adapter.actions:
            check(subject, action)

    return checked


def _examples(subject: Subject) -> dict[str, Any]:
    path = subject.directory / "actions.json"
    found: dict[str, Any] = orjson.loads(path.read_bytes()) if path.exists() else {}
    return found


@contextmanager
def _trial(subject: Subject, action: OutboundAction, *, mark: str = MARK, needed_only: bool = False) -> Iterator[Trial]:
    example = _examples(subject)[action.type.value]
    target, payload = example["target"], example["payload"]
    if needed_only:
        payload = {name: payload[name] for name in action.payload_schema["required"]} or payload
    assert subject.simulator, "the folder has no simulator.py"
    world = subject.simulator(seed=1, faults=False)
    assert isinstance(world, EffectKeeper), "the simulator does not tell its effects"
    with serving(world.handle) as server:
        settings = subject.simulator.settings(server.url)
        config = subject.adapter.client_config(settings, dict(world.credential), subject.adapter.api_versions[0])
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            since = datetime.now(UTC) - timedelta(seconds=1)
            command = Command(target=target, payload=payload, mark=mark, since=since, settings=settings)
            yield Trial(action, command, client, server, world)


def actions_are_declared_soundly(subject: Subject) -> None:
    """Schemas only narrow the canonical ones, each command has an example, and people can read of it."""
    kinds = [action.type for action in subject.adapter.actions]
    assert len(kinds) == len(set(kinds)), "two actions for one command"
    assert {kind.value for kind in kinds} == set(_examples(subject)), "actions.json has not one example of each command"
    for action in subject.adapter.actions:
        for schema, canonical in (
            (action.target_schema, action.type.target),
            (action.payload_schema, action.type.payload),
        ):
            jsonschema_rs.meta.validate(schema)
            assert set(schema["properties"]) <= set(canonical), f"{action.type}: fields the canonical command lacks"
            needed = {name for name, must in canonical.items() if must}
            assert needed <= set(schema["required"]), f"{action.type}: what must be given may be left out"
        assert set(action.narrowed) <= set(action.type.target) | set(action.type.payload), f"{action.type}: narrows air"
        assert action.permissions, f"{action.type}: no permission named"
        assert 0 <= action.visible_within_seconds <= 900, f"{action.type}: visible too late"
        searches = type(action).find is not OutboundAction.find
        if action.one_effect in (OneEffect.MARKER, OneEffect.CLIENT_ID):
            assert searches, f"{action.type}: cannot find what it made"


@_for_each_action
def examples_fit_their_schemas(subject: Subject, action: OutboundAction) -> None:
    example = _examples(subject)[action.type.value]
    jsonschema_rs.validate(action.target_schema, example["target"])
    jsonschema_rs.validate(action.payload_schema, example["payload"])


@_for_each_action
def a_command_is_one_request_with_one_effect(subject: Subject, action: OutboundAction) -> None:
    for needed_only in (False, True):
        with _trial(subject, action, needed_only=needed_only) as trial:
            before = trial.effects
            done = trial.carry_out()
            assert trial.effects == before + 1, f"{action.type}: {trial.effects - before} effects"
            assert done.reference, f"{action.type}: no reference"
            assert not done.url or done.url.startswith(("https://", "http://")), f"{action.type}: no address"


@_for_each_action
def an_effect_is_found_by_its_own_mark_only(subject: Subject, action: OutboundAction) -> None:
    """Not before it was made, afterwards as what was made, and never by the mark of another action."""
    if action.one_effect not in (OneEffect.MARKER, OneEffect.CLIENT_ID):
        return
    with _trial(subject, action) as trial:
        assert action.find(trial.client, trial.command) is None, f"{action.type}: found before it was made"
        done = trial.carry_out()
        found = action.find(trial.client, trial.command)
        assert found is not None, f"{action.type}: not found"
        assert found.reference == done.reference, f"{action.type}: found something else"
        foreign = Command(
            target=trial.command.target,
            payload=trial.command.payload,
            mark=FOREIGN_MARK,
            since=trial.command.since,
            settings=trial.command.settings,
        )
        assert action.find(trial.client, foreign) is None, f"{action.type}: takes another action's effect for its own"


@_for_each_action
def asking_again_has_no_second_effect(subject: Subject, action: OutboundAction) -> None:
    if action.one_effect not in REPEATABLE:
        return
    with _trial(subject, action) as trial:
        done = trial.carry_out()
        made = trial.effects
        assert trial.carry_out_again().reference == done.reference, f"{action.type}: another reference"
        assert trial.effects == made, f"{action.type}: a second effect"


@_for_each_action
def looking_reads_only(subject: Subject, action: OutboundAction) -> None:
    with _trial(subject, action) as trial:
        trial.carry_out()
        asked, made = len(trial.server.asked), trial.effects
        action.find(trial.client, trial.command)
        assert trial.effects == made, f"{action.type}: looking changes something"
        methods = {method for method, _ in trial.server.asked[asked:]}
        assert methods <= {*SAFE_METHODS, "POST"}, f"{action.type}: looks by {methods}"


@_for_each_action
def refusals_of_a_command_are_told_apart(subject: Subject, action: OutboundAction) -> None:
    expected: list[tuple[int, type[ProviderError]]] = [
        (401, AuthFailed),
        (429, RateLimited),
        (503, ProviderFault),
    ]
    for status, kind in expected:
        with _trial(subject, action) as trial:
            _answer_writes(trial, SimulatedAnswer(status, {"retry-after": "3"}, b"{}"))
            with pytest.raises(ProviderError) as told:
                trial.carry_out()
            assert isinstance(told.value, kind), f"{action.type}: {status} is told as {type(told.value).__name__}"


@_for_each_action
def an_answer_nobody_can_read_is_no_success(subject: Subject, action: OutboundAction) -> None:
    """What may have been done is never told as done, nor as refused."""
    for body in UNREADABLE:
        with _trial(subject, action) as trial:
            _answer_writes(trial, SimulatedAnswer(200, {"content-type": "application/json"}, body))
            try:
                done = trial.carry_out()
            except ProviderFault:
                continue
            # Naming what was asked for is all there is to say of a change; a new thing has a name of its own.
            assert action.one_effect is OneEffect.NATURAL_KEY, f"{action.type}: takes {body!r} for an answer"
            assert done.reference, f"{action.type}: no reference"


@_for_each_action
def not_being_able_to_look_is_not_absence(subject: Subject, action: OutboundAction) -> None:
    if action.one_effect not in (OneEffect.MARKER, OneEffect.CLIENT_ID):
        return
    for answer in (
        SimulatedAnswer(503),
        SimulatedAnswer(429),
        *(SimulatedAnswer(200, {}, body) for body in UNREADABLE),
    ):
        with _trial(subject, action) as trial:
            trial.server.answer = lambda *_request, answer=answer: answer
            with pytest.raises(ProviderError):
                action.find(trial.client, trial.command)


def _answer_writes(trial: Trial, answer: SimulatedAnswer) -> None:
    """From now on the requests that change are answered so; what is read stays true."""
    world = trial.server.answer
    made = trial.keeper.effects

    def answering(*request: Any) -> SimulatedAnswer:
        before = len(made())
        true = world(*request)
        return answer if len(made()) > before else true

    trial.server.answer = answering
