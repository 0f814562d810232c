"""What the simulated organisation lets be done with pull requests and commits of its repository.

https://learn.microsoft.com/rest/api/azure/devops/git
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from providers.adapters.azure_devops.simulated_lists import Refused

JSON = dict[str, Any]
Answer = tuple[int, Any]

_STATES = ("notSet", "pending", "succeeded", "failed", "error", "notApplicable")
_CREATE = {"sourceRefName", "targetRefName", "title", "description", "isDraft", "reviewers"}


class Code(Protocol):
    repository: JSON

    @property
    def pulls(self) -> list[JSON]: ...

    @property
    def commits(self) -> set[str]: ...

    @property
    def branches(self) -> set[str]: ...

    def now(self) -> str: ...

    def bot(self) -> JSON: ...

    def people(self) -> list[JSON]: ...


class PullWrites:
    def __init__(self, world: Code, made: list[str]) -> None:
        """``made`` gets a line for each thing made or changed."""
        self._world, self._made = world, made
        self._threads: dict[int, list[JSON]] = {}
        self._labels: dict[int, list[JSON]] = {}
        self._statuses: dict[str, list[JSON]] = {}

    def handler(self, method: str, repository: str, path: list[str]) -> Callable[[Any], Answer] | None:
        """What answers a request below a repository; it gets the query, or the body of a write."""
        answers = self._answers(method, path)
        own = self._world.repository
        if answers is not None and repository not in (own["id"], own["name"]):
            raise Refused(404, "GitRepositoryNotFoundException", "TF401019: The repository does not exist.")
        return answers

    def _answers(self, method: str, path: list[str]) -> Callable[[Any], Answer] | None:
        match method, path:
            case "POST", ["pullrequests"]:
                return self._create
            case "GET", ["pullrequests"]:
                return self._listed
            case "POST", ["commits", commit, "statuses"]:
                return lambda body: self._judge(commit, body)
            case "GET", ["pullRequests", number, "threads"]:
                return lambda _: _values(self._threads.get(self._pull(number)["pullRequestId"], []))
            case "POST", ["pullRequests", number, "threads"]:
                return lambda body: self._comment(self._pull(number), body)
            case "GET", ["pullRequests", number, "labels"]:
                return lambda _: _values(self._labels.get(self._pull(number)["pullRequestId"], []))
            case "POST", ["pullRequests", number, "labels"]:
                return lambda body: self._label(self._pull(number), body)
            case "GET", ["pullRequests", number, "reviewers"]:
                return lambda _: _values(self._pull(number)["reviewers"])
            case "PUT", ["pullRequests", number, "reviewers", who]:
                return lambda body: self._review(self._pull(number), who, body)
        return None

    def _pull(self, number: str) -> JSON:
        found = next((pull for pull in self._world.pulls if str(pull["pullRequestId"]) == number), None)
        if found is None:
            message = f"TF401180: The requested pull request {number} was not found."
            raise Refused(404, "GitPullRequestNotFoundException", message)
        return found

    def _listed(self, query: dict[str, str]) -> Answer:
        asked = {name.removeprefix("searchCriteria."): value for name, value in query.items()}
        rows = [
            pull
            for pull in reversed(self._world.pulls)
            if all(asked.get(name) in (None, pull[name]) for name in ("sourceRefName", "targetRefName"))
            and asked.get("status", "active") in ("all", pull["status"])
        ]
        start, size = int(query.get("$skip", "0")), int(query.get("$top", "101"))
        return _values(rows[start : start + size])

    def _create(self, body: Any) -> Answer:
        if not {"sourceRefName", "targetRefName", "title"} <= set(body) <= _CREATE:
            raise Refused(400, "InvalidArgumentValueException", "A required member is missing, or one is unknown.")
        branches = (body["sourceRefName"], body["targetRefName"])
        if unknown := [branch for branch in branches if branch not in self._world.branches]:
            message = f"TF401398: The pull request cannot be activated because {unknown[0]} does not exist."
            raise Refused(400, "GitPullRequestCannotBeActivated", message)
        if any((pull["sourceRefName"], pull["targetRefName"]) == branches for pull in self._active()):
            message = "TF401179: An active pull request for the source and target branch already exists."
            raise Refused(409, "GitPullRequestExistsException", message)
        if len(body.get("description", "")) > 4000:
            raise Refused(400, "InvalidArgumentValueException", "The description is too long.")
        pull = {
            "repository": self._world.repository,
            "pullRequestId": len(self._world.pulls) + 1,
            "status": "active",
            "createdBy": self._world.bot(),
            "creationDate": self._world.now(),
            "isDraft": False,
            **body,
            "reviewers": [self._reviewer(one["id"]) for one in body.get("reviewers", [])],
        }
        self._world.pulls.append(pull)
        self._made.append(f"pull request {pull['pullRequestId']}")
        return 201, pull

    def _active(self) -> list[JSON]:
        return [pull for pull in self._world.pulls if pull["status"] == "active"]

    def _comment(self, pull: JSON, body: Any) -> Answer:
        if set(body) != {"comments", "status", "properties"} or len(body["comments"]) != 1:
            raise Refused(400, "InvalidArgumentValueException", "A thread needs its comment.")
        [comment] = body["comments"]
        if set(comment) != {"parentCommentId", "content", "commentType"} or not comment["content"].strip():
            raise Refused(400, "InvalidArgumentValueException", "The comment has no content.")
        if any(set(value) != {"$type", "$value"} for value in body["properties"].values()):
            raise Refused(400, "VssPropertyValidationException", "A property needs its type and its value.")
        thread = self.add_thread(pull["pullRequestId"], comment["content"], self._world.bot(), body["properties"])
        self._made.append(f"thread {thread['id']} on {pull['pullRequestId']}")
        return 200, thread

    def add_thread(self, number: int, content: str, author: JSON, properties: JSON | None) -> JSON:
        """Somebody comments on a pull request."""
        moment, threads = self._world.now(), self._threads.setdefault(number, [])
        comment = {"id": 1, "author": author, "content": content, "publishedDate": moment, "commentType": "text"}
        thread = {"id": 700 + len(threads), "publishedDate": moment, "comments": [comment], "properties": properties}
        threads.append(thread)
        return thread

    def _label(self, pull: JSON, body: Any) -> Answer:
        if set(body) != {"name"} or not str(body["name"]).strip():
            raise Refused(400, "InvalidArgumentValueException", "The label needs a name.")
        labels = self._labels.setdefault(pull["pullRequestId"], [])
        found = next((label for label in labels if label["name"].casefold() == body["name"].casefold()), None)
        if found is None:
            found = {"id": f"label-{len(labels)}", "name": body["name"], "active": True}
            labels.append(found)
            self._made.append(f"label {body['name']} on {pull['pullRequestId']}")
        return 200, found

    def _review(self, pull: JSON, who: str, body: Any) -> Answer:
        if set(body) != {"vote"}:
            raise Refused(400, "InvalidArgumentValueException", "A reviewer has a vote.")
        reviewer = {**self._reviewer(who), "vote": body["vote"]}
        before = [one for one in pull["reviewers"] if one["id"] == reviewer["id"]]
        if before != [reviewer]:
            pull["reviewers"] = [*(one for one in pull["reviewers"] if one["id"] != reviewer["id"]), reviewer]
            self._made.append(f"reviewer {reviewer['displayName']} of {pull['pullRequestId']}")
        return 200, reviewer

    def _reviewer(self, who: str) -> JSON:
        found = next((person for person in self._world.people() if person["id"] == who), None)
        if found is None:
            raise Refused(400, "IdentityNotFoundException", f"TF401183: The identity {who} cannot be found.")
        return {**found, "vote": 0, "isRequired": False}

    def _judge(self, commit: str, body: Any) -> Answer:
        if commit not in self._world.commits:
            raise Refused(404, "GitUnresolvableToCommitException", f"TF401175: {commit} cannot be resolved.")
        if not {"state", "context"} <= set(body) <= {"state", "context", "description", "targetUrl"}:
            raise Refused(400, "InvalidArgumentValueException", "A status has a state and a context.")
        if body["state"] not in _STATES or not body["context"].get("name"):
            raise Refused(400, "InvalidArgumentValueException", "The state is unknown, or the context has no name.")
        statuses = self._statuses.setdefault(commit, [])
        newest = next((one for one in reversed(statuses) if one["context"] == body["context"]), {})
        if {name: newest.get(name) for name in body} != body:
            self._made.append(f"status {body['context']['name']} of {commit}")
        statuses.append({**body, "id": len(statuses) + 1, "createdBy": self._world.bot()})
        return 201, statuses[-1]


def _values(rows: list[JSON]) -> Answer:
    return 200, {"count": len(rows), "value": rows}
