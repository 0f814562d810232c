"""The far side of this adapter, for development and tests: one organisation with one repository, in memory.

Answers ``connectionData`` as the service does: a wrong token gets the sign-in page of another host, a call without
the preview version a 400. Tells of happenings as an unfiltered subscription does.
"""

from __future__ import annotations

import base64
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import orjson

from providers.simulation import SimulatedAnswer, SimulatedDelivery

ORGANISATION = "acme-shop"
PROJECT = "Shop"
BASE = f"https://dev.azure.example/{ORGANISATION}/"
PEOPLE = ("Zoe", "Ravi", "Mina", "Olaf")
BRANCHES = ("basket", "search-index", "dark-mode", "invoice-mail")
STATES = ("New", "Active", "Resolved", "Closed")
SIGN_IN = "https://app.vssps.visualstudio.com/_signin"
FAULT_RATE = 0.05

Change = dict[str, Any]


class Simulator:
    """Every tick one person does one thing."""

    credential: ClassVar[dict[str, str]] = {"token": "azuredevopssimulatortoken0123456789"}
    webhook_scheme: ClassVar[str] = "basic"

    def __init__(self, *, seed: int, faults: bool, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        # Two sources of chance: how often somebody asks must not change what happens.
        self._random = random.Random(seed)  # noqa: S311 (a reproducible world, not a secret)
        self._trouble = random.Random(seed + 1)  # noqa: S311
        self._faults = faults
        self._clock = clock
        self._now = clock()
        # A fresh world for each process: one started again tells of new happenings.
        self._space = uuid.uuid5(uuid.NAMESPACE_URL, f"{BASE}{self._now.isoformat()}")
        self._told = 0
        self._pushes = 0
        self._requests: list[Change] = []
        self._items: list[Change] = []

    @classmethod
    def settings(cls, base_url: str) -> dict[str, Any]:
        return {"base_url": f"{base_url}/{ORGANISATION}"}

    # --- the API ---

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        if self._faults and self._trouble.random() < FAULT_RATE:
            return self._trouble.choice((_problem(503, "TF400898", "An internal error occurred."), _throttled()))
        pair = base64.b64encode(f":{self.credential['token']}".encode()).decode()
        if headers.get("authorization") != f"Basic {pair}":
            return SimulatedAnswer(302, {"content-type": "text/html; charset=utf-8", "location": SIGN_IN}, _PAGE)
        if (method, path) != ("GET", f"/{ORGANISATION}/_apis/connectionData"):
            return _problem(404, "VS800075", "The page or project does not exist.")
        if query.get("api-version") != ["7.1-preview"]:
            return _problem(400, "VssInvalidPreviewVersionException", "The -preview flag must be supplied.")
        user = {**self._person("Bot"), "providerDisplayName": "Acme bot", "isActive": True}
        return _answer(200, {"authenticatedUser": user, "authorizedUser": user, "deploymentType": "hosted"})

    # --- the world ---

    def tick(self) -> list[SimulatedDelivery]:
        doings: tuple[Callable[[str], tuple[str, str, Change]], ...] = (
            *(self._push, self._open, self._close, self._comment),
            *(self._create, self._move, self._build),
        )
        doing = self._random.choices(doings, weights=(4, 2, 1, 2, 3, 4, 3))[0]
        event, version, resource = doing(self._random.choice(PEOPLE))
        self._told += 1
        body = {
            "subscriptionId": str(self._id("subscription")),
            "notificationId": self._told,
            "id": str(self._id(f"event {self._told}")),
            "eventType": event,
            "publisherId": "tfs",
            "resource": resource,
            "resourceVersion": version,
            "resourceContainers": {
                name: {"id": str(self._id(name)), "baseUrl": BASE} for name in ("collection", "account", "project")
            },
            "createdDate": _text(self._later()),
        }
        delivery = SimulatedDelivery({"content-type": "application/json; charset=utf-8"}, orjson.dumps(body))
        return [delivery] * (2 if self._faults and self._trouble.random() < FAULT_RATE * 2 else 1)

    def _later(self) -> datetime:
        """The real time, but never the same moment twice."""
        self._now = max(self._now + timedelta(milliseconds=1), self._clock())
        return self._now

    def _id(self, name: str) -> uuid.UUID:
        return uuid.uuid5(self._space, name)

    def _person(self, name: str) -> Change:
        return {"id": str(self._id(name)), "displayName": name, "uniqueName": f"{name.lower()}@acme.example"}

    def _repository(self) -> Change:
        project = {"id": str(self._id("project")), "name": PROJECT}
        remote = f"{BASE}{PROJECT}/_git/storefront"
        return {"id": str(self._id("repository")), "name": "storefront", "project": project, "remoteUrl": remote}

    def _commit(self) -> str:
        return f"{self._random.getrandbits(160):040x}"

    def _push(self, person: str) -> tuple[str, str, Change]:
        self._pushes += 1
        head = self._commit()
        update = {"name": f"refs/heads/{self._random.choice(BRANCHES)}", "oldObjectId": self._commit()}
        return (
            "git.push",
            "1.0",
            {
                "commits": [{"commitId": head, "comment": "Make it a little better"}],
                "refUpdates": [{**update, "newObjectId": head}],
                "repository": self._repository(),
                "pushedBy": self._person(person),
                "pushId": self._pushes,
                "date": _text(self._later()),
            },
        )

    def _open(self, person: str) -> tuple[str, str, Change]:
        branch = self._random.choice(BRANCHES)
        request: Change = {
            "repository": self._repository(),
            "pullRequestId": len(self._requests) + 1,
            "status": "active",
            "createdBy": self._person(person),
            "creationDate": _text(self._later()),
            "title": f"Work on {branch}",
            "sourceRefName": f"refs/heads/{branch}",
            "targetRefName": "refs/heads/main",
            "isDraft": False,
            "lastMergeSourceCommit": {"commitId": self._commit()},
            "reviewers": [],
        }
        self._requests.append(request)
        return "git.pullrequest.created", "1.0", dict(request)

    def _active(self, person: str) -> Change:
        active = [request for request in self._requests if request["status"] == "active"]
        if not active:
            self._open(person)
            active = self._requests[-1:]
        return self._random.choice(active)

    def _close(self, person: str) -> tuple[str, str, Change]:
        request = self._active(person)
        request |= {
            "status": self._random.choice(("completed", "completed", "abandoned")),
            "closedBy": self._person(person),
            "closedDate": _text(self._later()),
        }
        return "git.pullrequest.updated", "1.0", dict(request)

    def _comment(self, person: str) -> tuple[str, str, Change]:
        request, moment = self._active(person), _text(self._later())
        comment = {
            "id": 1,
            "author": self._person(person),
            "content": "Please have another look.",
            "publishedDate": moment,
            "lastUpdatedDate": moment,
            "commentType": "text",
            "_links": {"threads": {"href": f"{BASE}_apis/git/threads/{self._told + 1}"}},
        }
        told = {"comment": comment, "pullRequest": dict(request)}
        return "ms.vss-code.git-pullrequest-comment-event", "2.0", told

    def _create(self, person: str) -> tuple[str, str, Change]:
        moment, number = _text(self._later()), len(self._items) + 1
        fields = {
            "System.TeamProject": PROJECT,
            "System.WorkItemType": self._random.choice(("Bug", "Task", "User Story")),
            "System.State": "New",
            "System.CreatedDate": moment,
            "System.CreatedBy": self._person(person),
            "System.ChangedDate": moment,
            "System.Title": f"Look into {self._random.choice(BRANCHES)}",
        }
        self._items.append({"id": number, "rev": 1, "fields": fields})
        return "workitem.created", "5.1-preview.3", {"id": number, "rev": 1, "fields": dict(fields)}

    def _move(self, person: str) -> tuple[str, str, Change]:
        if not self._items:
            return self._create(person)
        item = self._random.choice(self._items)
        before, moment = item["fields"]["System.State"], _text(self._later())
        after = self._random.choice([state for state in STATES if state != before])
        changed = {
            "System.ChangedDate": (item["fields"]["System.ChangedDate"], moment),
            "System.State": (before, after),
        }
        item["rev"] += 1
        item["fields"] |= {name: now for name, (_, now) in changed.items()}
        update = {
            "id": item["rev"],
            "workItemId": item["id"],
            "rev": item["rev"],
            "revisedBy": self._person(person),
            "revisedDate": "9999-01-01T00:00:00Z",
            "fields": {name: {"oldValue": then, "newValue": now} for name, (then, now) in changed.items()},
            "revision": {"id": item["id"], "rev": item["rev"], "fields": dict(item["fields"])},
        }
        return "workitem.updated", "5.1-preview.3", update

    def _build(self, person: str) -> tuple[str, str, Change]:
        number = 900 + self._told
        result = self._random.choice(("succeeded", "succeeded", "failed", "partiallySucceeded", "canceled"))
        build = {
            "id": number,
            "buildNumber": f"{self._now:%Y%m%d}.{number}",
            "status": "completed",
            "result": result,
            "finishTime": _text(self._later()),
            "definition": {"id": 21, "name": "storefront-ci"},
            "sourceBranch": f"refs/heads/{self._random.choice(BRANCHES)}",
            "sourceVersion": self._commit(),
            "requestedFor": self._person(person),
        }
        return "build.complete", "2.0", build


_PAGE = b"<html><title>Sign In</title></html>"


def _text(moment: datetime) -> str:
    # The service writes seven decimals.
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}0Z"


def _answer(status: int, body: Any, **headers: str) -> SimulatedAnswer:
    kind = {"content-type": "application/json; charset=utf-8; api-version=7.1-preview.1"}
    return SimulatedAnswer(status, {**kind, **headers}, orjson.dumps(body))


def _problem(status: int, key: str, message: str) -> SimulatedAnswer:
    return _answer(status, {"$id": "1", "innerException": None, "message": message, "typeKey": key, "errorCode": 0})


def _throttled() -> SimulatedAnswer:
    message = "TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource."
    limits = {"retry-after": "2", "x-ratelimit-limit": "200", "x-ratelimit-remaining": "0"}
    return _answer(429, {"$id": "1", "message": message, "typeKey": "RequestBlockedException"}, **limits)
