"""The hooks of simulated repositories: as strict as the real ones, and as silent about their secrets.

https://docs.github.com/en/rest/repos/webhooks
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

import orjson

from providers.adapters.github.simulated_ledger import SimulatedLedger
from providers.simulation import SimulatedAnswer, SimulatedAttempt, SimulatedDelivery

MAX_HOOKS_AN_EVENT = 20
_PATH = re.compile(r"/repos/([\w.-]+/[\w.-]+)/hooks(?:/([0-9]+)(/config|/deliveries(?:/.*)?)?)?")
_ADDRESS = re.compile(r"https?://(?!localhost|127\.)[^\s/]+/\S*")

JSON = dict[str, Any]


class SimulatedHooks:
    """Answers below ``/repos/…/hooks``."""

    def __init__(self, repositories: Collection[str], events: Collection[str], clock: Callable[[], datetime]) -> None:
        self._events = set(events)
        self._last_id = 480_000
        self.kept: dict[str, dict[int, JSON]] = {name: {} for name in repositories}
        self.ledger = SimulatedLedger(clock)

    def attempts_of(self, delivery: SimulatedDelivery) -> list[SimulatedAttempt]:
        event = delivery.headers["x-github-event"]
        hooks = self.kept.get(orjson.loads(delivery.body)["repository"]["full_name"], {})
        told = (hook for hook in hooks.values() if hook["active"] and event in hook["events"])
        return [_attempt(hook, delivery) for hook in told]

    def asked_again(self) -> list[SimulatedAttempt]:
        asked, self.ledger.again = self.ledger.again, []
        hooks = {str(hook_id): hook for kept in self.kept.values() for hook_id, hook in kept.items()}
        return [_attempt(hooks[hook_id], delivery) for hook_id, delivery in asked if hook_id in hooks]

    def switch(self, *, on: bool) -> None:
        for hooks in self.kept.values():
            for hook in hooks.values():
                hook["active"] = on

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer | None:
        """The answer, or ``None`` where the request is about something else."""
        found = _PATH.fullmatch(path)
        if not found:
            return None
        hooks, hook_id = self.kept.get(found[1]), int(found[2] or 0)
        if hooks is None or (hook_id and hook_id not in hooks):
            return _answer(404, {"message": "Not Found"})
        if (found[3] or "").startswith("/deliveries"):
            return self.ledger.handle(method, path, query, headers)
        match method:
            case "GET" if not hook_id:
                return _list(path, hooks, query)
            case "GET":
                return _answer(200, _shown(hooks[hook_id]))
            case "POST" if not hook_id:
                return self._add(hooks, orjson.loads(body))
            case "PATCH":
                given = orjson.loads(body)
                return self._change(hooks, hook_id, {"config": given} if found[3] else given)
            case "DELETE":
                del hooks[hook_id]
                self.ledger.forget(str(hook_id))
                return SimulatedAnswer(204)
        return _answer(404, {"message": "Not Found"})

    def _add(self, hooks: dict[int, JSON], given: JSON) -> SimulatedAnswer:
        if any(_same(hook, given) for hook in hooks.values()):
            return _invalid("Hook already exists on this repository")
        for event in given.get("events", ["push"]):
            if sum(event in hook["events"] for hook in hooks.values()) >= MAX_HOOKS_AN_EVENT:
                return _invalid(f"The '{event}' event cannot have more than 20 hooks")
        self._last_id += 1
        return self._change(hooks, self._last_id, {"name": "web", "active": True, "events": ["push"], **given}, 201)

    def _change(self, hooks: dict[int, JSON], hook_id: int, given: JSON, status: int = 200) -> SimulatedAnswer:
        # An update without it leaves the config as it is.
        config = given.get("config") or hooks.get(hook_id, {}).get("config", {})
        if not _ADDRESS.fullmatch(config.get("url", "")):
            return _invalid("Sorry, the URL host is not supported because it isn't reachable over the public Internet")
        unknown = sorted(set(given.get("events", [])) - self._events)
        if unknown:
            return _invalid(f"These events are not supported by this hook: {', '.join(unknown)}")
        # The config is replaced whole: a secret that is not given again is gone.
        hooks[hook_id] = {"id": hook_id, **hooks.get(hook_id, {}), **given}
        return _answer(status, _shown(hooks[hook_id]))


class HooksAtWork:
    """The part of a simulator that tells hooks and remembers what it told them."""

    hooks: SimulatedHooks

    def kept_hooks(self) -> list[tuple[str, str]]:
        kept = (hook["config"] for hooks in self.hooks.kept.values() for hook in hooks.values())
        return [(config["url"], config["secret"]) for config in kept]

    def attempts_of(self, delivery: SimulatedDelivery) -> list[SimulatedAttempt]:
        return self.hooks.attempts_of(delivery)

    def attempted(self, attempt: SimulatedAttempt, status: int) -> None:
        self.hooks.ledger.note(attempt, status)

    def asked_again(self) -> list[SimulatedAttempt]:
        return self.hooks.asked_again()

    def switch_hooks(self, *, on: bool) -> None:
        self.hooks.switch(on=on)


def _attempt(hook: JSON, delivery: SimulatedDelivery) -> SimulatedAttempt:
    return SimulatedAttempt(str(hook["id"]), hook["config"]["url"], hook["config"]["secret"], delivery)


def _same(hook: JSON, other: JSON) -> bool:
    return bool(
        hook["config"]["url"] == other.get("config", {}).get("url") and set(hook["events"]) == set(other["events"])
    )


def _shown(hook: JSON) -> JSON:
    config = {name: "********" if name == "secret" else value for name, value in hook["config"].items()}
    return {"type": "Repository", **hook, "config": config}


def _list(path: str, hooks: dict[int, JSON], query: dict[str, list[str]]) -> SimulatedAnswer:
    size, page = int(query.get("per_page", ["30"])[-1]), int(query.get("page", ["1"])[-1])
    shown = [_shown(hook) for hook in hooks.values()]
    more = page * size < len(shown)
    link = {"link": f'<{path}?per_page={size}&page={page + 1}>; rel="next"'} if more else {}
    return _answer(200, shown[(page - 1) * size : page * size], **link)


def _invalid(message: str) -> SimulatedAnswer:
    errors = [{"resource": "Hook", "code": "custom", "message": message}]
    return _answer(422, {"message": "Validation Failed", "errors": errors})


def _answer(status: int, body: Any, **headers: str) -> SimulatedAnswer:
    return SimulatedAnswer(status, {"content-type": "application/json; charset=utf-8", **headers}, orjson.dumps(body))
