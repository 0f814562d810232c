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
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

import orjson

from providers.adapters.jira.mapping import milliseconds
from providers.adapters.jira.simulated_hooks import SimulatedHooks
from providers.adapters.jira.simulated_site import (
    BOT,
    FAULTS,
    LABELS,
    PARTS,
    PEOPLE,
    PROJECTS,
    SITE,
    STATUSES,
    Change,
    Issue,
    address_of,
    change_item,
    fields_of,
    person_of,
    polled_issue,
    written_time,
)
from providers.adapters.jira.simulated_writes import SimulatedWrites
from providers.simulation import SimulatedAnswer, SimulatedDelivery

MAX_PAGE: Final = 50  # less than is asked for: the server cuts pages as it likes
FAULT_RATE: Final = 0.05

_JQL: Final = re.compile(
    r'(?:project in \((?P<projects>"[A-Z][A-Z0-9_]*"(?:, "[A-Z][A-Z0-9_]*")*)\) AND )?'
    r"(?:updated >= (?P<since>[0-9]{1,15})"
    r"|\(\(updated >= (?P<from>[0-9]{1,15}) AND updated < (?P<to>[0-9]{1,15})\)"
    r" OR \(created >= (?P=from) AND created < (?P=to)\)\))"
    r" ORDER BY updated ASC, key ASC"
)
_OWN_JQL: Final = re.compile(
    r"creator = currentUser\(\) AND created >= (?P<since>[0-9]{1,15}) ORDER BY created ASC, key ASC"
)

Place = tuple[int, str, int]


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
        self._issues: list[Issue] = []
        self.hooks = SimulatedHooks(SITE)
        self.writes = SimulatedWrites(self._issues, self._later, self._new_id)
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

    def effects(self) -> list[str]:
        return list(self.writes.effects)

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
            return _answer({**person_of(BOT), "timeZone": "Etc/UTC"})
        if (method, path) == ("POST", "/rest/api/3/search/jql"):
            try:
                request = orjson.loads(body)
            except orjson.JSONDecodeError:
                return _problem(400, "There was an error parsing JSON.")
            return self._search(request if isinstance(request, dict) else {})
        told = self.hooks.handle(method, path, body) or self.writes.handle(method, path, query, body)
        if told is not None:
            return _answer(told[1], told[0])
        if path == "/rest/api/3/search":
            return _problem(
                410, "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API."
            )
        return _problem(404, "Not found")

    def _search(self, request: dict[str, Any]) -> SimulatedAnswer:
        try:
            found, place_of = self._found(str(request.get("jql", "")))
        except ValueError as wrong:
            return _problem(400, str(wrong))
        jql, properties = request["jql"], request.get("properties") or []
        after = _read_token(request.get("nextPageToken"), jql)
        if after is None:
            return _problem(400, "The provided nextPageToken is invalid.")
        if len(properties) > 5:
            return _problem(400, "At most five properties may be asked for.")
        now = self._clock()
        found = [
            issue for issue in found if place_of(issue) > after and (issue.indexed is None or issue.indexed <= now)
        ]
        found.sort(key=place_of)
        size = min(int(request.get("maxResults") or 50), MAX_PAGE)
        page, last = found[:size], len(found) <= size
        shown = [polled_issue(issue, request.get("fields") or []) for issue in page]
        if properties:
            for issue, told in zip(page, shown, strict=True):
                told["properties"] = {name: value for name, value in issue.properties.items() if name in properties}
        answer: dict[str, Any] = {"issues": shown, "isLast": last}
        if not last:
            answer["nextPageToken"] = _token(place_of(page[-1]), jql)
        return _answer(answer)

    def _found(self, jql: str) -> tuple[list[Issue], Callable[[Issue], Place]]:
        """The issues of a query, and what they are ordered by. Raises ``ValueError`` with Jira's words."""
        own = _OWN_JQL.fullmatch(jql)
        if own:
            since = int(own["since"])
            made = [i for i in self._issues if i.creator == BOT and milliseconds(i.created) >= since]
            return made, lambda issue: (milliseconds(issue.created), issue.project, issue.number)
        asked = _JQL.fullmatch(jql)
        if not asked:
            raise ValueError("Unbounded JQL queries are not allowed here, or the query cannot be read.")
        projects = re.findall(r'"([^"]*)"', asked["projects"] or "") or list(PROJECTS)
        unknown = [key for key in projects if key not in PROJECTS]
        if unknown:
            raise ValueError(f"The value '{unknown[0]}' does not exist for the field 'project'.")
        since, until = int(asked["since"] or asked["from"]), int(asked["to"] or 2**53)
        found = [
            issue
            for issue in self._issues
            if issue.project in projects
            and any(since <= milliseconds(moment) < until for moment in (issue.updated, issue.created))
        ]
        return found, lambda issue: issue.order

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

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _add(self, moment: datetime) -> Issue:
        project = self._random.choice(list(PROJECTS))
        issue = Issue(
            number=1 + sum(issue.project == project for issue in self._issues),
            project=project,
            issue_id=self._new_id(),
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

    def _touched(self) -> Issue:
        issue = self._random.choice(self._issues)
        issue.updated = self._later()
        return issue

    def _transition(self, person: str) -> list[Change]:
        issue = self._touched()
        before, issue.status = issue.status, self._random.choice([s for s in STATUSES if s != issue.status])
        items = [change_item("status", before, issue.status, STATUSES[before][0], STATUSES[issue.status][0])]
        if issue.resolved != (issue.status == "Done"):
            issue.resolved = not issue.resolved
            sides = (None, "Done", None, "10000") if issue.resolved else ("Done", None, "10000", None)
            items.insert(0, change_item("resolution", *sides))
        return [self._update(issue, person, items, "issue_generic")]

    def _assign(self, person: str) -> list[Change]:
        issue = self._touched()
        before, issue.assignee = (
            issue.assignee,
            self._random.choice([p for p in (*PEOPLE, None) if p != issue.assignee]),
        )
        old, new = (PEOPLE.get(account or "") for account in (before, issue.assignee))
        return [
            self._update(issue, person, [change_item("assignee", old, new, before, issue.assignee)], "issue_assigned")
        ]

    def _label(self, person: str) -> list[Change]:
        issue = self._touched()
        before, label = " ".join(issue.labels), self._random.choice(LABELS)
        issue.labels = [x for x in issue.labels if x != label] if label in issue.labels else [*issue.labels, label]
        return [self._update(issue, person, [change_item("labels", before, " ".join(issue.labels))])]

    def _plan(self, person: str) -> list[Change]:
        issue = self._touched()
        before, issue.sprint = issue.sprint, None if issue.sprint else f"Sprint {self._sprint}"
        ids = [name.removeprefix("Sprint ") if name else "" for name in (before, issue.sprint)]
        return [self._update(issue, person, [change_item("Sprint", before or "", issue.sprint or "", *ids)])]

    def _edit(self, person: str) -> list[Change]:
        issue = self._touched()
        before = issue.summary
        issue.summary = f"{self._random.choice(PARTS)} {self._random.choice(FAULTS)}, seen {self._told + 2} times"
        return [self._update(issue, person, [change_item("summary", before, issue.summary)])]

    def _comment(self, person: str) -> list[Change]:
        issue = self._touched()
        author, moment, comment_id = person_of(person), written_time(issue.updated), f"{20_000 + self._told}"
        comment = {
            "self": f"{SITE}/rest/api/2/issue/{issue.issue_id}/comment/{comment_id}",
            "id": comment_id,
            "body": "I see it too, since the last release.",
            "author": author,
            "updateAuthor": author,
            "created": moment,
            "updated": moment,
        }
        thin = {name: value for name, value in fields_of(issue).items() if name in ("summary", "status", "project")}
        told = {
            "timestamp": milliseconds(issue.updated),
            "webhookEvent": "comment_created",
            "comment": comment,
            "issue": {**address_of(issue, 2), "fields": thin},
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
            "startDate": written_time(moment),
            "endDate": written_time(moment + timedelta(days=14)),
        }
        self._sprint += 1
        return [{"timestamp": milliseconds(moment), "webhookEvent": "sprint_started", "sprint": started}]

    def _update(self, issue: Issue, person: str, items: list[Change], hint: str = "issue_updated") -> Change:
        changelog = {"id": str(30_000 + self._told), "items": items}
        return self._told_of(issue, person, "jira:issue_updated", issue_event_type_name=hint, changelog=changelog)

    def _told_of(self, issue: Issue, person: str, event: str, **more: Any) -> Change:
        body = {"timestamp": milliseconds(issue.updated) + 30, "webhookEvent": event, "user": person_of(person), **more}
        return {**body, "issue": {**address_of(issue, 2), "fields": fields_of(issue)}}


def _token(place: Place, jql: str) -> str:
    mark = hashlib.sha256(jql.encode()).hexdigest()[:16]
    return base64.urlsafe_b64encode(orjson.dumps([mark, *place])).decode()


def _read_token(token: Any, jql: str) -> Place | None:
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
