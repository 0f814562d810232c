"""The far side of this adapter, for development and tests: two repositories in memory and people at work.

Behaves as https://docs.github.com/en/rest describes: bearer token, paging by ``Link``, ETag and 304,
``x-ratelimit-*``, times in whole seconds. Targets of ``Link`` are relative (RFC 8288), because a simulator
does not know where it is served.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import orjson

from providers.adapters.github.mapping_rules import MAPPED
from providers.adapters.github.registrar import ONLY_FOR_APPS
from providers.adapters.github.simulated_hooks import HooksAtWork, SimulatedHooks
from providers.adapters.github.simulated_lists import (
    OtherLists,
    etag,
    page_of,
    published_release,
    quota_headers,
    repository_of,
    review_comment,
    workflow_run,
)
from providers.adapters.github.simulated_rows import (
    OWNER,
    PEOPLE,
    REPOSITORIES,
    Records,
    end,
    repository_id,
    text_of,
    user_of,
)
from providers.adapters.github.simulated_writes import SimulatedWrites
from providers.simulation import SimulatedAnswer, SimulatedDelivery

LABELS = ("bug", "docs", "security", "good first issue")
SUBJECTS = ("Login page", "Export", "Search index", "Invoice mail", "Dark mode", "Backup", "Sign-up form")
WORKFLOWS = ("ci", "lint", "release")
ITEMS_AT_START = 24  # a repository
QUOTA = 5000

JSON = dict[str, Any]


class Simulator(HooksAtWork):
    """Answers ``/user``, ``/repos/…``, the issue lists and hooks, and lets one thing happen a tick."""

    credential: ClassVar[dict[str, str]] = {"token": "ghp_simulatorSimulatorSimulator0123456789"}
    webhook_scheme: ClassVar[str] = "hmac"

    def __init__(self, *, seed: int, faults: bool) -> None:
        self._random = random.Random(seed)  # noqa: S311 (a reproducible world, not a secret)
        self._faults = faults
        self.token_scopes, self.token_ends = "repo", ""
        self.records = Records(self._sha, lambda: datetime.now(UTC))
        self.lists = OtherLists()
        self.writes = SimulatedWrites(self.records, self.lists)
        self._told = self._used = 0
        self.hooks = SimulatedHooks(REPOSITORIES, set(MAPPED) - ONLY_FOR_APPS, lambda: datetime.now(UTC))
        now = datetime.now(UTC).replace(microsecond=0)
        for step in range(ITEMS_AT_START * len(REPOSITORIES)):
            self._now = now - timedelta(minutes=2 * (ITEMS_AT_START * len(REPOSITORIES) - step))
            self._create(REPOSITORIES[step % len(REPOSITORIES)], pull_request=self._random.random() < 0.4)
            if step % 10 == 9:
                self._comment(REPOSITORIES[step % len(REPOSITORIES)])
        for name in REPOSITORIES:
            self._run(name)
            self._review(name)
            self._release(name)

    @classmethod
    def settings(cls, base_url: str) -> dict[str, Any]:
        return {"base_url": base_url, "repositories": list(REPOSITORIES)}

    # The API

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        if not headers.get("user-agent"):
            return self._answer(403, {"message": "Request forbidden by administrative rules."})
        if headers.get("authorization") != f"Bearer {self.credential['token']}":
            return self._answer(401, {"message": "Bad credentials"})
        if headers.get("x-github-api-version", "2022-11-28") not in ("2026-03-10", "2022-11-28"):
            return self._answer(400, {"message": "Unknown API version"})
        if self._faults and self._random.random() < 0.05:
            return self._fault()
        told = self.hooks.handle(method, path, query, headers, body)
        if told is not None:
            return SimulatedAnswer(told.status, {**self._quota(), **told.headers}, told.body)
        written = self.writes.handle(method, path, query, body)
        if written is not None:
            return SimulatedAnswer(written.status, {**self._quota(), **written.headers}, written.body)
        if method != "GET":
            return self._answer(404, {"message": "Not Found"})
        if path == "/user":
            owner = user_of(OWNER)
            ends = {"github-authentication-token-expiration": self.token_ends} if self.token_ends else {}
            return self._answer(200, owner, {"x-oauth-scopes": self.token_scopes, **ends, "etag": etag(owner)})
        if (other := self._other(path, query, headers)) is not None:
            return other
        found = re.fullmatch(r"/repos/([\w.-]+/[\w.-]+)(/issues|/issues/comments|/issues/(\d+)/comments|)", path)
        if found is None or found[1] not in self.records.items:
            return self._answer(404, {"message": "Not Found"})
        values = {name: given[-1] for name, given in query.items()}
        if found[2] == "/issues":
            return self._list(path, self.records.shown(self.records.items[found[1]].values()), values, headers)
        if found[2]:
            comments = self.records.shown(self.records.comments[found[1]])
            if found[3]:
                # Those of one issue come oldest first, and are sorted by nothing else.
                comments = [comment for comment in comments if comment["issue_url"].endswith(f"/{found[3]}")]
                values = {**values, "sort": "created", "direction": "asc"}
            return self._list(path, comments, values, headers)
        return self._answer(200, self._repository(found[1]))

    def _other(self, path: str, query: dict[str, list[str]], headers: dict[str, str]) -> SimulatedAnswer | None:
        found = re.fullmatch(r"/repos/([\w.-]+/[\w.-]+)/(pulls/comments|actions/runs|releases)", path)
        if found is None or found[1] not in self.records.items:
            return None
        body, extra = self.lists.handle(found[1], found[2], path, {name: given[-1] for name, given in query.items()})
        if headers.get("if-none-match") == extra["etag"]:
            return SimulatedAnswer(304, {**extra, **self._quota()})
        return self._answer(200, body, extra)

    def _fault(self) -> SimulatedAnswer:
        kind = self._random.randrange(3)
        if kind == 0:
            return self._answer(502, {"message": "Server Error"})
        message = {"message": "You have exceeded a secondary rate limit."}
        return self._answer(429 if kind == 1 else 403, message, {"retry-after": "1"})

    def _list(self, path: str, rows: list[JSON], query: dict[str, str], headers: dict[str, str]) -> SimulatedAnswer:
        chosen, extra = page_of(path, rows, query)
        if headers.get("if-none-match") == extra["etag"]:
            return SimulatedAnswer(304, {**extra, **self._quota()})
        return self._answer(200, chosen, extra)

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> SimulatedAnswer:
        # An answer of 304 is free of quota, so only these count.
        self._used = (self._used + 1) % QUOTA
        base = {"content-type": "application/json; charset=utf-8", **self._quota()}
        return SimulatedAnswer(status, {**base, **(headers or {})}, orjson.dumps(body))

    def _quota(self) -> dict[str, str]:
        return quota_headers(QUOTA, self._used, datetime.now(UTC))

    def effects(self) -> list[str]:
        return self.writes.effects

    # The world

    def tick(self) -> list[SimulatedDelivery]:
        """One thing happens; GitHub may tell of it in several deliveries, as after a merge."""
        self._now = max(self._now, datetime.now(UTC).replace(microsecond=0))
        happenings: tuple[Callable[[str], list[SimulatedDelivery]], ...] = (
            lambda name: self._open(name, pull_request=False),
            lambda name: self._open(name, pull_request=True),
            self._label,
            self._comment,
            self._close,
            self._review,
            self._merge,
            self._push,
            self._run,
            self._release,
            lambda name: [self._deliver(name, "watch", {"action": "started"})],
        )
        chosen = self._random.choices(happenings, weights=(4, 4, 3, 4, 3, 3, 3, 3, 4, 1, 1))[0]
        deliveries = chosen(self._random.choice(REPOSITORIES))
        # A redelivery, as a person may ask for: the same body under the same id.
        return deliveries + deliveries[:1] if self._faults and self._random.random() < 0.1 else deliveries

    def _deliver(self, repository: str, event: str, body: JSON, sender: str = "") -> SimulatedDelivery:
        self._told += 1
        # The clock is part of it: the same world started again tells of new happenings.
        delivery = uuid.uuid5(uuid.NAMESPACE_URL, f"{self._now.isoformat()}:{self._told}:{self._random.random()}")
        whole = {**body, "repository": self._repository(repository), "organization": {"login": "acme", "id": 10}}
        whole["sender"] = user_of(sender or self._random.choice(PEOPLE))
        headers = {
            "content-type": "application/json",
            "user-agent": "GitHub-Hookshot/51a3f2c",
            "x-github-event": event,
            "x-github-delivery": str(delivery),
            "x-github-hook-id": "480001",
            "x-github-hook-installation-target-type": "repository",
            "x-github-hook-installation-target-id": str(repository_id(repository)),
        }
        return SimulatedDelivery(headers, orjson.dumps(whole))

    def _repository(self, name: str) -> JSON:
        return repository_of(repository_id(name), name, text_of(self._now))

    def _sha(self) -> str:
        return f"{self._random.getrandbits(160):040x}"

    def _create(self, repository: str, *, pull_request: bool) -> JSON:
        title = f"{self._random.choice(SUBJECTS)} {'improved' if pull_request else 'does not work'}"
        author, row_id, body = self._random.choice(PEOPLE), self.records.next_id(), "It worked yesterday."
        return self.records.create(repository, row_id, title, body, author, self._now, pull_request=pull_request)

    def _any_open(self, repository: str, *, pull_request: bool | None = None) -> JSON:
        wanted = [
            item
            for item in self.records.items[repository].values()
            if item["state"] == "open" and pull_request in (None, "pull_request" in item)
        ]
        return self._random.choice(wanted) if wanted else self._create(repository, pull_request=bool(pull_request))

    def _told_item(self, repository: str, item: JSON, action: str, sender: str = "", **more: Any) -> SimulatedDelivery:
        if "pull_request" in item:
            pull = self.records.pull(repository, item)
            body = {"action": action, "number": item["number"], "pull_request": pull, **more}
            return self._deliver(repository, "pull_request", body, sender)
        return self._deliver(repository, "issues", {"action": action, "issue": dict(item), **more}, sender)

    def _open(self, repository: str, *, pull_request: bool) -> list[SimulatedDelivery]:
        item = self._create(repository, pull_request=pull_request)
        return [self._told_item(repository, item, "opened", item["user"]["login"])]

    def _label(self, repository: str) -> list[SimulatedDelivery]:
        item = self._any_open(repository)
        label = {"name": self._random.choice(LABELS), "color": "d73a4a"}
        item["labels"] = [kept for kept in item["labels"] if kept["name"] != label["name"]] + [label]
        item["updated_at"] = text_of(self._now)
        return [self._told_item(repository, item, "labeled", label=label)]

    def _comment(self, repository: str) -> list[SimulatedDelivery]:
        item, author = self._any_open(repository), self._random.choice(PEOPLE)
        row_id = self.records.next_id()
        comment = self.records.comment(repository, item, row_id, "I see it too.", author, self._now)
        body = {"action": "created", "issue": dict(item), "comment": comment}
        return [self._deliver(repository, "issue_comment", body, author)]

    def _close(self, repository: str) -> list[SimulatedDelivery]:
        item, sender = self._any_open(repository), self._random.choice(PEOPLE)
        end(item, sender, self._now)
        if "pull_request" not in item:
            item["state_reason"] = "completed"
        return [self._told_item(repository, item, "closed", sender)]

    def _review(self, repository: str) -> list[SimulatedDelivery]:
        item, reviewer = self._any_open(repository, pull_request=True), self._random.choice(PEOPLE)
        item["updated_at"] = text_of(self._now)
        pull = self.records.pull(repository, item)
        review = {
            "id": self.records.next_id(),
            "state": self._random.choice(("approved", "changes_requested", "commented")),
            "body": "Looked through it.",
            "user": user_of(reviewer),
            "commit_id": pull["head"]["sha"],
            "submitted_at": text_of(self._now),
            "html_url": f"{item['html_url']}#pullrequestreview-{self.records.last_id}",
        }
        comment = review_comment(self.records.next_id(), repository, item, user_of(reviewer), text_of(self._now))
        self.lists.add(repository, "pulls/comments", comment)
        # As GitHub has it: the pull request inside a review knows nothing of a merge.
        inside = {name: value for name, value in pull.items() if name not in ("merged", "merged_by")}
        reviewed = {"action": "submitted", "review": review, "pull_request": inside}
        commented = {"action": "created", "comment": comment, "pull_request": inside}
        told = {"pull_request_review": reviewed, "pull_request_review_comment": commented}
        return [self._deliver(repository, event, body, reviewer) for event, body in told.items()]

    def _merge(self, repository: str) -> list[SimulatedDelivery]:
        item, sender = self._any_open(repository, pull_request=True), self._random.choice(PEOPLE)
        end(item, sender, self._now)
        item["pull_request"]["merged_at"] = item["closed_at"]
        return [self._told_item(repository, item, "closed", sender), *self._push(repository, sender, item["title"])]

    def _release(self, repository: str) -> list[SimulatedDelivery]:
        author = user_of(self._random.choice(PEOPLE))
        release = published_release(self.records.next_id(), repository, author, text_of(self._now))
        self.lists.add(repository, "releases", release)
        return [self._deliver(repository, "release", {"action": "published", "release": release})]

    def _push(self, repository: str, sender: str = "", message: str = "") -> list[SimulatedDelivery]:
        before, after = self.records.heads[repository], self._sha()
        self.records.heads[repository], sender = after, sender or self._random.choice(PEOPLE)
        commit = {
            "id": after,
            "timestamp": text_of(self._now),
            "message": message or f"{self._random.choice(SUBJECTS)}: mended",
        }
        body = {
            "ref": "refs/heads/main",
            "before": before,
            "after": after,
            "created": False,
            "deleted": False,
            "forced": False,
            "compare": f"https://github.com/{repository}/compare/{before[:12]}...{after[:12]}",
            "commits": [commit],
            "head_commit": commit,
            "pusher": {"name": sender},
        }
        return [self._deliver(repository, "push", body, sender)]

    def _run(self, repository: str) -> list[SimulatedDelivery]:
        """A run from request to end. The steps come as GitHub sends them; their start is one happening."""
        name, title = self._random.choice(WORKFLOWS), f"{self._random.choice(SUBJECTS)}: mended"
        run = workflow_run(
            self.records.next_id(), repository, self.records.heads[repository], name, title, text_of(self._now)
        )
        conclusion = self._random.choice(("success", "success", "failure", "cancelled"))
        steps = (
            ("requested", "queued", None),
            ("in_progress", "in_progress", None),
            ("completed", "completed", conclusion),
        )
        sender = self._random.choice(PEOPLE)
        ended = {
            "status": "completed",
            "conclusion": conclusion,
            "created_at": text_of(self._now),
            "actor": user_of(sender),
        }
        self.lists.add(repository, "actions/runs", {**run, **ended, "updated_at": text_of(self._now)})
        return [
            self._deliver(
                repository,
                "workflow_run",
                {
                    "action": action,
                    "workflow_run": {**run, "status": status, "conclusion": end, "updated_at": text_of(self._now)},
                    "workflow": {"name": name},
                },
                sender,
            )
            for action, status, end in steps
        ]
