"""The channels of the simulated workspace: what was posted, and how it is listed.

https://docs.slack.dev/reference/methods/conversations.history and conversations.replies. Times are compared as the
text they are, to the microsecond; a page may hold less than was asked for, and the cursor names the next message.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

_TS = re.compile(r"([0-9]{1,11})(?:\.([0-9]{1,6}))?", re.ASCII)
_PAGE_MAX = 15
_KEPT = 10_000

JSON = dict[str, Any]


class Refused(Exception):
    """The word for what is wrong with a request, and more about it for people."""

    def __init__(self, word: str, *messages: str) -> None:
        super().__init__(word)
        self.messages = messages


class Channels:
    """Messages by channel, oldest first; replies stand among them and name their thread.

    ``shown_until``: what was posted after this time the lists do not show yet.
    """

    shown_until = "99999999999"

    def __init__(self, *names: str) -> None:
        self._messages: dict[str, list[JSON]] = {name: [] for name in names}

    def __contains__(self, channel: str) -> bool:
        return channel in self._messages

    def post(self, channel: str, message: JSON) -> None:
        """Keep a message; a reply is counted where its thread begins."""
        messages = self._messages[channel]
        messages.append(message)
        del messages[:-_KEPT]
        first = self.find(channel, message.get("thread_ts", ""))
        if first is not None and first is not message:
            first |= {"thread_ts": first["ts"], "latest_reply": message["ts"]}
            first["reply_count"] = first.get("reply_count", 0) + 1

    def find(self, channel: str, ts: str) -> JSON | None:
        return next((message for message in self._messages[channel] if message["ts"] == ts), None)

    def latest(self, channel: str, count: int) -> list[JSON]:
        return self._messages[channel][-count:]

    def history(self, query: dict[str, str]) -> JSON:
        """Newest first; of threads only the beginning, and replies that were sent to the channel too."""
        shown = [
            message
            for message in self._of(query)
            if message.get("thread_ts", message["ts"]) == message["ts"] or message.get("subtype") == "thread_broadcast"
        ]
        found = [_shown(message, query) for message in reversed(shown) if _within(message, query)]
        return _page(found, query)

    def replies(self, query: dict[str, str]) -> JSON:
        """Oldest first; the first message stands on every page, whatever span is asked for."""
        thread = query.get("ts", "")
        first = next((message for message in self._of(query) if message["ts"] == thread), None)
        if first is None:
            raise Refused("thread_not_found")
        replies = [m for m in self._of(query) if m.get("thread_ts") == thread and m is not first and _within(m, query)]
        page = _page([_shown(message, query) for message in replies], query)
        return {**page, "messages": [_shown(first, query), *page["messages"]]}

    def _of(self, query: dict[str, str]) -> list[JSON]:
        if query.get("channel") not in self._messages:
            raise Refused("channel_not_found")
        until = _moment(self.shown_until)
        return [message for message in self._messages[query["channel"]] if _moment(message["ts"]) <= until]


def _shown(message: JSON, query: dict[str, str]) -> JSON:
    """Metadata is told to those who ask for it."""
    if query.get("include_all_metadata") in ("true", "1"):
        return message
    return {name: value for name, value in message.items() if name != "metadata"}


def _page(found: list[JSON], query: dict[str, str]) -> JSON:
    limit = query.get("limit", "100")
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= 999:
        raise Refused("invalid_limit")
    size, start = min(int(limit), _PAGE_MAX), _start(found, query.get("cursor", ""))
    page, rest = found[start : start + size], found[start + size :]
    if not rest:
        return {"ok": True, "messages": page, "has_more": False}
    cursor = base64.b64encode(f"next_ts:{rest[0]['ts'].replace('.', '')}".encode()).decode()
    return {"ok": True, "messages": page, "has_more": True, "response_metadata": {"next_cursor": cursor}}


def _start(found: list[JSON], cursor: str) -> int:
    if not cursor:
        return 0
    try:
        named = base64.b64decode(cursor, validate=True).decode().removeprefix("next_ts:")
    except (binascii.Error, UnicodeDecodeError):
        raise Refused("invalid_cursor") from None
    return next((at for at, message in enumerate(found) if message["ts"].replace(".", "") == named), len(found))


def _within(message: JSON, query: dict[str, str]) -> bool:
    ts, inclusive = _moment(message["ts"]), query.get("inclusive") in ("true", "1")
    oldest, latest = _moment(query.get("oldest", "0")), _moment(query.get("latest", "99999999999"))
    return oldest <= ts <= latest if inclusive else oldest < ts < latest


def _moment(ts: str) -> tuple[int, int]:
    found = _TS.fullmatch(ts)
    if not found:
        raise Refused("invalid_ts_oldest")
    return int(found[1]), int((found[2] or "").ljust(6, "0"))
