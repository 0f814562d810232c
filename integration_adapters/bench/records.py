"""What the polled API tells: a repository's issues and pull requests, each changed two seconds after the one before.

The shape follows https://docs.github.com/en/rest/issues/issues#list-repository-issues; all names are invented.
Every record was made long ago and changed once since, so that each is one event.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from integration_adapters.bench.payloads import WORDS, user

PROVIDER = "github"
REPOSITORY = "acme/inbox"
PATH = f"/repos/{REPOSITORY}/issues"
PER_PAGE = 100
RECORD_BYTES = 3_000
FIRST_CHANGE = datetime(2026, 1, 5, tzinfo=UTC)
BETWEEN_CHANGES = timedelta(seconds=2)
_CREATED = "2025-06-01T08:00:00Z"
_API, _SITE = f"https://api.forge.example/repos/{REPOSITORY}", f"https://forge.example/{REPOSITORY}"
_random = random.Random(3)  # noqa: S311 - the same records in every run


def rendered(number: int) -> list[bytes]:
    """The first ``number`` records as JSON texts of about 3 KB, in the order of their changes."""
    return [orjson.dumps(_record(index)) for index in range(number)]


def changed_at(index: int) -> datetime:
    return FIRST_CHANGE + index * BETWEEN_CHANGES


def _record(index: int) -> dict[str, Any]:
    number, moment = index + 1, f"{changed_at(index):%Y-%m-%dT%H:%M:%SZ}"
    is_pull_request, is_closed = index % 3 == 0, index % 2 == 0
    kind, page = ("PR", "pull") if is_pull_request else ("I", "issues")
    url = f"{_API}/issues/{number}"
    record: dict[str, Any] = {
        "url": url,
        "repository_url": _API,
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "html_url": f"{_SITE}/{page}/{number}",
        "id": 2_000_000_000 + number,
        "node_id": f"{kind}_kwDOBench{number:08}",
        "number": number,
        "title": _words(8),
        "user": user("zoe", 21031067),
        "labels": [{"id": 208045946, "name": "bug", "color": "f29513", "default": True}],
        "state": "closed" if is_closed else "open",
        "locked": False,
        "assignee": None,
        "milestone": None,
        "comments": index % 7,
        "created_at": _CREATED,
        "updated_at": moment,
        "closed_at": moment if is_closed else None,
        "author_association": "MEMBER",
        "active_lock_reason": None,
        "state_reason": "completed" if is_closed else None,
        "timeline_url": f"{url}/timeline",
        "reactions": {"url": f"{url}/reactions", "total_count": 0, "+1": 0, "-1": 0, "heart": 0, "eyes": 0},
    }
    if is_pull_request:
        place = f"{_API}/pulls/{number}"
        record |= {"draft": False, "pull_request": {"url": place, "html_url": f"{_SITE}/pull/{number}"}}
    record["body"] = _words((RECORD_BYTES - len(orjson.dumps(record))) // 5)
    return record


def _words(number: int) -> str:
    """Words in no order: text that repeats itself would be stored in next to nothing."""
    return " ".join(_random.choices(WORDS, k=number))
