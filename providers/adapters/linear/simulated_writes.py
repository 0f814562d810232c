"""What the simulated workspace lets be made and changed, and the things by id and name that writers look up.

Ids are chosen by who makes something, version 4 only; a second of the same id is refused.
https://linear.app/developers/graphql
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from graphql import GraphQLError

from providers.adapters.linear.simulated_directory import Directory
from providers.adapters.linear.simulated_lists import page

JSON = dict[str, Any]

_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class World(Protocol):
    """The workspace as writers need it; issues and comments are added to its own lists."""

    issues: list[JSON]
    comments: list[JSON]
    directory: Directory

    def row(self, issue: JSON) -> JSON:
        """The issue as queries see it."""
        ...

    def new_issue(self, team: JSON, given: JSON) -> JSON:
        """An issue in the first state, not listed yet."""
        ...

    def new_comment(self, issue: JSON, body: str) -> JSON: ...

    def change(self, issue: JSON, changed: JSON) -> None: ...


class Writes:
    """``made`` has a line for each thing made or changed. ``forbidden``: the credential may only read."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.made: list[str] = []
        self.forbidden = False

    def fields(self) -> Mapping[str, Callable[..., Any]]:
        """The fields of queries and mutations answered here."""
        return {
            "issue": lambda _, **asked: self._world.row(self._issue(asked["id"])),
            "comment": lambda _, **asked: self._comment(asked["id"]),
            "users": lambda _, **asked: _named(self._world.directory.people, **asked),
            "issueLabels": lambda _, **asked: _named(self._world.directory.labels, **asked),
            "issueCreate": lambda _, **given: self._create_issue(given["input"]),
            "issueUpdate": lambda _, **given: self._update_issue(given["id"], given["input"]),
            "commentCreate": lambda _, **given: self._create_comment(given["input"]),
        }

    def _create_issue(self, wanted: JSON) -> JSON:
        self._must_be_allowed()
        given = dict(wanted)
        own, team, title = given.pop("id", ""), given.pop("teamId"), given.pop("title", "")
        self._must_be_new(own, self._world.issues)
        found = next((one for one in self._world.directory.teams if one["id"] == team), None)
        if found is None:
            raise _missing("Team")
        if "stateId" in given:
            raise _refused("This world's issues begin in the first state")
        if not title.strip():
            raise _refused("title should not be empty")
        issue = self._world.new_issue(found, {"id": own, "title": title, **self._checked(given)})
        self._world.issues.append(issue)
        self.made.append(f"issue {issue['identifier']}")
        return {"success": True, "lastSyncId": len(self.made), "issue": self._world.row(issue)}

    def _update_issue(self, key: str, wanted: JSON) -> JSON:
        self._must_be_allowed()
        issue, given = self._issue(key), dict(wanted)
        if not given:
            raise _refused("Argument Validation Error")
        added, removed = given.pop("addedLabelIds", []), given.pop("removedLabelIds", [])
        if added or removed:
            there = [label for label in issue["labelIds"] if label not in removed]
            given["labelIds"] = list(dict.fromkeys([*there, *added]))
        changed = {name: value for name, value in self._checked(given).items() if issue.get(name) != value}
        if changed:
            self._world.change(issue, changed)
            self.made.append(f"{', '.join(sorted(changed))} of {issue['identifier']}")
        return {"success": True, "lastSyncId": len(self.made), "issue": self._world.row(issue)}

    def _create_comment(self, wanted: JSON) -> JSON:
        self._must_be_allowed()
        own, body = wanted.get("id", ""), wanted.get("body", "")
        self._must_be_new(own, self._world.comments)
        issue = self._issue(wanted.get("issueId", ""))
        if not body.strip():
            raise _refused("body should not be empty")
        comment = {**self._world.new_comment(issue, body), "id": own}
        if "parentId" in wanted:
            parent = self._comment(wanted["parentId"])
            if parent["issueId"] != issue["id"] or parent.get("parentId"):
                raise _refused("Parent comment is not a top level comment of the same issue")
            comment |= {"parentId": parent["id"], "parent": parent}
        self._world.comments.append(comment)
        self.made.append(f"comment {own} on {issue['identifier']}")
        return {"success": True, "lastSyncId": len(self.made), "comment": comment}

    def _must_be_allowed(self) -> None:
        if self.forbidden:
            raise _error("Invalid scope: `write` required", "FORBIDDEN", "forbidden")

    def _must_be_new(self, own: str, there: list[JSON]) -> None:
        if not _UUID4.fullmatch(own):
            raise _refused("id must be a UUID")
        if any(one["id"] == own for one in there):
            raise _refused("Entity with this id already exists")

    def _checked(self, given: JSON) -> JSON:
        """The fields of an issue; ids of nothing are refused."""
        named, changed = self._world.directory, dict(given)
        known = {
            "assigneeId": ("User", named.people),
            "stateId": ("WorkflowState", named.states),
            "labelIds": ("IssueLabel", named.labels),
        }
        for name, (kind, things) in known.items():
            wanted = given.get(name)
            if wanted is None:
                continue
            ids = {thing["id"] for thing in things}
            if not set(wanted if isinstance(wanted, list) else [wanted]) <= ids:
                raise _missing(kind)
        if not 0 <= given.get("priority", 0) <= 4:
            raise _refused("priority must not be greater than 4")
        if "parentId" in given:
            changed["parentId"] = self._issue(given["parentId"])["id"]
        return changed

    def _issue(self, key: str) -> JSON:
        found = next((one for one in self._world.issues if key in (one["id"], one["identifier"])), None)
        if found is None:
            raise _missing("Issue")
        return found

    def _comment(self, own: str) -> JSON:
        found = next((one for one in self._world.comments if one["id"] == own), None)
        if found is None:
            raise _missing("Comment")
        return found


def _named(rows: list[JSON], **asked: Any) -> JSON:
    chosen = asked.get("filter") or {}
    return page([row for row in rows if _fits(row, chosen)], **asked)


def _fits(row: Any, chosen: JSON) -> bool:
    """Whether a filter of comparators lets it pass."""
    for name, wanted in chosen.items():
        if name in ("and", "or"):
            judged = [_fits(row, one) for one in wanted]
            fits = all(judged) if name == "and" else any(judged)
        elif name == "null":
            fits = (row is None) == wanted
        elif name == "eq":
            fits = row == wanted
        elif name == "eqIgnoreCase":
            fits = isinstance(row, str) and row.casefold() == wanted.casefold()
        else:
            fits = _fits((row or {}).get(name), wanted)
        if not fits:
            return False
    return True


def _error(message: str, code: str, kind: str) -> GraphQLError:
    told = {"code": code, "type": kind, "userError": True, "userPresentableMessage": message}
    return GraphQLError(message, extensions=told)


def _refused(message: str) -> GraphQLError:
    return _error(message, "INPUT_ERROR", "invalid input")


def _missing(kind: str) -> GraphQLError:
    return _refused(f"Entity not found: {kind} - Could not find referenced {kind}.")
