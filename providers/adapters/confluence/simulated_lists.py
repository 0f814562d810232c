"""The simulated site: what there is, and how the search and the lists of it are answered.

The search is filtered by minutes, sorted by last change and cut into pages before what the account may not see is taken
out, so a page may be short or empty while more follow. Its cursor counts items, the least kind of all.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

JSON = dict[str, Any]
SITE = "https://sim.atlassian.example/wiki"
SPACES = {"ENG": "101", "OPS": "102"}
HIDDEN_SPACE = "SECRET"
_PAGE_MAX = 10
_CQL = re.compile(
    r'lastmodified >= now\("-([0-9]+)m"\) and type in \(([a-z, ]+)\)(?: and space in \(([^()]*)\))?'
    r" order by lastmodified asc",
    re.ASCII,
)


class Refused(Exception):
    """Status and text of a refusal."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Wiki:
    """Contents by id. ``moved`` is kept in milliseconds, as the API tells it."""

    def __init__(self) -> None:
        self.contents: dict[str, JSON] = {}
        self._made = 98000

    def add(self, kind: str, title: str, space: str, who: str, when: datetime, container: str = "") -> JSON:
        self._made += 1
        own = str(self._made)
        self.contents[own] = {
            "id": own,
            "type": kind,
            "status": "current",
            "title": title,
            "space": space,
            "container": container,
            "created": when,
            "creator": who,
            "changed": when,
            "editor": who,
            "version": 1,
            "body": f"<p>{title}</p>",
            "versions": [],
        }
        self._keep(self.contents[own], "")
        return self.contents[own]

    def change(self, content: JSON, who: str, when: datetime, message: str = "") -> None:
        content |= {"version": content["version"] + 1, "changed": when, "editor": who}
        self._keep(content, message)

    @staticmethod
    def _keep(content: JSON, message: str) -> None:
        content["versions"].append({**_version(content), "message": message, "minorEdit": False})

    def current(self, *kinds: str) -> list[JSON]:
        return [c for c in self.contents.values() if c["type"] in kinds and c["status"] == "current"]

    def search(self, query: dict[str, str], now: datetime) -> JSON:
        """https://developer.atlassian.com/cloud/confluence/rest/v1/api-group-search/"""
        asked = _CQL.fullmatch(query.get("cql", ""))
        if not asked:
            raise Refused(400, "Could not parse cql.")
        since = (now - timedelta(minutes=int(asked[1]))).replace(second=0, microsecond=0)
        kinds, spaces = asked[2].split(", "), re.findall(r'"([^"]*)"', asked[3] or "")
        if unknown := set(spaces) - SPACES.keys():
            raise Refused(400, f"No space {min(unknown)}.")
        found = [c for c in self.current(*kinds) if c["changed"] >= since and (not spaces or c["space"] in spaces)]
        found.sort(key=lambda content: (content["changed"], content["id"]))
        size, start = min(int(query.get("limit", "25")), _PAGE_MAX), _counted(query.get("cursor", ""))
        page = [self._result(c) for c in found[start : start + size] if c["space"] != HIDDEN_SPACE]
        links = {"base": SITE, "context": "/wiki"}
        if start + size < len(found):
            cursor = base64.b64encode(f"_f_{start + size}".encode()).decode()
            links["next"] = f"/rest/api/search?{urlencode({**query, 'next': 'true', 'cursor': cursor})}"
        return {"results": page, "limit": size, "size": len(page), "totalSize": len(found), "_links": links}

    def listed(self, kind: str, query: dict[str, str]) -> JSON:
        """https://developer.atlassian.com/cloud/confluence/rest/v2/api-group-page/#api-pages-get"""
        spaces = [number for number in query.get("space-id", "").split(",") if number]
        found = [
            c
            for c in self.contents.values()
            if c["type"] == kind and c["status"] == query.get("status", "current") and c["space"] != HIDDEN_SPACE
        ]
        found = [c for c in found if not spaces or SPACES[c["space"]] in spaces]
        newest_first = query.get("sort") == "-modified-date"
        found.sort(key=lambda content: (content["changed"], content["id"]), reverse=newest_first)
        whole = query.get("body-format") == "storage"
        return paged(f"/api/v2/{kind}s", [listed(c, whole=whole) for c in found], query)

    def spaces(self, query: dict[str, str]) -> JSON:
        """https://developer.atlassian.com/cloud/confluence/rest/v2/api-group-space/#api-spaces-get"""
        keys = [key for key in query.get("keys", "").split(",") if key]
        found = [{"id": number, "key": key} for key, number in SPACES.items() if not keys or key in keys]
        return {"results": found, "_links": {"base": SITE}}

    def _result(self, content: JSON) -> JSON:
        container = self.contents.get(content["container"])
        return {
            "content": {
                "id": content["id"],
                "type": content["type"],
                "status": content["status"],
                "title": content["title"],
                "space": {"id": int(SPACES[content["space"]]), "key": content["space"]},
                "version": {
                    "number": content["version"],
                    "when": _iso(content["changed"]),
                    "by": {"type": "known", "accountId": content["editor"]},
                    "minorEdit": False,
                },
                "history": {
                    "createdBy": {"type": "known", "accountId": content["creator"]},
                    "createdDate": _iso(content["created"]),
                },
                **(
                    {"container": {"id": container["id"], "type": container["type"], "title": container["title"]}}
                    if container
                    else {}
                ),
                "_links": {"webui": _path(content)},
            },
            "title": content["title"],
            "excerpt": f"{content['title']}, version {content['version']}",
            "url": _path(content),
            "lastModified": _iso(content["changed"]),
            "friendlyLastModified": "some time ago",
        }


def paged(path: str, found: list[JSON], query: dict[str, str]) -> JSON:
    """One page of a list of REST v2."""
    size, start = min(int(query.get("limit", "25")), _PAGE_MAX), _counted(query.get("cursor", ""))
    links = {"base": SITE}
    if start + size < len(found):
        cursor = base64.b64encode(f"_f_{start + size}".encode()).decode()
        # Neither the order nor the filter is in it.
        links["next"] = f"/wiki{path}?{urlencode({'limit': size, 'cursor': cursor})}"
    return {"results": found[start : start + size], "_links": links}


def listed(content: JSON, *, whole: bool = False) -> JSON:
    """A content as REST v2 shows it; ``whole``: with its text."""
    return {
        "id": content["id"],
        "status": content["status"],
        "title": content["title"],
        "spaceId": SPACES[content["space"]],
        "authorId": content["creator"],
        "createdAt": _iso(content["created"]),
        "version": _version(content),
        **({"body": {"storage": {"representation": "storage", "value": content["body"]}}} if whole else {}),
        "_links": {"base": SITE, "webui": _path(content)},
    }


def _version(content: JSON) -> JSON:
    return {"number": content["version"], "createdAt": _iso(content["changed"]), "authorId": content["editor"]}


def _path(content: JSON) -> str:
    if content["type"] == "comment":
        return f"/spaces/{content['space']}/pages/{content['container']}/Page?focusedCommentId={content['id']}"
    place = "blog" if content["type"] == "blogpost" else "pages"
    return f"/spaces/{content['space']}/{place}/{content['id']}/{content['title'].replace(' ', '+')}"


def _counted(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.b64decode(cursor, validate=True).decode().removeprefix("_f_"))
    except (binascii.Error, ValueError):
        raise Refused(400, "The cursor is not valid.") from None


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
