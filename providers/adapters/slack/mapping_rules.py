"""What each event of Slack becomes, judged by the body alone.

Source: https://docs.slack.dev/reference/events/ and https://docs.slack.dev/reference/events/message/ (subtypes).
"""

from __future__ import annotations

import re
from typing import Final

from providers.canonical import SignalType
from providers.document import Document
from providers.errors import UnreadablePayload
from providers.spi import TEST_DELIVERY

SLASH_COMMAND: Final = "slash_command"
MESSAGE: Final = "message"
MENTION: Final = "app_mention"
REVOKED: Final = ("app_uninstalled", "tokens_revoked")

_MAPPED: Final = {
    MENTION: SignalType.CHAT_MENTION,
    "reaction_added": SignalType.CHAT_REACTION_ADDED,
    "reaction_removed": SignalType.CHAT_REACTION_REMOVED,
    "pin_added": SignalType.CHAT_MESSAGE_PINNED,
    "pin_removed": SignalType.CHAT_MESSAGE_UNPINNED,
    "file_shared": SignalType.CHAT_FILE_SHARED,
    "link_shared": SignalType.CHAT_LINK_SHARED,
    "channel_created": SignalType.CHANNEL_CREATED,
    "channel_rename": SignalType.CHANNEL_RENAMED,
    "channel_archive": SignalType.CHANNEL_ARCHIVED,
    "channel_unarchive": SignalType.CHANNEL_UNARCHIVED,
    "channel_deleted": SignalType.CHANNEL_DELETED,
    "member_joined_channel": SignalType.CHANNEL_MEMBER_JOINED,
    "member_left_channel": SignalType.CHANNEL_MEMBER_LEFT,
    "team_join": SignalType.USER_JOINED,
}
INTERACTIONS: Final = {"block_actions": SignalType.CHAT_ACTION, "view_submission": SignalType.CHAT_ACTION}
DECLARED: Final = (MESSAGE, *_MAPPED, SLASH_COMMAND, *INTERACTIONS)

# Subtypes that are a message of somebody; every other one is a note of Slack or of no interest.
POSTED: Final = ("", "bot_message", "file_share", "me_message", "thread_broadcast")

_UNMAPPED: Final = "No canonical signal for this event."
_OWN: Final = "This app did it itself; telling it would only echo."
_TOLD_ELSEWHERE: Final = "An event of its own tells of this; here it is only a note in the channel."
_NOTE: Final = "A note of Slack in the channel, not a message of somebody."
_REASONS: Final = {
    "message.message_replied": "Only a new count of replies; the reply is told itself.",
    **dict.fromkeys(
        (
            *("message.channel_join", "message.channel_leave", "message.group_join", "message.group_leave"),
            *("message.channel_name", "message.channel_archive", "message.channel_unarchive"),
        ),
        _TOLD_ELSEWHERE,
    ),
    **dict.fromkeys(("message.channel_topic", "message.channel_purpose"), _NOTE),
    "user_change": "A profile or status changed; this is too frequent to tell.",
    "message_metadata_posted": "Metadata for another app, not a message of somebody.",
    "app_home_opened": "Somebody opened the app's home; nothing happened in a channel.",
    "app_uninstalled": "The app was removed from the workspace; its token has ended.",
    "app_rate_limited": "Slack holds back events of this app: there were more than 30,000 within an hour.",
    "ssl_check": TEST_DELIVERY,
    "url_verification": TEST_DELIVERY,
}
# What the app itself does here would come back as an event; who joins a channel is told, whoever it is.
_ECHOES: Final = {
    *(MESSAGE, MENTION, "reaction_added", "reaction_removed", "pin_added", "pin_removed"),
    *("file_shared", "link_shared"),
}
_ABOUT_ITEM: Final = {"reaction_added", "reaction_removed", "pin_added", "pin_removed"}
WORD = re.compile(r"[A-Za-z0-9_]{1,60}", re.ASCII)
_MENTIONED = re.compile(r"<@([A-Z0-9]{2,40})(?:\|[^<>]*)?>", re.ASCII)


def event_name(body: Document) -> str:
    """Slack's word for an event, with the subtype of a message; raises ``UnreadablePayload``."""
    kind, subtype = body.text("/event/type") or "", body.text("/event/subtype") or ""
    if not WORD.fullmatch(kind):
        raise UnreadablePayload("The event has no type.")
    return f"{kind}.{subtype}" if kind == MESSAGE and WORD.fullmatch(subtype) else kind


def classify(event_type: str, body: Document) -> tuple[SignalType | None, str]:
    """The signal type an event becomes, or ``None`` and the reason why it is ignored."""
    kind = event_type.partition(".")[0]
    if kind == SLASH_COMMAND:
        return SignalType.CHAT_COMMAND, ""
    if kind in INTERACTIONS:
        return INTERACTIONS[kind], ""
    if kind in _ECHOES and _is_own(body):
        return None, _OWN
    if kind in _ABOUT_ITEM and body.text("/event/item/type") != "message":
        return None, "It is about a file, not about a message."
    if kind == MESSAGE:
        return _message(event_type, body)
    if kind == "link_shared" and body.text("/event/source") == "composer":
        return None, "The link is being typed; nothing is posted yet."
    if kind == "tokens_revoked":
        return None, _revocation(body)
    signal_type = _MAPPED.get(event_type)
    return signal_type, "" if signal_type else _REASONS.get(event_type, _UNMAPPED)


def ends_authorisation(event_type: str, body: Document) -> bool:
    """Whether the app's token has ended; revoked tokens of people leave the bot's alone."""
    return event_type == "app_uninstalled" or (event_type == "tokens_revoked" and bool(body.texts("/event/tokens/bot")))


def _revocation(body: Document) -> str:
    if body.texts("/event/tokens/bot"):
        return "The app's bot token was revoked."
    return "Tokens of people were revoked; the app's bot token still holds."


def _message(event_type: str, body: Document) -> tuple[SignalType | None, str]:
    subtype = event_type.partition(".")[2]
    if subtype in POSTED:
        return (SignalType.CHAT_MENTION if _addresses_app(body) else SignalType.CHAT_MESSAGE), ""
    if subtype == "message_deleted":
        if body.text("/event/previous_message/subtype") == "tombstone":
            return None, "The last trace of a message whose deletion was told before."
        return SignalType.CHAT_MESSAGE_DELETED, ""
    if subtype == "message_changed":
        return _changed(body)
    return None, _REASONS.get(event_type, "No canonical signal for this kind of message.")


def _changed(body: Document) -> tuple[SignalType | None, str]:
    """An edit; a deleted message that has replies is told as a change into a tombstone."""
    after = body.at("/event/message/text")
    if body.text("/event/message/subtype") == "tombstone":
        if body.text("/event/previous_message/subtype") == "tombstone":
            return None, "The message was deleted before; only its replies changed."
        return SignalType.CHAT_MESSAGE_DELETED, ""
    if after is not None and after == body.at("/event/previous_message/text"):
        return None, "The text is the same; a preview or a count of replies changed."
    return SignalType.CHAT_MESSAGE_UPDATED, ""


def _bots(body: Document) -> set[str]:
    """The users under which the app acts in the places this event is told to."""
    entries = body.items("/authorizations")
    return {user for entry in entries if entry.boolean("/is_bot") is True and (user := entry.text("/user_id"))}


def _own_bots(body: Document) -> set[str]:
    """The app's bots, where they are known: a polled message does not say whose app it is told to."""
    return {bot for entry in body.items("/authorizations") if (bot := entry.text("/bot_id"))}


def _addresses_app(body: Document) -> bool:
    """A mention is told twice, as ``app_mention`` and as a message; read alike, either may come first."""
    # Older events name those who installed the app instead, which may be people: enough to tell a mention by.
    bots = _bots(body) if body.items("/authorizations") else set(body.texts("/authed_users"))
    if not bots or body.text("/event/channel_type") == "im":
        # A direct message is not told a second time, and all of them are for the app.
        return False
    return any(user in bots for user in _MENTIONED.findall(body.text("/event/text") or ""))


def _is_own(body: Document) -> bool:
    """By the app a message names; one that names none, and everything else, by the user who did it."""
    own_app = body.text("/api_app_id")
    named = {
        app
        for root in ("/event", "/event/message", "/event/previous_message")
        for pointer in ("/app_id", "/bot_profile/app_id")
        if (app := body.text(f"{root}{pointer}"))
    }
    if own_app and named:
        return own_app in named
    if _own_bots(body) & {body.text("/event/bot_id"), body.text("/event/message/bot_id")}:
        return True
    users = {
        body.text("/event/user", "/event/user_id"),
        body.text("/event/message/user", "/event/previous_message/user"),
    }
    return bool(users & _bots(body))
