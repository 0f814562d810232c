"""How the simulated API filters, sorts and pages its lists.

https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import orjson

from providers.document import moment_of

PAGE_DEFAULT, PAGE_MAX = 30, 100

JSON = dict[str, Any]


def page_of(path: str, rows: list[JSON], query: dict[str, str]) -> tuple[list[JSON], dict[str, str]]:
    """The rows of the page that is asked for, with its ``ETag`` and ``Link``."""
    since, state = moment_of(query.get("since")), query.get("state", "open")
    rows = [row for row in rows if since is None or datetime.fromisoformat(row["updated_at"]) >= since]
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


def etag(value: Any) -> str:
    return f'W/"{hashlib.sha256(orjson.dumps(value)).hexdigest()}"'


def _number(text: str | None, default: int, largest: int) -> int:
    return min(max(int(text), 1), largest) if text and text.isascii() and text.isdigit() else default
