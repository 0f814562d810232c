"""What the simulated API takes: pull requests, comments, reviewers and statuses of commits.

Where the vendor's pages leave something open it does the worst: what a change of a pull request leaves out is lost, and
a second pull request between the same branches is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from providers.adapters.bitbucket.simulated_lists import ListRules, Refused, SimulatedLists
from providers.adapters.bitbucket.simulated_people import person, person_of, uuid_of
from providers.simulation import SimulatedAnswer

JSON = dict[str, Any]
BOT: Final = "acme-bot"
_PULLS: Final = re.compile(r"/2\.0/repositories/([^/]+/[^/]+)/pullrequests(?:/([0-9]+)(/comments|/decline|))?")
_STATUS: Final = re.compile(r"/2\.0/repositories/([^/]+/[^/]+)/commit/([0-9a-f]{7,40})/statuses/build")
_USER: Final = re.compile(r"/2\.0/users/([^/]+)")
_SINCE: Final = re.compile(r"updated_on >= (\S+)")
_STATES: Final = frozenset({"SUCCESSFUL", "FAILED", "INPROGRESS", "STOPPED"})
_COMMENTS: Final = ListRules("created_on", 100, ("created_on",))


class SimulatedWrites:
    """``now`` gives the time of a change, ``new_id`` a number nothing has; ``opened`` are the open pull requests."""

    def __init__(
        self, lists: SimulatedLists, opened: dict[str, list[JSON]], now: Callable[[], str], new_id: Callable[[], int]
    ) -> None:
        self._lists, self._opened, self._now, self._new_id = lists, opened, now, new_id
        self.comments: dict[int, list[JSON]] = {}
        self._statuses: dict[tuple[str, str, str], JSON] = {}
        self.effects: list[str] = []

    def handle(self, method: str, path: str, query: Mapping[str, list[str]], body: bytes) -> SimulatedAnswer | None:
        """The answer, or ``None`` where the request is about something else. ``path`` is unquoted."""
        user, pulls, status = _USER.fullmatch(path), _PULLS.fullmatch(path), _STATUS.fullmatch(path)
        try:
            given = orjson.loads(body) if body else {}
            if user and method == "GET":
                found = person(user[1])
                return _answer(200, found) if found else _refused(404, f"No such user {user[1]}")
            if status and method == "POST":
                return self._set_status(status[1], status[2], given)
            if pulls and pulls[1] in self._lists.rows and (pulls[2] or method == "POST"):
                if pulls[2] is None:
                    return self._create(pulls[1], given)
                return self._about(method, path, pulls[1], int(pulls[2]), pulls[3], query, given)
        except orjson.JSONDecodeError:
            return _refused(400, "The body is not JSON.")
        except Refused as refused:
            return _refused(400, str(refused))
        return None

    def _about(
        self, method: str, path: str, name: str, number: int, part: str, query: Mapping[str, list[str]], given: JSON
    ) -> SimulatedAnswer | None:
        pull = next((row for row in self._lists.rows[name]["pullrequests"] if row["id"] == number), None)
        if pull is None:
            return _refused(404, "Resource not found")
        match method, part:
            case "GET", "":
                return _answer(200, pull)
            case "PUT", "":
                return self._change(name, pull, given)
            case "POST", "/decline":
                return self._decline(name, pull)
            case "POST", "/comments":
                return self._comment(name, pull, given)
            case "GET", "/comments":
                return self._lists.page(path, self._listed(number, query), _COMMENTS, query)
        return None

    def _create(self, name: str, given: JSON) -> SimulatedAnswer:
        allowed = {"title", "description", "source", "destination", "reviewers", "close_source_branch", "draft"}
        _refuse_unknown(given, allowed)
        source, destination = (_branch_of(given, side) for side in ("source", "destination"))
        if source == destination:
            raise Refused("source: There are no changes to be pulled")
        number, moment, repository = self._new_id(), self._now(), {"full_name": name, "uuid": uuid_of(name)}
        link = f"https://bitbucket.org/{name}/pull-requests/{number}"
        pull = {
            "type": "pullrequest",
            "id": number,
            "title": _title(given),
            "description": given.get("description", ""),
            "state": "OPEN",
            "draft": given.get("draft", False),
            "author": person_of(BOT),
            "source": {"branch": {"name": source}, "commit": {"hash": "c0ffee012345"}, "repository": repository},
            "destination": {
                "branch": {"name": destination},
                "commit": {"hash": "facade012345"},
                "repository": repository,
            },
            "merge_commit": None,
            "closed_by": None,
            "reviewers": _reviewers(given, BOT),
            "created_on": moment,
            "updated_on": moment,
            "links": {"html": {"href": link}},
        }
        self._opened[name].append(pull)
        self._lists.rows[name]["pullrequests"].append(pull)
        self._log(name, pull, update={"state": "OPEN", "title": pull["title"], "date": moment})
        self.effects.append(f"pull request {number} in {name}")
        return _answer(201, pull)

    def _change(self, name: str, pull: JSON, given: JSON) -> SimulatedAnswer:
        _refuse_unknown(given, {"title", "description", "destination", "reviewers", "draft"})
        if pull["state"] != "OPEN":
            raise Refused("This pull request is closed; only open ones can be changed.")
        changed = {
            "title": _title(given),
            "description": given.get("description", ""),
            "reviewers": _reviewers(given, pull["author"]["uuid"]),
        }
        if "destination" in given:
            changed["destination"] = {**pull["destination"], "branch": {"name": _branch_of(given, "destination")}}
        if any(pull[part] != value for part, value in changed.items()):
            pull |= {**changed, "updated_on": self._now()}
            self._log(name, pull, update={"state": "OPEN", "title": pull["title"], "date": pull["updated_on"]})
            self.effects.append(f"changed pull request {pull['id']} in {name}")
        return _answer(200, pull)

    def _decline(self, name: str, pull: JSON) -> SimulatedAnswer:
        if pull["state"] != "OPEN":
            raise Refused("This pull request is already closed.")
        self._opened[name].remove(pull)
        pull |= {"state": "DECLINED", "closed_by": person_of(BOT), "updated_on": self._now()}
        self._log(name, pull, update={"state": "DECLINED", "title": pull["title"], "date": pull["updated_on"]})
        self.effects.append(f"declined pull request {pull['id']} in {name}")
        return _answer(200, pull)

    def _comment(self, name: str, pull: JSON, given: JSON) -> SimulatedAnswer:
        _refuse_unknown(given, {"content", "parent", "inline"})
        raw = (given.get("content") or {}).get("raw")
        if not isinstance(raw, str) or not raw.strip():
            raise Refused("content.raw: This field is required.")
        there = self.comments.setdefault(pull["id"], [])
        if "parent" in given and all(comment["id"] != given["parent"].get("id") for comment in there):
            raise Refused("parent: There is no such comment.")
        number, moment = self._new_id(), self._now()
        comment = {
            "id": number,
            "content": {"raw": raw, "markup": "markdown"},
            "user": person_of(BOT),
            "created_on": moment,
            "updated_on": moment,
            "deleted": False,
            **({"parent": {"id": given["parent"]["id"]}} if "parent" in given else {}),
            "links": {"html": {"href": f"{pull['links']['html']['href']}/_/diff#comment-{number}"}},
        }
        there.append(comment)
        self._log(name, pull, comment=comment)
        self.effects.append(f"comment {number} on {name} {pull['id']}")
        return _answer(201, comment)

    def _listed(self, number: int, query: Mapping[str, list[str]]) -> list[JSON]:
        since = _SINCE.fullmatch(query.get("q", [""])[-1])
        if not since or query.get("sort") != ["created_on"]:
            raise Refused("Invalid query")
        return [c for c in self.comments.get(number, []) if c["updated_on"] >= since[1]]

    def _set_status(self, name: str, commit: str, given: JSON) -> SimulatedAnswer:
        _refuse_unknown(given, {"key", "state", "name", "description", "url", "refname"})
        if not given.get("key") or not given.get("url") or given.get("state") not in _STATES or len(given["key"]) > 40:
            raise Refused("key, state and url are required, and a key has at most 40 characters.")
        place = (name, commit, given["key"])
        if self._statuses.get(place) != given:
            self._statuses[place] = given
            self.effects.append(f"status {given['key']} {given['state']} on {commit}")
        return _answer(201, {**given, "type": "build", "uuid": uuid_of("/".join(place))})

    def _log(self, name: str, pull: JSON, **entry: JSON) -> None:
        shown = {"type": "pullrequest", **{part: pull[part] for part in ("id", "title", "links")}}
        self._lists.rows[name]["pullrequests/activity"].append({"pull_request": shown, **entry})


def _refuse_unknown(given: JSON, allowed: set[str]) -> None:
    if not isinstance(given, dict) or set(given) - allowed:
        raise Refused("A field is not known.")


def _title(given: JSON) -> str:
    title = given.get("title")
    if not isinstance(title, str) or not title.strip() or len(title) > 255:
        raise Refused("title: This field is required, and has at most 255 characters.")
    return title


def _branch_of(given: JSON, side: str) -> str:
    name = ((given.get(side) or {}).get("branch") or {}).get("name")
    if not isinstance(name, str) or not name:
        raise Refused(f"{side}: branch not found")
    return name


def _reviewers(given: JSON, author: str) -> list[JSON]:
    found = [person(entry.get("uuid", "")) for entry in given.get("reviewers", [])]
    if None in found:
        raise Refused("reviewers: Malformed reviewers list")
    people = [entry for entry in found if entry]
    if any(author in (entry["uuid"], entry["nickname"]) for entry in people):
        raise Refused("reviewers: The author cannot be included as a reviewer.")
    return people


def _answer(status: int, body: Any) -> SimulatedAnswer:
    return SimulatedAnswer(status, {"content-type": "application/json"}, orjson.dumps(body))


def _refused(status: int, message: str) -> SimulatedAnswer:
    field, colon, told = message.partition(": ")
    fields = {"fields": {field: [told]}} if colon else {}
    return _answer(status, {"type": "error", "error": {"message": "Bad request" if fields else message, **fields}})
