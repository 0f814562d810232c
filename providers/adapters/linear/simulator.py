"""The far side of this adapter, for development and tests: one workspace with two teams, in memory.

Answers GraphQL as Linear does where it surprises: errors with 200, a rate limit with 400, the personal key without
``Bearer``, ``success`` beside ``errors``, and a hook's id chosen by who makes it.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import orjson

from providers.simulation import SimulatedAnswer, SimulatedDelivery

PEOPLE = ("Zoe", "Ravi", "Mina", "Olaf")
TEAMS = ("ENG", "OPS")
STATES = {"Todo": "unstarted", "In Progress": "started", "Done": "completed", "Canceled": "canceled"}
SUBJECTS = ("Login page", "Export", "Search index", "Invoice mail", "Dark mode")
RESOURCE_TYPES = {
    *("Issue", "Comment", "Project", "ProjectUpdate", "Cycle"),
    *("IssueLabel", "Reaction", "Attachment", "Document"),
}
FAULT_RATE = 0.05
_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

Body = dict[str, Any]


class Simulator:
    """Every tick one person does one thing. ``hooks`` holds the webhooks made through the API, by id."""

    credential: ClassVar[dict[str, str]] = {"token": "lin_api_simulator0123456789"}
    webhook_scheme: ClassVar[str] = "hmac"

    def __init__(self, *, seed: int, faults: bool, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        # Two sources of chance: how often somebody asks must not change what happens.
        self._random = random.Random(seed)  # noqa: S311 (a reproducible world, not a secret)
        self._trouble = random.Random(seed + 1)  # noqa: S311
        self._faults = faults
        self._clock = clock
        self._now = clock()
        # A fresh world for each process: one started again tells of new happenings.
        self._space = uuid.uuid5(uuid.NAMESPACE_URL, f"linear {self._now.isoformat()}")
        self._told = 0
        self._issues: list[Body] = []
        self.hooks: dict[str, Body] = {}

    @classmethod
    def settings(cls, base_url: str) -> dict[str, Any]:
        return {"base_url": base_url}

    def kept_hooks(self) -> list[tuple[str, str]]:
        return [(hook["url"], hook["secret"]) for hook in self.hooks.values()]

    # --- the API ---

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        if self._faults and self._trouble.random() < FAULT_RATE:
            return self._trouble.choice((SimulatedAnswer(502, {}, b"Bad gateway"), self._throttled()))
        if (method, path) != ("POST", "/graphql"):
            return SimulatedAnswer(404, {"content-type": "text/plain"}, b"Not found")
        if headers.get("authorization") != self.credential["token"]:
            return _errors("Authentication required", "AUTHENTICATION_ERROR", "authentication error", status=401)
        try:
            request = orjson.loads(body)
            operation, variables = request["operationName"], request["variables"]
            answer = self._operations()[operation]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return _errors("Syntax Error", "GRAPHQL_PARSE_FAILED", "graphql error", status=400)
        return answer(variables)

    def _operations(self) -> dict[str, Callable[[Body], SimulatedAnswer]]:
        return {
            "Viewer": lambda _: self._viewer(),
            "Team": self._team,
            "Hook": self._hook,
            "CreateHook": self._create_hook,
            "UpdateHook": self._update_hook,
            "DeleteHook": self._delete_hook,
        }

    def _viewer(self) -> SimulatedAnswer:
        organization = {"id": self._id("workspace"), "name": "Acme", "urlKey": "acme"}
        return _data({"viewer": {"id": self._id("bot"), "name": "Acme bot"}, "organization": organization})

    def _team(self, variables: Body) -> SimulatedAnswer:
        found = [{"id": self._id(key)} for key in TEAMS if key == variables.get("key")]
        return _data({"teams": {"nodes": found}})

    def _hook(self, variables: Body) -> SimulatedAnswer:
        hook = self.hooks.get(variables.get("id", ""))
        if hook is None:
            return _missing()
        return _data({"webhook": {name: hook[name] for name in ("id", "url", "enabled")}})

    def _create_hook(self, variables: Body) -> SimulatedAnswer:
        wanted = variables.get("input", {})
        where = [wanted.get("allPublicTeams") is True, wanted.get("teamId") in [self._id(key) for key in TEAMS]]
        good = (
            _UUID4.fullmatch(wanted.get("id", "")),
            wanted.get("url", "").startswith("https://"),
            set(wanted.get("resourceTypes", [""])) <= RESOURCE_TYPES,
            where.count(True) == 1,
        )
        if not all(good) or wanted["id"] in self.hooks:
            return _refused("Argument Validation Error" if not all(good) else "Entity with this id already exists")
        self.hooks[wanted["id"]] = {**wanted, "enabled": True}
        return _data({"webhookCreate": {"success": True, "webhook": {"id": wanted["id"], "enabled": True}}})

    def _update_hook(self, variables: Body) -> SimulatedAnswer:
        hook = self.hooks.get(variables.get("id", ""))
        if hook is None:
            return _missing()
        hook.update(variables.get("input", {}))
        return _data({"webhookUpdate": {"success": True, "webhook": {"id": hook["id"], "enabled": hook["enabled"]}}})

    def _delete_hook(self, variables: Body) -> SimulatedAnswer:
        if self.hooks.pop(variables.get("id", ""), None) is None:
            return _missing()
        return _data({"webhookDelete": {"success": True}})

    def _throttled(self) -> SimulatedAnswer:
        reset = round((self._clock().timestamp() + 2) * 1000)
        limits = {"x-ratelimit-requests-remaining": "0", "x-ratelimit-requests-reset": str(reset)}
        return _errors("Rate limit exceeded", "RATELIMITED", "ratelimited", status=400, **limits)

    # --- the world ---

    def tick(self) -> list[SimulatedDelivery]:
        doings: tuple[Callable[[str], Body], ...] = (self._make, self._move, self._assign, self._comment)
        person = self._random.choice(PEOPLE)
        body = self._random.choices(doings, weights=(3, 4, 2, 3))[0](person)
        self._told += 1
        actor = {"id": self._id(person), "type": "user", "name": person}
        told = {
            **body,
            "actor": actor,
            "createdAt": _text(self._now),
            "organizationId": self._id("workspace"),
            "webhookTimestamp": round(self._clock().timestamp() * 1000),
            "webhookId": self._id("hook"),
        }
        headers = {
            "content-type": "application/json; charset=utf-8",
            "user-agent": "Linear-Webhook",
            "linear-event": body["type"],
            "linear-delivery": self._id(f"delivery {self._told}"),
        }
        delivery = SimulatedDelivery(headers, orjson.dumps(told))
        return [delivery] * (2 if self._faults and self._trouble.random() < FAULT_RATE * 2 else 1)

    def _later(self) -> str:
        """The real time, but never the same millisecond twice: it is the version of what changes now."""
        self._now = max(self._now + timedelta(milliseconds=1), self._clock())
        return _text(self._now)

    def _id(self, name: str) -> str:
        return str(uuid.uuid5(self._space, name))

    def _state(self, name: str) -> Body:
        return {"stateId": self._id(name), "state": {"id": self._id(name), "name": name, "type": STATES[name]}}

    def _make(self, person: str) -> Body:
        moment, number, team = self._later(), len(self._issues) + 1, self._random.choice(TEAMS)
        issue = {
            "id": self._id(f"issue {number}"),
            "createdAt": moment,
            "updatedAt": moment,
            "number": number,
            "identifier": f"{team}-{number}",
            "title": f"{self._random.choice(SUBJECTS)} does not work",
            "priority": 2,
            "priorityLabel": "High",
            "team": {"id": self._id(team), "key": team, "name": team.title()},
            "creatorId": self._id(person),
            "labelIds": [],
            **self._state("Todo"),
        }
        self._issues.append(issue)
        return {"action": "create", "type": "Issue", "data": dict(issue), "url": _address(issue)}

    def _touched(self, person: str) -> Body:
        if not self._issues:
            self._make(person)
        return self._random.choice(self._issues)

    def _move(self, person: str) -> Body:
        issue = self._touched(person)
        name = self._random.choice([name for name in STATES if name != issue["state"]["name"]])
        times = {"completed": "completedAt", "canceled": "canceledAt"}
        old = {name: issue.get(name) for name in ("stateId", "updatedAt")}
        issue |= {"updatedAt": self._later(), **self._state(name)}
        for kind, key in times.items():
            now = issue["updatedAt"] if STATES[name] == kind else None
            if issue.get(key) != now:
                old[key], issue[key] = issue.get(key), now
        return {"action": "update", "type": "Issue", "data": dict(issue), "updatedFrom": old, "url": _address(issue)}

    def _assign(self, person: str) -> Body:
        issue = self._touched(person)
        old = {"assigneeId": issue.get("assigneeId"), "updatedAt": issue["updatedAt"]}
        issue |= {"assigneeId": None if issue.get("assigneeId") else self._id(person), "updatedAt": self._later()}
        return {"action": "update", "type": "Issue", "data": dict(issue), "updatedFrom": old, "url": _address(issue)}

    def _comment(self, person: str) -> Body:
        issue, moment = self._touched(person), self._later()
        comment = {
            "id": self._id(f"comment {self._told}"),
            "createdAt": moment,
            "updatedAt": moment,
            "body": "I see it too.",
            "issueId": issue["id"],
            "issue": {name: issue[name] for name in ("id", "identifier", "title", "team")},
            "userId": self._id(person),
        }
        return {"action": "create", "type": "Comment", "data": comment, "url": f"{_address(issue)}#comment"}


def _address(issue: Body) -> str:
    return f"https://linear.app/acme/issue/{issue['identifier']}"


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _answer(status: int, body: Body, **headers: str) -> SimulatedAnswer:
    quota = {"x-ratelimit-requests-limit": "2500", "x-ratelimit-requests-remaining": "2400", "x-complexity": "3"}
    return SimulatedAnswer(status, {"content-type": "application/json", **quota, **headers}, orjson.dumps(body))


def _data(data: Body) -> SimulatedAnswer:
    return _answer(200, {"data": data})


def _errors(message: str, code: str, kind: str, *, status: int, **headers: str) -> SimulatedAnswer:
    extensions = {"code": code, "type": kind, "userError": True, "userPresentableMessage": message}
    return _answer(status, {"errors": [{"message": message, "extensions": extensions}], "data": None}, **headers)


def _refused(message: str) -> SimulatedAnswer:
    return _errors(message, "INPUT_ERROR", "invalid input", status=200)


def _missing() -> SimulatedAnswer:
    return _refused("Entity not found: Webhook - Could not find referenced Webhook.")
