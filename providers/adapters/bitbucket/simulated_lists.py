"""How the simulated API filters, sorts and pages its lists.

https://developer.atlassian.com/cloud/bitbucket/rest/intro/#pagination and #filtering: pages of ten unless asked for
more, ``next`` in the body, only open pull requests unless states are named. A query that is not understood is refused.
Addresses of further pages are given below ``address``; without one they are relative, because a simulator does not
know where it is served.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import orjson

from providers.simulation import SimulatedAnswer

PAGE_DEFAULT = 10
STATES = frozenset({"OPEN", "MERGED", "DECLINED", "SUPERSEDED"})
_PATH = re.compile(r"/2\.0/repositories/([^/]+/[^/]+)/(pullrequests|pullrequests/activity|pipelines/)")
_STATE = r'state = "[A-Z]+"'
_QUERY = re.compile(rf"updated_on (>=?) (\S+)(?: AND \(({_STATE}(?: OR {_STATE})*)\))?")
_OUT_OF = re.compile(
    rf'source\.branch\.name = "([^"]+)"(?: AND updated_on >= (\S+))? AND \(({_STATE}(?: OR {_STATE})*)\)'
)

JSON = dict[str, Any]


@dataclass(frozen=True)
class ListRules:
    """``sorts``: what it may be sorted by. Without any it is given newest first, by ``moment``."""

    moment: str
    page_max: int
    sorts: tuple[str, ...] = ()


LISTS = {
    "pullrequests": ListRules("updated_on", 50, ("updated_on", "-updated_on", "created_on", "-created_on", "id")),
    "pullrequests/activity": ListRules("", 50),
    "pipelines/": ListRules("created_on", 100, ("created_on", "-created_on")),
}


class Refused(Exception):
    """A parameter the API does not take."""


class SimulatedLists:
    """Answers below ``/repositories/…`` for the ``repositories`` there are. ``aliases``: ids that stand for a name."""

    def __init__(self, repositories: Collection[str], *, address: str = "", page_max: int = 100) -> None:
        self.address = address
        self.page_max = page_max
        self.aliases: dict[str, str] = {}
        self.rows: dict[str, dict[str, list[JSON]]] = {name: {part: [] for part in LISTS} for name in repositories}

    def handle(self, method: str, path: str, query: Mapping[str, list[str]]) -> SimulatedAnswer | None:
        """The answer, or ``None`` where the request is about something else. ``path`` is unquoted."""
        found = _PATH.fullmatch(path)
        if method != "GET" or not found:
            return None
        name = self.aliases.get(found[1], found[1])
        if name not in self.rows:
            return _error(404, f"Repository {found[1]} not found")
        rules = LISTS[found[2]]
        try:
            rows = _sorted(_filtered(self.rows[name][found[2]], found[2], query), rules, query)
            return self.page(path, rows, rules, query)
        except Refused as refused:
            return _error(400, str(refused))

    def page(self, path: str, rows: list[JSON], rules: ListRules, query: Mapping[str, list[str]]) -> SimulatedAnswer:
        asked, page = (
            int(query.get(name, [default])[-1]) for name, default in (("pagelen", PAGE_DEFAULT), ("page", 1))
        )
        if not 1 <= asked <= rules.page_max:
            raise Refused("Invalid pagelen")
        size = min(asked, self.page_max)
        body: JSON = {"pagelen": size, "page": page, "values": rows[(page - 1) * size : page * size]}
        if page * size < len(rows):
            following = urlencode({**query, "page": [page + 1]}, doseq=True)
            body["next"] = f"{self.address}{path.removeprefix('/2.0')}?{following}"
        return SimulatedAnswer(200, {"content-type": "application/json"}, orjson.dumps(body))


def _filtered(rows: list[JSON], part: str, query: Mapping[str, list[str]]) -> list[JSON]:
    asked = query.get("q", [""])[-1]
    if part != "pullrequests":
        if asked:
            raise Refused("This list takes no query.")
        return rows
    states = set(query.get("state", ["OPEN"]))
    if not states <= STATES:
        raise Refused("Invalid state")
    out_of = _OUT_OF.fullmatch(asked)
    if out_of:
        states &= set(re.findall(r'"([A-Z]+)"', out_of[3]))
        since = datetime.fromisoformat(out_of[2] or "0001-01-01T00:00:00+00:00")
        rows = [row for row in rows if row["source"]["branch"]["name"] == out_of[1] and _at(row) >= since]
    elif asked:
        found = _QUERY.fullmatch(asked)
        if not found:
            raise Refused("Invalid query")
        since = datetime.fromisoformat(found[2])
        rows = [row for row in rows if _at(row) > since or (found[1] == ">=" and _at(row) == since)]
        if found[3]:
            states &= set(re.findall(r'"([A-Z]+)"', found[3]))
    return [row for row in rows if row["state"] in states]


def _sorted(rows: list[JSON], rules: ListRules, query: Mapping[str, list[str]]) -> list[JSON]:
    sort = query.get("sort", [""])[-1]
    if sort and sort not in rules.sorts:
        raise Refused(f"Invalid sort attribute provided '{sort}'")
    if not rules.sorts:
        return sorted(rows, key=moment_of_entry, reverse=True)
    by = sort.removeprefix("-") or "created_on"
    return sorted(rows, key=lambda row: (row[by], row.get("id", 0)), reverse=sort.startswith("-"))


def moment_of_entry(entry: JSON) -> str:
    """Where an entry of the log stands: a comment by when it was written."""
    kind = next(name for name in ("comment", "approval", "changes_requested", "update") if name in entry)
    return str(entry[kind].get("created_on") or entry[kind].get("date"))


def _at(row: JSON) -> datetime:
    return datetime.fromisoformat(row["updated_on"])


def _error(status: int, message: str) -> SimulatedAnswer:
    body = orjson.dumps({"type": "error", "error": {"message": message}})
    return SimulatedAnswer(status, {"content-type": "application/json"}, body)
