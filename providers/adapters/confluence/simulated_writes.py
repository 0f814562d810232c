"""What the simulated site takes: pages and comments, as strictly as REST v2 does, and what can be read of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from xml.etree import ElementTree

import orjson

from providers.adapters.confluence.simulated_lists import JSON, SPACES, Refused, Wiki, listed, paged

BOT: Final = "712020:aino"
# Tags of the storage format that people and programs commonly write.
_TAGS: Final = frozenset(
    (
        *("p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "ul", "ol", "li", "hr", "br"),
        *("strong", "em", "del", "u", "code", "a", "table", "thead", "tbody", "tr", "th", "td"),
    )
)
_MACRO_TAGS: Final = frozenset({"structured-macro", "parameter", "plain-text-body", "link"})
_TITLE_TAKEN: Final = "A page with this title already exists: A page already exists with the same TITLE in this space"


class SimulatedWrites:
    """``now`` gives a time that never comes twice."""

    def __init__(self, wiki: Wiki, now: Callable[[], datetime]) -> None:
        self._wiki, self._now = wiki, now
        self.effects: list[str] = []

    def write(self, method: str, path: str, body: bytes) -> tuple[int, JSON] | None:
        """Status and body of the answer, or ``None`` where nothing is written there."""
        try:
            given = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise Refused(400, "Provided value is not JSON.") from None
        one = re.fullmatch(r"/api/v2/pages/([0-9]+)", path)
        match method, path:
            case "POST", "/api/v2/pages":
                return 200, self._create(given)
            case "POST", "/api/v2/footer-comments":
                return 201, self._comment(given)
            case "PUT", _ if one:
                return 200, self._change(self._content("page", one[1]), given)
        return None

    def read(self, path: str, query: dict[str, str]) -> JSON | None:
        """A page, its versions or comments; ``None`` where the request is about something else."""
        place = re.fullmatch(r"/api/v2/(pages|footer-comments)/([0-9]+)(/versions|/footer-comments|/children|)", path)
        if not place:
            return None
        whole = query.get("body-format") == "storage"
        content = self._content("page" if place[1] == "pages" else "comment", place[2])
        match place[1], place[3]:
            case "pages", "":
                return listed(content, whole=whole)
            case "pages", "/versions":
                versions = sorted(content["versions"], key=lambda v: v["createdAt"], reverse=True)
                return paged(path, versions, query) if query.get("sort") == "-modified-date" else None
            case ("pages", "/footer-comments") | ("footer-comments", "/children"):
                below = [c for c in self._wiki.current("comment") if _place_of(c) == (place[1], content["id"])]
                below.sort(key=lambda c: (c["created"], c["id"]), reverse=query.get("sort") == "-created-date")
                return paged(path, [listed(c, whole=whole) for c in below], query)
        return None

    def _content(self, kind: str, own: str) -> JSON:
        content = self._wiki.contents.get(own)
        if content is None or content["type"] != kind or content["space"] not in SPACES:
            raise Refused(404, f"Cannot find content <{own}>")
        return content

    def _create(self, given: JSON) -> JSON:
        space = next((key for key, number in SPACES.items() if number == given.get("spaceId")), None)
        if set(given) - {"spaceId", "status", "title", "parentId", "body"} or space is None:
            raise Refused(400, "The space does not exist, or a field is not known.")
        if "parentId" in given:
            self._content("page", given["parentId"])
        stored = kept_text(given)
        self._refuse_taken(space, given.get("title"))
        page = self._wiki.add("page", given["title"], space, BOT, self._now())
        page["body"] = stored
        self.effects.append(f"page {page['id']} {page['title']} in {space}")
        return listed(page, whole=True)

    def _change(self, page: JSON, given: JSON) -> JSON:
        version = given.get("version") or {}
        if set(given) != {"id", "status", "title", "body", "version"} or given["id"] != page["id"]:
            raise Refused(400, "id, status, title, body and version are needed, and nothing else.")
        stored = kept_text(given)
        if version.get("number") != page["version"] + 1:
            raise Refused(
                409, f"Version must be incremented when updating a page. Current Version: [{page['version']}]"
            )
        self._refuse_taken(page["space"], given["title"], but=page)
        self._wiki.change(page, BOT, self._now(), version.get("message", ""))
        page |= {"title": given["title"], "body": stored, "status": given["status"]}
        self.effects.append(f"version {page['version']} of page {page['id']}")
        return listed(page, whole=True)

    def _refuse_taken(self, space: str, title: Any, but: JSON | None = None) -> None:
        if not isinstance(title, str) or not title.strip() or len(title) > 255:
            raise Refused(400, "The title is missing or too long.")
        if any(c["title"] == title and c["space"] == space and c is not but for c in self._wiki.current("page")):
            raise Refused(400, _TITLE_TAKEN)

    def _comment(self, given: JSON) -> JSON:
        above = self._content("page", given["pageId"]) if "pageId" in given else None
        if above is None and "parentCommentId" in given:
            above = self._content("comment", given["parentCommentId"])
        if above is None or len(given) != 2:
            raise Refused(400, "A comment lies below one page or one comment, and has a body.")
        page = above["container"] or above["id"]
        comment = self._wiki.add("comment", f"Re: {above['title']}", above["space"], BOT, self._now(), page)
        comment |= {"body": kept_text(given), "parent": above["id"] if above["type"] == "comment" else ""}
        self.effects.append(f"comment {comment['id']} on {above['id']}")
        return listed(comment, whole=True)


def _place_of(comment: JSON) -> tuple[str, str]:
    """The list it is shown in: that of its page, or that of the comment it answers."""
    return ("footer-comments", comment["parent"]) if comment.get("parent") else ("pages", comment["container"])


def kept_text(given: JSON) -> str:
    """The text as it is kept; one that is no sound storage format is refused."""
    body = given.get("body") or {}
    if set(body) != {"representation", "value"} or body["representation"] != "storage":
        raise Refused(400, "The body has no representation and value.")
    text = f'<x xmlns:ac="ac" xmlns:ri="ri">{body["value"]}</x>'
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 (what this adapter itself has written)
    except ElementTree.ParseError as wrong:
        raise Refused(400, f"Error parsing xhtml: {wrong}") from None
    for element in root.iter():
        tag = element.tag.removeprefix("{ac}")
        if element is not root and tag not in (_MACRO_TAGS if tag != element.tag else _TAGS):
            raise Refused(400, f"Error parsing xhtml: unknown element {tag}")
    # Confluence adds ids of its own to what it keeps.
    return str(body["value"]).replace('ac:name="anchor"', 'ac:name="anchor" ac:schema-version="1" ac:macro-id="5b1c"')
