"""The far side of this adapter, for development and tests: one organisation with one repository, in memory.

Answers as the service does: a wrong token gets the sign-in page of another host, a call without its version a 400.
Tells of happenings as an unfiltered subscription does. Builds are listed minutes after they ended, some of them at the
same time; work items go away. The lists are in ``simulated_lists``, what can be changed in ``simulated_writes``.
"""

from __future__ import annotations

import base64
import email.utils
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote, unquote

import orjson

from providers.adapters.azure_devops.simulated_lists import Lists, Refused
from providers.adapters.azure_devops.simulated_writes import KINDS, STATES, Writes
from providers.simulation import SimulatedAnswer, SimulatedDelivery

ORGANISATION = "acme-shop"
PROJECT = "Web Shop"
REPOSITORY = "storefront"
BASE = f"https://dev.azure.example/{ORGANISATION}/"
PEOPLE = ("Zoe", "Ravi", "Mina", "Olaf")
BRANCHES = ("basket", "search-index", "dark-mode", "invoice-mail")
# Somebody whose id is the same in every world.
RITA = "5f1b6c1e-0000-4000-8000-00000000a11a"
SIGN_IN = "https://app.vssps.visualstudio.com/_signin"
FAULT_RATE = 0.05
# What has happened before anybody looks; more than a page of every list.
PAST = timedelta(hours=4)
PAST_HAPPENINGS = 800

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
        self._now = clock() - PAST
        # A fresh world for each process: one started again tells of new happenings.
        self._space = uuid.uuid5(uuid.NAMESPACE_URL, f"{BASE}{self._now.isoformat()}")
        self._ids: dict[str, uuid.UUID] = {}
        self._told = 0
        self.items: list[Change] = []
        self.project = {"id": str(self._id("project")), "name": PROJECT}
        self.repository = self._repository()
        self._lists = Lists(self.project, self.repository)
        self.writes = Writes(self)
        self._past = True
        for _ in range(PAST_HAPPENINGS):
            self._happen()
        self._past = False

    @classmethod
    def settings(cls, base_url: str) -> dict[str, Any]:
        place = {"projects": [PROJECT], "repositories": [f"{PROJECT}/{REPOSITORY}"]}
        return {"base_url": f"{base_url}/{ORGANISATION}", **place}

    # --- the API ---

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        date = {"date": email.utils.format_datetime(self._clock(), usegmt=True)}
        if self._faults and self._trouble.random() < FAULT_RATE:
            return self._trouble.choice((_problem(503, "TF400898", "An internal error occurred."), _throttled()))
        pair = base64.b64encode(f":{self.credential['token']}".encode()).decode()
        if headers.get("authorization") != f"Basic {pair}":
            return SimulatedAnswer(302, {"content-type": "text/html; charset=utf-8", "location": SIGN_IN}, _PAGE)
        organisation, *steps = [unquote(step) for step in path.split("/") if step] or [""]
        if organisation != ORGANISATION:
            return _problem(404, "VS800075", "The page or project does not exist.")
        asked = {name: values[-1] for name, values in query.items()}
        if steps == ["_apis", "connectionData"]:
            return self._connection_data(asked)
        try:
            if (told := self.writes.answer(method, steps, asked, headers, body)) is not None:
                return _answer(told[0], told[1], **date)
            if method != "GET":
                raise Refused(405, "VssMethodNotAllowed", "The requested resource does not support this method.")
            found, more = self._lists.answer(steps, asked)
        except Refused as refused:
            return _problem(refused.status, refused.key, str(refused))
        return _answer(200, found, **date, **more)

    def _connection_data(self, asked: dict[str, str]) -> SimulatedAnswer:
        if asked.get("api-version") != "7.1-preview":
            return _problem(400, "VssInvalidPreviewVersionException", "The -preview flag must be supplied.")
        user = {**self.bot(), "providerDisplayName": "Acme bot", "isActive": True}
        return _answer(200, {"authenticatedUser": user, "authorizedUser": user, "deploymentType": "hosted"})

    # --- the world ---

    def effects(self) -> list[str]:
        return list(self.writes.made)

    @property
    def pulls(self) -> list[Change]:
        return self._lists.pull_requests

    @property
    def commits(self) -> set[str]:
        return {ref["newObjectId"] for push in self._lists.pushes for ref in push["refUpdates"]}

    @property
    def branches(self) -> set[str]:
        return {"refs/heads/main", *(ref["name"] for push in self._lists.pushes for ref in push["refUpdates"])}

    def now(self) -> str:
        return _text(self._later())

    def bot(self) -> Change:
        return self._person("Bot")

    def people(self) -> list[Change]:
        rita = {"id": RITA, "displayName": "Rita", "uniqueName": "rita@acme.example"}
        return [*(self._person(name) for name in (*PEOPLE, "Bot")), rita]

    def new_item(self, kind: str, fields: Change) -> Change:
        self._create("Bot")
        item = self.items[-1]
        item["fields"].pop("System.Description")
        item["fields"] |= {"System.WorkItemType": kind, **fields}
        self._lists.revisions[-1]["fields"] = dict(item["fields"])
        return item

    def change_item(self, item: Change, fields: Change) -> None:
        moment = self.now()
        moved = {"Microsoft.VSTS.Common.StateChangeDate": moment} if "System.State" in fields else {}
        self._update(item, "Bot", moment, {**fields, **moved})

    def tick(self) -> list[SimulatedDelivery]:
        event, version, resource = self._happen()
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

    def _happen(self) -> tuple[str, str, Change]:
        doings: tuple[Callable[[str], tuple[str, str, Change]], ...] = (
            *(self._push, self._open, self._close, self._comment),
            *(self._create, self._move, self._assign, self._discuss, self._delete, self._build),
        )
        doing = self._random.choices(doings, weights=(6, 4, 3, 1, 2, 4, 2, 2, 1, 5))[0]
        told = doing(self._random.choice(PEOPLE))
        self._told += 1
        return told

    def _later(self) -> datetime:
        """The real time, but never the same moment twice; of the past, a quarter of a minute for each happening."""
        pace = PAST / PAST_HAPPENINGS / 3 if self._past else timedelta(milliseconds=1)
        self._now = self._now + pace if self._past else max(self._now + pace, self._clock())
        return self._now

    def _id(self, name: str) -> uuid.UUID:
        if name not in self._ids:
            self._ids[name] = uuid.uuid5(self._space, name)
        return self._ids[name]

    def _person(self, name: str) -> Change:
        return {"id": str(self._id(name)), "displayName": name, "uniqueName": f"{name.lower()}@acme.example"}

    def _repository(self) -> Change:
        project = {"id": str(self._id("project")), "name": PROJECT}
        remote = f"{BASE}{quote(PROJECT)}/_git/{REPOSITORY}"
        return {"id": str(self._id("repository")), "name": REPOSITORY, "project": project, "remoteUrl": remote}

    def _commit(self) -> str:
        return f"{self._random.getrandbits(160):040x}"

    def _push(self, person: str) -> tuple[str, str, Change]:
        head = self._commit()
        update = {"name": f"refs/heads/{self._random.choice(BRANCHES)}", "oldObjectId": self._commit()}
        push: Change = {
            "commits": [{"commitId": head, "comment": "Make it a little better"}],
            "refUpdates": [{**update, "newObjectId": head}],
            "repository": self._repository(),
            "pushedBy": self._person(person),
            "pushId": len(self._lists.pushes) + 1,
            "date": _text(self._later()),
        }
        if self._random.random() < 0.2:
            push["refUpdates"].append(
                {"name": f"refs/tags/v{push['pushId']}", "oldObjectId": "0" * 40, "newObjectId": head}
            )
        self._lists.pushes.append(push)
        return "git.push", "1.0", dict(push)

    def _open(self, person: str) -> tuple[str, str, Change]:
        branch = self._random.choice(BRANCHES)
        request: Change = {
            "repository": self._repository(),
            "pullRequestId": len(self._lists.pull_requests) + 1,
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
        self._lists.pull_requests.append(request)
        return "git.pullrequest.created", "1.0", dict(request)

    def _active(self, person: str) -> Change:
        active = [request for request in self._lists.pull_requests if request["status"] == "active"]
        if not active:
            self._open(person)
            active = self._lists.pull_requests[-1:]
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
        moment, number = _text(self._later()), len(self.items) + 1
        fields = {
            "System.Id": number,
            "System.TeamProject": PROJECT,
            "System.WorkItemType": self._random.choice(KINDS),
            "System.State": "New",
            "System.CreatedDate": moment,
            "System.CreatedBy": self._person(person),
            "System.ChangedDate": moment,
            "System.ChangedBy": self._person(person),
            "System.Title": f"Look into {self._random.choice(BRANCHES)}",
            "System.Description": "<div>It was different yesterday.</div>",
            "Microsoft.VSTS.Common.StateChangeDate": moment,
        }
        item = {"id": number, "rev": 1, "fields": fields}
        self.items.append(item)
        return "workitem.created", "5.1-preview.3", self._revised(item)

    def _revised(self, item: Change) -> Change:
        """The item as it is now, which is the next revision of the feed."""
        revision = {"id": item["id"], "rev": item["rev"], "fields": dict(item["fields"])}
        self._lists.revisions.append({**revision, "watermark": len(self._lists.revisions) + 1})
        return revision

    def _some_item(self, person: str) -> Change:
        there = [item for item in self.items if "System.IsDeleted" not in item["fields"]]
        if not there:
            self._create(person)
            there = self.items[-1:]
        return self._random.choice(there)

    def _move(self, person: str) -> tuple[str, str, Change]:
        item = self._some_item(person)
        moment, state = _text(self._later()), item["fields"]["System.State"]
        after = self._random.choice([other for other in STATES if other != state])
        closed = {"Microsoft.VSTS.Common.ClosedDate": moment} if after == "Closed" else {}
        changed = {"System.State": after, "Microsoft.VSTS.Common.StateChangeDate": moment, **closed}
        return self._update(item, person, moment, changed)

    def _assign(self, person: str) -> tuple[str, str, Change]:
        changed = {"System.AssignedTo": self._person(self._random.choice(PEOPLE))}
        return self._update(self._some_item(person), person, _text(self._later()), changed)

    def _discuss(self, person: str) -> tuple[str, str, Change]:
        moment = _text(self._later())
        return self._update(self._some_item(person), person, moment, {"System.History": f"Seen at {moment}."})

    def _update(self, item: Change, person: str, moment: str, changed: Change) -> tuple[str, str, Change]:
        # What was said belongs to its own revision only.
        before = {name: value for name, value in item["fields"].items() if name != "System.History"}
        changed = {**changed, "System.ChangedDate": moment, "System.ChangedBy": self._person(person)}
        item["rev"] += 1
        item["fields"] = {**before, **changed}
        sides = {name: {"oldValue": before.get(name), "newValue": now} for name, now in changed.items()}
        update = {
            "id": item["rev"],
            "workItemId": item["id"],
            "rev": item["rev"],
            "revisedBy": self._person(person),
            "revisedDate": "9999-01-01T00:00:00Z",
            "fields": {name: side for name, side in sides.items() if side["oldValue"] != side["newValue"]},
            "revision": self._revised(item),
        }
        return "workitem.updated", "5.1-preview.3", update

    def _delete(self, person: str) -> tuple[str, str, Change]:
        item, moment = self._some_item(person), _text(self._later())
        item["rev"] += 1
        item["fields"] |= {"System.IsDeleted": True, "System.ChangedDate": moment}
        item["fields"].pop("System.History", None)
        return "workitem.deleted", "5.1-preview.3", self._revised(item)

    def _build(self, person: str) -> tuple[str, str, Change]:
        number, moment = 900 + self._told, self._later()
        # It ended a while ago, and perhaps together with another.
        ended = moment - timedelta(seconds=self._random.choice((0, 0, 1, 30, 170)))
        result = self._random.choice(("succeeded", "succeeded", "failed", "partiallySucceeded", "canceled"))
        build = {
            "id": number,
            "buildNumber": f"{self._now:%Y%m%d}.{number}",
            "status": "completed",
            "result": result,
            "finishTime": _text(ended.replace(microsecond=0)),
            "project": {"id": str(self._id("project")), "name": PROJECT},
            "definition": {"id": 21, "name": "storefront-ci"},
            "sourceBranch": f"refs/heads/{self._random.choice(BRANCHES)}",
            "sourceVersion": self._commit(),
            "requestedFor": self._person(person),
        }
        self._lists.builds.append(build)
        return "build.complete", "2.0", dict(build)


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
