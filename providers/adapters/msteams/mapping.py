"""From stored payloads to signals: a change notification or an activity, seen by its shape.

Names of an organisation stand under ``directory``: Microsoft's word for it in identifiers is taken here.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from providers.adapters.msteams.places import Place, place_of_activity, place_of_resource
from providers.canonical import JSON, Signal, SignalType
from providers.document import MAX_TEXT, Document, compact

_ID_LENGTH: Final = 150
_KINDS: Final = {"channel": "channel", "groupChat": "group", "personal": "direct"}
_OWN: Final = ("/id",)
# The message an activity is about, by signal type; the rest is about none.
MESSAGE_ID: Final[dict[SignalType, tuple[str, ...]]] = {
    SignalType.CHAT_MESSAGE: _OWN,
    SignalType.CHAT_MENTION: _OWN,
    SignalType.CHAT_MESSAGE_UPDATED: _OWN,
    SignalType.CHAT_MESSAGE_DELETED: _OWN,
    SignalType.CHAT_MESSAGE_RESTORED: _OWN,
    SignalType.CHAT_REACTION_ADDED: ("/replyToId",),
    SignalType.CHAT_REACTION_REMOVED: ("/replyToId",),
    # The card that was used; without it the form's own id.
    SignalType.CHAT_ACTION: ("/replyToId", "/id"),
}
_OF_TEAM: Final = (SignalType.MEMBER_ADDED, SignalType.MEMBER_REMOVED)
_ADDRESS = re.compile(r"^(?:\s|&nbsp;|<at[^<>]*>[^<>]*</at>)+")
_MENTION = re.compile(r"<at[^<>]*>([^<>]*)</at>")


def signal(signal_type: SignalType, payload: JSON) -> Signal:
    """One stored payload as a signal."""
    document = Document(payload)
    return _of_activity(signal_type, document) if document.text("/type") else _of_notification(signal_type, document)


def _of_notification(signal_type: SignalType, item: Document) -> Signal:
    """Ids and the kind of change; nobody is named, and only the id of a new message tells a time."""
    place = place_of_resource(item)
    name = item.text("/resourceData/displayName")
    return Signal(
        signal_type=signal_type,
        occurred_at=place.posted_at if signal_type is SignalType.CHAT_MESSAGE else None,
        canonical_keys=_keys(place),
        fields=_listed(signal_type, {**_where(place), "name": name, "channel_name": name}),
        attributes=compact(
            {"directory_id": place.directory, "subscription_id": item.text("/subscriptionId", limit=_ID_LENGTH)}
        ),
    )


def _of_activity(signal_type: SignalType, activity: Document) -> Signal:
    message = activity.text(*MESSAGE_ID.get(signal_type, ()), limit=_ID_LENGTH)
    place = place_of_activity(activity, message)
    channel_name = activity.text("/channelData/channel/name", "/conversation/name")
    fields = {
        **_where(place),
        "channel_name": channel_name,
        "channel_kind": _KINDS.get(activity.text("/conversation/conversationType") or ""),
        # Who is added is added to a team; what is created or renamed is a channel.
        "name": activity.text(f"/channelData/{'team' if signal_type in _OF_TEAM else 'channel'}/name"),
        "body": plain(activity.text("/text"), addressed=signal_type is SignalType.CHAT_MENTION),
        "reaction": activity.text("/reactionsAdded/0/type", "/reactionsRemoved/0/type"),
        "member": activity.text(*_people("/membersAdded/0"), *_people("/membersRemoved/0"), limit=_ID_LENGTH),
        "component": activity.text("/value/action/verb", "/value/action/id"),
    }
    return Signal(
        signal_type=signal_type,
        occurred_at=activity.time("/timestamp"),
        actor_id=activity.text(*_people("/from"), limit=_ID_LENGTH),
        canonical_keys=_keys(place),
        fields=_listed(signal_type, fields),
        attributes=compact(
            {
                "directory_id": place.directory,
                "team_name": activity.text("/channelData/team/name"),
                "value": _value(activity) if signal_type is SignalType.CHAT_ACTION else None,
            }
        ),
    )


def plain(text: str | None, *, addressed: bool) -> str | None:
    """``<at>Bot</at> ask <at>Ann</at>`` as ``Bot ask Ann``; if it is addressed to the app, as ``ask Ann``."""
    words = _ADDRESS.sub("", text or "") if addressed else text or ""
    return _MENTION.sub(r"\1", words).replace("&nbsp;", " ").strip() or None


def _people(root: str) -> tuple[str, str]:
    # The directory's id of a person is the same everywhere; the other one is known to this bot only.
    return f"{root}/aadObjectId", f"{root}/id"


def _where(place: Place) -> dict[str, Any]:
    return {
        "channel": place.channel,
        "message_id": place.message,
        "thread_id": place.thread,
        "url": place.url,
    }


def _keys(place: Place) -> dict[str, Any]:
    return compact({"workspace_id": place.team, "channel_id": place.channel, "message_id": place.message})


def _listed(signal_type: SignalType, fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in compact(fields).items() if name in signal_type.fields}


def _value(activity: Document) -> str | None:
    """What was entered or chosen, as JSON text; it is any shape the card's author gave it."""
    value = activity.at("/value")
    try:
        return orjson.dumps(value).decode()[:MAX_TEXT]
    except TypeError:
        return None
