"""Pull-request deliveries of a chosen size, signed, each with an id of its own and a slightly different body.

The shape follows https://docs.github.com/en/webhooks/webhook-events-and-payloads#pull_request; all names are
invented. What differs stands at the end of the body, so that a sender signs the long beginning only once.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import random
import uuid
from typing import Any

PROVIDER = "github"
_API = "https://api.forge.example"
_AT = "2026-11-20T10:00:00Z"
WORDS = (
    "the", "door", "of", "inbox", "sticks", "when", "two", "deliveries", "arrive", "at", "once", "so", "hinge", "is",
    "replaced", "and", "lock", "checked", "before", "handle", "turns", "nothing", "changes", "for", "those", "who",
    "knock", "politely", "but", "late", "ones", "wait", "until", "a", "lamp", "beside", "gate", "shows", "green",
)  # fmt: skip
_USER_PARTS = (
    "followers", "following{/other_user}", "gists{/gist_id}", "starred{/owner}{/repo}", "subscriptions",
    "organizations", "repos", "events{/privacy}", "received_events",
)  # fmt: skip
_REPOSITORY_PARTS = (
    "forks", "keys{/key_id}", "collaborators{/collaborator}", "teams", "hooks", "issues/events{/number}", "events",
    "assignees{/user}", "branches{/branch}", "tags", "git/blobs{/sha}", "git/tags{/sha}", "git/refs{/sha}",
    "git/trees{/sha}", "statuses/{sha}", "languages", "stargazers", "contributors", "subscribers", "subscription",
    "commits{/sha}", "git/commits{/sha}", "comments{/number}", "issues/comments{/number}", "contents/{+path}",
    "compare/{base}...{head}", "merges", "{archive_format}{/ref}", "downloads", "issues{/number}",
    "pulls{/number}", "milestones{/number}", "notifications{?since,all,participating}", "labels{/name}",
    "releases{/id}", "deployments",
)  # fmt: skip


class SignedRequests:
    """Requests for one door, as ``(head, body parts)``; the secret signs as the provider would."""

    def __init__(self, path: str, secret: str, size: int, *, first: int = 1) -> None:
        self._path = path
        self._prefix, self._closing = _split_body(size)
        self._signed = hmac.new(secret.encode(), self._prefix, hashlib.sha256)
        self._numbers = itertools.count(first)

    def next(self) -> tuple[bytes, bytes, bytes]:
        """Head, the part of the body all have in common, and the part only this one has."""
        delivery = uuid.uuid4()
        ending = self._closing % (next(self._numbers), delivery.hex.encode())
        signature = self._signed.copy()
        signature.update(ending)
        head = _HEAD % (
            self._path.encode(),
            str(delivery).encode(),
            signature.hexdigest().encode(),
            len(self._prefix) + len(ending),
        )
        return head, self._prefix, ending


_HEAD = (
    b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: GitHub-Hookshot/0000000\r\nAccept: */*\r\n"
    b"Content-Type: application/json\r\nX-GitHub-Event: pull_request\r\nX-GitHub-Delivery: %s\r\n"
    b"X-GitHub-Hook-ID: 292430182\r\nX-GitHub-Hook-Installation-Target-ID: 79929171\r\n"
    b"X-GitHub-Hook-Installation-Target-Type: repository\r\nX-Hub-Signature-256: sha256=%s\r\n"
    b"Content-Length: %d\r\n\r\n"
)


def pull_request(size: int) -> dict[str, Any]:
    """A ``pull_request`` ``opened`` of ``size`` bytes as compact JSON, without its number."""
    detailed = size >= 20_000
    repository = _repository(detailed)
    payload: dict[str, Any] = {
        "action": "opened",
        "repository": repository if detailed else _repository(False),
        "sender": user("zoe", 21031067),
        "pull_request": {
            **_pull_request_links(),
            "id": 279147437,
            "state": "open",
            "locked": False,
            "title": "Replace the hinge of the inbox door",
            "user": user("zoe", 21031067),
            "body": "",
            "created_at": _AT,
            "updated_at": _AT,
            "closed_at": None,
            "merged_at": None,
            "merge_commit_sha": None,
            "assignees": [user("ada", 21031068)] if detailed else [],
            "requested_reviewers": [user("kim", 21031069)] if detailed else [],
            "labels": [{"id": 208045946, "name": "bug", "color": "f29513", "default": True}],
            "draft": False,
            "head": _side("fix-hinge", "ec26c3e57ca3a959ca5aad62de7213c562f8c821", repository if detailed else None),
            "base": _side("main", "f95f852bd8fca8fcc58a9a2d6c842781e32a215e", repository if detailed else None),
            "author_association": "MEMBER",
            "merged": False,
            "comments": 0,
            "commits": 1,
            "additions": 12,
            "deletions": 3,
            "changed_files": 2,
        },
    }
    missing = size - len(_compact(payload)) - _ENDING_LENGTH
    payload["pull_request"]["body"] = _text(max(missing, 0))
    return payload


_ENDING_LENGTH = 65


def _text(length: int) -> str:
    """Words in no order: text that repeats itself would be stored in next to nothing."""
    chosen = random.Random(length).choices(WORDS, k=length)  # noqa: S311 - the same text in every run
    return " ".join(chosen)[:length]


def _split_body(size: int) -> tuple[bytes, bytes]:
    """Every delivery tells of a pull request of its own: events of one and the same would wait for each other."""
    prefix = _compact(pull_request(size)).encode()[:-2]
    return prefix, b',"number":%d,"node_id":"PR_%s"}}'


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def user(login: str, number: int) -> dict[str, Any]:
    links = {f"{part.partition('{')[0]}_url": f"{_API}/users/{login}/{part}" for part in _USER_PARTS}
    return {
        "login": login,
        "id": number,
        "node_id": "MDQ6VXNlcjIxMDMxMDY3",
        "avatar_url": f"https://avatars.forge.example/u/{number}?v=4",
        "url": f"{_API}/users/{login}",
        "html_url": f"https://forge.example/{login}",
        **links,
        "type": "User",
        "site_admin": False,
    }


def _repository(detailed: bool) -> dict[str, Any]:
    name, url = "acme/inbox", f"{_API}/repos/acme/inbox"
    parts = _REPOSITORY_PARTS if detailed else _REPOSITORY_PARTS[:8]
    return {
        "id": 186853002,
        "node_id": "MDEwOlJlcG9zaXRvcnkxODY4NTMwMDI=",
        "name": "inbox",
        "full_name": name,
        "private": False,
        "owner": user("acme", 21031066),
        "html_url": f"https://forge.example/{name}",
        "description": "A door and what is behind it",
        "fork": False,
        "url": url,
        **{f"{part.partition('{')[0].replace('/', '_')}_url": f"{url}/{part}" for part in parts},
        "created_at": _AT,
        "updated_at": _AT,
        "pushed_at": _AT,
        "git_url": f"git://forge.example/{name}.git",
        "ssh_url": f"git@forge.example:{name}.git",
        "clone_url": f"https://forge.example/{name}.git",
        "homepage": None,
        "size": 120,
        "language": "Python",
        "has_issues": True,
        "forks_count": 1,
        "default_branch": "main",
    }


def _side(branch: str, sha: str, repository: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "label": f"acme:{branch}",
        "ref": branch,
        "sha": sha,
        "user": user("acme", 21031066),
        **({"repo": repository} if repository else {}),
    }


def _pull_request_links() -> dict[str, Any]:
    url, page = f"{_API}/repos/acme/inbox/pulls/42", "https://forge.example/acme/inbox/pull/42"
    return {
        "url": url,
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "commits_url": f"{url}/commits",
        "review_comments_url": f"{url}/comments",
        "statuses_url": f"{_API}/repos/acme/inbox/statuses/ec26c3e57ca3a959ca5aad62de7213c562f8c821",
    }
