"""The hooks of simulated repositories: as strict as the real ones, and as silent about their secrets.

https://docs.github.com/en/rest/repos/webhooks
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import orjson

from providers.simulation import SimulatedAnswer

MAX_HOOKS_AN_EVENT = 20
_PATH = re.compile(r"/repos/([\w.-]+/[\w.-]+)/hooks(?:/([0-9]+)(/config)?)?")
_ADDRESS = re.compile(r"https?://(?!localhost|127\.)[^\s/]+/\S*")

JSON = dict[str, Any]


class SimulatedHooks:
    """Answers below ``/repos/…/hooks``."""

    def __init__(self, repositories: Collection[str], events: Collection[str]) -> None:
        self._events = set(events)
        self._last_id = 480_000
        self.kept: dict[str, dict[int, JSON]] = {name: {} for name in repositories}

    def handle(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> SimulatedAnswer | None:
        """The answer, or ``None`` where the request is about something else."""
        found = _PATH.fullmatch(path)
        if not found:
            return None
        hooks, hook_id = self.kept.get(found[1]), int(found[2] or 0)
        if hooks is None or (hook_id and hook_id not in hooks):
            return _answer(404, {"message": "Not Found"})
        match method:
            case "GET" if not hook_id:
                return _list(path, hooks, query)
            case "POST" if not hook_id:
                return self._add(hooks, orjson.loads(body))
            case "PATCH":
                given = orjson.loads(body)
                return self._change(hooks, hook_id, {"config": given} if found[3] else given)
            case "DELETE":
                del hooks[hook_id]
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
        config = given.get("config", {})
        if not _ADDRESS.fullmatch(config.get("url", "")):
            return _invalid("Sorry, the URL host is not supported because it isn't reachable over the public Internet")
        unknown = sorted(set(given.get("events", [])) - self._events)
        if unknown:
            return _invalid(f"These events are not supported by this hook: {', '.join(unknown)}")
        # The config is replaced whole: a secret that is not given again is gone.
        hooks[hook_id] = {"id": hook_id, **hooks.get(hook_id, {}), **given}
        return _answer(status, _shown(hooks[hook_id]))


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
