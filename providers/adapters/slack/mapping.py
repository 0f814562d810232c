"""From Slack's payloads to signals: where each part stands, for each kind of happening.

A message is named by its ``ts``, a decimal time kept as text: as a number it would lose its last digits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from providers.adapters.slack.mapping_rules import MENTION, MESSAGE, POSTED
from providers.adapters.slack.mrkdwn import plain
from providers.canonical import JSON, Signal, SignalType
from providers.document import Document, compact

_ID_LENGTH: Final = 60
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TS = re.compile(r"([0-9]{9,11})\.([0-9]{1,6})", re.ASCII)

_CHANNEL: Final = (
    *("/event/channel/id", "/event/channel", "/event/channel_id", "/event/item/channel"),
    *("/channel/id", "/container/channel_id", "/channel_id"),
)
_CHANNEL_NAME: Final = ("/event/channel/name", "/channel/name", "/channel_name")
_WORKSPACE: Final = ("/team_id", "/team/id")
_ACTOR: Final = ("/event/user", "/event/user_id", "/event/user/id", "/user/id", "/user_id", "/event/bot_id")
_KINDS: Final = {
    "channel": "channel",
    "group": "private_channel",
    "mpim": "group",
    "im": "direct",
    # Events about members write the kind as the first letter of the channel's id.
    "C": "channel",
    "G": "private_channel",
    "D": "direct",
}

_POSTED: Final = {"message_id": ("/event/ts",), "thread_id": ("/event/thread_ts",), "body": ("/event/text",)}
_REACTION: Final = {
    "message_id": ("/event/item/ts",),
    "reaction": ("/event/reaction",),
    "author": ("/event/item_user",),
}
_PIN: Final = {
    "message_id": ("/event/item/message/ts",),
    "thread_id": ("/event/item/message/thread_ts",),
    "body": ("/event/item/message/text",),
    "url": ("/event/item/message/permalink",),
}
_CHANNEL_ITSELF: Final = {"name": _CHANNEL_NAME}
_MEMBER: Final = {"member": ("/event/user",)}

# Fields of a signal type beyond its channel, and where they stand.
_PARTS: Final[Mapping[SignalType, Mapping[str, tuple[str, ...]]]] = {
    SignalType.CHAT_MESSAGE: _POSTED,
    SignalType.CHAT_MENTION: _POSTED,
    SignalType.CHAT_MESSAGE_UPDATED: {
        "message_id": ("/event/message/ts", "/event/previous_message/ts"),
        "thread_id": ("/event/message/thread_ts",),
        "body": ("/event/message/text",),
        "previous_body": ("/event/previous_message/text",),
    },
    SignalType.CHAT_MESSAGE_DELETED: {
        "message_id": ("/event/deleted_ts", "/event/previous_message/ts", "/event/message/ts"),
        "thread_id": ("/event/previous_message/thread_ts",),
        "previous_body": ("/event/previous_message/text",),
    },
    SignalType.CHAT_MESSAGE_PINNED: _PIN,
    SignalType.CHAT_MESSAGE_UNPINNED: _PIN,
    SignalType.CHAT_REACTION_ADDED: _REACTION,
    SignalType.CHAT_REACTION_REMOVED: _REACTION,
    SignalType.CHAT_LINK_SHARED: {
        "message_id": ("/event/message_ts",),
        "thread_id": ("/event/thread_ts",),
        "linked_to": ("/event/links/0/url",),
    },
    SignalType.CHAT_COMMAND: {"command": ("/command",), "body": ("/text",)},
    SignalType.CHAT_ACTION: {
        "component": ("/actions/0/action_id", "/view/callback_id"),
        "message_id": ("/container/message_ts", "/message/ts"),
        "thread_id": ("/container/thread_ts", "/message/thread_ts"),
    },
    SignalType.CHANNEL_CREATED: _CHANNEL_ITSELF,
    SignalType.CHANNEL_RENAMED: _CHANNEL_ITSELF,
    SignalType.CHANNEL_MEMBER_JOINED: _MEMBER,
    SignalType.CHANNEL_MEMBER_LEFT: _MEMBER,
    SignalType.USER_JOINED: {"member": ("/event/user/id",), "name": ("/event/user/real_name", "/event/user/name")},
}
_TEXTS: Final = {"body", "previous_body"}
# Who did it, where that is not the event's user.
_ACTORS: Final[Mapping[SignalType, tuple[str, ...]]] = {
    SignalType.CHAT_MESSAGE_UPDATED: ("/event/message/edited/user",),
    SignalType.CHAT_MESSAGE_DELETED: (),
    SignalType.CHANNEL_CREATED: ("/event/channel/creator",),
    SignalType.CHANNEL_RENAMED: (),
}
_TIMES: Final = ("/event/event_ts", "/event/ts", "/actions/0/action_ts")


def signal(signal_type: SignalType, payload: JSON) -> Signal:
    """One stored payload as a signal."""
    body = Document(payload)
    channel, message = place(signal_type, body)
    fields = {
        **_fields(signal_type, body, message),
        "channel": channel,
        "channel_name": body.text(*_CHANNEL_NAME),
        "channel_kind": _kind(body, channel),
    }
    return Signal(
        signal_type=signal_type,
        occurred_at=occurred_at(body),
        actor_id=body.text(*_ACTORS.get(signal_type, _ACTOR), limit=_ID_LENGTH),
        canonical_keys=compact(
            {
                "workspace_id": body.text(*_WORKSPACE, limit=_ID_LENGTH),
                "channel_id": channel,
                "message_id": message,
                "file_id": body.text("/event/file_id", limit=_ID_LENGTH),
            }
        ),
        fields={name: value for name, value in compact(fields).items() if name in signal_type.fields},
        attributes=_attributes(body),
    )


def place(signal_type: SignalType | None, body: Document) -> tuple[str | None, str | None]:
    """Channel and message a happening is about, as far as the body names them."""
    pointers = _PARTS.get(signal_type, {}).get("message_id", ()) if signal_type else ()
    return body.text(*_CHANNEL, limit=_ID_LENGTH), body.text(*pointers, limit=_ID_LENGTH)


def workspace(body: Document) -> str:
    return body.text(*_WORKSPACE, limit=_ID_LENGTH) or ""


def occurred_at(body: Document) -> datetime | None:
    """Slack's time of the happening, to the microsecond; a command brings none."""
    found = (moment(body.text(pointer)) for pointer in _TIMES)
    return next(filter(None, found), None) or body.time("/event_time")


def moment(ts: Any) -> datetime | None:
    """The time a ``ts`` stands for, to the microsecond; a number is none, since it has lost digits."""
    found = _TS.fullmatch(ts) if isinstance(ts, str) else None
    if not found:
        return None
    return datetime.fromtimestamp(int(found[1]), tz=UTC).replace(microsecond=int(found[2].ljust(6, "0")))


def ts_of(when: datetime) -> str:
    """The ``ts`` of a time, without going through a float, which would lose its last digits."""
    since = when - _EPOCH
    return f"{since.days * 86400 + since.seconds}.{since.microseconds:06}"


def happening(signal_type: SignalType | None, body: Document) -> str:
    """What webhook and poll both tell of: a message posted, or a message at one edit; else empty."""
    kind, subtype = body.text("/event/type"), body.text("/event/subtype") or ""
    channel = body.text("/event/channel", limit=_ID_LENGTH)
    if kind in (MESSAGE, MENTION) and subtype in POSTED:
        message, version = body.text("/event/ts", limit=_ID_LENGTH), "posted"
    elif signal_type is SignalType.CHAT_MESSAGE_UPDATED:
        edited = body.text("/event/message/edited/ts", limit=_ID_LENGTH)
        message, version = body.text("/event/message/ts", limit=_ID_LENGTH), f"edited:{edited}" if edited else ""
    else:
        return ""
    return f"message:{channel}:{message}:{version}" if channel and message and version else ""


def ordering_key(signal_type: SignalType | None, body: Document) -> str:
    """The message; for what happens to a channel itself, the channel. A command follows from nothing before it."""
    channel, message = place(signal_type, body)
    if signal_type is None or not channel:
        return ""
    if message:
        return f"message:{channel}:{message}"
    return f"channel:{channel}" if signal_type.startswith("channel_") else ""


def _fields(signal_type: SignalType, body: Document, message: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {name: body.text(*pointers) for name, pointers in _PARTS.get(signal_type, {}).items()}
    if found.get("thread_id") == message:
        # The first message of a thread names itself; only a reply is in somebody else's.
        found["thread_id"] = None
    return {name: plain(value) if name in _TEXTS else value for name, value in found.items()}


def _kind(body: Document, channel: str | None) -> str | None:
    given = _KINDS.get(body.text("/event/channel_type") or "")
    # A "C" may be private by now; only a direct message is certain by its id.
    return given or ("direct" if channel and channel.startswith("D") else None)


def _attributes(body: Document) -> dict[str, Any]:
    return compact(
        {
            "subtype": body.text("/event/subtype", limit=_ID_LENGTH),
            "bot_id": body.text("/event/bot_id", limit=_ID_LENGTH),
            # In a channel shared with another company the author may be theirs.
            "author_workspace": body.text("/event/user_team", "/event/source_team", limit=_ID_LENGTH),
            "shared_externally": body.boolean("/is_ext_shared_channel"),
            "file_ids": body.texts("/event/files", "/id"),
            "inviter": body.text("/event/inviter", limit=_ID_LENGTH),
            "value": body.text("/actions/0/value", "/actions/0/selected_option/value"),
        }
    )
