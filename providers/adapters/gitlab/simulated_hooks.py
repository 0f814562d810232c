"""The hooks of a simulated GitLab: kept as the real one keeps them, secrets never shown again.

https://docs.gitlab.com/api/project_webhooks/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

import orjson

from providers.adapters.gitlab.registrar import SWITCHES
from providers.adapters.gitlab.simulated_ledger import FAILURES_UNTIL_DISABLED, SimulatedLedger
from providers.simulation import SimulatedAnswer, SimulatedAttempt, SimulatedDelivery

MAX_HOOKS = 100
_SECRETS = ("signing_token", "token")
# GitLab refuses an address of its own network unless an administrator allows it.
_ADDRESS = re.compile(r"https://(?!localhost|127\.)[^\s/]+/\S*")
_PATH = re.compile(r"/(projects|groups)/([^/]+)/hooks(?:/([0-9]+)(/.+)?)?")

JSON = dict[str, Any]


class SimulatedHooks:
    """Answers below ``/projects/…/hooks`` and ``/groups/…/hooks``; ``signs`` is whether this GitLab is new enough."""

    def __init__(self, places: Collection[str], clock: Callable[[], datetime], *, signs: bool = True) -> None:
        self._places = places
        self.ledger = SimulatedLedger(clock)
        self._last_id = 900
        self.signs = signs
        self.kept: dict[str, dict[int, JSON]] = {place: {} for place in places}

    def handle(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> SimulatedAnswer | None:
        """The answer, or ``None`` where the request is about something else."""
        found = _PATH.fullmatch(path)
        if not found:
            return None
        place = f"{found[1]}/{found[2].replace('%2F', '/')}"
        if place not in self._places:
            return _answer(404, {"message": f"404 {found[1].capitalize().removesuffix('s')} Not Found"})
        hooks = self.kept[place]
        if not found[3]:
            return self._list(hooks, query) if method == "GET" else self._add(hooks, body)
        hook_id = int(found[3])
        if hook_id not in hooks:
            return _answer(404, {"message": "404 Not found"})
        if found[4]:
            return self.ledger.handle(method, hook_id, found[4], query)
        if method == "GET":
            return _answer(200, self._shown(hooks[hook_id]))
        if method == "PUT":
            return self._change(hooks, hook_id, orjson.loads(body))
        if method == "DELETE":
            del hooks[hook_id]
            self.ledger.forget(hook_id)
            return SimulatedAnswer(204)
        return _answer(405, {"error": "405 Not Allowed"})

    def _list(self, hooks: dict[int, JSON], query: dict[str, list[str]]) -> SimulatedAnswer:
        size, page = int(query.get("per_page", ["20"])[-1]), int(query.get("page", ["1"])[-1])
        shown = [self._shown(hook) for hook in hooks.values()]
        following = str(page + 1) if page * size < len(shown) else ""
        return _answer(200, shown[(page - 1) * size : page * size], **{"x-next-page": following})

    def _add(self, hooks: dict[int, JSON], body: bytes) -> SimulatedAnswer:
        if len(hooks) >= MAX_HOOKS:
            return _answer(422, {"error": "Maximum number of project webhooks (100) exceeded"})
        self._last_id += 1
        return self._change(hooks, self._last_id, orjson.loads(body), 201)

    def _change(self, hooks: dict[int, JSON], hook_id: int, given: JSON, status: int = 200) -> SimulatedAnswer:
        if "url" not in given:
            return _answer(400, {"error": "url is missing"})
        if not _ADDRESS.fullmatch(given["url"]):
            return _answer(422, {"error": "Invalid url given"})
        if not self.signs:
            given.pop("signing_token", None)
        hooks[hook_id] = {"id": hook_id, "push_events": True, **hooks.get(hook_id, {}), **given}
        return _answer(status, self._shown(hooks[hook_id]))

    def _shown(self, hook: JSON) -> JSON:
        shown = {name: value for name, value in hook.items() if name not in _SECRETS}
        alert_status, disabled_until = self.ledger.standing(hook["id"])
        shown |= {"alert_status": alert_status, "disabled_until": disabled_until, "token_present": "token" in hook}
        # Before 19.0 the answer does not speak of signing at all.
        return {**shown, "signing_token_present": "signing_token" in hook} if self.signs else shown


class HooksAtWork:
    """The part of a simulator that tells hooks and remembers what it told them."""

    hooks: SimulatedHooks

    def kept_hooks(self) -> list[tuple[str, str]]:
        return [(hook["url"], hook["signing_token"]) for hook in self._all()]

    def attempts_of(self, delivery: SimulatedDelivery) -> list[SimulatedAttempt]:
        body = orjson.loads(delivery.body)
        project = body["project"]["path_with_namespace"]
        switch = SWITCHES[body["object_kind"]]
        told = (f"projects/{project}", f"groups/{project.partition('/')[0]}")
        hooks = [hook for place in told for hook in self.hooks.kept.get(place, {}).values() if hook.get(switch)]
        return [_attempt(hook, delivery) for hook in hooks if self.hooks.ledger.standing(hook["id"])[0] == "executable"]

    def attempted(self, attempt: SimulatedAttempt, status: int) -> None:
        self.hooks.ledger.note(attempt, status)

    def asked_again(self) -> list[SimulatedAttempt]:
        asked, self.hooks.ledger.again = self.hooks.ledger.again, []
        hooks = {hook["id"]: hook for hook in self._all()}
        return [_attempt(hooks[hook_id], delivery) for hook_id, delivery in asked if hook_id in hooks]

    def switch_hooks(self, *, on: bool) -> None:
        for hook in self._all():
            self.hooks.ledger.paused_until.pop(hook["id"], None)
            self.hooks.ledger.failures[hook["id"]] = 0 if on else FAILURES_UNTIL_DISABLED

    def _all(self) -> list[JSON]:
        return [hook for hooks in self.hooks.kept.values() for hook in hooks.values()]


def _attempt(hook: JSON, delivery: SimulatedDelivery) -> SimulatedAttempt:
    return SimulatedAttempt(str(hook["id"]), hook["url"], hook["signing_token"], delivery)


def _answer(status: int, body: Any, **headers: str) -> SimulatedAnswer:
    return SimulatedAnswer(status, {"content-type": "application/json", **headers}, orjson.dumps(body))
