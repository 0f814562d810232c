"""How the simulated API filters, sorts and pages its lists; more awkward than documented wherever nothing is.

A batch of the feed that is full is not the last, even if nothing follows. The token of builds counts them. Requests
come by their number, whatever time filters them.
https://learn.microsoft.com/rest/api/azure/devops
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from providers.document import moment_of

JSON = dict[str, Any]
BATCH, BUILDS_A_PAGE, PULL_REQUESTS_A_PAGE, PUSHES_A_PAGE = 40, 50, 101, 100
_TOKEN = re.compile(r"([0-9]+);[0-9]+;[0-9]+", re.ASCII)
_LONG_TEXTS = ("System.Description", "System.History")


class Refused(Exception):
    def __init__(self, status: int, key: str, message: str) -> None:
        super().__init__(message)
        self.status, self.key = status, key


class Lists:
    """What there is, by project; every member is kept up by the world."""

    def __init__(self, project: JSON, repository: JSON) -> None:
        self._project, self._repository = project, repository
        self.revisions: list[JSON] = []
        self.builds: list[JSON] = []
        self.pull_requests: list[JSON] = []
        self.pushes: list[JSON] = []

    def answer(self, steps: list[str], query: dict[str, str]) -> tuple[JSON, dict[str, str]]:
        """Body and headers for the path below the organisation. Raises ``Refused``."""
        lists: dict[tuple[str, ...], Callable[[dict[str, str]], tuple[JSON, dict[str, str]]]] = {
            ("wit", "reporting", "workitemrevisions"): self._feed,
            ("build", "builds"): self._finished,
            ("git", "pullrequests"): self._requests,
        }
        project, apis, *rest = [*steps, "", ""]
        path = tuple(step for step in rest if step)
        if apis != "_apis" or not (path in lists or (len(path) == 4 and path[3] == "pushes")):
            raise Refused(404, "VS800075", "The page or project does not exist.")
        if query.get("api-version") != "7.1":
            raise Refused(400, "VssVersionNotSpecifiedException", "No api-version was supplied.")
        if project not in self._project.values():
            raise Refused(404, "ProjectDoesNotExistWithNameException", "TF200016: The project does not exist.")
        if path in lists:
            return lists[path](query)
        if path[2] not in (self._repository["id"], self._repository["name"]):
            raise Refused(404, "GitRepositoryNotFoundException", "TF401019: The repository does not exist.")
        return self._pushed(query)

    def _feed(self, query: dict[str, str]) -> tuple[JSON, dict[str, str]]:
        token, start = query.get("continuationToken"), query.get("startDateTime")
        known = _TOKEN.fullmatch(token) if token else None
        if (token and start) or (token and not known):
            raise Refused(400, "VssPropertyValidationException", "The watermark is not valid here.")
        after = int(known[1]) if known else 0
        since = moment_of(start)
        rows = [row for row in self.revisions if row["watermark"] > after]
        rows = [row for row in rows if since is None or _time(row["fields"]["System.ChangedDate"]) > since]
        size = min(int(query.get("$maxPageSize", BATCH)), BATCH)
        # What is left out was read too: the token goes past it.
        page, more = rows[:size], len(rows) >= size
        last = page[-1] if page else None
        given = f"{last['watermark']};{last['id']};{last['rev']}" if last else token or f"{len(self.revisions)};0;0"
        values = [_revision(row, query) for row in page if _shown(row, query)]
        return {"values": values, "nextLink": "-", "continuationToken": given, "isLastBatch": not more}, {}

    def _finished(self, query: dict[str, str]) -> tuple[JSON, dict[str, str]]:
        if (query.get("queryOrder"), query.get("statusFilter")) != ("finishTimeAscending", "completed"):
            raise Refused(400, "InvalidRequest", "This world knows only finished builds in the order of their end.")
        since, until = moment_of(query.get("minTime")), moment_of(query.get("maxTime"))
        rows = sorted(self.builds, key=lambda row: (row["finishTime"], row["id"]))
        rows = _between(rows, "finishTime", since, until)
        start = int(query.get("continuationToken", "0"))
        end = start + min(int(query.get("$top", "1000")), BUILDS_A_PAGE)
        page = rows[start:end]
        return {"count": len(page), "value": page}, {"x-ms-continuationtoken": str(end)} if end < len(rows) else {}

    def _requests(self, query: dict[str, str]) -> tuple[JSON, dict[str, str]]:
        criteria = _criteria(query)
        key = {"created": "creationDate", "closed": "closedDate"}[criteria.get("queryTimeRangeType", "created")]
        status = criteria.get("status", "active")
        rows = [row for row in self.pull_requests if status in ("all", row["status"]) and key in row]
        rows = _between(rows, key, moment_of(criteria.get("minTime")), moment_of(criteria.get("maxTime")))
        rows.sort(key=lambda row: row["pullRequestId"], reverse=True)
        return _page(rows, query, PULL_REQUESTS_A_PAGE, _listed_request)

    def _pushed(self, query: dict[str, str]) -> tuple[JSON, dict[str, str]]:
        criteria = _criteria(query)
        rows = _between(self.pushes, "date", moment_of(criteria.get("fromDate")), moment_of(criteria.get("toDate")))
        rows.sort(key=lambda row: (row["date"], row["pushId"]), reverse=True)
        left_out = {"commits"} if criteria.get("includeRefUpdates") == "true" else {"commits", "refUpdates"}
        return _page(rows, query, PUSHES_A_PAGE, lambda row: {k: v for k, v in row.items() if k not in left_out})


def _criteria(query: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix("searchCriteria."): value for name, value in query.items()}


def _page(
    rows: list[JSON], query: dict[str, str], largest: int, shown: Callable[[JSON], JSON]
) -> tuple[JSON, dict[str, str]]:
    start = int(query.get("$skip", "0"))
    page = [shown(row) for row in rows[start : start + min(int(query.get("$top", largest)), largest)]]
    return {"count": len(page), "value": page}, {}


def _between(rows: list[JSON], key: str, since: datetime | None, until: datetime | None) -> list[JSON]:
    return [
        row
        for row in rows
        if (since is None or _time(row[key]) >= since) and (until is None or _time(row[key]) <= until)
    ]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _shown(row: JSON, query: dict[str, str]) -> bool:
    return query.get("includeDeleted") == "true" or not row["fields"].get("System.IsDeleted")


def _revision(row: JSON, query: dict[str, str]) -> JSON:
    fields = dict(row["fields"])
    if query.get("$expand") != "fields":
        fields = {name: value for name, value in fields.items() if name not in _LONG_TEXTS}
    if query.get("includeIdentityRef") != "true":
        fields = {
            name: f"{value['displayName']} <{value['uniqueName']}>" if isinstance(value, dict) else value
            for name, value in fields.items()
        }
    return {"id": row["id"], "rev": row["rev"], "fields": fields}


def _listed_request(row: JSON) -> JSON:
    repository = {name: value for name, value in row["repository"].items() if name != "remoteUrl"}
    return {**row, "repository": repository, "description": row.get("description", "")[:400]}
