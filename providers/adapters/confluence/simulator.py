"""The far side of this adapter, for development and tests: a small site that changes a little with every tick."""

from __future__ import annotations

import base64
import email.utils
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import orjson

from providers.adapters.confluence.simulated_lists import HIDDEN_SPACE, SITE, SPACES, Refused, Wiki
from providers.adapters.confluence.simulated_writes import SimulatedWrites
from providers.simulation import SimulatedAnswer, SimulatedDelivery

JSON = dict[str, Any]
PEOPLE = ("712020:aino", "712020:bram", "712020:chidi")
TITLES = ("Runbook", "On call", "Retrospective", "Rules of the house", "Onboarding", "Why we round down")
_NAMES = {"page": "page", "blogpost": "blog", "comment": "comment"}


class Simulator:
    """The API of Cloud below ``/wiki``, and webhooks as Data Center sends them."""

    credential: ClassVar[dict[str, str]] = {"email": "sandbox@example.com", "token": "sandbox-confluence-token"}
    webhook_scheme: ClassVar[str] = "hmac"

    def __init__(self, *, seed: int, faults: bool) -> None:
        self._random = random.Random(seed)  # noqa: S311 (a reproducible world, not a secret)
        self._faults = faults
        self._clock = datetime.now(UTC)
        self._sent = 0
        self._wiki = Wiki()
        self._writes = SimulatedWrites(self._wiki, self._now)
        self._begin()

    @classmethod
    def settings(cls, base_url: str) -> dict[str, Any]:
        return {"base_url": f"{base_url}/wiki", "streams": ["content", "trash"]}

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        if self._faults and self._random.random() < 0.05:
            return self._random.choice((SimulatedAnswer(503), SimulatedAnswer(429, {"retry-after": "1"})))
        expected = base64.b64encode(":".join(self.credential.values()).encode()).decode()
        if headers.get("authorization") != f"Basic {expected}":
            return _answer({"message": "Unauthorized"}, 401)
        asked = {name: values[-1] for name, values in query.items()}
        try:
            below = path.removeprefix("/wiki")
            if method != "GET":
                written = self._writes.write(method, below, body)
                return _answer({"message": "Not found"}, 404) if written is None else _answer(written[1], written[0])
            answer = self._read(below, asked) or self._writes.read(below, asked)
        except Refused as refused:
            return _answer(_refusal(path, refused), refused.status)
        return _answer({"message": "Not found"}, 404) if answer is None else _answer(answer)

    def _read(self, path: str, query: dict[str, str]) -> JSON | None:
        match path:
            case "/rest/api/user/current":
                return {"type": "known", "accountId": PEOPLE[0], "displayName": "Aino", "timeZone": "Pacific/Apia"}
            case "/rest/api/search":
                return self._wiki.search(query, datetime.now(UTC))
            case "/api/v2/pages":
                return self._wiki.listed("page", query)
            case "/api/v2/blogposts":
                return self._wiki.listed("blogpost", query)
            case "/api/v2/spaces":
                return self._wiki.spaces(query)
        return None

    def effects(self) -> list[str]:
        return list(self._writes.effects)

    # The world

    def _begin(self) -> None:
        """A month of contents, the last of them some hours ago; some are hidden, some in the trash."""
        for number in range(40):
            when = self._clock - timedelta(days=1, hours=18 * (40 - number))
            space = HIDDEN_SPACE if 12 <= number < 24 else self._random.choice(list(SPACES))
            kind = "blogpost" if number % 7 == 3 else "page"
            made = self._wiki.add(kind, self._random.choice(TITLES), space, self._who(), when)
            if number % 3 == 0 and space != HIDDEN_SPACE:
                self._wiki.add("comment", "Re: it", space, self._who(), when + timedelta(minutes=5), made["id"])
            if number % 4 == 1:
                self._wiki.change(made, self._who(), when + timedelta(hours=3))
            if number % 5 == 2 or number == 38:
                made["status"] = "trashed"
        # A bulk import: more in one minute than a page holds.
        then = self._clock - timedelta(days=9, hours=5)
        for number in range(25):
            self._wiki.add("page", f"Imported {number}", "OPS", self._who(), then + timedelta(milliseconds=number // 5))

    def tick(self) -> list[SimulatedDelivery]:
        happenings: tuple[Callable[[], list[SimulatedDelivery]], ...] = (
            self._write, self._edit, self._comment, self._trash,
        )  # fmt: skip
        told = self._random.choices(happenings, weights=(3, 4, 3, 1))[0]()
        return told * 2 if self._faults and self._random.random() < 0.1 else told

    def _now(self) -> datetime:
        """The real time to the millisecond, but never the same moment twice."""
        now = datetime.now(UTC)
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self._clock = max(self._clock + timedelta(milliseconds=1), now)
        return self._clock.replace(microsecond=self._clock.microsecond // 1000 * 1000)

    def _who(self) -> str:
        return self._random.choice(PEOPLE)

    def _some(self, *kinds: str) -> JSON:
        return self._random.choice([c for c in self._wiki.current(*kinds) if c["space"] != HIDDEN_SPACE])

    def _write(self) -> list[SimulatedDelivery]:
        kind = self._random.choice(("page", "page", "blogpost"))
        title, space = self._random.choice(TITLES), self._random.choice(list(SPACES))
        return self._told(self._wiki.add(kind, title, space, self._who(), self._now()), "created")

    def _edit(self) -> list[SimulatedDelivery]:
        content = self._some("page", "blogpost", "comment")
        self._wiki.change(content, self._who(), self._now())
        return self._told(content, "updated")

    def _comment(self) -> list[SimulatedDelivery]:
        page = self._some("page")
        return self._told(
            self._wiki.add("comment", f"Re: {page['title']}", page["space"], self._who(), self._now(), page["id"]),
            "created",
        )

    def _trash(self) -> list[SimulatedDelivery]:
        content = self._some("page", "blogpost")
        content["status"] = "trashed"
        return self._told(content, "trashed")

    def _told(self, content: JSON, what: str) -> list[SimulatedDelivery]:
        """https://confluence.atlassian.com/doc/managing-webhooks-1021225606.html"""
        self._sent += 1
        name = _NAMES[content["type"]]
        moment = content["changed"] if what != "trashed" else self._now()
        about = {
            "id": int(content["id"]),
            "title": content["title"],
            "spaceKey": content["space"],
            "version": content["version"],
            "self": f"{SITE}/pages/viewpage.action?pageId={content['container'] or content['id']}",
        }
        if content["container"]:
            about["parent"] = {"id": int(content["container"]), "contentType": "page"}
        told = {"timestamp": int(moment.timestamp() * 1000), "event": f"{name}_{what}", "userKey": content["editor"]}
        headers = {"content-type": "application/json", "x-atlassian-webhook-identifier": f"sim-{self._sent}"}
        return [SimulatedDelivery(headers, orjson.dumps({**told, name: about}))]


def _refusal(path: str, refused: Refused) -> JSON:
    """REST v2 and v1 write refusals differently."""
    if "/api/v2/" in path:
        return {"errors": [{"status": refused.status, "code": "REFUSED", "title": str(refused), "detail": None}]}
    return {"statusCode": refused.status, "message": str(refused)}


def _answer(body: JSON, status: int = 200) -> SimulatedAnswer:
    headers = {"content-type": "application/json", "date": email.utils.formatdate(usegmt=True)}
    return SimulatedAnswer(status, headers, orjson.dumps(body))
