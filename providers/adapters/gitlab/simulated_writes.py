"""What the simulated API makes and changes, and where that is looked for.

https://docs.gitlab.com/api/issues/, https://docs.gitlab.com/api/merge_requests/, https://docs.gitlab.com/api/notes/,
https://docs.gitlab.com/api/commits/#set-commit-pipeline-status
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

import orjson

from providers.adapters.gitlab import simulated_rows as rows
from providers.adapters.gitlab.simulated_lists import SimulatedLists, answer_of
from providers.adapters.gitlab.simulated_rows import PEOPLE, PROJECT, PROJECT_ID
from providers.simulation import SimulatedAnswer

OWNER: Final = PEOPLE[0]
"""Whose the token is."""
BRANCHES: Final = ("main", "release", "topic", "topic-2")
COMMANDS: Final = re.compile(
    r"^/(close|reopen|merge|assign|label)(?: [^\n]*)?(?:\s*\n|$)", re.MULTILINE | re.IGNORECASE
)
_TRANSITIONS: Final = {
    "pending": "enqueue",
    "running": "run",
    "success": "success",
    "failed": "drop",
    "canceled": "cancel",
}
_ENDED: Final = ("success", "failed", "canceled")

JSON = dict[str, Any]
Fits = Callable[[Any], bool]
Fields = Mapping[str, Fits]
"""What a body may hold; what it must, is marked with an exclamation mark."""


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, int) for item in value)


def _event(value: Any) -> bool:
    return value in ("close", "reopen")


_SHARED: Fields = {"title": _text, "description": _text, "assignee_ids": _numbers}
_NEW_ISSUE: Fields = {**_SHARED, "title!": _text, "labels": _text, "issue_type": _text}
_ISSUE: Fields = {**_SHARED, "add_labels": _text, "state_event": _event, "issue_type": _text}
_NEW_REQUEST: Fields = {"title!": _text, "source_branch!": _text, "target_branch!": _text, "description": _text}
_REQUEST: Fields = {
    **_SHARED,
    "add_labels": _text,
    "state_event": _event,
    "target_branch": _text,
    "reviewer_ids": _numbers,
}
_STATUS: Fields = {
    "state!": lambda value: value in _TRANSITIONS,
    "name": _text,
    "ref": _text,
    "target_url": _text,
    "description": _text,
}


class Refused(Exception):
    def __init__(self, status: int, message: Any) -> None:
        super().__init__(str(message))
        self.answer = answer_of(status, {"error" if status == 400 and _text(message) else "message": message})


class SimulatedWrites:
    """``keeps_one``: whether of assignees and reviewers only the first is kept, as without a paid plan."""

    def __init__(self, lists: SimulatedLists, next_id: Callable[[], int], now: Callable[[], datetime]) -> None:
        self._lists, self._next_id, self._now = lists, next_id, now
        self.notes: dict[tuple[str, int], list[JSON]] = {}
        self._statuses: dict[str, list[JSON]] = {}
        self.commits: set[str] = set()
        self.keeps_one = False
        self.effects: list[str] = []

    def handle(self, method: str, path: str, query: Mapping[str, list[str]], body: bytes) -> SimulatedAnswer | None:
        """The answer, or ``None`` where the request is about something else."""
        if (method, path) == ("GET", "/users"):
            wanted = query.get("username", [""])[-1].lower()
            return answer_of(200, [rows.person(name) for name in PEOPLE if name == wanted])
        found = re.fullmatch(r"/projects/([^/]+)/(issues|merge_requests|statuses|repository/commits)(/.*|)", path)
        if not found or unquote(found[1]) not in (PROJECT, str(PROJECT_ID)):
            return None
        kind, rest = found[2], found[3]
        try:
            if kind in ("issues", "merge_requests"):
                return self._about_items(method, path, kind, rest, query, body)
            commit = re.fullmatch(r"/([0-9a-f]+)(/statuses)?", rest)
            if commit and method == "POST" and kind == "statuses" and not commit[2]:
                return self._status(commit[1], _object(body))
            if commit and method == "GET" and kind != "statuses" and commit[2]:
                return self._statuses_of(path, commit[1], query)
        except Refused as refused:
            return refused.answer
        return None

    def _about_items(
        self, method: str, path: str, kind: str, rest: str, query: Mapping[str, list[str]], body: bytes
    ) -> SimulatedAnswer | None:
        found = re.fullmatch(r"(?:/(\d+)(/notes)?)?", rest)
        if not found:
            return None
        if not found[1]:
            create = self._create_issue if kind == "issues" else self._create_request
            return create(_object(body)) if method == "POST" else None
        item = next((row for row in self._lists.rows[kind] if row["iid"] == int(found[1])), None)
        if item is None:
            raise Refused(404, "404 Not found")
        match method, found[2]:
            case "GET", None:
                return answer_of(200, item)
            case "PUT", None:
                return self._change(kind, item, _object(body))
            case "POST", "/notes":
                return self._note(kind, item, _object(body))
            case "GET", "/notes":
                given = {name: values[-1] for name, values in query.items()}
                notes = sorted(
                    self.notes.get((kind, item["iid"]), []),
                    key=lambda note: (note[given.get("order_by", "created_at")], note["id"]),
                    reverse=given.get("sort", "desc") == "desc",
                )
                return self._lists.page(path, notes, given)
        return None

    # Issues and merge requests

    def _create_issue(self, given: JSON) -> SimulatedAnswer:
        _check(given, _NEW_ISSUE)
        item = self._new("issues", given)
        item.update(rows.issue(item))
        item["issue_type"] = given.get("issue_type", "issue")
        item["labels"] = _split(given.get("labels", ""))
        item["assignees"] = self._people(given.get("assignee_ids", []))
        self.effects.append(f"issue {PROJECT}#{item['iid']}")
        return answer_of(201, item)

    def _create_request(self, given: JSON) -> SimulatedAnswer:
        _check(given, _NEW_REQUEST)
        for name in ("source_branch", "target_branch"):
            if given[name] not in BRANCHES:
                raise Refused(409, [f'{name.partition("_")[0].capitalize()} branch "{given[name]}" does not exist'])
        for row in self._lists.rows["merge_requests"]:
            same = all(row[name] == given[name] for name in ("source_branch", "target_branch"))
            if same and row["state"] == "opened":
                raise Refused(409, [f"Another open merge request already exists for this source branch: !{row['iid']}"])
        item = self._new("merge_requests", given)
        item.update(rows.merge_request(item, "0" * 40))
        item |= {name: given[name] for name in ("source_branch", "target_branch")}
        item["draft"] = item["title"].startswith("Draft: ")
        self.effects.append(f"merge request {PROJECT}!{item['iid']}")
        return answer_of(201, item)

    def _new(self, kind: str, given: JSON) -> JSON:
        listed = self._lists.rows[kind]
        item = rows.item(self._next_id(), len(listed) + 1, given["title"], OWNER, self._now(), kind)
        item["description"] = COMMANDS.sub("", given.get("description", ""))
        listed.append(item)
        return item

    def _change(self, kind: str, item: JSON, given: JSON) -> SimulatedAnswer:
        _check(given, _ISSUE if kind == "issues" else _REQUEST)
        if not given:
            raise Refused(400, "title, description, state_event are missing, at least one parameter must be provided")
        before = orjson.dumps(item)
        item |= {name: given[name] for name in ("title", "target_branch", "issue_type") if name in given}
        if "description" in given:
            item["description"] = COMMANDS.sub("", given["description"])
        added = [name for name in _split(given.get("add_labels", "")) if name not in item["labels"]]
        item["labels"] = [*item["labels"], *added]
        for field, role in (("assignee_ids", "assignees"), ("reviewer_ids", "reviewers")):
            if field in given:
                item[role] = self._people(given[field])
        self._turn(item, given.get("state_event"))
        if orjson.dumps(item) != before:
            item["updated_at"] = rows.api_time(self._now())
            self.effects.append(f"change of {kind} {item['iid']}")
        return answer_of(200, item)

    def _turn(self, item: JSON, event: str | None) -> None:
        if event == "close" and item["state"] == "opened":
            item |= {"state": "closed", "closed_at": rows.api_time(self._now()), "closed_by": rows.person(OWNER)}
        if event == "reopen" and item["state"] == "closed":
            item |= {"state": "opened", "closed_at": None, "closed_by": None}

    def _people(self, numbers: list[int]) -> list[JSON]:
        known = {rows.user(name)["id"]: rows.person(name) for name in PEOPLE}
        found = [known[number] for number in numbers if number in known]
        return found[:1] if self.keeps_one else found

    def _note(self, kind: str, item: JSON, given: JSON) -> SimulatedAnswer:
        _check(given, {"body!": _text})
        text = COMMANDS.sub("", given["body"].replace("\r", ""))
        if not text.strip():
            self.effects.append(f"commands on {kind} {item['iid']}")
            return answer_of(202, {"commands_changes": {"state_event": "close"}, "summary": ["Closed."]})
        if text != given["body"].replace("\r", ""):
            self.effects.append(f"commands on {kind} {item['iid']}")
        note = rows.note(item, self._next_id(), text, OWNER, self._now())
        self.notes.setdefault((kind, item["iid"]), []).append(note)
        self.effects.append(f"note {note['id']} on {kind} {item['iid']}")
        return answer_of(201, note)

    # Statuses

    def _status(self, commit: str, given: JSON) -> SimulatedAnswer:
        _check(given, _STATUS)
        if commit not in self.commits:
            raise Refused(404, "404 Commit Not Found")
        state, name, ref = given["state"], given.get("name", "default"), given.get("ref", "main")
        of_commit = self._statuses.setdefault(commit, [])
        same = [row for row in of_commit if (row["name"], row["ref"]) == (name, ref)]
        status = same[-1] if same and same[-1]["status"] not in _ENDED else None
        if status is not None and status["status"] == state:
            words = f"Cannot transition status via :{_TRANSITIONS[state]} from :{state}"
            raise Refused(400, {"message": words})
        before = {field: same[-1][field] for field in ("status", "target_url", "description")} if same else None
        moment = rows.api_time(self._now())
        if status is None:
            status = {"id": self._next_id(), "sha": commit, "ref": ref, "name": name, "created_at": moment}
            status |= {"started_at": None, "finished_at": None, "author": rows.person(OWNER)}
            of_commit.append(status)
        words_of = {field: given.get(field) for field in ("target_url", "description")}
        status |= {"status": state, **words_of, "finished_at": moment if state in _ENDED else None}
        # A row that says what the one before it said is another row, but nothing is different for it.
        if before != {"status": state, **words_of}:
            self.effects.append(f"status {name} of {commit}: {state}")
        return answer_of(201, status)

    def _statuses_of(self, path: str, commit: str, query: Mapping[str, list[str]]) -> SimulatedAnswer:
        given = {name: values[-1] for name, values in query.items()}
        found = [row for row in self._statuses.get(commit, []) if given.get("name", row["name"]) == row["name"]]
        found = [row for row in found if given.get("ref", row["ref"]) == row["ref"]]
        if given.get("all") != "true":
            found = list({(row["name"], row["ref"]): row for row in found}.values())
        return self._lists.page(path, found, given)


def _split(labels: str) -> list[str]:
    return [label.strip() for label in labels.split(",") if label.strip()]


def _object(body: bytes) -> JSON:
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        raise Refused(400, "The request body is not an object")
    return given


def _check(given: JSON, fields: Fields) -> None:
    known = {name.rstrip("!"): fits for name, fits in fields.items()}
    for name, value in given.items():
        if name not in known or not known[name](value):
            raise Refused(400, f"{name} is invalid")
    for name in (name.rstrip("!") for name in fields if name.endswith("!")):
        if name not in given:
            raise Refused(400, f"{name} is missing")
    if "title" in given and not given["title"].strip():
        raise Refused(400, {"title": ["can't be blank"]})
