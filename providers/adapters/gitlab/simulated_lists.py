"""How the simulated API filters, sorts and pages its lists.

Rows are as the API shows them. A group's list holds what its projects have. Addresses of further pages are given below
``address``; without one they are relative, because a simulator does not know where it is served.

https://docs.gitlab.com/api/rest/#pagination, https://docs.gitlab.com/api/merge_requests/,
https://docs.gitlab.com/api/issues/, https://docs.gitlab.com/api/pipelines/, https://docs.gitlab.com/api/deployments/,
https://docs.gitlab.com/api/events/, https://docs.gitlab.com/api/releases/
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode

import orjson

from providers.document import moment_of
from providers.simulation import SimulatedAnswer

PAGE_DEFAULT, PAGE_MAX = 20, 100
_PATH = re.compile(r"/(projects|groups)/([^/]+)/([a-z_]+)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

JSON = dict[str, Any]


@dataclass(frozen=True)
class _List:
    """``orders``: fields it can be sorted by, the default first. ``order``: the direction without ``sort``."""

    orders: tuple[str, ...]
    of_groups: bool = False
    dated: bool = False
    """Whether it knows ``updated_after`` and ``updated_before``."""


_LISTS = {
    "merge_requests": _List(("created_at", "updated_at", "merged_at", "title"), of_groups=True, dated=True),
    "issues": _List(("created_at", "updated_at", "due_date", "title"), of_groups=True, dated=True),
    "pipelines": _List(("id", "status", "ref", "updated_at", "user_id"), dated=True),
    "deployments": _List(("id", "iid", "created_at", "updated_at", "ref"), dated=True),
    "events": _List(("id",)),
    "releases": _List(("released_at", "created_at")),
}


class Refused(Exception):
    """A parameter the API does not take."""


class SimulatedLists:
    """Answers below ``/projects/…`` and ``/groups/…`` for the ``places`` there are."""

    def __init__(self, places: Collection[str], *, address: str = "", page_max: int = PAGE_MAX) -> None:
        self._places = places
        self.address = address
        self.page_max = page_max
        self.rows: dict[str, list[JSON]] = {name: [] for name in _LISTS}
        self.hidden: set[int] = set()
        """Events the credential may not see; the API takes them out of a page after it has cut it."""

    def handle(self, method: str, path: str, query: Mapping[str, list[str]]) -> SimulatedAnswer | None:
        """The answer, or ``None`` where the request is about something else."""
        found = _PATH.fullmatch(path)
        rules = _LISTS.get(found[3]) if found else None
        if method != "GET" or not found or rules is None:
            return None
        place = f"{found[1]}/{found[2].replace('%2F', '/')}"
        if place not in self._places or (found[1] == "groups" and not rules.of_groups):
            return answer_of(404, {"message": f"404 {found[1].capitalize().removesuffix('s')} Not Found"})
        given = {name: values[-1] for name, values in query.items()}
        try:
            rows = _sorted(_filtered(self.rows[found[3]], found[3], rules, given), rules, given)
        except Refused as refused:
            return answer_of(400, {"error": str(refused)})
        return self.page(path, rows, given)

    def page(self, path: str, rows: list[JSON], given: dict[str, str]) -> SimulatedAnswer:
        """The page of these rows that is asked for."""
        size = min(_number(given.get("per_page"), PAGE_DEFAULT), PAGE_MAX, self.page_max)
        page = _number(given.get("page"), 1)
        last = max(1, -(-len(rows) // size))
        shown = [row for row in rows[(page - 1) * size : page * size] if row.get("id") not in self.hidden]
        relations = {"prev": page - 1} if page > 1 else {}
        relations |= {"next": page + 1} if page < last else {}
        relations |= {"first": 1, "last": last}
        link = (
            f'<{self.address}{path}?{urlencode({**given, "page": to})}>; rel="{name}"' for name, to in relations.items()
        )
        following = str(page + 1) if page < last else ""
        return answer_of(200, shown, **{"link": ", ".join(link), "x-next-page": following, "x-page": str(page)})


def _filtered(rows: list[JSON], name: str, rules: _List, given: dict[str, str]) -> list[JSON]:
    after, before = given.get("updated_after"), given.get("updated_before")
    if rules.dated and (after or before):
        if name == "deployments" and given.get("order_by") != "updated_at":
            raise Refused("`updated_at` filter and `updated_at` sorting must be paired")
        since, until = (_instant(value) if value else None for value in (after, before))
        rows = [row for row in rows if since is None or _at(row, "updated_at") >= since]
        rows = [row for row in rows if until is None or _at(row, "updated_at") <= until]
    if name == "events":
        # Whole days, and neither of the two days named.
        first, end = (_day(given[side]) if side in given else None for side in ("after", "before"))
        rows = [row for row in rows if first is None or _at(row, "created_at").date() > first]
        rows = [row for row in rows if end is None or _at(row, "created_at").date() < end]
    if name == "issues" and "confidential" in given:
        rows = [row for row in rows if str(row["confidential"]).lower() == given["confidential"]]
    for branch in ("source_branch", "target_branch"):
        if name == "merge_requests" and branch in given:
            rows = [row for row in rows if row[branch] == given[branch]]
    wanted = given.get("state", "all")
    return [row for row in rows if name not in ("merge_requests", "issues") or wanted in ("all", row["state"])]


def _sorted(rows: list[JSON], rules: _List, given: dict[str, str]) -> list[JSON]:
    order = given.get("order_by", rules.orders[0])
    # Lists sorted by nothing else do not look at the parameter.
    if order not in rules.orders:
        raise Refused("order_by does not have a valid value")
    default = "asc" if rules is _LISTS["deployments"] else "desc"
    return sorted(
        rows, key=lambda row: (row[order] or "", row.get("id", 0)), reverse=given.get("sort", default) == "desc"
    )


def _at(row: JSON, field: str) -> datetime:
    return datetime.fromisoformat(row[field])


def _instant(text: str) -> datetime:
    moment = moment_of(text)
    if moment is None:
        raise Refused("updated_after is invalid")
    return moment


def _day(text: str) -> date:
    if not _DATE.fullmatch(text):
        raise Refused("after is invalid")
    return date.fromisoformat(text)


def _number(text: str | None, default: int) -> int:
    return max(int(text), 1) if text and text.isascii() and text.isdigit() else default


def answer_of(status: int, body: Any, **headers: str) -> SimulatedAnswer:
    return SimulatedAnswer(status, {"content-type": "application/json", **headers}, orjson.dumps(body))
