"""The far side of this adapter, for development and tests: a small Jira Cloud site in memory.

Answers as REST v3 does (search by token, no total, default fields are ids only, unbounded queries refused)
and tells of each happening with the webhooks and headers Jira sends.
"""

from __future__ import annotations

import base64
import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

import orjson

from providers.adapters.jira.mapping import milliseconds
from providers.adapters.jira.simulated_hooks import SimulatedHooks
from providers.simulation import SimulatedAnswer, SimulatedDelivery

SITE: Final = "https://acme.atlassian.example"
PROJECTS: Final = {"DEMO": "Demo shop", "OPS": "Operations"}
PEOPLE: Final = {"5b10zoe": "Zoe", "5b10ravi": "Ravi", "5b10mina": "Mina", "5b10olaf": "Olaf"}
STATUSES: Final = {"To Do": ("10000", "new"), "In Progress": ("3", "indeterminate"), "Done": ("10001", "done")}
LABELS: Final = ("frontend", "backend", "regression", "quick-win")
PARTS: Final = ("Login page", "Export", "Search index", "Invoice mail", "Dark mode", "Sign-up form")
FAULTS: Final = ("is slow", "shows the wrong date", "loses its settings", "cannot be printed")
MAX_PAGE: Final = 50  # less than is asked for: the server cuts pages as it likes
FAULT_RATE: Final = 0.05

_JQL: Final = re.compile(
    r'(?:project in \((?P<projects>"[A-Z][A-Z0-9_]*"(?:, "[A-Z][A-Z0-9_]*")*)\) AND )?'
    r"(?:updated >= (?P<since>[0-9]{1,15})"
    r"|\(\(updated >= (?P<from>[0-9]{1,15}) AND updated < (?P<to>[0-9]{1,15})\)"
    r" OR \(created >= (?P=from) AND created < (?P=to)\)\))"
    r" ORDER BY updated ASC, key ASC"
)


@dataclass(slots=True)
class _Issue:
    number: int
    project: str
    issue_id: int
    summary: str
    description: str
    creator: str
    kind: str
    priority: str
    created: datetime
    updated: datetime
    status: str = "To Do"
    resolved: bool = False
    assignee: str | None = None
    sprint: str | None = None
    labels: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        return f"{self.project}-{self.number}"

    @property
    def order(self) -> tuple[int, str, int]:
        return milliseconds(self.updated), self.project, self.number


Change = dict[str, Any]


class Simulator:
    """Two projects of one site; every tick one person does one thing."""

    credential: ClassVar[dict[str, str]] = {"email": "bot@acme.example", "token": "jira-simulator-token"}
    webhook_scheme: ClassVar[str] = "hmac"

    def __init__(self, *, seed: int, faults: bool, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        # Two sources of chance: how often somebody asks must not change what happens.
        self._random = random.Random(seed)  # noqa: S311 (a reproducible world, not a secret)
        self._trouble = random.Random(seed + 1)  # noqa: S311
        self._faults = faults
        self._clock = clock
        start = clock()
        self._now = start - timedelta(hours=2)
        # Ids and delivery ids are new for each process: a world started again tells of new happenings.
        self._next_id = 10_000 + milliseconds(start) // 1000
        self._told = 0
        self._sprint = 1
        self._issues: list[_Issue] = []
        self.hooks = SimulatedHooks(SITE)
        for _ in range(110):
            self._now += timedelta(minutes=1)
            self._add(self._now)

    @classmethod
    def settings(cls, base_url: str) -> dict[str, Any]:
        return {"base_url": base_url, "projects": list(PROJECTS)}

    def switch_hooks(self, *, on: bool) -> None:
        self.hooks.switch(on=on)

    def kept_hooks(self) -> list[tuple[str, str]]:
        return [(hook["url"], hook.get("secret", "")) for hook in self.hooks.kept.values()]

    # --- the API ---

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        if self._faults and self._trouble.random() < FAULT_RATE:
            return self._trouble.choice((_problem(500, "Internal server error"), _throttled(self._clock())))
        pair = f"{self.credential['email']}:{self.credential['token']}"
        if headers.get("authorization") != "Basic " + base64.b64encode(pair.encode()).decode():
            return _problem(401, "Client must be authenticated to access this resource.")
        if (method, path) == ("GET", "/rest/api/3/myself"):
            return _answer({"accountId": "5b10bot", "displayName": "Acme bot", "timeZone": "Etc/UTC", "active": True})
        if (method, path) == ("POST", "/rest/api/3/search/jql"):
            try:
                request = orjson.loads(body)
            except orjson.JSONDecodeError:
                return _problem(400, "There was an error parsing JSON.")
            return self._search(request if isinstance(request, dict) else {})
        told = self.hooks.handle(method, path, body)
        if told is not None:
            return _answer(told[1], told[0])
        if path == "/rest/api/3/search":
            return _problem(
                410, "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API."
            )
        return _problem(404, "Not found")

    def _search(self, request: dict[str, Any]) -> SimulatedAnswer:
        jql = str(request.get("jql", ""))
        asked = _JQL.fullmatch(jql)
        if not asked:
            return _problem(400, "Unbounded JQL queries are not allowed here, or the query cannot be read.")
        projects = re.findall(r'"([^"]*)"', asked["projects"] or "") or list(PROJECTS)
        unknown = [key for key in projects if key not in PROJECTS]
        if unknown:
            return _problem(400, f"The value '{unknown[0]}' does not exist for the field 'project'.")
        after = _read_token(request.get("nextPageToken"), jql)
        if after is None:
            return _problem(400, "The provided nextPageToken is invalid.")
        since, until = int(asked["since"] or asked["from"]), int(asked["to"] or 2**53)
        found = sorted(
            (
                issue
                for issue in self._issues
                if issue.project in projects
                and any(since <= milliseconds(moment) < until for moment in (issue.updated, issue.created))
                and issue.order > after
            ),
            key=lambda issue: issue.order,
        )
        size = min(int(request.get("maxResults") or 50), MAX_PAGE)
        page, last = found[:size], len(found) <= size
        fields = request.get("fields") or []
        answer: dict[str, Any] = {"issues": [_polled(issue, fields) for issue in page], "isLast": last}
        if not last:
            answer["nextPageToken"] = _token(page[-1], jql)
        return _answer(answer)

    # --- the world ---

    def tick(self) -> list[SimulatedDelivery]:
        doings: tuple[Callable[[str], list[Change]], ...] = (
            *(self._create, self._transition, self._assign, self._label),
            *(self._plan, self._comment, self._edit, self._turn_sprint),
        )
        person = self._random.choice(list(PEOPLE))
        doing = self._random.choices(doings, weights=(4, 5, 2, 2, 1, 3, 2, 1))[0]
        deliveries = [self._delivery(body) for body in doing(person)]
        if self._faults and self._trouble.random() < FAULT_RATE * 2:
            # Jira's own retry: same identifier, same body, and a count.
            first = deliveries[0]
            deliveries.append(SimulatedDelivery({**first.headers, "x-atlassian-webhook-retry": "1"}, first.body))
        return deliveries

    def _delivery(self, body: Change) -> SimulatedDelivery:
        self._told += 1
        identity = hashlib.sha256(f"{self._next_id}:{self._told}:{body['timestamp']}".encode()).hexdigest()
        headers = {
            "content-type": "application/json; charset=UTF-8",
            "user-agent": "Atlassian HttpClient/1.0",
            "x-atlassian-webhook-identifier": "-".join(
                (identity[:8], identity[8:12], identity[12:16], identity[16:28])
            ),
            "x-atlassian-webhook-flow": "Primary",
        }
        return SimulatedDelivery(headers, orjson.dumps(body))

    def _later(self) -> datetime:
        """The real time, but never the same millisecond twice: it is the version of what changes now."""
        self._now = max(self._now + timedelta(milliseconds=1), self._clock())
        return self._now

    def _add(self, moment: datetime) -> _Issue:
        project = self._random.choice(list(PROJECTS))
        self._next_id += 1
        issue = _Issue(
            number=1 + sum(issue.project == project for issue in self._issues),
            project=project,
            issue_id=self._next_id,
            summary=f"{self._random.choice(PARTS)} {self._random.choice(FAULTS)}",
            description="It worked yesterday.\nSteps to reproduce: open it twice.",
            creator=self._random.choice(list(PEOPLE)),
            kind=self._random.choice(("Bug", "Task", "Story")),
            priority=self._random.choice(("High", "Medium", "Low")),
            created=moment,
            updated=moment,
        )
        self._issues.append(issue)
        return issue

    def _create(self, person: str) -> list[Change]:
        issue = self._add(self._later())
        issue.creator = person
        return [self._told_of(issue, person, "jira:issue_created", issue_event_type_name="issue_created")]

    def _touched(self) -> _Issue:
        issue = self._random.choice(self._issues)
        issue.updated = self._later()
        return issue

    def _transition(self, person: str) -> list[Change]:
        issue = self._touched()
        before, issue.status = issue.status, self._random.choice([s for s in STATUSES if s != issue.status])
        items = [_item("status", before, issue.status, STATUSES[before][0], STATUSES[issue.status][0])]
        if issue.resolved != (issue.status == "Done"):
            issue.resolved = not issue.resolved
            sides = (None, "Done", None, "10000") if issue.resolved else ("Done", None, "10000", None)
            items.insert(0, _item("resolution", *sides))
        return [self._update(issue, person, items, "issue_generic")]

    def _assign(self, person: str) -> list[Change]:
        issue = self._touched()
        before, issue.assignee = (
            issue.assignee,
            self._random.choice([p for p in (*PEOPLE, None) if p != issue.assignee]),
        )
        old, new = (PEOPLE.get(account or "") for account in (before, issue.assignee))
        return [self._update(issue, person, [_item("assignee", old, new, before, issue.assignee)], "issue_assigned")]

    def _label(self, person: str) -> list[Change]:
        issue = self._touched()
        before, label = " ".join(issue.labels), self._random.choice(LABELS)
        issue.labels = [x for x in issue.labels if x != label] if label in issue.labels else [*issue.labels, label]
        return [self._update(issue, person, [_item("labels", before, " ".join(issue.labels))])]

    def _plan(self, person: str) -> list[Change]:
        issue = self._touched()
        before, issue.sprint = issue.sprint, None if issue.sprint else f"Sprint {self._sprint}"
        ids = [name.removeprefix("Sprint ") if name else "" for name in (before, issue.sprint)]
        return [self._update(issue, person, [_item("Sprint", before or "", issue.sprint or "", *ids)])]

    def _edit(self, person: str) -> list[Change]:
        issue = self._touched()
        before = issue.summary
        issue.summary = f"{self._random.choice(PARTS)} {self._random.choice(FAULTS)}, seen {self._told + 2} times"
        return [self._update(issue, person, [_item("summary", before, issue.summary)])]

    def _comment(self, person: str) -> list[Change]:
        issue = self._touched()
        author, moment, comment_id = _person(person), _text(issue.updated), f"{20_000 + self._told}"
        comment = {
            "self": f"{SITE}/rest/api/2/issue/{issue.issue_id}/comment/{comment_id}",
            "id": comment_id,
            "body": "I see it too, since the last release.",
            "author": author,
            "updateAuthor": author,
            "created": moment,
            "updated": moment,
        }
        thin = {name: value for name, value in _fields(issue).items() if name in ("summary", "status", "project")}
        told = {
            "timestamp": milliseconds(issue.updated),
            "webhookEvent": "comment_created",
            "comment": comment,
            "issue": {**_address(issue, 2), "fields": thin},
        }
        # The same comment comes a second time, as an update without a changelog.
        second = self._told_of(issue, person, "jira:issue_updated", issue_event_type_name="issue_commented")
        return [told, {**second, "comment": comment}]

    def _turn_sprint(self, person: str) -> list[Change]:
        moment = self._later()
        sprint = {"id": self._sprint, "originBoardId": 1, "name": f"Sprint {self._sprint}", "goal": "Fewer bugs"}
        started = {
            **sprint,
            "state": "active",
            "startDate": _text(moment),
            "endDate": _text(moment + timedelta(days=14)),
        }
        self._sprint += 1
        return [{"timestamp": milliseconds(moment), "webhookEvent": "sprint_started", "sprint": started}]

    def _update(self, issue: _Issue, person: str, items: list[Change], hint: str = "issue_updated") -> Change:
        changelog = {"id": str(30_000 + self._told), "items": items}
        return self._told_of(issue, person, "jira:issue_updated", issue_event_type_name=hint, changelog=changelog)

    def _told_of(self, issue: _Issue, person: str, event: str, **more: Any) -> Change:
        body = {"timestamp": milliseconds(issue.updated) + 30, "webhookEvent": event, "user": _person(person), **more}
        return {**body, "issue": {**_address(issue, 2), "fields": _fields(issue)}}


# --- how Jira writes things down ---


def _address(issue: _Issue, version: int) -> Change:
    return {
        "id": str(issue.issue_id),
        "self": f"{SITE}/rest/api/{version}/issue/{issue.issue_id}",
        "key": issue.key,
    }


def _fields(issue: _Issue) -> Change:
    status_id, category = STATUSES[issue.status]
    return {
        "summary": issue.summary,
        "description": issue.description,
        "status": {"id": status_id, "name": issue.status, "statusCategory": {"key": category}},
        "resolution": {"id": "10000", "name": "Done"} if issue.resolved else None,
        "created": _text(issue.created),
        "updated": _text(issue.updated),
        "creator": _person(issue.creator),
        "reporter": _person(issue.creator),
        "assignee": _person(issue.assignee) if issue.assignee else None,
        "project": {"id": str(list(PROJECTS).index(issue.project) + 1), "key": issue.project},
        "issuetype": {"name": issue.kind},
        "labels": list(issue.labels),
        "priority": {"name": issue.priority},
        "fixVersions": [],
    }


def _polled(issue: _Issue, fields: list[str]) -> Change:
    """As REST v3 shows it: only the fields asked for, text as a document."""
    if not fields:
        return {"id": str(issue.issue_id)}
    lines = issue.description.split("\n")
    paragraphs = [{"type": "paragraph", "content": [{"type": "text", "text": line}]} for line in lines]
    written = {**_fields(issue), "description": {"type": "doc", "version": 1, "content": paragraphs}}
    return {**_address(issue, 3), "fields": {name: written[name] for name in fields if name in written}}


def _person(account: str) -> Change:
    return {"accountId": account, "displayName": PEOPLE[account], "active": True, "accountType": "atlassian"}


def _item(name: str, before: str | None, after: str | None, old: str | None = None, new: str | None = None) -> Change:
    kind = "custom" if name == "Sprint" else "jira"
    sides = {"from": old, "fromString": before, "to": new, "toString": after}
    return {"field": name, "fieldtype": kind, "fieldId": name.lower(), **sides}


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"


def _token(issue: _Issue, jql: str) -> str:
    mark = hashlib.sha256(jql.encode()).hexdigest()[:16]
    return base64.urlsafe_b64encode(orjson.dumps([mark, *issue.order])).decode()


def _read_token(token: Any, jql: str) -> tuple[int, str, int] | None:
    """Where to go on; ``None`` for a token that is not of this query."""
    if not token:
        return (0, "", 0)
    try:
        mark, updated, project, number = orjson.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError):
        return None
    return (updated, project, number) if mark == hashlib.sha256(jql.encode()).hexdigest()[:16] else None


def _answer(body: Any, status: int = 200, **headers: str) -> SimulatedAnswer:
    quota = {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "0" if status == 429 else "97"}
    return SimulatedAnswer(status, {"content-type": "application/json", **quota, **headers}, orjson.dumps(body))


def _problem(status: int, message: str) -> SimulatedAnswer:
    return _answer({"errorMessages": [message], "errors": {}}, status)


def _throttled(now: datetime) -> SimulatedAnswer:
    reset = (now + timedelta(seconds=2)).isoformat(timespec="seconds")
    hints = {"retry-after": "2", "x-ratelimit-reset": reset, "ratelimit-reason": "jira-burst-based"}
    return _answer({"errorMessages": ["Rate limit exceeded."], "errors": {}}, 429, **hints)
