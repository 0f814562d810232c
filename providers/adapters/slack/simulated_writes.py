"""What the simulated workspace lets its app do: post, change what it posted, react.

https://docs.slack.dev/reference/methods/chat.postMessage, chat.update and reactions.add. Slack passes over arguments it
does not know; here they are refused, so that a slip of the pen is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from providers.adapters.slack.simulated_lists import Channels, Refused

JSON = dict[str, Any]

_MAX_TEXT: Final = 40_000
_MAX_REACTIONS: Final = 23
_EMOJI = re.compile(r"[a-z0-9_+'-]{1,100}(::skin-tone-[2-6])?", re.ASCII)
_EVENT_TYPE = re.compile(r"[A-Za-z0-9_.-]{1,255}", re.ASCII)
# Each argument with its type, and whether it must be given.
_POST: Final[Mapping[str, tuple[type, bool]]] = {
    "channel": (str, True),
    "text": (str, False),
    "thread_ts": (str, False),
    "metadata": (dict, False),
    "unfurl_links": (bool, False),
}
_UPDATE: Final[Mapping[str, tuple[type, bool]]] = {
    "channel": (str, True),
    "ts": (str, True),
    "text": (str, False),
    "parse": (str, False),
}
_REACT: Final[Mapping[str, tuple[type, bool]]] = {
    "channel": (str, True),
    "timestamp": (str, True),
    "name": (str, True),
}

SCOPES: Final = {"chat.postMessage": "chat:write", "chat.update": "chat:write", "reactions.add": "reactions:write"}


class Writes:
    """The methods that change something, for one app; ``made`` has a line for each change."""

    def __init__(self, channels: Channels, own: Callable[[], JSON]) -> None:
        """``own`` gives a new message of the app, with a time and without text."""
        self._channels, self._own = channels, own
        self.archived: set[str] = set()
        self.made: list[str] = []
        self.methods: Mapping[str, Callable[[Mapping[str, str], bytes], JSON]] = {
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "reactions.add": self._react,
        }

    def _post(self, headers: Mapping[str, str], body: bytes) -> JSON:
        given = _arguments(headers, body, _POST)
        channel, text, thread = given["channel"], _text(given), given.get("thread_ts", "")
        self._must_be_open(channel)
        if thread and self._channels.find(channel, thread) is None:
            raise Refused("thread_not_found")
        metadata = given.get("metadata")
        if metadata is not None and not _is_metadata(metadata):
            raise Refused("invalid_metadata_format")
        message = {**self._own(), "text": text, **({"thread_ts": thread} if thread else {})}
        self._channels.post(channel, {**message, **({"metadata": metadata} if metadata else {})})
        self.made.append(f"message {message['ts']} in {channel}" + (f" below {thread}" if thread else ""))
        return {"channel": channel, "ts": message["ts"], "message": message}

    def _update(self, headers: Mapping[str, str], body: bytes) -> JSON:
        given = _arguments(headers, body, _UPDATE)
        channel, ts, text = given["channel"], given["ts"], _text(given)
        message = self._message(channel, ts)
        if given.get("parse", "none") not in ("none", "full"):
            raise Refused("invalid_arguments")
        if message.get("app_id") != self._own()["app_id"]:
            raise Refused("cant_update_message")
        if message["text"] != text:
            message |= {"text": text, "edited": {"user": message["user"], "ts": self._own()["ts"]}}
            self.made.append(f"edit of {ts} in {channel}")
        return {"channel": channel, "ts": ts, "text": text}

    def _react(self, headers: Mapping[str, str], body: bytes) -> JSON:
        given = _arguments(headers, body, _REACT)
        channel, ts, name = given["channel"], given["timestamp"], given["name"]
        if not _EMOJI.fullmatch(name):
            raise Refused("invalid_name")
        message, user = self._message(channel, ts), self._own()["user"]
        reactions = message.setdefault("reactions", [])
        reaction = next((reaction for reaction in reactions if reaction["name"] == name), None)
        if reaction is not None and user in reaction["users"]:
            raise Refused("already_reacted")
        if reaction is None and len(reactions) >= _MAX_REACTIONS:
            raise Refused("too_many_emoji")
        if reaction is None:
            reactions.append({"name": name, "users": [user], "count": 1})
        else:
            reaction |= {"users": [*reaction["users"], user], "count": reaction["count"] + 1}
        self.made.append(f"reaction {name} to {ts} in {channel}")
        return {}

    def _must_be_open(self, channel: str) -> None:
        if channel not in self._channels:
            raise Refused("channel_not_found")
        if channel in self.archived:
            raise Refused("is_archived")

    def _message(self, channel: str, ts: str) -> JSON:
        self._must_be_open(channel)
        message = self._channels.find(channel, ts)
        if message is None:
            raise Refused("message_not_found")
        return message


def _arguments(headers: Mapping[str, str], body: bytes, known: Mapping[str, tuple[type, bool]]) -> JSON:
    if headers.get("content-type", "").partition(";")[0] != "application/json":
        raise Refused("invalid_post_type")
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused("invalid_json") from None
    if not isinstance(given, dict):
        raise Refused("json_not_object")
    wrong = [name for name, value in given.items() if name not in known or type(value) is not known[name][0]]
    missing = [name for name, (_, needed) in known.items() if needed and not given.get(name)]
    if wrong or missing:
        raise Refused("invalid_arguments", *(f"[ERROR] {name}: not as documented" for name in (*wrong, *missing)))
    return given


def _text(given: JSON) -> str:
    text: str = given.get("text", "")
    if not text.strip():
        raise Refused("no_text")
    if len(text) > _MAX_TEXT:
        raise Refused("msg_too_long")
    return text


def _is_metadata(metadata: JSON) -> bool:
    kind, payload = metadata.get("event_type"), metadata.get("event_payload")
    return isinstance(kind, str) and _EVENT_TYPE.fullmatch(kind) is not None and isinstance(payload, dict)
