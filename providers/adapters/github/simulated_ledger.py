"""What simulated hooks delivered: listed newest first, without bodies, and sent again when asked.

https://docs.github.com/en/rest/repos/webhooks#list-deliveries-for-a-repository-webhook
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import orjson

from providers.simulation import SimulatedAnswer, SimulatedAttempt, SimulatedDelivery

KEPT = timedelta(days=3)
_PATH = re.compile(r"/repos/[\w.-]+/[\w.-]+/hooks/([0-9]+)/deliveries(?:/([0-9]+)(/attempts)?)?")

JSON = dict[str, Any]


class SimulatedLedger:
    """Deliveries by hook, oldest first; ``again`` is what was asked for since somebody looked."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.kept: dict[str, list[JSON]] = {}
        self.again: list[tuple[str, SimulatedDelivery]] = []
        self._last_id = 7_000_000

    def note(self, attempt: SimulatedAttempt, status: int) -> None:
        headers, payload = dict(attempt.delivery.headers), orjson.loads(attempt.delivery.body)
        guid = headers["x-github-delivery"]
        entries = self.kept.setdefault(attempt.hook, [])
        self._last_id += 1
        entries.append(
            {
                "id": self._last_id,
                "guid": guid,
                "delivered_at": self._clock().isoformat().replace("+00:00", "Z"),
                "redelivery": any(entry["guid"] == guid for entry in entries),
                "duration": 0.27,
                "status": "OK"
                if 200 <= status < 300
                else "failed to connect"
                if not status
                else "Invalid HTTP Response",
                "status_code": status,
                "event": headers["x-github-event"],
                "action": payload.get("action"),
                "installation_id": None,
                "repository_id": payload["repository"]["id"],
                "throttled_at": None,
                "url": attempt.url,
                "request": {"headers": {name.title(): value for name, value in headers.items()}, "payload": payload},
            }
        )

    def forget(self, hook: str) -> None:
        self.kept.pop(hook, None)

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str]
    ) -> SimulatedAnswer | None:
        """The answer, or ``None`` where the request is about something else. That the hook exists is known."""
        found = _PATH.fullmatch(path)
        if not found:
            return None
        since = self._clock() - KEPT
        entries = [e for e in self.kept.get(found[1], []) if datetime.fromisoformat(e["delivered_at"]) > since]
        if not found[2]:
            return _list(path, entries, query, headers) if method == "GET" else _answer(404, {"message": "Not Found"})
        entry = next((entry for entry in entries if entry["id"] == int(found[2])), None)
        if entry is None:
            return _answer(404, {"message": "Not Found"})
        if not found[3] and method == "GET":
            return _answer(200, {**entry, "response": {"headers": {}, "payload": ""}})
        if found[3] and method == "POST":
            sent = {name.lower(): value for name, value in entry["request"]["headers"].items()}
            self.again.append((found[1], SimulatedDelivery(sent, orjson.dumps(entry["request"]["payload"]))))
            return _answer(202, {})
        return _answer(404, {"message": "Not Found"})


def _list(path: str, entries: list[JSON], query: dict[str, list[str]], headers: dict[str, str]) -> SimulatedAnswer:
    size, cursor = int(query.get("per_page", ["30"])[-1]), query.get("cursor", [""])[-1]
    newest_first = [entry for entry in reversed(entries) if not cursor or entry["id"] <= int(cursor.partition("_")[2])]
    shown = [{k: v for k, v in entry.items() if k not in ("url", "request")} for entry in newest_first[:size]]
    etag = f'W/"{hashlib.sha256(orjson.dumps(shown)).hexdigest()}"'
    if headers.get("if-none-match") == etag:
        return SimulatedAnswer(304, {"etag": etag})
    more = {}
    if len(newest_first) > size:
        more["link"] = f'<{path}?per_page={size}&cursor=v1_{newest_first[size]["id"]}>; rel="next"'
    return _answer(200, shown, etag=etag, **more)


def _answer(status: int, body: Any, **headers: str) -> SimulatedAnswer:
    return SimulatedAnswer(status, {"content-type": "application/json; charset=utf-8", **headers}, orjson.dumps(body))
