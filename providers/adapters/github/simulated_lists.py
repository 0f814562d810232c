"""How the simulated API filters, sorts and pages its lists, and those beside issues and their comments.

https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson

from providers.document import moment_of

PAGE_DEFAULT, PAGE_MAX = 30, 100
MOST_FILTERED = 1000

JSON = dict[str, Any]


def page_of(path: str, rows: list[JSON], query: dict[str, str]) -> tuple[list[JSON], dict[str, str]]:
    """The rows of the page that is asked for, with its ``ETag`` and ``Link``."""
    since, state = moment_of(query.get("since")), query.get("state", "open")
    rows = [row for row in rows if since is None or datetime.fromisoformat(row["updated_at"]) >= since]
    rows = _created(rows, query.get("created", ""))
    rows = [row for row in rows if "state" not in row or state in ("all", row["state"])]
    key = "updated_at" if query.get("sort") == "updated" else "created_at"
    rows.sort(key=lambda row: (row[key], row["id"]), reverse=query.get("direction", "desc") == "desc")
    size, page = _number(query.get("per_page"), PAGE_DEFAULT, PAGE_MAX), _number(query.get("page"), 1, 10**6)
    last = max(1, -(-len(rows) // size))
    chosen = rows[(page - 1) * size : page * size]
    headers = {"etag": etag(chosen)}
    relations = {"next": page + 1, "last": last} if page < last else {}
    relations |= {"prev": page - 1, "first": 1} if page > 1 else {}
    if relations:
        link = (f'<{path}?{urlencode({**query, "page": to})}>; rel="{name}"' for name, to in relations.items())
        headers["link"] = ", ".join(link)
    return chosen, headers


class OtherLists:
    """Review comments, workflow runs and releases of each repository, as far as they were made."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], list[JSON]] = {}

    def add(self, repository: str, kind: str, row: JSON) -> None:
        self._rows.setdefault((repository, kind), []).append(row)

    def rows(self, repository: str, kind: str) -> list[JSON]:
        return list(self._rows.get((repository, kind), []))

    def handle(self, repository: str, kind: str, path: str, query: dict[str, str]) -> tuple[Any, dict[str, str]]:
        """The body and the headers of a page."""
        rows = self.rows(repository, kind)
        if kind != "actions/runs":
            return page_of(path, rows, query)
        wanted = query.get("status", "")
        chosen, headers = page_of(path, [row for row in rows if wanted in ("", row["status"])], query)
        return {"total_count": len(rows), "workflow_runs": chosen}, headers


def repository_of(own: int, name: str, moment: str) -> JSON:
    return {
        "id": own,
        "node_id": f"R_{own}",
        "name": name.partition("/")[2],
        "full_name": name,
        "private": True,
        "owner": {"login": "acme", "id": 10, "type": "Organization"},
        "html_url": f"https://github.com/{name}",
        "default_branch": "main",
        "updated_at": moment,
    }


def review_comment(own: int, repository: str, item: JSON, author: JSON, moment: str) -> JSON:
    return {
        "id": own,
        "node_id": f"PRRC_{own}",
        "body": "This could be shorter.",
        "path": "web/login.py",
        "user": author,
        "html_url": f"{item['html_url']}#discussion_r{own}",
        "pull_request_url": f"https://api.github.com/repos/{repository}/pulls/{item['number']}",
        "created_at": moment,
        "updated_at": moment,
    }


def workflow_run(own: int, repository: str, commit: str, name: str, title: str, moment: str) -> JSON:
    return {
        "id": own,
        "name": name,
        "display_title": title,
        "head_branch": "main",
        "head_sha": commit,
        "run_number": own % 1000,
        "run_attempt": 1,
        "html_url": f"https://github.com/{repository}/actions/runs/{own}",
        "pull_requests": [],
        "run_started_at": moment,
    }


def published_release(own: int, repository: str, author: JSON, moment: str) -> JSON:
    return {
        "id": own,
        "node_id": f"RE_{own}",
        "tag_name": f"v1.{own}",
        "name": f"Version 1.{own}",
        "draft": False,
        "prerelease": False,
        "author": author,
        "html_url": f"https://github.com/{repository}/releases/tag/v1.{own}",
        "created_at": moment,
        "updated_at": moment,
        "published_at": moment,
    }


def quota_headers(limit: int, used: int, now: datetime) -> dict[str, str]:
    reset = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return {
        "x-ratelimit-limit": str(limit),
        "x-ratelimit-remaining": str(limit - used),
        "x-ratelimit-used": str(used),
        "x-ratelimit-reset": str(int(reset.timestamp())),
        "x-ratelimit-resource": "core",
    }


def etag(value: Any) -> str:
    return f'W/"{hashlib.sha256(orjson.dumps(value)).hexdigest()}"'


def _created(rows: list[JSON], span: str) -> list[JSON]:
    """``>=A`` or ``A..B``, both ends included; of what is filtered so the newest thousand."""
    if not span:
        return rows
    since, _, until = (moment_of(part) for part in span.removeprefix(">=").partition(".."))
    times = [(datetime.fromisoformat(row["created_at"]), row) for row in rows]
    found = [(at, row) for at, row in times if (since is None or at >= since) and (until is None or at <= until)]
    return [row for _, row in sorted(found, key=lambda pair: pair[0], reverse=True)[:MOST_FILTERED]]


def _number(text: str | None, default: int, largest: int) -> int:
    return min(max(int(text), 1), largest) if text and text.isascii() and text.isdigit() else default
