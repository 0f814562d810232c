"""Activities of the Bot Framework: what a bot, or a team's outgoing webhook, is told.

Sources: https://learn.microsoft.com/en-us/microsoftteams/platform/bots/how-to/conversations/subscribe-to-conversation-events
and https://learn.microsoft.com/en-us/microsoftteams/platform/task-modules-and-cards/cards/universal-actions-for-adaptive-cards/work-with-universal-actions-for-adaptive-cards
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from providers.adapters.msteams.mapping import MESSAGE_ID
from providers.adapters.msteams.places import place_of_activity
from providers.canonical import JSON, SignalType
from providers.document import Document
from providers.errors import UnreadablePayload
from providers.spi import ProviderEvent

# One activity may name several people or reactions; each becomes an event with only that one in it.
_LISTS: Final = {
    "messageReaction": ("reactionsAdded", "reactionsRemoved"),
    "conversationUpdate": ("membersAdded", "membersRemoved"),
}
_FIXED: Final = {
    "messageUpdate": SignalType.CHAT_MESSAGE_UPDATED,
    "messageUpdate.editMessage": SignalType.CHAT_MESSAGE_UPDATED,
    "messageUpdate.undeleteMessage": SignalType.CHAT_MESSAGE_RESTORED,
    "messageDelete": SignalType.CHAT_MESSAGE_DELETED,
    "messageDelete.softDeleteMessage": SignalType.CHAT_MESSAGE_DELETED,
    "messageDelete.undeleteMessage": SignalType.CHAT_MESSAGE_RESTORED,
    "messageReaction.reactionsAdded": SignalType.CHAT_REACTION_ADDED,
    "messageReaction.reactionsRemoved": SignalType.CHAT_REACTION_REMOVED,
    "conversationUpdate.channelCreated": SignalType.CHANNEL_CREATED,
    "conversationUpdate.channelRenamed": SignalType.CHANNEL_RENAMED,
    "conversationUpdate.channelDeleted": SignalType.CHANNEL_DELETED,
    "invoke.adaptiveCard/action": SignalType.CHAT_ACTION,
}
# In a chat, and in a team: a team is a group with access to all its channels.
_MEMBERS: Final = {
    "conversationUpdate.membersAdded": (SignalType.CHANNEL_MEMBER_JOINED, SignalType.MEMBER_ADDED),
    "conversationUpdate.membersRemoved": (SignalType.CHANNEL_MEMBER_LEFT, SignalType.MEMBER_REMOVED),
}
MAPPED: Final = ("message", *_FIXED, *_MEMBERS)

_UNMAPPED: Final = "No canonical signal for this activity."
_REASONS: Final = {
    "conversationUpdate.membersAdded": "The app was added to this team or chat; its events arrive from now on.",
    "conversationUpdate.membersRemoved": "The app was removed from this team or chat; no more is told of it.",
    "conversationUpdate.teamRenamed": "A team was renamed; a team is neither a channel nor a message.",
    "installationUpdate.add": "The app was installed here.",
    "installationUpdate.add-upgrade": "The app was upgraded here.",
    "installationUpdate.remove": "The app was removed here; no more is told of it.",
    "installationUpdate.remove-upgrade": "The app was removed here for an upgrade.",
}
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9/_-]{0,50}", re.ASCII)


def events(payload: JSON, raw: bytes) -> list[ProviderEvent]:
    """The events of one activity. Raises ``UnreadablePayload``."""
    activity = Document(payload)
    kind = activity.text("/type") or ""
    if not _WORD.fullmatch(kind):
        raise UnreadablePayload("The activity has no type.")
    lists = _LISTS.get(kind, ())
    told: list[tuple[str, JSON]] = [
        (f"{kind}.{name}", {**{key: value for key, value in payload.items() if key not in lists}, name: [item.value]})
        for name in lists
        for item in activity.items(f"/{name}")
    ]
    told = told or [(_event_type(kind, activity), payload)]
    return [_event(event_type, part, raw, index) for index, (event_type, part) in enumerate(told)]


def is_card_action(activity: Document) -> bool:
    """Whether somebody used a card and waits for its answer."""
    return activity.text("/type") == "invoke" and activity.text("/name") == "adaptiveCard/action"


def _event(event_type: str, payload: JSON, raw: bytes, index: int) -> ProviderEvent:
    activity = Document(payload)
    signal_type = _signal_type(event_type, activity)
    return ProviderEvent(
        event_type=event_type,
        dedupe_key=_dedupe_key(event_type, activity, raw, index),
        payload=payload,
        signal_type=signal_type,
        ignored_reason="" if signal_type else _REASONS.get(event_type, _UNMAPPED),
        occurred_at=activity.time("/timestamp"),
        ordering_key=_ordering_key(signal_type, activity) if signal_type else "",
        correlation_id=activity.text("/id", limit=100) or "",
    )


def _event_type(kind: str, activity: Document) -> str:
    """The activity's type and, where it has one, the word that says which kind of it."""
    pointer = {"invoke": "/name", "installationUpdate": "/action", "message": ""}.get(kind, "/channelData/eventType")
    detail = (activity.text(pointer) if pointer else None) or ""
    return f"{kind}.{detail}" if _WORD.fullmatch(detail) else kind


def _signal_type(event_type: str, activity: Document) -> SignalType | None:
    if event_type == "message":
        return _message(activity)
    if event_type in _MEMBERS:
        if _is_app(event_type, activity):
            return None
        return _MEMBERS[event_type][activity.at("/channelData/team") is not None]
    return _FIXED.get(event_type)


def _message(activity: Document) -> SignalType:
    if activity.at("/value") not in (None, ""):
        # Data of a card's form; a person's words come without it.
        return SignalType.CHAT_ACTION
    if activity.text("/conversation/conversationType") == "personal":
        return SignalType.CHAT_MESSAGE
    return SignalType.CHAT_MENTION if _is_addressed(activity) else SignalType.CHAT_MESSAGE


def _is_addressed(activity: Document) -> bool:
    """A bot hears what mentions it, and an outgoing webhook nothing else. With consent to read all messages of a
    team or chat a bot hears the others too: then the mentions are listed, and none is of the bot.

    https://learn.microsoft.com/en-us/microsoftteams/platform/bots/how-to/conversations/channel-messages-for-bots-and-agents
    """
    own, entities = activity.text("/recipient/id"), activity.items("/entities")
    if not own or not entities:
        return True
    return any(entity.text("/type") == "mention" and entity.text("/mentioned/id") == own for entity in entities)


def _is_app(event_type: str, activity: Document) -> bool:
    own = activity.text("/recipient/id")
    return own is not None and activity.text(f"/{event_type.partition('.')[2]}/0/id") == own


def _dedupe_key(event_type: str, activity: Document, raw: bytes, index: int) -> str:
    """Conversation and activity id. An edited message keeps its id, so beyond a new message the time counts too."""
    conversation, own = activity.text("/conversation/id"), activity.text("/id")
    if not conversation or not own:
        return f"sha256:{hashlib.sha256(raw).hexdigest()}:{index}"
    moment = "" if event_type == "message" else activity.text("/timestamp") or ""
    words = "\n".join((conversation, own, event_type, moment))
    return f"activity:{hashlib.sha256(words.encode(errors='replace')).hexdigest()}:{index}"


def _ordering_key(signal_type: SignalType, activity: Document) -> str:
    message = activity.text(*MESSAGE_ID.get(signal_type, ()), limit=100)
    return place_of_activity(activity, message).ordering_key
