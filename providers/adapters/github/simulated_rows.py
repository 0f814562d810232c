"""The issues, pull requests and comments of the simulated GitHub, as its API shows them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Final

REPOSITORIES: Final = ("acme/web", "acme/api")
PEOPLE: Final = ("zoe", "ravi", "mina", "olaf")
OWNER: Final = "acme-bot"
"""Whose the token is."""

JSON = dict[str, Any]

# Of an item, what its pull request shows as well.
_SHARED = ("number", "title", "body", "state", "user", "labels", "assignees", "milestone", "html_url", "draft")
_TIMES = ("created_at", "updated_at", "closed_at")


class Records:
    """What there is in all repositories. ``sha`` makes a new commit, ``now`` tells the time."""

    def __init__(self, sha: Callable[[], str], now: Callable[[], datetime]) -> None:
        self.now = now
        self.items: dict[str, dict[int, JSON]] = {name: {} for name in REPOSITORIES}
        self.comments: dict[str, list[JSON]] = {name: [] for name in REPOSITORIES}
        self.heads = {name: sha() for name in REPOSITORIES}
        self.branches: dict[tuple[str, int], tuple[str, str]] = {}
        """Head and base of the pull requests made through the API; the others have their own branch and main."""
        self.reviewers: dict[tuple[str, int], tuple[list[str], list[str]]] = {}
        self.lag = timedelta()
        """How long lists do not show yet what was made through the API."""
        self._made: dict[int, datetime] = {}
        self.last_id = 70_000

    def next_id(self, *, through_api: bool = False) -> int:
        self.last_id += 1
        if through_api:
            self._made[self.last_id] = self.now()
        return self.last_id

    def shown(self, rows: Iterable[JSON]) -> list[JSON]:
        """The rows a list has by now."""
        until = self.now() - self.lag
        return [row for row in rows if self._made.get(row["id"], until) <= until]

    def create(
        self, repository: str, row_id: int, title: str, body: str, author: str, moment: datetime, *, pull_request: bool
    ) -> JSON:
        number = len(self.items[repository]) + 1
        page = f"https://github.com/{repository}/{'pull' if pull_request else 'issues'}/{number}"
        item: JSON = {
            "id": row_id,
            "node_id": f"{'PR' if pull_request else 'I'}_{repository_id(repository)}_{number}",
            "number": number,
            "title": title,
            "body": body,
            "state": "open",
            "state_reason": None,
            "user": user_of(author),
            "labels": [],
            "assignees": [],
            "milestone": None,
            "comments": 0,
            "html_url": page,
            "repository_url": f"https://api.github.com/repos/{repository}",
            "created_at": text_of(moment),
            "updated_at": text_of(moment),
            "closed_at": None,
            "closed_by": None,
        }
        if pull_request:
            item |= {"draft": False, "pull_request": {"html_url": page, "merged_at": None}}
        self.items[repository][number] = item
        return item

    def comment(self, repository: str, item: JSON, row_id: int, body: str, author: str, moment: datetime) -> JSON:
        item["comments"] += 1
        item["updated_at"] = text_of(moment)
        comment = {
            "id": row_id,
            "node_id": f"IC_{row_id}",
            "body": body,
            "user": user_of(author),
            "html_url": f"{item['html_url']}#issuecomment-{row_id}",
            "issue_url": f"{item['repository_url']}/issues/{item['number']}",
            "created_at": text_of(moment),
            "updated_at": text_of(moment),
        }
        self.comments[repository].append(comment)
        return comment

    def pull(self, repository: str, item: JSON) -> JSON:
        """The pull request behind an item: another id, and what the list leaves out."""
        number = item["number"]
        own = {"id": repository_id(repository), "full_name": repository}
        merged_at = item["pull_request"]["merged_at"]
        head, base = self.branches_of(repository, number)
        people, teams = self.reviewers.get((repository, number), ([], []))
        return {
            "id": item["id"] + 1_000_000,
            "node_id": item["node_id"],
            **{name: item[name] for name in (*_SHARED, *_TIMES)},
            "merged_at": merged_at,
            "merged": bool(merged_at),
            "merged_by": item["closed_by"] if merged_at else None,
            "requested_reviewers": [user_of(login) for login in people],
            "requested_teams": [{"id": 300 + index, "slug": slug} for index, slug in enumerate(teams)],
            "head": {"ref": head, "sha": commit_of(repository, number), "repo": own},
            "base": {"ref": base, "sha": self.heads[repository], "repo": own},
        }

    def branches_of(self, repository: str, number: int) -> tuple[str, str]:
        return self.branches.get((repository, number), (f"feature-{number}", "main"))


def commit_of(repository: str, number: int) -> str:
    """Stable for the head of one pull request, so that everything about it names the same commit."""
    return hashlib.sha256(f"{repository}#{number}".encode()).hexdigest()[:40]


def end(item: JSON, sender: str, moment: datetime) -> None:
    at = text_of(moment)
    item |= {"state": "closed", "closed_at": at, "updated_at": at, "closed_by": user_of(sender)}


def repository_id(name: str) -> int:
    return 5000 + REPOSITORIES.index(name)


def user_of(login: str) -> JSON:
    return {"login": login, "id": 900 if login == OWNER else 100 + PEOPLE.index(login), "type": "User"}


def text_of(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
