"""What a simulated site takes: issues, comments, transitions and the like, as strictly as REST v3 does."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from providers.adapters.jira.simulated_document import is_document, length
from providers.adapters.jira.simulated_site import (
    BOT,
    PEOPLE,
    PROJECTS,
    SITE,
    STATUSES,
    Change,
    Issue,
    address_of,
    person_of,
    polled_issue,
    written_time,
)

ISSUE_PATH: Final = "/rest/api/3/issue"
ASSIGNABLE_PATH: Final = "/rest/api/3/user/assignable/search"
KINDS: Final = ("Bug", "Task", "Story")
PRIORITIES: Final = ("High", "Medium", "Low")
MAX_TEXT: Final = 32_767
# Transitions by the status they start from: id, name, and the status they lead to.
TRANSITIONS: Final = {
    "To Do": (("11", "Start progress", "In Progress"), ("21", "Reject", "Done")),
    "In Progress": (("31", "Stop progress", "To Do"), ("41", "Resolve", "Done")),
    "Done": (("51", "Reopen", "To Do"),),
}
_ONE: Final = re.compile(re.escape(ISSUE_PATH) + r"/([A-Z][A-Z0-9_]*-[0-9]+|[0-9]+)(/comment|/transitions|/assignee|)")
_NOT_ON_SCREEN: Final = "Field '{}' cannot be set. It is not on the appropriate screen, or unknown."

Answer = tuple[int, Any]


class SimulatedWrites:
    """``index_lag``: how long the search does not show an issue made here; all else shows it at once."""

    def __init__(self, issues: list[Issue], later: Callable[[], datetime], new_id: Callable[[], int]) -> None:
        self._issues, self._later, self._new_id = issues, later, new_id
        self.index_lag = timedelta()
        self.effects: list[str] = []

    def handle(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> Answer | None:
        """Status and body of the answer, or ``None`` where the request is about something else."""
        if (method, path) == ("GET", ASSIGNABLE_PATH):
            return self._assignable(query)
        one = _ONE.fullmatch(path)
        if not one and path != ISSUE_PATH:
            return None
        try:
            given = orjson.loads(body) if body else {}
        except orjson.JSONDecodeError:
            return _refused("There was an error parsing JSON.")
        if not one:
            return self._create(given) if method == "POST" else (405, None)
        issue = next((i for i in self._issues if one[1] in (i.key, str(i.issue_id))), None)
        if issue is None:
            return 404, _problem("Issue does not exist or you do not have permission to see it.")
        match method, one[2]:
            case "GET", "":
                return 200, polled_issue(issue, query.get("fields", [""])[0].split(","))
            case "PUT", "":
                return self._edit(issue, given)
            case "GET", "/comment":
                return self._comments(issue, query)
            case "POST", "/comment":
                return self._comment(issue, given)
            case "GET", "/transitions":
                return 200, {"transitions": [_transition(*each) for each in TRANSITIONS[issue.status]]}
            case "POST", "/transitions":
                return self._move(issue, given)
            case "PUT", "/assignee":
                return self._assign(issue, given)
        return 405, None

    def _create(self, given: Change) -> Answer:
        fields = given.get("fields")
        if not isinstance(fields, dict) or set(given) - {"fields", "properties"}:
            return _refused("The request body is not valid.")
        project, kind = fields.get("project") or {}, fields.get("issuetype") or {}
        key = project.get("key") or dict(enumerate(PROJECTS, 1)).get(int(project.get("id") or 0))
        wrong = self._wrong({name: value for name, value in fields.items() if name != "project"})
        if key not in PROJECTS:
            wrong["project"] = "Specify a valid project ID or key"
        if not kind:
            wrong["issuetype"] = "Specify an issue type"
        if "summary" not in fields:
            wrong["summary"] = "You must specify a summary of the issue."
        if wrong:
            return 400, _problem(**wrong)
        moment = self._later()
        issue = Issue(
            number=1 + sum(issue.project == key for issue in self._issues),
            project=str(key),
            issue_id=self._new_id(),
            summary=fields["summary"],
            description="",
            creator=BOT,
            kind=str(kind["name"]),
            priority=PRIORITIES[1],
            created=moment,
            updated=moment,
            properties={entry["key"]: entry["value"] for entry in given.get("properties", ())},
            indexed=moment + self.index_lag,
        )
        self._set(issue, fields)
        self._issues.append(issue)
        self.effects.append(f"issue {issue.key} {issue.summary}")
        return 201, address_of(issue, 3)

    def _edit(self, issue: Issue, given: Change) -> Answer:
        fields, update = given.get("fields", {}), given.get("update", {})
        added = [entry.get("add") for entry in update.get("labels", ())]
        wrong = self._wrong({**fields, **({"labels": added} if update else {})})
        if set(given) - {"fields", "update"} or set(update) - {"labels"} or not (fields or update):
            return _refused("The request body is not valid.")
        if wrong:
            return 400, _problem(**wrong)
        before = _kept(issue)
        self._set(issue, fields)
        issue.labels += [label for label in added if label not in issue.labels]
        self._changed(issue, before, "edited")
        return 204, None

    def _wrong(self, fields: Change) -> dict[str, str]:
        """What Jira says of each field that it does not take."""
        wrong: dict[str, str] = {}
        for name, value in fields.items():
            match name:
                case "summary":
                    ok = isinstance(value, str) and value.strip() and "\n" not in value and len(value) <= 255
                    message = "The summary is invalid because it is empty, too long or contains newline characters."
                case "description":
                    ok = is_document(value) and length(value) <= MAX_TEXT
                    message = "Operation value must be an Atlassian Document (see the Atlassian Document Format)"
                case "issuetype":
                    ok, message = value.get("name") in KINDS, "Specify a valid issue type"
                case "priority":
                    ok, message = value.get("name") in PRIORITIES, "The priority selected is invalid."
                case "labels":
                    ok = all(isinstance(label, str) and label and " " not in label for label in value)
                    message = "A label contains spaces which is invalid."
                case "assignee":
                    account = value.get("accountId")
                    ok, message = account in PEOPLE, f"User '{account}' cannot be assigned issues."
                case "parent":
                    ok = any(value in ({"key": issue.key}, {"id": str(issue.issue_id)}) for issue in self._issues)
                    message = "Could not find issue by id or key."
                case _:
                    ok, message = False, _NOT_ON_SCREEN.format(name)
            if not ok:
                wrong[name] = message
        return wrong

    @staticmethod
    def _set(issue: Issue, fields: Change) -> None:
        issue.summary = fields.get("summary", issue.summary)
        issue.document = fields.get("description", issue.document)
        issue.kind = fields.get("issuetype", {}).get("name", issue.kind)
        issue.priority = fields.get("priority", {}).get("name", issue.priority)
        issue.labels = list(fields.get("labels", issue.labels))
        issue.assignee = fields.get("assignee", {}).get("accountId", issue.assignee)
        parent = fields.get("parent", {})
        issue.parent = parent.get("key") or parent.get("id") or issue.parent

    def _changed(self, issue: Issue, before: tuple[Any, ...], what: str) -> None:
        if _kept(issue) != before:
            issue.updated = self._later()
            self.effects.append(f"{what} {issue.key}")

    def _comment(self, issue: Issue, given: Change) -> Answer:
        if set(given) - {"body", "properties", "visibility"} or not is_document(given.get("body")):
            return 400, _problem(comment="Comment body is not valid!")
        if length(given["body"]) > MAX_TEXT:
            return 400, _problem(comment=f"The entered text is too long. It exceeds the allowed limit of {MAX_TEXT}")
        issue.updated = self._later()
        comment_id, moment = str(self._new_id()), written_time(issue.updated)
        comment = {
            "self": f"{SITE}{ISSUE_PATH}/{issue.issue_id}/comment/{comment_id}",
            "id": comment_id,
            "author": person_of(BOT),
            "body": given["body"],
            "created": moment,
            "updated": moment,
        }
        issue.comments.append({**comment, "properties": given.get("properties", [])})
        self.effects.append(f"comment {comment_id} on {issue.key}")
        return 201, comment

    @staticmethod
    def _comments(issue: Issue, query: dict[str, list[str]]) -> Answer:
        asked = {name: values[0] for name, values in query.items()}
        if set(asked) - {"orderBy", "expand", "startAt", "maxResults"}:
            return _refused("Unknown parameter.")
        found = list(reversed(issue.comments)) if asked.get("orderBy") == "-created" else issue.comments
        start, size = int(asked.get("startAt", 0)), min(int(asked.get("maxResults", 50)), 100)
        hidden = () if asked.get("expand") == "properties" else ("properties",)
        shown = [{k: v for k, v in comment.items() if k not in hidden} for comment in found[start : start + size]]
        return 200, {"comments": shown, "startAt": start, "maxResults": size, "total": len(found)}

    def _move(self, issue: Issue, given: Change) -> Answer:
        wanted, fields = (given.get("transition") or {}).get("id"), given.get("fields", {})
        found = next((each for each in TRANSITIONS[issue.status] if each[0] == wanted), None)
        if found is None or set(given) - {"transition", "fields"}:
            return _refused(
                f"It seems that you have tried to perform a workflow operation ({wanted}) that is not valid."
            )
        if set(fields) - {"resolution"} or (fields and found[2] != "Done"):
            return 400, _problem(**{name: _NOT_ON_SCREEN.format(name) for name in fields})
        before = _kept(issue)
        issue.status, issue.resolved = found[2], found[2] == "Done"
        self._changed(issue, before, f"{found[1]}:")
        return 204, None

    def _assign(self, issue: Issue, given: Change) -> Answer:
        account = given.get("accountId")
        if set(given) != {"accountId"} or account not in PEOPLE:
            return 400, _problem(assignee=f"User '{account}' cannot be assigned issues.")
        before = _kept(issue)
        issue.assignee = account
        self._changed(issue, before, "assigned")
        return 204, None

    @staticmethod
    def _assignable(query: dict[str, list[str]]) -> Answer:
        asked = {name: values[0] for name, values in query.items()}
        if set(asked) - {"project", "query", "maxResults"} or asked.get("project") not in PROJECTS:
            return 404, _problem("No project could be found.")
        # E-mail addresses are searched and, as a rule, not shown.
        words = {account: f"{name} {name}@acme.example" for account, name in PEOPLE.items()}
        return 200, [person_of(a) for a, text in words.items() if asked.get("query", "").lower() in text.lower()]


def _kept(issue: Issue) -> tuple[Any, ...]:
    text = orjson.dumps(issue.document)
    said = (issue.summary, text, issue.kind, issue.priority, tuple(issue.labels), issue.assignee, issue.parent)
    return (*said, issue.status, issue.resolved)


def _transition(transition_id: str, name: str, status: str) -> Change:
    return {"id": transition_id, "name": name, "to": {"id": STATUSES[status][0], "name": status}}


def _refused(message: str) -> Answer:
    return 400, _problem(message)


def _problem(*messages: str, **errors: str) -> Change:
    return {"errorMessages": list(messages), "errors": errors}
