"""The far side of this adapter, for development and tests: one project in a group, and people at work.

Behaves as https://docs.gitlab.com/api/rest/ describes: bearer token, ``ratelimit-*``, hooks with their secrets kept to
itself. Bodies of its webhooks are those of https://docs.gitlab.com/user/project/integrations/webhook_events/.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import orjson

from providers.adapters.gitlab.simulated_hooks import SimulatedHooks
from providers.simulation import SimulatedAnswer, SimulatedDelivery

PROJECT, PROJECT_ID, GROUP = "acme/web", 4101, "acme"
PEOPLE = ("zoe", "ravi", "mina", "olaf")
LABELS = ("bug", "docs", "security")
SUBJECTS = ("Login page", "Export", "Search index", "Invoice mail", "Dark mode", "Sign-up form")
SITE = "https://gitlab.example.com"
API = "/api/v4"
QUOTA = 2000

JSON = dict[str, Any]


class Simulator:
    """Answers ``/user`` and the hooks of one project and one group, and lets one thing happen a tick."""

    credential: ClassVar[dict[str, str]] = {"token": "glpat-simulatorSimulator0123"}
    webhook_scheme: ClassVar[str] = "signing_token"

    def __init__(self, *, seed: int, faults: bool) -> None:
        self._random = random.Random(seed)  # noqa: S311 (a reproducible world, not a secret)
        self._faults = faults
        self._ids = 7000
        self._used = 0
        self._now = datetime.now(UTC)
        self._head = self._sha()
        self._requests: list[JSON] = []
        self._issues: list[JSON] = []
        self.hooks = SimulatedHooks({f"projects/{PROJECT}", f"groups/{GROUP}"})

    @classmethod
    def settings(cls, base_url: str) -> dict[str, Any]:
        return {"base_url": f"{base_url}{API}", "projects": [PROJECT]}

    def kept_hooks(self) -> list[tuple[str, str]]:
        return [(hook["url"], hook["signing_token"]) for hooks in self.hooks.kept.values() for hook in hooks.values()]

    # The API

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        if headers.get("authorization") != f"Bearer {self.credential['token']}":
            return self._answer(401, {"message": "401 Unauthorized"})
        if self._faults and self._random.random() < 0.05:
            if self._random.random() < 0.5:
                return self._answer(502, {"message": "502 Bad Gateway"})
            return SimulatedAnswer(429, {"retry-after": "1", "content-type": "text/plain"}, b"Retry later\n")
        below = path.removeprefix(API)
        if (method, below) == ("GET", "/user"):
            return self._answer(200, {**_user("zoe"), "state": "active", "bot": False})
        return self.hooks.handle(method, below, query, body) or self._answer(404, {"error": "404 Not Found"})

    def _answer(self, status: int, body: Any) -> SimulatedAnswer:
        self._used = (self._used + 1) % QUOTA
        quota = {
            "ratelimit-limit": str(QUOTA),
            "ratelimit-remaining": str(QUOTA - self._used),
            "ratelimit-reset": str(int((datetime.now(UTC) + timedelta(minutes=1)).timestamp())),
        }
        return SimulatedAnswer(status, {"content-type": "application/json", **quota}, orjson.dumps(body))

    # The world

    def tick(self) -> list[SimulatedDelivery]:
        # Never the same second twice: it is all the resolution some bodies have.
        self._now = max(self._now + timedelta(seconds=1), datetime.now(UTC))
        happenings: tuple[Callable[[str], list[SimulatedDelivery]], ...] = (
            *(self._open_request, self._open_issue, self._label, self._note, self._approve),
            *(self._merge, self._close_issue, self._push, self._pipeline, self._deploy),
        )
        deliveries = self._random.choice(happenings)(self._random.choice(PEOPLE))
        # A delivery that is sent again: the same body under the same id.
        return deliveries + deliveries[:1] if self._faults and self._random.random() < 0.1 else deliveries

    def _deliver(self, name: str, body: JSON) -> SimulatedDelivery:
        # The clock is part of it: the same world started again tells of new happenings.
        seed = f"{self._now.isoformat()}:{self._next_id()}:{self._random.random()}"
        delivery, event = (str(uuid.uuid5(uuid.NAMESPACE_URL, f"{seed}:{what}")) for what in ("delivery", "event"))
        headers = {
            "content-type": "application/json",
            "user-agent": "GitLab/19.1.0",
            "x-gitlab-event": f"{name} Hook",
            "x-gitlab-instance": SITE,
            "x-gitlab-webhook-uuid": "0c3d2f0e-6f9b-4a39-a9f7-55d7a4b0c101",
            "x-gitlab-event-uuid": event,
            "idempotency-key": delivery,
            "webhook-id": delivery,
        }
        return SimulatedDelivery(headers, orjson.dumps({**body, "project": _project()}))

    def _next_id(self) -> int:
        self._ids += 1
        return self._ids

    def _sha(self) -> str:
        return f"{self._random.getrandbits(160):040x}"

    def _item(self, rows: list[JSON], person: str, part: str) -> JSON:
        number, moment = len(rows) + 1, _text(self._now)
        rows.append(
            {
                "id": self._next_id(),
                "iid": number,
                "title": f"{self._random.choice(SUBJECTS)} does not work",
                "description": "It worked yesterday.",
                "state": "opened",
                "author_id": _user(person)["id"],
                "created_at": moment,
                "updated_at": moment,
                "url": f"{SITE}/{PROJECT}/-/{part}/{number}",
                "labels": [],
            }
        )
        return rows[-1]

    def _any(self, rows: list[JSON], person: str, part: str) -> JSON:
        still_open = [row for row in rows if row["state"] == "opened"]
        return self._random.choice(still_open) if still_open else self._new(rows, person, part)

    def _new(self, rows: list[JSON], person: str, part: str) -> JSON:
        item = self._item(rows, person, part)
        if rows is self._requests:
            item |= {
                "source_branch": f"feature-{item['iid']}",
                "target_branch": "main",
                "source_project_id": PROJECT_ID,
                "target_project_id": PROJECT_ID,
                "draft": False,
                "last_commit": {"id": self._sha()},
                "merge_commit_sha": None,
            }
        return item

    def _told(self, item: JSON, action: str, person: str, **more: Any) -> SimulatedDelivery:
        item["updated_at"] = _text(self._now) if action != "open" else item["created_at"]
        is_request = item in self._requests
        kind, name = ("merge_request", "Merge Request") if is_request else ("issue", "Issue")
        body = {"object_kind": kind, "event_type": kind, "user": _user(person), "labels": item["labels"], "changes": {}}
        return self._deliver(name, {**body, "object_attributes": {**item, "action": action}, **more})

    def _open_request(self, person: str) -> list[SimulatedDelivery]:
        return [self._told(self._new(self._requests, person, "merge_requests"), "open", person)]

    def _open_issue(self, person: str) -> list[SimulatedDelivery]:
        return [self._told(self._new(self._issues, person, "issues"), "open", person)]

    def _label(self, person: str) -> list[SimulatedDelivery]:
        item = self._any(self._issues, person, "issues")
        before, label = item["labels"], {"id": 31, "title": self._random.choice(LABELS), "type": "ProjectLabel"}
        item["labels"] = [*(kept for kept in before if kept["title"] != label["title"]), label]
        changes = {"labels": {"previous": before, "current": item["labels"]}}
        return [self._told(item, "update", person, changes=changes)]

    def _note(self, person: str) -> list[SimulatedDelivery]:
        item, note_id = self._any(self._requests, person, "merge_requests"), self._next_id()
        note = {
            "id": note_id,
            "note": "Looked through it.",
            "noteable_type": "MergeRequest",
            "author_id": _user(person)["id"],
            "created_at": _text(self._now),
            "updated_at": _text(self._now),
            "discussion_id": f"{note_id:040x}",
            "system": False,
            "action": "create",
            "url": f"{item['url']}#note_{note_id}",
        }
        body = {"object_kind": "note", "event_type": "note", "user": _user(person), "object_attributes": note}
        return [self._deliver("Note", {**body, "merge_request": dict(item)})]

    def _approve(self, person: str) -> list[SimulatedDelivery]:
        return [self._told(self._any(self._requests, person, "merge_requests"), "approved", person)]

    def _merge(self, person: str) -> list[SimulatedDelivery]:
        item = self._any(self._requests, person, "merge_requests")
        item |= {"state": "merged", "merge_commit_sha": self._sha()}
        return [self._told(item, "merge", person), *self._push(person)]

    def _close_issue(self, person: str) -> list[SimulatedDelivery]:
        item = self._any(self._issues, person, "issues")
        item |= {"state": "closed", "closed_at": _text(self._now)}
        return [self._told(item, "close", person)]

    def _push(self, person: str) -> list[SimulatedDelivery]:
        before, self._head = self._head, self._sha()
        commit = {
            "id": self._head,
            "title": f"{self._random.choice(SUBJECTS)}: mended",
            "message": "Mended.\n",
            "timestamp": self._now.isoformat(timespec="seconds"),
        }
        body = {
            "object_kind": "push",
            "event_name": "push",
            "before": before,
            "after": self._head,
            "ref": "refs/heads/main",
            "checkout_sha": self._head,
            "user_id": _user(person)["id"],
            "user_username": person,
            "project_id": PROJECT_ID,
            "commits": [commit],
            "total_commits_count": 1,
        }
        return [self._deliver("Push", body)]

    def _pipeline(self, person: str) -> list[SimulatedDelivery]:
        run = {
            "id": self._next_id(),
            "iid": self._ids - 7000,
            "name": "ci",
            "ref": "main",
            "tag": False,
            "sha": self._head,
            "source": "push",
            "created_at": _text(self._now),
        }
        run["url"] = f"{SITE}/{PROJECT}/-/pipelines/{run['id']}"
        end = self._random.choice(("success", "success", "failed", "canceled"))
        steps = (
            ("created", None),
            ("pending", None),
            ("running", None),
            (end, _text(self._now + timedelta(seconds=40))),
        )
        body = {"object_kind": "pipeline", "user": _user(person), "commit": {"id": self._head, "title": "Mended"}}
        return [
            self._deliver("Pipeline", {**body, "object_attributes": {**run, "status": status, "finished_at": finished}})
            for status, finished in steps
        ]

    def _deploy(self, person: str) -> list[SimulatedDelivery]:
        body = {
            "object_kind": "deployment",
            "status": self._random.choice(("success", "failed")),
            "status_changed_at": f"{self._now:%Y-%m-%d %H:%M:%S} +0000",
            "deployment_id": self._next_id(),
            "environment": "production",
            "environment_tier": "production",
            "short_sha": self._head[:8],
            "commit_url": f"{SITE}/{PROJECT}/-/commit/{self._head}",
            "commit_title": "Mended",
            "deployable_url": f"{SITE}/{PROJECT}/-/jobs/{self._ids}",
            "user": _user(person),
        }
        return [self._deliver("Deployment", body)]


def _project() -> JSON:
    return {
        "id": PROJECT_ID,
        "name": "web",
        "web_url": f"{SITE}/{PROJECT}",
        "path_with_namespace": PROJECT,
        "default_branch": "main",
    }


def _user(username: str) -> JSON:
    return {"id": 100 + PEOPLE.index(username), "name": username.title(), "username": username, "email": "[REDACTED]"}


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
