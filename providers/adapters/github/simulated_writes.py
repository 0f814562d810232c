"""What the simulated API makes and changes, and the lists in which that is looked for.

https://docs.github.com/en/rest/issues, https://docs.github.com/en/rest/pulls,
https://docs.github.com/en/rest/commits/statuses
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from providers.adapters.github.simulated_lists import OtherLists, page_of, review_comment
from providers.adapters.github.simulated_rows import OWNER, PEOPLE, Records, commit_of, end, text_of, user_of
from providers.simulation import SimulatedAnswer

BRANCHES: Final = ("main", "release", "topic", "topic-2")
TEAMS: Final = ("web", "security")
MAX_BODY: Final = 65_536
MOST_STATUSES: Final = 1000

JSON = dict[str, Any]
Handler = Callable[..., SimulatedAnswer]

_R = r"/repos/([\w.-]+/[\w.-]+)"
_STATES = ("open", "closed")
_REASONS = ("completed", "not_planned", "duplicate", "reopened")


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _one_of(*words: str) -> Callable[[Any], bool]:
    return lambda value: value in words


Fields = Mapping[str, Callable[[Any], bool]]
"""What a body may hold, those that it must marked with an exclamation mark."""

_ISSUE: Fields = {"title!": _text, "body": _text, "labels": _texts, "assignees": _texts, "type": _text}
_ISSUE_CHANGE: Fields = {
    "title": _text,
    "body": _text,
    "type": _text,
    "state": _one_of(*_STATES),
    "state_reason": _one_of(*_REASONS),
}
_PULL: Fields = {"title!": _text, "head!": _text, "base!": _text, "body": _text, "draft": _truth}
_PULL_CHANGE: Fields = {"title": _text, "body": _text, "base": _text, "state": _one_of(*_STATES)}
_STATUS: Fields = {
    "state!": _one_of("error", "failure", "pending", "success"),
    "context": _text,
    "description": _text,
    "target_url": _text,
}


class Refused(Exception):
    def __init__(self, status: int, message: str, error: JSON | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"message": message, **({"errors": [error]} if error else {})}


class SimulatedWrites:
    """``can_push``: whether the token's owner may push. Else labels, assignees and types are dropped silently."""

    def __init__(self, records: Records, lists: OtherLists) -> None:
        self._records = records
        self._lists = lists
        self._statuses: dict[tuple[str, str], list[JSON]] = {}
        self.can_push = True
        self.effects: list[str] = []
        self._routes: tuple[tuple[str, re.Pattern[str], Handler], ...] = (
            ("POST", re.compile(rf"{_R}/issues"), self._create_issue),
            ("PATCH", re.compile(rf"{_R}/issues/(\d+)"), self._change_issue),
            ("POST", re.compile(rf"{_R}/issues/(\d+)/comments"), self._comment),
            ("POST", re.compile(rf"{_R}/issues/(\d+)/labels"), self._label),
            ("POST", re.compile(rf"{_R}/issues/(\d+)/assignees"), self._assign),
            ("POST", re.compile(rf"{_R}/pulls"), self._create_pull),
            ("PATCH", re.compile(rf"{_R}/pulls/(\d+)"), self._change_pull),
            ("POST", re.compile(rf"{_R}/pulls/(\d+)/comments/(\d+)/replies"), self._reply),
            ("POST", re.compile(rf"{_R}/pulls/(\d+)/requested_reviewers"), self._ask),
            ("POST", re.compile(rf"{_R}/statuses/([0-9a-f]+)"), self._status),
            ("GET", re.compile(rf"{_R}/pulls"), self._pulls),
            ("GET", re.compile(rf"{_R}/pulls/(\d+)/comments"), self._replies),
            ("GET", re.compile(rf"{_R}/commits/([0-9a-f]+)/statuses"), self._statuses_of),
        )

    def handle(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> SimulatedAnswer | None:
        """The answer, or ``None`` where the request is about something else."""
        for verb, pattern, handler in self._routes:
            found = pattern.fullmatch(path)
            if verb != method or not found:
                continue
            if found[1] not in self._records.items:
                return _answer(404, {"message": "Not Found"})
            try:
                if method == "GET":
                    return handler(*found.groups(), path, {name: given[-1] for name, given in query.items()})
                return handler(*found.groups(), _object(body))
            except Refused as refused:
                return _answer(refused.status, refused.body)
        return None

    # Issues

    def _item(self, repository: str, number: str, *, pull_request: bool = False) -> JSON:
        item = self._records.items[repository].get(int(number))
        if item is None or (pull_request and "pull_request" not in item):
            raise Refused(404, "Not Found")
        return item

    def _create_issue(self, repository: str, given: JSON) -> SimulatedAnswer:
        _check("Issue", given, _ISSUE)
        item = self._records.create(
            repository,
            self._new_id(),
            given["title"],
            given.get("body", ""),
            OWNER,
            self._records.now(),
            pull_request=False,
        )
        self._add(item, given.get("labels", []), given.get("assignees", []))
        self._set_type(item, given)
        self.effects.append(f"issue {repository}#{item['number']}")
        return _answer(201, item)

    def _set_type(self, item: JSON, given: JSON) -> None:
        if self.can_push and "type" in given:
            item["type"] = {"id": 1, "name": given["type"]}

    def _change_issue(self, repository: str, number: str, given: JSON) -> SimulatedAnswer:
        _check("Issue", given, _ISSUE_CHANGE)
        item = self._item(repository, number)
        before = orjson.dumps(item)
        if given.get("state", item["state"]) != item["state"]:
            if given["state"] == "closed":
                end(item, OWNER, self._records.now())
            else:
                item |= {"state": "open", "closed_at": None, "closed_by": None}
            item["state_reason"] = given.get("state_reason", "completed" if given["state"] == "closed" else "reopened")
        item |= {name: given[name] for name in ("title", "body") if name in given}
        self._set_type(item, given)
        self._changed(before, item, f"change of {repository}#{number}")
        return _answer(200, item)

    def _comment(self, repository: str, number: str, given: JSON) -> SimulatedAnswer:
        _check("IssueComment", given, {"body!": _text})
        item = self._item(repository, number)
        made = self._records.comment(repository, item, self._new_id(), given["body"], OWNER, self._records.now())
        self.effects.append(f"comment {made['id']} on {repository}#{number}")
        return _answer(201, made)

    def _label(self, repository: str, number: str, given: JSON) -> SimulatedAnswer:
        _check("Label", given, {"labels!": _texts})
        item = self._item(repository, number)
        before = orjson.dumps(item)
        self._add(item, given["labels"], [])
        self._changed(before, item, f"labels of {repository}#{number}")
        return _answer(200, item["labels"])

    def _assign(self, repository: str, number: str, given: JSON) -> SimulatedAnswer:
        _check("Issue", given, {"assignees!": _texts})
        item = self._item(repository, number)
        before = orjson.dumps(item)
        self._add(item, [], given["assignees"])
        self._changed(before, item, f"assignees of {repository}#{number}")
        return _answer(201, item)

    def _add(self, item: JSON, labels: list[str], assignees: list[str]) -> None:
        if not self.can_push:
            return
        known = {label["name"].lower() for label in item["labels"]}
        item["labels"] += [{"name": name, "color": "ededed"} for name in labels if name.lower() not in known]
        there = {person["login"] for person in item["assignees"]}
        item["assignees"] += [user_of(login) for login in assignees if login in PEOPLE and login not in there]

    def _changed(self, before: bytes, item: JSON, what: str) -> None:
        if orjson.dumps(item) != before:
            item["updated_at"] = text_of(self._records.now())
            self.effects.append(what)

    # Pull requests

    def _create_pull(self, repository: str, given: JSON) -> SimulatedAnswer:
        _check("PullRequest", given, _PULL)
        owner, _, head = given["head"].rpartition(":")
        for field, branch in (("head", head), ("base", given["base"])):
            if branch not in BRANCHES:
                raise _invalid("PullRequest", field, "invalid")
        if any(self._is_open(repository, item, head, given["base"]) for item in self._pull_items(repository)):
            label = f"{owner or repository.partition('/')[0]}:{head}"
            raise _custom("PullRequest", f"A pull request already exists for {label}.")
        item = self._records.create(
            repository,
            self._new_id(),
            given["title"],
            given.get("body", ""),
            OWNER,
            self._records.now(),
            pull_request=True,
        )
        item["draft"] = given.get("draft", False)
        self._records.branches[repository, item["number"]] = (head, given["base"])
        self.effects.append(f"pull request {repository}#{item['number']}")
        return _answer(201, self._records.pull(repository, item))

    def _pull_items(self, repository: str) -> list[JSON]:
        return [item for item in self._records.items[repository].values() if "pull_request" in item]

    def _is_open(self, repository: str, item: JSON, head: str, base: str) -> bool:
        return item["state"] == "open" and self._records.branches_of(repository, item["number"]) == (head, base)

    def _change_pull(self, repository: str, number: str, given: JSON) -> SimulatedAnswer:
        _check("PullRequest", given, _PULL_CHANGE)
        item = self._item(repository, number, pull_request=True)
        before = orjson.dumps(self._records.pull(repository, item))
        if given.get("base", BRANCHES[0]) not in BRANCHES:
            raise _invalid("PullRequest", "base", "invalid")
        if given.get("state") == "open" and item["pull_request"]["merged_at"]:
            raise _custom("PullRequest", "state cannot be changed. The pull request is merged.")
        if given.get("state", item["state"]) != item["state"]:
            if given["state"] == "closed":
                end(item, OWNER, self._records.now())
            else:
                item |= {"state": "open", "closed_at": None, "closed_by": None}
        item |= {name: given[name] for name in ("title", "body") if name in given}
        head, base = self._records.branches_of(repository, item["number"])
        self._records.branches[repository, item["number"]] = (head, given.get("base", base))
        if orjson.dumps(self._records.pull(repository, item)) != before:
            item["updated_at"] = text_of(self._records.now())
            self.effects.append(f"change of pull request {repository}#{number}")
        return _answer(200, self._records.pull(repository, item))

    def _reply(self, repository: str, number: str, comment_id: str, given: JSON) -> SimulatedAnswer:
        _check("PullRequestReviewComment", given, {"body!": _text})
        item = self._item(repository, number, pull_request=True)
        known = {str(row["id"]) for row in self._lists.rows(repository, "pulls/comments")}
        if comment_id not in known:
            raise Refused(404, "Not Found")
        made = review_comment(self._new_id(), repository, item, user_of(OWNER), text_of(self._records.now()))
        made |= {"body": given["body"], "in_reply_to_id": int(comment_id)}
        self._lists.add(repository, "pulls/comments", made)
        self.effects.append(f"reply {made['id']} on {repository}#{number}")
        return _answer(201, made)

    def _ask(self, repository: str, number: str, given: JSON) -> SimulatedAnswer:
        _check("PullRequest", given, {"reviewers": _texts, "team_reviewers": _texts})
        item = self._item(repository, number, pull_request=True)
        people, teams = given.get("reviewers", []), given.get("team_reviewers", [])
        if item["user"]["login"] in people:
            raise Refused(422, "Review cannot be requested from pull request author.")
        if set(people) - set(PEOPLE) or set(teams) - set(TEAMS):
            raise Refused(422, "Reviews may only be requested from collaborators. One or more is not a collaborator.")
        asked_people, asked_teams = self._records.reviewers.setdefault((repository, item["number"]), ([], []))
        new = [name for name in people if name not in asked_people], [t for t in teams if t not in asked_teams]
        asked_people += new[0]
        asked_teams += new[1]
        if any(new):
            self.effects.append(f"reviewers of {repository}#{number}")
        return _answer(201, self._records.pull(repository, item))

    # Statuses

    def _status(self, repository: str, commit: str, given: JSON) -> SimulatedAnswer:
        _check("Status", given, _STATUS)
        if commit not in self._commits(repository):
            raise Refused(422, f"No commit found for SHA: {commit}")
        given = {"context": "default", "description": None, "target_url": None, **given}
        same = [row for row in self._statuses_for(repository, commit) if row["context"] == given["context"]]
        if len(same) >= MOST_STATUSES:
            raise _custom("Status", "This SHA and context has reached the maximum number of statuses.")
        moment = text_of(self._records.now())
        row = {"id": self._new_id(), **given, "creator": user_of(OWNER), "created_at": moment, "updated_at": moment}
        # A status that says what the newest of its context says is a row, but nothing is different for it.
        if not same or any(same[-1][name] != given[name] for name in given):
            self.effects.append(f"status {given['context']} of {commit}: {given['state']}")
        self._statuses_for(repository, commit).append(row)
        return _answer(201, row)

    def _statuses_for(self, repository: str, commit: str) -> list[JSON]:
        return self._statuses.setdefault((repository, commit), [])

    def _commits(self, repository: str) -> set[str]:
        pulls = {commit_of(repository, item["number"]) for item in self._pull_items(repository)}
        return {self._records.heads[repository], *pulls}

    # Lists

    def _pulls(self, repository: str, path: str, query: dict[str, str]) -> SimulatedAnswer:
        pulls = [self._records.pull(repository, item) for item in self._records.shown(self._pull_items(repository))]
        owner, _, head = query.get("head", "").rpartition(":")
        if head:
            ours = owner == repository.partition("/")[0]
            pulls = [pull for pull in pulls if ours and pull["head"]["ref"] == head]
        if "base" in query:
            pulls = [pull for pull in pulls if pull["base"]["ref"] == query["base"]]
        return self._page(path, pulls, query)

    def _replies(self, repository: str, number: str, path: str, query: dict[str, str]) -> SimulatedAnswer:
        self._item(repository, number, pull_request=True)
        rows = self._records.shown(self._lists.rows(repository, "pulls/comments"))
        ours = [row for row in rows if row["pull_request_url"].endswith(f"/{number}")]
        return self._page(path, ours, {"direction": "asc", **query})

    def _statuses_of(self, repository: str, commit: str, path: str, query: dict[str, str]) -> SimulatedAnswer:
        rows = self._records.shown(self._statuses_for(repository, commit))
        # The state of a status is no filter.
        return self._page(path, rows, {**query, "state": "all"})

    def _page(self, path: str, rows: list[JSON], query: dict[str, str]) -> SimulatedAnswer:
        chosen, headers = page_of(path, rows, query)
        return _answer(200, chosen, **headers)

    def _new_id(self) -> int:
        return self._records.next_id(through_api=True)


def _object(body: bytes) -> JSON:
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(400, "Problems parsing JSON") from None
    if not isinstance(given, dict):
        raise Refused(400, "Body should be a JSON object")
    return given


def _check(resource: str, given: JSON, fields: Fields) -> None:
    known = {name.rstrip("!"): fits for name, fits in fields.items()}
    for name, value in given.items():
        if name not in known or not known[name](value):
            raise _invalid(resource, name, "invalid")
    for name in (name.rstrip("!") for name in fields if name.endswith("!")):
        if not given.get(name):
            raise _invalid(resource, name, "missing_field")
    if len(given.get("body") or "") > MAX_BODY:
        raise _custom(resource, f"body is too long (maximum is {MAX_BODY} characters)")


def _invalid(resource: str, field: str, code: str) -> Refused:
    return Refused(422, "Validation Failed", {"resource": resource, "field": field, "code": code})


def _custom(resource: str, message: str) -> Refused:
    return Refused(422, "Validation Failed", {"resource": resource, "code": "custom", "message": message})


def _answer(status: int, body: Any, **headers: str) -> SimulatedAnswer:
    return SimulatedAnswer(status, {"content-type": "application/json; charset=utf-8", **headers}, orjson.dumps(body))
