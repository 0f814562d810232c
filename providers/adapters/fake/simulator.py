"""The far side of this adapter, for development and tests: a small issue tracker in memory."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import unquote

import orjson

from providers.adapters.fake.simulated_writes import Refused, Writes
from providers.document import moment_of
from providers.simulation import SimulatedAnswer, SimulatedDelivery

PROJECTS = ("ACME", "OPS")
PAGE_SIZE = 10
PEOPLE = ("zoe", "ravi", "mina", "olaf")
WORDS = ("Login page", "Export", "Search index", "Invoice mail", "Dark mode", "Backup", "Sign-up form")


class Simulator:
    """Answers ``/me`` and ``/issues``, and lets one thing happen a tick."""

    credential: ClassVar[dict[str, str]] = {"token": "fake-simulator-token"}
    webhook_scheme: ClassVar[str] = "hmac"

    def __init__(self, *, seed: int, faults: bool) -> None:
        self._random = random.Random(seed)  # noqa: S311 (a reproducible world, not a secret)
        self._faults = faults
        self._clock = datetime.now(UTC) - timedelta(hours=2)
        self._issues: dict[str, dict[str, Any]] = {}
        self.writes = Writes(self._issues, self._create_asked)
        self._told = 0
        for _ in range(45):
            self._clock += timedelta(minutes=2)
            self._create(self._clock)

    @classmethod
    def settings(cls, base_url: str) -> dict[str, Any]:
        return {"base_url": base_url, "projects": list(PROJECTS)}

    # The API

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        if headers.get("authorization") != f"Bearer {self.credential['token']}":
            return _answer(401, {"error": "unauthorised"})
        if self._faults and self._random.random() < 0.05:
            return self._random.choice(
                (_answer(500, {"error": "oops"}), _answer(429, {"error": "slow down"}, **{"retry-after": "1"}))
            )
        if (method, path) == ("GET", "/me"):
            return _answer(200, {"account": "acme-bot"})
        if (method, path) == ("GET", "/issues"):
            return self._list({name: values[-1] for name, values in query.items()}, headers)
        try:
            if method == "GET" and "/comments/" in path:
                return _answer(200, self.writes.comment(path.rpartition("/")[2]))
            return _answer(*self.writes.write(method, unquote(path), orjson.loads(body or b"null")))
        except Refused as refused:
            return _answer(refused.status, {"error": refused.error})

    def effects(self) -> list[str]:
        return list(self.writes.effects)

    def _list(self, query: dict[str, str], headers: dict[str, str]) -> SimulatedAnswer:
        project = query.get("project", "")
        mark = query.get("marked", "")
        visible = [
            issue
            for key, issue in self._issues.items()
            if key.startswith(project) and self.writes.is_visible(key) and (not mark or issue.get("mark") == mark)
        ]
        state = orjson.dumps([[issue["key"], issue["updated"]] for issue in visible])
        etag = f'"{hashlib.sha256(state).hexdigest()[:32]}"'
        if headers.get("if-none-match") == etag:
            return SimulatedAnswer(304, {"etag": etag})
        since, until = moment_of(query.get("since")), moment_of(query.get("until"))
        rows = sorted((datetime.fromisoformat(issue["updated"]), issue["key"], issue) for issue in visible)
        rows = [row for row in rows if (not since or row[0] >= since) and (not until or row[0] < until)]
        # The cursor names the last row read, not a number of rows: a change while paging moves no page.
        rows = [row for row in rows if _cursor(row) > query.get("cursor", "")]
        page = rows[:PAGE_SIZE]
        following = _cursor(page[-1]) if len(rows) > PAGE_SIZE else None
        return _answer(200, {"issues": [row[2] for row in page], "next": following}, etag=etag)

    # The world

    def tick(self) -> list[SimulatedDelivery]:
        happenings: tuple[Callable[[], dict[str, Any]], ...] = (
            lambda: {"type": "issue.created", "issue": self._create(self._later())},
            self._update,
            self._close,
            self._comment,
            self._fail_deployment,
        )
        event = self._random.choices(happenings, weights=(3, 3, 2, 2, 1))[0]()
        self._told += 1
        # A fresh id for each process: the same world started again tells of new happenings.
        token = hashlib.sha256(f"{self._clock.isoformat()}:{self._told}".encode()).hexdigest()[:16]
        body = {"id": f"evt_{token}", "at": _text(self._clock), "actor": self._random.choice(PEOPLE), **event}
        delivery = SimulatedDelivery(
            {"content-type": "application/json", "x-fake-delivery": f"dlv_{token}"}, orjson.dumps(body)
        )
        return [delivery] * (2 if self._faults and self._random.random() < 0.1 else 1)

    def _later(self) -> datetime:
        """The real time, but never the same moment twice: it is the version of what changes now."""
        self._clock = max(self._clock + timedelta(milliseconds=1), datetime.now(UTC))
        return self._clock

    def _create_asked(self, values: dict[str, Any]) -> dict[str, Any]:
        """An issue somebody asked for."""
        if values["project"] not in PROJECTS:
            raise Refused(422, "there is no such project")
        issue = self._issues[self._create(self._later(), values["project"])["key"]]
        issue |= {name: value for name, value in values.items() if name != "project"}
        return dict(issue)

    def _create(self, moment: datetime, project: str = "") -> dict[str, Any]:
        project = project or self._random.choice(PROJECTS)
        key = f"{project}-{len(self._issues) + 1}"
        self._issues[key] = {
            "key": key,
            "title": f"{self._random.choice(WORDS)} does not work",
            "description": "It worked yesterday.",
            "state": "open",
            "url": f"https://fake.example/issues/{key}",
            "author": self._random.choice(PEOPLE),
            "labels": ["bug"],
            "created": _text(moment),
            "updated": _text(moment),
        }
        return dict(self._issues[key])

    def _any_open(self) -> dict[str, Any]:
        still_open = [issue for issue in self._issues.values() if issue["state"] != "closed"]
        return self._random.choice(still_open) if still_open else self._issues[self._create(self._later())["key"]]

    def _update(self) -> dict[str, Any]:
        issue = self._any_open()
        issue |= {"state": "working", "assignee": self._random.choice(PEOPLE), "updated": _text(self._later())}
        return {"type": "issue.updated", "changed": ["state", "assignee"], "issue": dict(issue)}

    def _close(self) -> dict[str, Any]:
        issue = self._any_open()
        moment = _text(self._later())
        issue |= {"state": "closed", "resolution": "fixed", "closed": moment, "updated": moment}
        return {"type": "issue.closed", "issue": dict(issue)}

    def _comment(self) -> dict[str, Any]:
        issue = self._any_open()
        self._later()
        comment = {"id": f"c{self._told + 1}", "text": "I see it too.", "author": self._random.choice(PEOPLE)}
        return {"type": "issue.commented", "comment": comment, "issue": dict(issue)}

    def _fail_deployment(self) -> dict[str, Any]:
        self._later()
        deployment = {
            "id": f"d{self._told + 1}",
            "service": "web",
            "environment": "production",
            "message": "The health check did not turn green.",
            "log_url": f"https://fake.example/deployments/d{self._told + 1}/log",
        }
        return {"type": "deploy.failed", "deployment": deployment}


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _cursor(row: tuple[datetime, str, dict[str, Any]]) -> str:
    return f"{_text(row[0])}~{row[1]}"


def _answer(status: int, body: Any, **headers: str) -> SimulatedAnswer:
    return SimulatedAnswer(status, {"content-type": "application/json", **headers}, orjson.dumps(body))
