"""The admin webhooks of a simulated site.

https://developer.atlassian.com/cloud/jira/platform/webhooks/, "Registering a webhook"
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

PATH: Final = "/rest/webhooks/1.0/webhook"
_ONE: Final = re.compile(re.escape(PATH) + r"/([0-9]+)")
_ADDRESS: Final = re.compile(r"https://(?!localhost|127\.)[^\s/]+/\S*")

JSON = dict[str, Any]


class SimulatedHooks:
    """Hooks by id, with their secrets, which are never shown. ``signs``: whether this Jira knows secrets at all."""

    def __init__(self, site: str) -> None:
        self._site = site
        self._last_id = 40
        self.signs = True
        self.kept: dict[int, JSON] = {}

    def switch(self, *, on: bool) -> None:
        for hook in self.kept.values():
            hook["enabled"] = on

    def handle(self, method: str, path: str, body: bytes) -> tuple[int, Any] | None:
        """Status and body of the answer, or ``None`` where the request is about something else."""
        if path == PATH:
            if method == "GET":
                return 200, [self._shown(hook_id) for hook_id in self.kept]
            self._last_id += 1
            return self._keep(self._last_id, orjson.loads(body), 201) if method == "POST" else (405, _problem("No."))
        found = _ONE.fullmatch(path)
        if not found:
            return None
        hook_id = int(found[1])
        if hook_id not in self.kept:
            return 404, _problem("The webhook does not exist.")
        match method:
            case "GET":
                return 200, self._shown(hook_id)
            case "PUT":
                return self._keep(hook_id, orjson.loads(body), 200)
            case "DELETE":
                del self.kept[hook_id]
                return 204, None
        return 405, _problem("No.")

    def _keep(self, hook_id: int, given: JSON, status: int) -> tuple[int, Any]:
        if not given.get("name") or not given.get("events") or not _ADDRESS.fullmatch(given.get("url", "")):
            return 400, _problem("The webhook has no name or no events, or its URL is not allowed.")
        self.kept[hook_id] = {name: value for name, value in given.items() if name != "secret" or self.signs}
        return status, self._shown(hook_id)

    def _shown(self, hook_id: int) -> JSON:
        hook = self.kept[hook_id]
        shown = {name: value for name, value in hook.items() if name != "secret"}
        own = {"self": f"{self._site}{PATH}/{hook_id}", "isSigned": "secret" in hook}
        return {"enabled": True, **shown, **own, "lastUpdatedDisplayName": "Acme bot"}


def _problem(message: str) -> JSON:
    return {"messages": [{"key": message}]}
