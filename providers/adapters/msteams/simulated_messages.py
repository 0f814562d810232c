"""The channels and chats of the simulated organisation: what is posted there, and how it is listed.

https://learn.microsoft.com/en-us/graph/api/resources/chatmessage and the pages of its methods. A request that is not as
those pages say is refused, and so is HTML that Teams does not know.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from html.parser import HTMLParser
from typing import Any, Final

import orjson

from providers.document import moment_of
from providers.markdown import words

JSON = dict[str, Any]

_MAX_PAGE, _MAX_BYTES = 50, 28 * 1024
_TAGS: Final = frozenset(
    (
        *("p", "br", "div", "span", "strong", "em", "s", "a", "ul", "ol", "li", "blockquote", "pre", "code", "hr"),
        *("h1", "h2", "h3", "h4", "h5", "h6"),
    )
)
_EMPTY: Final = frozenset(("br", "hr"))
_FILTER = re.compile(r"lastModifiedDateTime gt (\S+)", re.ASCII)
_HIDDEN = re.compile("[\u200b\u200c\u200d\u2060]")


class Refused(Exception):
    """A request that fails, with Graph's word and a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Conversations:
    """Messages by the path of their list; answers in a thread have a list of their own.

    ``made`` has a line for each change. ``shown_until``: what was changed later no list shows yet.
    ``keeps_hidden``: whether characters nobody sees stay in a text.
    """

    def __init__(self, account: str, now: Callable[[], datetime], *paths: str) -> None:
        self._account, self._now = account, now
        self._lists: dict[str, list[JSON]] = {path: [] for path in paths}
        self.made: list[str] = []
        self.shown_until: datetime | None = None
        self.keeps_hidden = True

    def keep(self, path: str, own: str, author: str, content: str, created: datetime) -> JSON:
        """A new message in a list; its answers get a list of their own in a channel."""
        told = created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message: JSON = {
            "id": own,
            "etag": own,
            "messageType": "message",
            "replyToId": path.split("/")[-2] if path.endswith("/replies") else None,
            "createdDateTime": told,
            "lastModifiedDateTime": told,
            "lastEditedDateTime": None,
            "deletedDateTime": None,
            "from": {"user": {"id": author, "userIdentityType": "aadUser"}},
            "body": {"contentType": "html", "content": content},
            "webUrl": f"https://teams.example/l/message/{own}" if path.startswith("teams/") else None,
            "reactions": [],
        }
        self._lists[path].append(message)
        if path.startswith("teams/") and not path.endswith("/replies"):
            self._lists[f"{path}/{own}/replies"] = []
        return message

    def message(self, path: str, own: str) -> JSON:
        found = next((message for message in self._lists.get(path, ()) if message["id"] == own), None)
        if found is None:
            raise Refused(404, "NotFound", "Message does not exist.")
        return found

    # The API. ``path`` begins behind the version, with each step decoded.

    def answer(self, method: str, path: str, query: Mapping[str, str], body: bytes, base: str) -> tuple[int, JSON]:
        """Status and body. Raises ``Refused``."""
        if method == "GET":
            return 200, self._page(path, query, base)
        if method == "POST" and path in self._lists:
            return 201, self._post(path, body)
        where, _, own = path.removesuffix("/setReaction").rpartition("/")
        if method == "POST" and path.endswith("/setReaction"):
            self._react(where, own, body)
            return 204, {}
        if method == "PATCH" and where in self._lists:
            self._change(where, own, body)
            return 204, {}
        raise Refused(404, "NotFound", "Resource could not be discovered.")

    def _post(self, path: str, body: bytes) -> JSON:
        content, moment = self._content(body), self._now()
        own = str(max(int(moment.timestamp() * 1000), 1 + max((int(m["id"]) for m in self._lists[path]), default=0)))
        message = self.keep(path, own, self._account, content, moment)
        self.made.append(f"message {own} in {path}")
        return message

    def _change(self, path: str, own: str, body: bytes) -> None:
        message, content = self.message(path, own), self._content(body)
        if message["from"]["user"]["id"] != self._account:
            raise Refused(403, "Forbidden", "The message belongs to somebody else.")
        if words(content) == words(message["body"]["content"]):
            return
        told = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message |= {"body": {"contentType": "html", "content": content}}
        message |= {"lastModifiedDateTime": told, "lastEditedDateTime": told}
        self.made.append(f"edit of {own} in {path}")

    def _react(self, path: str, own: str, body: bytes) -> None:
        message, given = self.message(path, own), _read(body, ("reactionType",))
        reaction = given["reactionType"]
        if not isinstance(reaction, str) or not reaction or reaction.isascii():
            raise Refused(400, "BadRequest", "The reaction type is no Unicode character.")
        known = {(kept["reactionType"], kept["user"]["user"]["id"]) for kept in message["reactions"]}
        if (reaction, self._account) not in known:
            message["reactions"].append({"reactionType": reaction, "user": {"user": {"id": self._account}}})
            self.made.append(f"reaction {reaction} to {own} in {path}")

    def _content(self, body: bytes) -> str:
        given = _read(body, ("body",))["body"]
        if not isinstance(given, dict) or given.keys() != {"contentType", "content"} or given["contentType"] != "html":
            raise Refused(400, "BadRequest", "Invalid body.")
        content = given["content"]
        if not isinstance(content, str) or not content:
            raise Refused(400, "BadRequest", "Missing body content.")
        if len(content.encode()) > _MAX_BYTES:
            raise Refused(413, "RequestEntityTooLarge", "Request Entity Too Large.")
        _check_html(content)
        return content if self.keeps_hidden else _HIDDEN.sub("", content)

    def _page(self, path: str, query: Mapping[str, str], base: str) -> JSON:
        delta = path.endswith("/delta")
        path = path.removesuffix("/delta")
        if path not in self._lists:
            raise Refused(404, "NotFound", "Resource could not be discovered.")
        if "$skiptoken" in query:
            asked = orjson.loads(base64.urlsafe_b64decode(query["$skiptoken"]))
        else:
            asked = {"since": _since(query, threads=path.endswith("/replies")), "start": 0, "top": _top(query)}
        found = [message for message in reversed(self._lists[path]) if self._is_shown(message, asked["since"])]
        page, end = found[asked["start"] : asked["start"] + asked["top"]], asked["start"] + asked["top"]
        address = f"{base}/{path}{'/delta' if delta else ''}"
        if end < len(found):
            token = base64.urlsafe_b64encode(orjson.dumps({**asked, "start": end})).decode()
            return {"value": page, "@odata.nextLink": f"{address}?$skiptoken={token}"}
        return {"value": page, **({"@odata.deltaLink": f"{address}?$deltatoken=end"} if delta else {})}

    def _is_shown(self, message: JSON, since: str) -> bool:
        changed = moment_of(message["lastModifiedDateTime"])
        after = moment_of(since)
        if changed is None or (after is not None and changed <= after):
            return False
        return self.shown_until is None or changed <= self.shown_until


def _since(query: Mapping[str, str], *, threads: bool) -> str:
    given = query.get("$filter", "")
    if not given:
        return ""
    found = _FILTER.fullmatch(given)
    if found is None or threads or moment_of(found[1]) is None:
        raise Refused(400, "BadRequest", "The filter is not supported.")
    return found[1]


def _top(query: Mapping[str, str]) -> int:
    given = query.get("$top", "20")
    if not given.isdigit() or not 1 <= int(given) <= _MAX_PAGE:
        raise Refused(400, "BadRequest", "The limit of '50' for Top query has been exceeded.")
    return int(given)


def _read(body: bytes, names: Sequence[str]) -> JSON:
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(400, "BadRequest", "Unable to read JSON request payload.") from None
    if not isinstance(given, dict) or given.keys() != set(names):
        raise Refused(400, "BadRequest", "Invalid request body.")
    return given


def _check_html(content: str) -> None:
    reader = _Reader()
    reader.feed(content)
    reader.close()
    if reader.wrong or reader.open:
        raise Refused(400, "BadRequest", "The HTML of the body is not valid.")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        addresses = [value or "" for name, value in attrs if name == "href"]
        self.wrong |= tag not in _TAGS or len(addresses) != len(attrs)
        self.wrong |= not all(address.startswith(("https://", "http://", "mailto:")) for address in addresses)
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.wrong |= not self.open or self.open.pop() != tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.wrong |= tag not in _EMPTY or bool(attrs)
