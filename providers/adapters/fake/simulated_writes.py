"""What the simulated tracker does when it is asked to change something."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

# What a body may and must hold, by operation.
_ISSUE = {"project": True, "mark": True, "title": True, "body": False, "labels": False}
_CHANGE = {"title": False, "body": False, "state": False}
_COMMENT = {"id": True, "text": True}
_BUILD = {"project": True, "branch": True}


class Refused(Exception):
    """The answer to a write that cannot be."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status, self.error = status, error


class Writes:
    """Keeps what is made, and a line for each effect. New issues show in lists ``visible_after_seconds`` later."""

    def __init__(self, issues: dict[str, dict[str, Any]], create: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self.visible_after_seconds = 0.0
        self.effects: list[str] = []
        self._issues, self._create = issues, create
        self._hidden_until: dict[str, float] = {}
        self._comments: dict[str, dict[str, Any]] = {}

    def is_visible(self, key: str) -> bool:
        return self._hidden_until.get(key, 0.0) <= time.monotonic()

    def show_all(self) -> None:
        """Lists are up to date now."""
        self._hidden_until.clear()

    def write(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer. Raises ``Refused``."""
        match [method, *path.strip("/").split("/")]:
            case ["POST", "issues"]:
                return self._make_issue(_checked(body, _ISSUE))
            case ["PATCH", "issues", key]:
                return self._change(key, _checked(body, _CHANGE))
            case ["POST", "issues", key, "comments"]:
                return self._comment(key, _checked(body, _COMMENT))
            case ["POST", "builds"]:
                build = f"b{len(self.effects) + 1}"
                self.effects.append(f"build {build} of {_checked(body, _BUILD)['branch']}")
                return 201, {"build": build}
        raise Refused(404, "not found")

    def comment(self, identity: str) -> dict[str, Any]:
        """A comment by its id. Raises ``Refused``."""
        if identity not in self._comments:
            raise Refused(404, "there is no such comment")
        return self._comments[identity]

    def _make_issue(self, values: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        issue = self._create(values)
        self._hidden_until[issue["key"]] = time.monotonic() + self.visible_after_seconds
        self.effects.append(f"issue {issue['key']} {values['mark']}")
        return 201, issue

    def _change(self, key: str, values: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        issue = self._issue(key)
        if "state" in values and issue["state"] == values["state"]:
            raise Refused(409, "it has that state")
        if any(issue.get(name) != value for name, value in values.items()):
            issue |= values
            self.effects.append(f"change of {key}")
        return 200, issue

    def _comment(self, key: str, values: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self._issue(key)
        if values["id"] in self._comments:
            raise Refused(409, "there is a comment of that id")
        url = f"https://fake.example/issues/{key}#{values['id']}"
        self._comments[values["id"]] = {**values, "issue": key, "url": url}
        self.effects.append(f"comment {values['id']} on {key}")
        return 201, self._comments[values["id"]]

    def _issue(self, key: str) -> dict[str, Any]:
        if key not in self._issues:
            raise Refused(404, "there is no such issue")
        return self._issues[key]


def _checked(body: Any, fields: dict[str, bool]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Refused(400, "the body is no object")
    missing = [name for name, needed in fields.items() if needed and not body.get(name)]
    unknown = sorted(set(body) - set(fields))
    if missing or unknown:
        raise Refused(422, f"missing: {', '.join(missing) or 'nothing'}; unknown: {', '.join(unknown) or 'nothing'}")
    return body
