"""Rows of the simulated GitLab: as its API shows them, and as its webhooks write them.

Both show one record, in different words: times in milliseconds or in whole seconds, people as objects or numbers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from providers.document import moment_of

PROJECT, PROJECT_ID, GROUP = "acme/web", 4101, "acme"
PEOPLE = ("zoe", "ravi", "mina", "olaf")
SITE = "https://gitlab.example.com"
WEB = f"{SITE}/{PROJECT}"

JSON = dict[str, Any]
_TIMES = ("created_at", "updated_at", "closed_at")
# What a webhook says of a merge request; when it was merged or closed is not among it.
_REQUEST_ATTRIBUTES = (
    *("id", "iid", "title", "description", "state", "draft", "created_at", "updated_at", "merge_commit_sha"),
    *("source_branch", "target_branch", "source_project_id", "target_project_id"),
)
_ISSUE_ATTRIBUTES = ("id", "iid", "title", "description", "state", *_TIMES, "confidential")


def user(username: str) -> JSON:
    return {"id": 100 + PEOPLE.index(username), "name": username.title(), "username": username, "email": "[REDACTED]"}


def person(username: str) -> JSON:
    """A user as the API shows one."""
    return {name: value for name, value in user(username).items() if name != "email"} | {
        "state": "active",
        "web_url": f"{SITE}/{username}",
    }


def project() -> JSON:
    return {
        "id": PROJECT_ID,
        "name": "web",
        "web_url": WEB,
        "path_with_namespace": PROJECT,
        "default_branch": "main",
    }


def api_time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def hook_time(text: str | None) -> str | None:
    moment = moment_of(text)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else None


def item(row_id: int, number: int, title: str, author: str, moment: datetime, part: str) -> JSON:
    """What merge requests and issues have in common."""
    sign = "!" if part == "merge_requests" else "#"
    return {
        "id": row_id,
        "iid": number,
        "project_id": PROJECT_ID,
        "title": title,
        "description": "It worked yesterday.",
        "state": "opened",
        "author": person(author),
        "assignees": [],
        "labels": [],
        "created_at": api_time(moment),
        "updated_at": api_time(moment),
        "closed_at": None,
        "closed_by": None,
        "web_url": f"{WEB}/-/{part}/{number}",
        "references": {"short": f"{sign}{number}", "relative": f"{sign}{number}", "full": f"{PROJECT}{sign}{number}"},
    }


def merge_request(common: JSON, sha: str) -> JSON:
    return {
        **common,
        "source_branch": f"feature-{common['iid']}",
        "target_branch": "main",
        "source_project_id": PROJECT_ID,
        "target_project_id": PROJECT_ID,
        "draft": False,
        "reviewers": [],
        "sha": sha,
        "merged_at": None,
        "merged_by": None,
        "merge_user": None,
        "merge_commit_sha": None,
        "squash_commit_sha": None,
    }


def issue(common: JSON) -> JSON:
    return {**common, "type": "ISSUE", "issue_type": "issue", "confidential": False}


def attributes(row: JSON) -> JSON:
    """``object_attributes`` of a webhook about the row."""
    is_request = "sha" in row
    names = _REQUEST_ATTRIBUTES if is_request else _ISSUE_ATTRIBUTES
    shown = {name: hook_time(row[name]) if name in _TIMES else row[name] for name in names}
    shown |= {"author_id": row["author"]["id"], "url": row["web_url"]}
    return {**shown, "last_commit": {"id": row["sha"]}} if is_request else {**shown, "type": "Issue"}


def labels(names: list[str]) -> list[JSON]:
    return [{"id": 31, "title": name, "type": "ProjectLabel"} for name in names]


def event(row_id: int, action: str, author: str, moment: datetime, **more: Any) -> JSON:
    return {
        "id": row_id,
        "project_id": PROJECT_ID,
        "action_name": action,
        "target_id": None,
        "target_iid": None,
        "target_type": None,
        "target_title": None,
        "author_id": user(author)["id"],
        "author": person(author),
        "author_username": author,
        "created_at": api_time(moment),
        **more,
    }


def note(row: JSON, note_id: int, body: str, author: str, moment: datetime) -> JSON:
    """A note as an event shows it."""
    return {
        "id": note_id,
        "type": None,
        "body": body,
        "author": person(author),
        "created_at": api_time(moment),
        "updated_at": api_time(moment),
        "system": False,
        "internal": False,
        "noteable_id": row["id"],
        "noteable_iid": row["iid"],
        "noteable_type": "MergeRequest" if "sha" in row else "Issue",
    }
