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

from providers.adapters.gitlab import simulated_rows as rows
from providers.adapters.gitlab.simulated_hooks import HooksAtWork, SimulatedHooks
from providers.adapters.gitlab.simulated_lists import SimulatedLists
from providers.adapters.gitlab.simulated_rows import GROUP, PEOPLE, PROJECT, PROJECT_ID, SITE, WEB, hook_time
from providers.adapters.gitlab.simulated_writes import SimulatedWrites
from providers.simulation import SimulatedAnswer, SimulatedDelivery

LABELS = ("bug", "docs", "security")
SUBJECTS = ("Login page", "Export", "Search index", "Invoice mail", "Dark mode", "Sign-up form")
API = "/api/v4"
QUOTA = 2000
PAST = 80
# Less than GitLab gives, so that a small world has several pages.
PAGE = 40
# A second write of the same change, as GitLab makes them.
LATER = timedelta(milliseconds=15)

JSON = dict[str, Any]
Deliveries = list[SimulatedDelivery]


class Simulator(HooksAtWork):
    """Answers ``/user``, lists and hooks of one project and one group, and lets one thing happen a tick."""

    credential: ClassVar[dict[str, str]] = {"token": "glpat-simulatorSimulator0123"}
    webhook_scheme: ClassVar[str] = "signing_token"

    def __init__(self, *, seed: int, faults: bool) -> None:
        self._random = random.Random(seed)  # noqa: S311 (a reproducible world, not a secret)
        self._faults = faults
        self._ids = 7000
        self._used = 0
        self._now = datetime.now(UTC)
        self.token_scopes = ["api"]
        self.token_ends = self._now + timedelta(days=200)
        self._head = self._sha()
        places = {f"projects/{PROJECT}", f"groups/{GROUP}"}
        self.hooks = SimulatedHooks(places, lambda: datetime.now(UTC))
        self.lists = SimulatedLists(places, page_max=PAGE)
        self._requests, self._issues = self.lists.rows["merge_requests"], self.lists.rows["issues"]
        self.writes = SimulatedWrites(self.lists, self._next_id, lambda: datetime.now(UTC))
        self._past()
        self.writes.commits = {self._head, *(row["sha"] for row in self._requests)}

    @classmethod
    def settings(cls, base_url: str) -> dict[str, Any]:
        return {"base_url": f"{base_url}{API}", "projects": [PROJECT]}

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
            return self._answer(200, {**rows.user("zoe"), "state": "active", "bot": False})
        if (method, below) == ("GET", "/personal_access_tokens/self"):
            told = {"id": 7, "active": True, "scopes": self.token_scopes, "expires_at": f"{self.token_ends:%Y-%m-%d}"}
            return self._answer(200, told)
        listed = self.lists.handle(method, below, query)
        if listed is not None:
            return SimulatedAnswer(listed.status, {**listed.headers, **self._quota()}, listed.body)
        written = self.writes.handle(method, below, query, body)
        if written is not None:
            return SimulatedAnswer(written.status, {**written.headers, **self._quota()}, written.body)
        return self.hooks.handle(method, below, query, body) or self._answer(404, {"error": "404 Not Found"})

    def _answer(self, status: int, body: Any) -> SimulatedAnswer:
        return SimulatedAnswer(status, {"content-type": "application/json", **self._quota()}, orjson.dumps(body))

    def _quota(self) -> dict[str, str]:
        self._used = (self._used + 1) % QUOTA
        return {
            "ratelimit-limit": str(QUOTA),
            "ratelimit-remaining": str(QUOTA - self._used),
            "ratelimit-reset": str(int((datetime.now(UTC) + timedelta(minutes=1)).timestamp())),
        }

    def effects(self) -> list[str]:
        return self.writes.effects

    # The world

    def _past(self) -> None:
        """Two hours of work: more than a page of most lists, three things at a time in one second."""
        beginning, end = self._now - timedelta(minutes=PAST), self._now
        for index in range(PAST):
            self._now = beginning + timedelta(minutes=index - index % 3, milliseconds=50 * (index % 3))
            for happen in (self._open_request, self._open_issue, self._push, self._pipeline, self._deploy):
                happen(PEOPLE[index % len(PEOPLE)])
            for happen in (self._note, self._release, self._close_issue, self._merge)[: index % 5]:
                happen(PEOPLE[index % len(PEOPLE)])
        self._now = end

    def tick(self) -> Deliveries:
        # Never the same second twice: it is all the resolution some bodies have.
        self._now = max(self._now + timedelta(seconds=1), datetime.now(UTC))
        happenings: tuple[Callable[[str], Deliveries], ...] = (
            *(self._open_request, self._open_issue, self._label, self._note, self._approve, self._close_request),
            *(self._merge, self._close_issue, self._push, self._pipeline, self._deploy, self._release),
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
        return SimulatedDelivery(headers, orjson.dumps({**body, "project": rows.project()}))

    def _next_id(self) -> int:
        self._ids += 1
        return self._ids

    def _sha(self) -> str:
        return f"{self._random.getrandbits(160):040x}"

    def _note_event(self, action: str, person: str, **more: Any) -> None:
        # GitLab writes its own event after the thing itself.
        self.lists.rows["events"].append(rows.event(self._next_id(), action, person, self._now + LATER, **more))

    # Merge requests and issues

    def _item(self, listed: list[JSON], person: str, part: str) -> JSON:
        title = f"{self._random.choice(SUBJECTS)} does not work"
        listed.append(rows.item(self._next_id(), len(listed) + 1, title, person, self._now, part))
        return listed[-1]

    def _new_request(self, person: str) -> JSON:
        item = self._item(self._requests, person, "merge_requests")
        item.update(rows.merge_request(item, self._sha()))
        return item

    def _new_issue(self, person: str) -> JSON:
        item = self._item(self._issues, person, "issues")
        item.update(rows.issue(item))
        return item

    def _request(self, person: str) -> JSON:
        still_open = [row for row in self._requests if row["state"] == "opened"]
        return self._random.choice(still_open) if still_open else self._new_request(person)

    def _issue(self, person: str) -> JSON:
        still_open = [row for row in self._issues if row["state"] == "opened"]
        return self._random.choice(still_open) if still_open else self._new_issue(person)

    def _told(self, item: JSON, action: str, person: str, **more: Any) -> Deliveries:
        if action != "open":
            item["updated_at"] = rows.api_time(self._now)
        kind, name = ("merge_request", "Merge Request") if item in self._requests else ("issue", "Issue")
        labels = rows.labels(item["labels"])
        body = {"object_kind": kind, "event_type": kind, "user": rows.user(person), "labels": labels, "changes": {}}
        return [self._deliver(name, {**body, "object_attributes": {**rows.attributes(item), "action": action}, **more})]

    def _open_request(self, person: str) -> Deliveries:
        return self._told(self._new_request(person), "open", person)

    def _open_issue(self, person: str) -> Deliveries:
        return self._told(self._new_issue(person), "open", person)

    def _label(self, person: str) -> Deliveries:
        item, label = self._issue(person), self._random.choice(LABELS)
        before = rows.labels(item["labels"])
        item["labels"] = [*(kept for kept in item["labels"] if kept != label), label]
        changes = {"labels": {"previous": before, "current": rows.labels(item["labels"])}}
        return self._told(item, "update", person, changes=changes)

    def _approve(self, person: str) -> Deliveries:
        item = self._request(person)
        about = {"target_id": item["id"], "target_iid": item["iid"], "target_title": item["title"]}
        self._note_event("approved", person, target_type="MergeRequest", **about)
        return self._told(item, "approved", person)

    def _merge(self, person: str) -> Deliveries:
        item = self._request(person)
        merged = {"merged_at": rows.api_time(self._now + LATER), "merged_by": rows.person(person)}
        item |= {"state": "merged", "merge_commit_sha": self._sha(), **merged, "merge_user": rows.person(person)}
        return [*self._told(item, "merge", person), *self._push(person)]

    def _close_request(self, person: str) -> Deliveries:
        item = self._request(person)
        item |= {"state": "closed", "closed_at": rows.api_time(self._now + LATER), "closed_by": rows.person(person)}
        return self._told(item, "close", person)

    def _close_issue(self, person: str) -> Deliveries:
        item = self._issue(person)
        item |= {"state": "closed", "closed_at": rows.api_time(self._now), "closed_by": rows.person(person)}
        return self._told(item, "close", person)

    def _note(self, person: str) -> Deliveries:
        item, note_id = self._random.choice((self._request, self._issue))(person), self._next_id()
        # A note moves the time of what it is about.
        item["updated_at"] = rows.api_time(self._now + LATER)
        noted = rows.note(item, note_id, "Looked through it.", person, self._now)
        self._note_event("commented on", person, target_id=note_id, target_type="Note", note=noted)
        note = {
            "id": note_id,
            "note": noted["body"],
            "noteable_type": noted["noteable_type"],
            "author_id": noted["author"]["id"],
            "created_at": hook_time(noted["created_at"]),
            "updated_at": hook_time(noted["updated_at"]),
            "discussion_id": f"{note_id:040x}",
            "system": False,
            "action": "create",
            "url": f"{item['web_url']}#note_{note_id}",
        }
        body = {"object_kind": "note", "event_type": "note", "user": rows.user(person), "object_attributes": note}
        about = "merge_request" if item in self._requests else "issue"
        return [self._deliver("Note", {**body, about: rows.attributes(item)})]

    # Pushes and runs

    def _push(self, person: str) -> Deliveries:
        before, self._head = self._head, self._sha()
        title = f"{self._random.choice(SUBJECTS)}: mended"
        commit = {"id": self._head, "title": title, "message": "Mended.\n", "timestamp": self._now.isoformat()}
        pushed = {
            "commit_from": before,
            "commit_to": self._head,
            "ref": "main",
            "ref_type": "branch",
            "ref_count": None,
        }
        data = {"action": "pushed", "commit_count": 1, "commit_title": title, **pushed}
        self._note_event("pushed to", person, push_data=data)
        body = {
            "object_kind": "push",
            "event_name": "push",
            "before": before,
            "after": self._head,
            "ref": "refs/heads/main",
            "checkout_sha": self._head,
            "user_id": rows.user(person)["id"],
            "user_username": person,
            "project_id": PROJECT_ID,
            "commits": [commit],
            "total_commits_count": 1,
        }
        return [self._deliver("Push", body)]

    def _pipeline(self, person: str) -> Deliveries:
        run_id, end = self._next_id(), self._random.choice(("success", "success", "failed", "canceled"))
        finished = self._now + timedelta(seconds=40)
        address = f"{WEB}/-/pipelines/{run_id}"
        run = {"id": run_id, "iid": run_id - 7000, "name": "ci", "ref": "main", "sha": self._head, "source": "push"}
        shown = {"project_id": PROJECT_ID, "status": end, "web_url": address}
        times = {"created_at": rows.api_time(self._now), "updated_at": rows.api_time(finished + LATER)}
        self.lists.rows["pipelines"].append({**run, **shown, **times})
        told = {**run, "tag": False, "url": address, "created_at": hook_time(times["created_at"])}
        body = {"object_kind": "pipeline", "user": rows.user(person), "commit": {"id": self._head, "title": "Mended"}}
        steps = (("created", None), ("pending", None), ("running", None), (end, hook_time(finished.isoformat())))
        return [
            self._deliver("Pipeline", {**body, "object_attributes": {**told, "status": status, "finished_at": at}})
            for status, at in steps
        ]

    def _deploy(self, person: str) -> Deliveries:
        deployment, job, status = self._next_id(), self._next_id(), self._random.choice(("success", "failed"))
        row = {
            "id": deployment,
            "iid": deployment - 7000,
            "ref": "main",
            "sha": self._head,
            "created_at": rows.api_time(self._now - timedelta(seconds=20)),
            "updated_at": rows.api_time(self._now + LATER),
            "status": status,
            "user": rows.person(person),
            "environment": {"id": 9, "name": "production", "tier": "production"},
            "deployable": {"id": job, "name": "deploy", "commit": {"id": self._head, "title": "Mended"}},
        }
        self.lists.rows["deployments"].append(row)
        body = {
            "object_kind": "deployment",
            "status": status,
            "status_changed_at": f"{self._now:%Y-%m-%d %H:%M:%S} +0000",
            "deployment_id": deployment,
            "environment": "production",
            "environment_tier": "production",
            "short_sha": self._head[:8],
            "commit_url": f"{WEB}/-/commit/{self._head}",
            "commit_title": "Mended",
            "deployable_url": f"{WEB}/-/jobs/{job}",
            "user": rows.user(person),
        }
        return [self._deliver("Deployment", body)]

    def _release(self, person: str) -> Deliveries:
        tag = f"v1.{len(self.lists.rows['releases'])}.0"
        address, moment = f"{WEB}/-/releases/{tag}", rows.api_time(self._now)
        row = {
            "tag_name": tag,
            "name": f"Release {tag}",
            "description": "What was mended.",
            "created_at": moment,
            "released_at": moment,
            "upcoming_release": False,
            "author": rows.person(person),
            "commit": {"id": self._head, "title": "Mended"},
            "_links": {"self": address},
        }
        self.lists.rows["releases"].append(row)
        body = {
            "id": self._next_id(),
            "object_kind": "release",
            "action": "create",
            "tag": tag,
            "name": row["name"],
            "description": row["description"],
            "created_at": hook_time(moment),
            "released_at": hook_time(moment),
            "url": address,
            "commit": row["commit"],
        }
        return [self._deliver("Release", body)]
