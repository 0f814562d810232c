"""What simulated hooks delivered, and how they are held back after failures.

https://docs.gitlab.com/api/project_webhooks/#get-a-list-of-project-webhook-events and
https://docs.gitlab.com/user/project/integrations/webhooks/#auto-disabled-webhooks
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import orjson

from providers.simulation import SimulatedAnswer, SimulatedAttempt, SimulatedDelivery

KEPT = timedelta(days=7)
MOST_A_PAGE = 20
RESENDS_A_MINUTE = 5
FAILURES_UNTIL_PAUSED = 4
FAILURES_UNTIL_DISABLED = 40
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(days=1)
_PATH = re.compile(r"/events(?:/([0-9]+)/resend)?")

JSON = dict[str, Any]


class SimulatedLedger:
    """Deliveries and failures by hook; ``again`` is what was asked for since somebody looked."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.kept: dict[int, list[JSON]] = {}
        self.failures: dict[int, int] = {}
        self.paused_until: dict[int, datetime] = {}
        self.again: list[tuple[int, SimulatedDelivery]] = []
        self._resent_at: list[datetime] = []
        self._last_id = 30_000

    def note(self, attempt: SimulatedAttempt, status: int) -> None:
        hook, now = int(attempt.hook), self.clock()
        self._last_id += 1
        self.kept.setdefault(hook, []).append(
            {
                "id": self._last_id,
                "url": attempt.url,
                "trigger": f"{orjson.loads(attempt.delivery.body)['object_kind']}_hooks",
                "request_headers": {name.title(): value for name, value in attempt.delivery.headers.items()},
                "request_data": orjson.loads(attempt.delivery.body),
                "response_headers": {},
                "response_body": "",
                "execution_duration": 0.2,
                "response_status": str(status) if status else "internal error",
                "created_at": now.isoformat().replace("+00:00", "Z"),
            }
        )
        if 200 <= status < 400:
            self.failures[hook] = 0
            self.paused_until.pop(hook, None)
            return
        before = self.failures.get(hook, 0)
        self.failures[hook] = before + 1
        if before + 1 >= FAILURES_UNTIL_PAUSED:
            doubled = FIRST_PAUSE * 2 ** min(before + 1 - FAILURES_UNTIL_PAUSED, 20)
            self.paused_until[hook] = now + min(doubled, LONGEST_PAUSE)

    def standing(self, hook: int) -> tuple[str, str | None]:
        """``alert_status`` and ``disabled_until``."""
        if self.failures.get(hook, 0) >= FAILURES_UNTIL_DISABLED:
            return "disabled", None
        until = self.paused_until.get(hook)
        if until is not None and until >= self.clock():
            return "temporarily_disabled", until.isoformat().replace("+00:00", "Z")
        return "executable", None

    def forget(self, hook: int) -> None:
        self.kept.pop(hook, None)
        self.failures.pop(hook, None)
        self.paused_until.pop(hook, None)

    def handle(self, method: str, hook: int, below: str, query: dict[str, list[str]]) -> SimulatedAnswer:
        """Requests below one hook, which is there."""
        found, now = _PATH.fullmatch(below), self.clock()
        if not found:
            return _answer(404, {"error": "404 Not Found"})
        entries = [e for e in self.kept.get(hook, []) if datetime.fromisoformat(e["created_at"]) > now - KEPT]
        if not found[1]:
            return _list(entries, query) if method == "GET" else _answer(405, {"error": "405 Not Allowed"})
        entry = next((entry for entry in entries if entry["id"] == int(found[1])), None)
        if entry is None or method != "POST":
            return _answer(404, {"message": "404 Not found"})
        self._resent_at = [at for at in self._resent_at if at > now - timedelta(minutes=1)]
        if len(self._resent_at) >= RESENDS_A_MINUTE:
            return _answer(429, {"message": {"error": "This endpoint has been requested too many times."}})
        if self.standing(hook)[0] != "executable":
            return _answer(422, {"message": "Hook disabled"})
        self._resent_at.append(now)
        sent = {name.lower(): value for name, value in entry["request_headers"].items()}
        self.again.append((hook, SimulatedDelivery(sent, orjson.dumps(entry["request_data"]))))
        return _answer(201, {"response_status": 200})


def _list(entries: list[JSON], query: dict[str, list[str]]) -> SimulatedAnswer:
    size, page = int(query.get("per_page", ["20"])[-1]), int(query.get("page", ["1"])[-1])
    if size > MOST_A_PAGE:
        return _answer(400, {"error": "per_page does not have a valid value"})
    newest_first = entries[::-1]
    following = str(page + 1) if page * size < len(entries) else ""
    return _answer(200, newest_first[(page - 1) * size : page * size], **{"x-next-page": following})


def _answer(status: int, body: Any, **headers: str) -> SimulatedAnswer:
    return SimulatedAnswer(status, {"content-type": "application/json", **headers}, orjson.dumps(body))
