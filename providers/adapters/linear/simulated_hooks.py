"""Webhooks of the simulated workspace, with an id chosen by who makes them, and how its answers look.

https://linear.app/developers/webhooks
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from providers.simulation import SimulatedAnswer

RESOURCE_TYPES = {
    *("Issue", "Comment", "Project", "ProjectUpdate", "Cycle"),
    *("IssueLabel", "Reaction", "Attachment", "Document"),
}
_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

Body = dict[str, Any]


class Hooks:
    """The hooks there are, by id; ``teams``: the keys of the teams, by id."""

    def __init__(self, teams: Mapping[str, str]) -> None:
        self._teams = teams
        self.hooks: dict[str, Body] = {}

    def operations(self) -> dict[str, Callable[[Body], SimulatedAnswer]]:
        return {
            "Team": self._team,
            "Hook": self._hook,
            "CreateHook": self._create_hook,
            "UpdateHook": self._update_hook,
            "DeleteHook": self._delete_hook,
        }

    def _team(self, variables: Body) -> SimulatedAnswer:
        found = [{"id": team} for team, key in self._teams.items() if key == variables.get("key")]
        return data({"teams": {"nodes": found}})

    def _hook(self, variables: Body) -> SimulatedAnswer:
        hook = self.hooks.get(variables.get("id", ""))
        if hook is None:
            return missing()
        return data({"webhook": {name: hook[name] for name in ("id", "url", "enabled")}})

    def _create_hook(self, variables: Body) -> SimulatedAnswer:
        wanted = variables.get("input", {})
        where = [wanted.get("allPublicTeams") is True, wanted.get("teamId") in self._teams]
        good = (
            _UUID4.fullmatch(wanted.get("id", "")),
            wanted.get("url", "").startswith("https://"),
            set(wanted.get("resourceTypes", [""])) <= RESOURCE_TYPES,
            where.count(True) == 1,
        )
        if not all(good) or wanted["id"] in self.hooks:
            return refused("Argument Validation Error" if not all(good) else "Entity with this id already exists")
        self.hooks[wanted["id"]] = {**wanted, "enabled": True}
        return data({"webhookCreate": {"success": True, "webhook": {"id": wanted["id"], "enabled": True}}})

    def _update_hook(self, variables: Body) -> SimulatedAnswer:
        hook = self.hooks.get(variables.get("id", ""))
        if hook is None:
            return missing()
        hook.update(variables.get("input", {}))
        return data({"webhookUpdate": {"success": True, "webhook": {"id": hook["id"], "enabled": hook["enabled"]}}})

    def _delete_hook(self, variables: Body) -> SimulatedAnswer:
        if self.hooks.pop(variables.get("id", ""), None) is None:
            return missing()
        return data({"webhookDelete": {"success": True}})


def answer(status: int, body: Body, **headers: str) -> SimulatedAnswer:
    quota = {"x-ratelimit-requests-limit": "2500", "x-ratelimit-requests-remaining": "2400", "x-complexity": "3"}
    return SimulatedAnswer(status, {"content-type": "application/json", **quota, **headers}, orjson.dumps(body))


def data(found: Body) -> SimulatedAnswer:
    return answer(200, {"data": found})


def errors(message: str, code: str, kind: str, *, status: int, **headers: str) -> SimulatedAnswer:
    extensions = {"code": code, "type": kind, "userError": True, "userPresentableMessage": message}
    return answer(status, {"errors": [{"message": message, "extensions": extensions}], "data": None}, **headers)


def refused(message: str) -> SimulatedAnswer:
    return errors(message, "INPUT_ERROR", "invalid input", status=200)


def missing() -> SimulatedAnswer:
    return refused("Entity not found: Webhook - Could not find referenced Webhook.")
