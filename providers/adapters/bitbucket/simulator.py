"""The far side of this adapter, for development and tests: two repositories, people at work, and hooks.

Behaves as https://developer.atlassian.com/cloud/bitbucket/rest/ describes: basic authentication of an API
token, a repository's access token that knows no user, pages of ten with ``next``, secrets that are never told
again. ``next`` is relative here, because a simulator does not know where it is served.
"""

from __future__ import annotations

import base64
import random
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import unquote

import orjson

from providers.adapters.bitbucket.mapping_rules import ONLY_WORKSPACE, RULES
from providers.adapters.bitbucket.simulated_lists import SimulatedLists
from providers.adapters.bitbucket.simulated_people import PEOPLE, person_of, uuid_of
from providers.adapters.bitbucket.simulated_writes import BOT, SimulatedWrites
from providers.simulation import SimulatedAnswer, SimulatedDelivery

WORKSPACE = "acme"
REPOSITORIES = ("acme/web", "acme/api")
SUBJECTS = ("Login page", "Export", "Search index", "Invoice mail", "Dark mode", "Backup")
ACCESS_TOKEN = "ATCTT3-simulated-repository-access-token"
PAGE_DEFAULT, PAGE_MAX = 10, 100
# Less than Bitbucket gives, so that a small world has several pages.
PAGE = 30
PAST = 40
_HOOKS = re.compile(r"/2\.0/(repositories/[^/]+/[^/]+|workspaces/[^/]+)/hooks(?:/([^/]+))?")

JSON = dict[str, Any]


class Simulator:
    """Answers for users, repositories, their lists and hooks, and lets one thing happen a tick."""

    credential: ClassVar[dict[str, str]] = {"email": "bot@acme.example", "token": "ATATT3-simulated-api-token"}
    webhook_scheme: ClassVar[str] = "hmac"

    def __init__(self, *, seed: int, faults: bool) -> None:
        self._random = random.Random(seed)  # noqa: S311 (a reproducible world, not a secret)
        self._faults = faults
        self._heads = {name: self._hash() for name in REPOSITORIES}
        self._open: dict[str, list[JSON]] = {name: [] for name in REPOSITORIES}
        self._count = 0
        self._moment = datetime.now(UTC) - timedelta(hours=PAST + 3)
        self.lists = SimulatedLists(REPOSITORIES, page_max=PAGE)
        self.writes = SimulatedWrites(self.lists, self._open, self._changing, self._new_id)
        self.hooks: dict[str, dict[str, JSON]] = {
            target: {} for target in (f"workspaces/{WORKSPACE}", *(f"repositories/{name}" for name in REPOSITORIES))
        }
        self._past()

    @classmethod
    def settings(cls, base_url: str) -> dict[str, Any]:
        return {"base_url": f"{base_url}/2.0", "repositories": list(REPOSITORIES)}

    def switch_hooks(self, *, on: bool) -> None:
        for hooks in self.hooks.values():
            for hook in hooks.values():
                hook["active"] = on

    def kept_hooks(self) -> list[tuple[str, str]]:
        return [(hook["url"], hook["secret"]) for hooks in self.hooks.values() for hook in hooks.values()]

    def effects(self) -> list[str]:
        return list(self.writes.effects)

    # The API

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        path = unquote(path)
        if not self._may(headers.get("authorization", ""), path):
            return _error(401, "Token is invalid, expired, or not supported for this endpoint.")
        if self._faults and self._random.random() < 0.05:
            limited = _error(429, "Rate limit for this resource has been exceeded")
            return self._random.choice((_error(503, "Something went wrong"), limited))
        found = _HOOKS.fullmatch(path)
        if found and found[1] in self.hooks:
            return self._hook(method, found[1], found[2], query, body)
        told = self.lists.handle(method, path, query) or self.writes.handle(method, path, query, body)
        if told is not None:
            return told
        if method == "GET" and path == "/2.0/user":
            return _answer(200, {**person_of(BOT), "type": "user"})
        if method == "GET" and path in ("/2.0/repositories", "/2.0/workspaces"):
            return _error(410, "CHANGE-2770 Functionality has been deprecated")
        place = path.removeprefix("/2.0/")
        if method == "GET" and place in self.hooks:
            kind, _, name = place.partition("/")
            return _answer(200, _repository(name) if kind == "repositories" else _workspace())
        return _error(404, "Resource not found")

    def _may(self, authorization: str, path: str) -> bool:
        basic = base64.b64encode(":".join((self.credential["email"], self.credential["token"])).encode()).decode()
        if authorization == f"Basic {basic}":
            return True
        own = f"/2.0/repositories/{REPOSITORIES[0]}"
        return authorization == f"Bearer {ACCESS_TOKEN}" and (path == own or path.startswith(f"{own}/"))

    def _hook(
        self, method: str, target: str, hook_id: str | None, query: dict[str, list[str]], body: bytes
    ) -> SimulatedAnswer:
        hooks = self.hooks[target]
        if hook_id is None and method == "GET":
            return _page(target, [_shown(hook) for hook in hooks.values()], query)
        if hook_id is not None and hook_id not in hooks:
            return _error(404, f"No webhook {hook_id}")
        if method == "GET":
            return _answer(200, _shown(hooks[str(hook_id)]))
        if method == "DELETE" and hook_id is not None:
            del hooks[hook_id]
            return SimulatedAnswer(204)
        if method != ("POST" if hook_id is None else "PUT"):
            return _error(405, "Method not allowed")
        given = orjson.loads(body)
        allowed = set(RULES) - (ONLY_WORKSPACE if target.startswith("repositories/") else frozenset())
        if not given.get("url") or not given.get("events") or not set(given["events"]) <= allowed:
            return _error(400, "Invalid webhook")
        uid = hook_id or f"{{{uuid.UUID(int=self._random.getrandbits(128), version=4)}}}"
        # A secret that is left out of a change stays.
        hooks[uid] = {**hooks.get(uid, {"secret": None}), **given, "uuid": uid}
        return _answer(201 if hook_id is None else 200, _shown(hooks[uid]))

    # The world

    def _past(self) -> None:
        """Much has happened, some of it at one instant."""
        for index in range(PAST):
            self._moment += timedelta(hours=3 * (index % 3 == 0))
            for name in REPOSITORIES:
                for happen in (self._create, self._build, self._comment, self._approve, self._decline)[: 2 + index % 4]:
                    happen(name)
        self._moment = datetime.now(UTC)

    def tick(self) -> list[SimulatedDelivery]:
        """One thing happens; a merge also tells of the push it makes."""
        self._moment = max(self._moment + timedelta(seconds=1), datetime.now(UTC))
        name = self._random.choice(REPOSITORIES)
        happenings: tuple[Callable[[str], list[SimulatedDelivery]], ...] = (
            *(self._push, self._create, self._comment, self._approve, self._merge, self._decline),
            *(self._retitle, self._ask_for_changes, self._build),
        )
        told = self._random.choices(happenings, weights=(3, 3, 3, 2, 2, 1, 2, 2, 3))[0](name)
        return told * 2 if self._faults and self._random.random() < 0.1 else told

    def _changing(self) -> str:
        """The time of a change that is asked for; none comes twice."""
        self._moment = max(self._moment + timedelta(microseconds=1), datetime.now(UTC))
        return self._now()

    def _new_id(self) -> int:
        self._count += 1
        return self._count

    def _now(self) -> str:
        return self._moment.isoformat(timespec="microseconds")

    def _log(self, name: str, pull: JSON, **entry: JSON) -> None:
        shown = {"type": "pullrequest", **{part: pull[part] for part in ("id", "title", "links")}}
        self.lists.rows[name]["pullrequests/activity"].append({"pull_request": shown, **entry})

    def _log_update(self, name: str, pull: JSON) -> None:
        self._log(name, pull, update={"state": pull["state"], "title": pull["title"], "date": self._now()})

    def _deliver(self, name: str, event_key: str, body: JSON) -> SimulatedDelivery:
        whole = {"repository": _repository(name), "actor": person_of(self._random.choice(PEOPLE)), **body}
        # A fresh id for each process: the same world started again tells of new happenings.
        headers = {
            "content-type": "application/json",
            "user-agent": "Bitbucket-Webhooks/2.0",
            "x-event-key": event_key,
            "x-hook-uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
            "x-request-uuid": str(uuid.uuid4()),
            "x-attempt-number": "1",
        }
        return SimulatedDelivery(headers, orjson.dumps(whole))

    def _hash(self) -> str:
        return f"{self._random.getrandbits(160):040x}"

    def _push(self, name: str, message: str = "") -> list[SimulatedDelivery]:
        before, self._heads[name] = self._heads[name], self._hash()
        target = {
            "type": "commit",
            "hash": self._heads[name],
            "date": self._now(),
            "message": message or self._subject(),
        }
        change = {
            "new": {"type": "branch", "name": "main", "target": target},
            "old": {"type": "branch", "name": "main", "target": {"type": "commit", "hash": before}},
            "created": False,
            "closed": False,
            "forced": False,
            "truncated": False,
            "commits": [target],
            "links": {"html": {"href": f"https://bitbucket.org/{name}/branches/compare/{target['hash']}..{before}"}},
        }
        return [self._deliver(name, "repo:push", {"push": {"changes": [change]}})]

    def _subject(self) -> str:
        return f"{self._random.choice(SUBJECTS)}: mended"

    def _create(self, name: str) -> list[SimulatedDelivery]:
        self._count += 1
        moment, repository = self._now(), {"full_name": name, "uuid": uuid_of(name)}
        pull = {
            "type": "pullrequest",
            "id": self._count,
            "title": self._subject(),
            "description": "It did not work.",
            "state": "OPEN",
            "draft": False,
            "author": person_of(self._random.choice(PEOPLE)),
            "source": {
                "branch": {"name": f"fix-{self._count}"},
                "commit": {"hash": self._hash()[:12]},
                "repository": repository,
            },
            "destination": {
                "branch": {"name": "main"},
                "commit": {"hash": self._heads[name][:12]},
                "repository": repository,
            },
            "merge_commit": None,
            "closed_by": None,
            "reviewers": [],
            "created_on": moment,
            "updated_on": moment,
            "links": {"html": {"href": f"https://bitbucket.org/{name}/pull-requests/{self._count}"}},
        }
        self._open[name].append(pull)
        self.lists.rows[name]["pullrequests"].append(pull)
        self._log_update(name, pull)
        return [self._deliver(name, "pullrequest:created", {"pullrequest": pull})]

    def _pull(self, name: str) -> JSON:
        if not self._open[name]:
            self._create(name)
        pull = self._random.choice(self._open[name])
        pull["updated_on"] = self._now()
        return pull

    def _comment(self, name: str) -> list[SimulatedDelivery]:
        pull = self._pull(name)
        self._count += 1
        comment = {
            "id": self._count,
            "content": {"raw": "Looks right.", "markup": "markdown"},
            "user": person_of(self._random.choice(PEOPLE)),
            "created_on": self._now(),
            "updated_on": self._now(),
            "deleted": False,
            "links": {"html": {"href": f"{pull['links']['html']['href']}/_/diff#comment-{self._count}"}},
        }
        self._log(name, pull, comment=comment)
        return [self._deliver(name, "pullrequest:comment_created", {"pullrequest": pull, "comment": comment})]

    def _approve(self, name: str) -> list[SimulatedDelivery]:
        pull = self._pull(name)
        approval = {"date": self._now(), "user": person_of(self._random.choice(PEOPLE))}
        self._log(name, pull, approval=approval)
        return [self._deliver(name, "pullrequest:approved", {"pullrequest": pull, "approval": approval})]

    def _ask_for_changes(self, name: str) -> list[SimulatedDelivery]:
        pull = self._pull(name)
        asked = {"date": self._now(), "user": person_of(self._random.choice(PEOPLE))}
        self._log(name, pull, changes_requested=asked)
        body = {"pullrequest": pull, "changes_request": asked}
        return [self._deliver(name, "pullrequest:changes_request_created", body)]

    def _retitle(self, name: str) -> list[SimulatedDelivery]:
        pull = self._pull(name)
        pull["title"] = self._subject()
        self._log_update(name, pull)
        return [self._deliver(name, "pullrequest:updated", {"pullrequest": pull})]

    def _decline(self, name: str) -> list[SimulatedDelivery]:
        return [self._closed(name, self._pull(name), "DECLINED", "pullrequest:rejected")]

    def _merge(self, name: str) -> list[SimulatedDelivery]:
        pull = self._pull(name)
        pushed = self._push(name, f"Merged in {pull['source']['branch']['name']} (pull request #{pull['id']})")
        pull["merge_commit"] = {"type": "commit", "hash": self._heads[name][:12]}
        return [self._closed(name, pull, "MERGED", "pullrequest:fulfilled"), *pushed]

    def _closed(self, name: str, pull: JSON, state: str, event_key: str) -> SimulatedDelivery:
        self._open[name].remove(pull)
        pull |= {"state": state, "closed_by": person_of(self._random.choice(PEOPLE))}
        self._log_update(name, pull)
        return self._deliver(name, event_key, {"pullrequest": pull})

    def _build(self, name: str) -> list[SimulatedDelivery]:
        self._count += 1
        end = self._random.choice(("SUCCESSFUL", "SUCCESSFUL", "FAILED", "STOPPED"))
        steps = (("repo:commit_status_created", "INPROGRESS"), ("repo:commit_status_updated", end))
        told = []
        for event_key, state in steps:
            status = {
                "key": str(self._count),
                "name": f"Pipeline #{self._count} for main",
                "state": state,
                "refname": "main",
                "url": f"https://bitbucket.org/{name}/pipelines/results/{self._count}",
                "commit": {"hash": self._heads[name]},
                "created_on": self._now(),
                "updated_on": self._now(),
            }
            told.append(self._deliver(name, event_key, {"commit_status": status}))
        row = {
            "type": "pipeline",
            "uuid": uuid_of(f"{name}:{self._count}"),
            "build_number": self._count,
            "repository": _repository(name),
            "creator": person_of(self._random.choice(PEOPLE)),
            "state": {"name": "COMPLETED", "result": {"name": end}},
            "target": {"ref_type": "branch", "ref_name": "main", "commit": {"hash": self._heads[name]}},
            "created_on": self._now(),
            "completed_on": self._now(),
        }
        self.lists.rows[name]["pipelines/"].append(row)
        return told


def _page(target: str, rows: list[JSON], query: dict[str, list[str]]) -> SimulatedAnswer:
    size, page = (
        int(query.get(name, [str(default)])[-1]) for name, default in (("pagelen", PAGE_DEFAULT), ("page", 1))
    )
    size = min(size, PAGE_MAX)
    body: JSON = {"pagelen": size, "page": page, "size": len(rows), "values": rows[(page - 1) * size : page * size]}
    if page * size < len(rows):
        body["next"] = f"{target}/hooks?pagelen={size}&page={page + 1}"
    return _answer(200, body)


def _shown(hook: JSON) -> JSON:
    return {**{name: hook[name] for name in hook if name != "secret"}, "secret_set": bool(hook["secret"])}


def _workspace() -> JSON:
    return {"type": "workspace", "slug": WORKSPACE, "name": WORKSPACE.title(), "uuid": uuid_of(WORKSPACE)}


def _repository(name: str) -> JSON:
    links = {"html": {"href": f"https://bitbucket.org/{name}"}}
    return {"type": "repository", "full_name": name, "uuid": uuid_of(name), "workspace": _workspace(), "links": links}


def _answer(status: int, body: Any) -> SimulatedAnswer:
    return SimulatedAnswer(status, {"content-type": "application/json"}, orjson.dumps(body))


def _error(status: int, message: str) -> SimulatedAnswer:
    return _answer(status, {"type": "error", "error": {"message": message}})
