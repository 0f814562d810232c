"""The far side of this adapter, for development and tests: one workspace with two teams, in memory.

Answers GraphQL as Linear does where it surprises: errors with 200, a rate limit with 400, the personal key without
``Bearer``, and ``success`` beside ``errors``. An entry of an issue's history is written a moment after the issue. The
hooks are in ``simulated_hooks``, the lists in ``simulated_lists``, the rest in ``simulated_writes``.
"""

from __future__ import annotations

import email.utils
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import orjson

from providers.adapters.linear import simulated_lists
from providers.adapters.linear.changes import PRIORITIES
from providers.adapters.linear.simulated_directory import BOT, LABELS, PEOPLE, STATES, TEAMS, Directory
from providers.adapters.linear.simulated_hooks import Hooks, answer, data, errors
from providers.adapters.linear.simulated_writes import Writes
from providers.simulation import SimulatedAnswer, SimulatedDelivery

SUBJECTS = ("Login page", "Export", "Search index", "Invoice mail", "Dark mode")
HEALTH = ("onTrack", "atRisk", "offTrack")
FAULT_RATE = 0.05
# What has happened before anybody looks; more than a page of issues and of comments.
PAST = timedelta(hours=3)
PAST_HAPPENINGS = 600
HISTORY_LAG = timedelta(milliseconds=40)
Body = dict[str, Any]


class Simulator:
    """Every tick one person does one thing."""

    credential: ClassVar[dict[str, str]] = {"token": "lin_api_simulator0123456789"}
    webhook_scheme: ClassVar[str] = "hmac"

    def __init__(self, *, seed: int, faults: bool, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        # Two sources of chance: how often somebody asks must not change what happens.
        self._random = random.Random(seed)  # noqa: S311 (a reproducible world, not a secret)
        self._trouble = random.Random(seed + 1)  # noqa: S311
        self._faults = faults
        self._clock = clock
        self._now = clock() - PAST
        # A fresh world for each process: one started again tells of new happenings.
        self._space = uuid.uuid5(uuid.NAMESPACE_URL, f"linear {self._now.isoformat()}")
        self._ids: dict[str, str] = {}
        self.directory = Directory(self._id)
        self._told = 0
        self.issues: list[Body] = []
        self._history: dict[str, list[Body]] = {}
        self.comments: list[Body] = []
        self._projects: list[Body] = []
        self._reports: list[Body] = []
        self._cycles: list[Body] = []
        self._past = True
        for _ in range(PAST_HAPPENINGS):
            self._happen()
        self._past = False
        self._kept = Hooks({self._id(key): key for key in TEAMS})
        self.writes = Writes(self)

    @classmethod
    def settings(cls, base_url: str) -> dict[str, Any]:
        return {"base_url": base_url}

    def kept_hooks(self) -> list[tuple[str, str]]:
        return [(hook["url"], hook["secret"]) for hook in self.hooks.values()]

    def switch_hooks(self, *, on: bool) -> None:
        for hook in self.hooks.values():
            hook["enabled"] = on

    def effects(self) -> list[str]:
        return list(self.writes.made)

    @property
    def hooks(self) -> dict[str, Body]:
        """The webhooks made through the API, by id."""
        return self._kept.hooks

    # --- the API ---

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        if self._faults and self._trouble.random() < FAULT_RATE:
            return self._trouble.choice((SimulatedAnswer(502, {}, b"Bad gateway"), self._throttled()))
        if (method, path) != ("POST", "/graphql"):
            return SimulatedAnswer(404, {"content-type": "text/plain"}, b"Not found")
        if headers.get("authorization") != self.credential["token"]:
            return errors("Authentication required", "AUTHENTICATION_ERROR", "authentication error", status=401)
        try:
            request = orjson.loads(body)
            operation, variables = request["operationName"], request["variables"]
            operate = self._operations().get(operation) or self._listed(request)
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return errors("Syntax Error", "GRAPHQL_PARSE_FAILED", "graphql error", status=400)
        return operate(variables)

    def _operations(self) -> dict[str, Callable[[Body], SimulatedAnswer]]:
        return {
            "Viewer": lambda _: self._viewer(),
            **self._kept.operations(),
        }

    def _listed(self, request: Body) -> Callable[[Body], SimulatedAnswer]:
        lists = {
            "issues": map(self.row, self.issues),
            "comments": self.comments,
            "projects": self._projects,
            "projectUpdates": self._reports,
            "cycles": self._cycles,
        }
        found, wrong, cost = simulated_lists.answer(request, lists, self.writes.fields())
        told = {"x-complexity": str(round(cost)), "date": email.utils.format_datetime(self._clock(), usegmt=True)}
        if wrong and (why := wrong[0].extensions):
            return lambda _: errors(wrong[0].message, why["code"], why["type"], status=200, **told)
        if wrong:
            return lambda _: errors(wrong[0].message, "GRAPHQL_VALIDATION_FAILED", "graphql error", status=400, **told)
        return lambda _: answer(200, {"data": found}, **told)

    def row(self, issue: Body) -> Body:
        """An issue as queries see it."""
        people = {name: self.directory.person(issue.get(f"{name}Id")) for name in ("creator", "assignee")}
        labels = [label for label in self.directory.labels if label["id"] in issue["labelIds"]]
        entries = self._history.get(issue["id"], [])
        connections = {
            "labels": lambda _, **asked: simulated_lists.page(labels, **asked),
            "history": lambda _, **asked: simulated_lists.page(entries[::-1], **asked),
        }
        states = self.directory.states
        team = {**issue["team"], "states": lambda _, **asked: simulated_lists.page(states, **asked)}
        return {**issue, **people, **connections, "team": team}

    def _viewer(self) -> SimulatedAnswer:
        organization = {"id": self._id("workspace"), "name": "Acme", "urlKey": "acme"}
        return data({"viewer": {"id": self._id(BOT), "name": "Acme bot"}, "organization": organization})

    def _throttled(self) -> SimulatedAnswer:
        reset = round((self._clock().timestamp() + 2) * 1000)
        limits = {"x-ratelimit-requests-remaining": "0", "x-ratelimit-requests-reset": str(reset)}
        return errors("Rate limit exceeded", "RATELIMITED", "ratelimited", status=400, **limits)

    # --- the world ---

    def tick(self) -> list[SimulatedDelivery]:
        person, body = self._happen()
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

    def _happen(self) -> tuple[str, Body]:
        doings: tuple[Callable[[str], Body], ...] = (
            *(self._make, self._move, self._assign, self._label, self._throw_away),
            *(self._comment, self._edit, self._project, self._report, self._cycle),
        )
        person = self._random.choice(PEOPLE)
        body = self._random.choices(doings, weights=(6, 8, 4, 3, 1, 6, 1, 1, 1, 1))[0](person)
        self._told += 1
        return person, body

    def _later(self) -> str:
        """The real time, but never the same millisecond twice: it is the version of what changes now."""
        pace = PAST / PAST_HAPPENINGS / 3 if self._past else timedelta(milliseconds=1)
        self._now = self._now + pace if self._past else max(self._now + pace, self._clock())
        return _text(self._now)

    def _id(self, name: str) -> str:
        if name not in self._ids:
            self._ids[name] = str(uuid.uuid5(self._space, name))
        return self._ids[name]

    def _state(self, name: str) -> Body:
        state = self.directory.state(name)
        return {"stateId": state["id"], "state": state}

    def _make(self, person: str) -> Body:
        issue = self._new_issue(person, self.directory.team(self._random.choice(TEAMS)))
        issue["title"] = f"{self._random.choice(SUBJECTS)} does not work"
        self.issues.append(issue)
        return {"action": "create", "type": "Issue", "data": dict(issue), "url": issue["url"]}

    def new_issue(self, team: Body, given: Body) -> Body:
        told = {"priority": 0, **given}
        return {**self._new_issue(BOT, team), **told, **_labelled(told)}

    def _new_issue(self, person: str, team: Body) -> Body:
        moment, number = self._later(), len(self.issues) + 1
        issue = {
            "id": self._id(f"issue {number}"),
            "createdAt": moment,
            "updatedAt": moment,
            "number": number,
            "identifier": f"{team['key']}-{number}",
            "priority": 2,
            "priorityLabel": "High",
            "team": team,
            "creatorId": self._id(person),
            "labelIds": [],
            **self._state("Todo"),
        }
        return {**issue, "url": _address(issue)}

    def _touched(self, person: str) -> Body:
        there = [issue for issue in self.issues if not issue.get("trashed")]
        if not there:
            self._make(person)
            there = self.issues[-1:]
        return self._random.choice(there)

    def _changed(self, issue: Body, person: str, changed: Body, entry: Body) -> Body:
        """An update of an issue, and the entry of its history that tells of it."""
        old = {name: issue.get(name) for name in (*changed, "updatedAt")}
        issue |= {**changed, "updatedAt": changed.get("updatedAt") or self._later()}
        written = _text(self._now + HISTORY_LAG)
        times = {"createdAt": written, "updatedAt": written}
        entry = {"id": self._id(f"entry {self._told}"), **times, "actorId": self._id(person), **entry}
        self._history.setdefault(issue["id"], []).append(entry)
        return {"action": "update", "type": "Issue", "data": dict(issue), "updatedFrom": old, "url": issue["url"]}

    def change(self, issue: Body, changed: Body) -> None:
        """What the app asked for."""
        self._told += 1
        others = {name: value for name, value in changed.items() if name != "stateId"}
        if others:
            self._changed(issue, BOT, others | _labelled(others), {})
        if "stateId" in changed:
            names = {state["id"]: state["name"] for state in self.directory.states}
            self._moved(issue, BOT, names[changed["stateId"]])

    def _move(self, person: str) -> Body:
        issue = self._touched(person)
        name = self._random.choice([name for name in STATES if name != issue["state"]["name"]])
        return self._moved(issue, person, name)

    def _moved(self, issue: Body, person: str, name: str) -> Body:
        moment = self._later()
        changed: Body = {"stateId": self._id(name), "updatedAt": moment}
        for kind, key in {"completed": "completedAt", "canceled": "canceledAt"}.items():
            now = moment if STATES[name] == kind else None
            if issue.get(key) != now:
                changed[key] = now
        state = self._state(name)["state"]
        entry = {"fromStateId": issue["stateId"], "toStateId": self._id(name), "toState": state}
        told = self._changed(issue, person, changed, entry)
        issue["state"] = told["data"]["state"] = state
        return told

    def _assign(self, person: str) -> Body:
        issue = self._touched(person)
        before, now = issue.get("assigneeId"), None if issue.get("assigneeId") else self._id(person)
        entry = {"fromAssigneeId": before, "toAssigneeId": now}
        return self._changed(issue, person, {"assigneeId": now}, entry)

    def _label(self, person: str) -> Body:
        issue, label = self._touched(person), self._id(self._random.choice(LABELS))
        there = label in issue["labelIds"]
        labels = [one for one in issue["labelIds"] if one != label] if there else [*issue["labelIds"], label]
        return self._changed(
            issue, person, {"labelIds": labels}, {"removedLabelIds" if there else "addedLabelIds": [label]}
        )

    def _throw_away(self, person: str) -> Body:
        issue, moment = self._touched(person), self._later()
        changed = {"trashed": True, "archivedAt": moment, "updatedAt": moment}
        return self._changed(issue, person, changed, {"trashed": True, "archived": True})

    def _comment(self, person: str) -> Body:
        comment = self._new_comment(self._touched(person), person, "I see it too.")
        self.comments.append(comment)
        return {"action": "create", "type": "Comment", "data": dict(comment), "url": comment["url"]}

    def new_comment(self, issue: Body, body: str) -> Body:
        self._told += 1
        return self._new_comment(issue, BOT, body)

    def _new_comment(self, issue: Body, person: str, body: str) -> Body:
        moment = self._later()
        return {
            "id": self._id(f"comment {self._told}"),
            "createdAt": moment,
            "updatedAt": moment,
            "body": body,
            "url": f"{issue['url']}#comment-{self._told}",
            "issueId": issue["id"],
            "issue": {name: issue[name] for name in ("id", "identifier", "title", "team")},
            "userId": self._id(person),
            "user": {"id": self._id(person), "name": person},
        }

    def _edit(self, person: str) -> Body:
        if not self.comments:
            return self._comment(person)
        comment, moment = self._random.choice(self.comments), self._later()
        old = {name: comment.get(name) for name in ("body", "editedAt", "updatedAt")}
        comment |= {"body": "I do not see it any more.", "editedAt": moment, "updatedAt": moment}
        told = {"action": "update", "type": "Comment", "data": dict(comment), "updatedFrom": old}
        return {**told, "url": comment["url"]}

    def _project(self, person: str) -> Body:
        moment, number = self._later(), len(self._projects) + 1
        if number > len(SUBJECTS):
            project = self._random.choice(self._projects)
            old = {name: project[name] for name in ("name", "updatedAt")}
            project |= {"name": f"{project['name']}, still", "updatedAt": moment}
            told = {"action": "update", "type": "Project", "data": dict(project), "updatedFrom": old}
            return {**told, "url": project["url"]}
        project = {
            "id": self._id(f"project {number}"),
            "createdAt": moment,
            "updatedAt": moment,
            "name": SUBJECTS[number - 1],
            "url": f"https://linear.app/acme/project/{number}",
            "slugId": f"p{number}",
            "description": "",
            "status": {"id": self._id("Planned"), "name": "Planned"},
            "creatorId": self._id(person),
            "creator": {"id": self._id(person), "name": person},
            "teams": [self.directory.team(TEAMS[number % 2])],
        }
        self._projects.append(project)
        return {"action": "create", "type": "Project", "data": dict(project), "url": project["url"]}

    def _report(self, person: str) -> Body:
        if not self._projects:
            return self._project(person)
        project, moment = self._random.choice(self._projects), self._later()
        report = {
            "id": self._id(f"report {self._told}"),
            "createdAt": moment,
            "updatedAt": moment,
            "body": "It goes on.",
            "health": self._random.choice(HEALTH),
            "url": f"{project['url']}/updates#{self._told}",
            "userId": self._id(person),
            "user": {"id": self._id(person), "name": person},
            "projectId": project["id"],
            "project": project,
        }
        self._reports.append(report)
        data = {**report, "project": {name: project[name] for name in ("id", "name")}}
        return {"action": "create", "type": "ProjectUpdate", "data": data, "url": report["url"]}

    def _cycle(self, person: str) -> Body:
        moment, running = self._later(), [cycle for cycle in self._cycles if not cycle.get("completedAt")]
        if running:
            old = {"completedAt": None, "updatedAt": running[0]["updatedAt"]}
            running[0] |= {"completedAt": moment, "updatedAt": moment}
            return {"action": "update", "type": "Cycle", "data": dict(running[0]), "updatedFrom": old}
        number, team = len(self._cycles) + 1, self.directory.team(self._random.choice(TEAMS))
        cycle = {
            "id": self._id(f"cycle {number}"),
            "createdAt": moment,
            "updatedAt": moment,
            "number": number,
            "startsAt": moment,
            "endsAt": _text(self._now + timedelta(days=14)),
            "teamId": team["id"],
            "team": team,
        }
        self._cycles.append(cycle)
        return {"action": "create", "type": "Cycle", "data": dict(cycle)}


def _labelled(changed: Body) -> Body:
    return {"priorityLabel": PRIORITIES[changed["priority"]]} if "priority" in changed else {}


def _address(issue: Body) -> str:
    return f"https://linear.app/acme/issue/{issue['identifier']}"


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
