"""Change notifications of Microsoft Graph: several in one request, each telling ids and what kind of change.

The content of rich notifications is encrypted for a key this service does not hold; what stands beside it is the
same as in a plain one, and is told like one. Sources:
https://learn.microsoft.com/en-us/graph/teams-changenotifications-chatmessage
https://learn.microsoft.com/en-us/graph/change-notifications-lifecycle-events
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

import orjson

from providers.adapters.msteams.places import place_of_resource
from providers.canonical import JSON, SignalType
from providers.document import Document
from providers.errors import UnreadablePayload
from providers.spi import ProviderEvent

MAPPED: Final = {
    "chatMessage.created": SignalType.CHAT_MESSAGE,
    "chatMessage.updated": SignalType.CHAT_MESSAGE_UPDATED,
    "chatMessage.deleted": SignalType.CHAT_MESSAGE_DELETED,
    "channel.created": SignalType.CHANNEL_CREATED,
    "channel.deleted": SignalType.CHANNEL_DELETED,
}
_REASONS: Final = {
    "channel.updated": "A channel changed, but the notification does not say what; it may not be its name.",
    "lifecycle.reauthorizationRequired": "The subscription is about to end: renew or reauthorise it.",
    "lifecycle.subscriptionRemoved": "The subscription was removed: create it again and read what was missed.",
    "lifecycle.missed": "Notifications were lost: read the messages since the last one.",
}
_UNMAPPED: Final = "No canonical signal for this notification."
# The secret of the door, and what nobody here can read.
_NOT_KEPT: Final = ("clientState", "encryptedContent")
_WORD = re.compile(r"[A-Za-z]{1,50}", re.ASCII)
# The letters are not always of the same case.
_KINDS: Final = {"chatmessage": "chatMessage", "channel": "channel"}


def events(body: Document) -> list[ProviderEvent]:
    """One event a notification. Raises ``UnreadablePayload``."""
    return [_event(item) for item in body.items("/value")]


def _event(item: Document) -> ProviderEvent:
    if not isinstance(item.value, dict):
        raise UnreadablePayload("A notification is not an object.")
    event_type = _event_type(item)
    signal_type = MAPPED.get(event_type)
    place = place_of_resource(item)
    return ProviderEvent(
        event_type=event_type,
        dedupe_key=_dedupe_key(event_type, item),
        payload={name: value for name, value in item.value.items() if name not in _NOT_KEPT},
        signal_type=signal_type,
        ignored_reason="" if signal_type else _REASONS.get(event_type, _UNMAPPED),
        occurred_at=place.posted_at if signal_type is SignalType.CHAT_MESSAGE else None,
        ordering_key=place.ordering_key if signal_type else "",
        correlation_id=item.text("/subscriptionId", limit=100) or "",
    )


def _event_type(item: Document) -> str:
    """``chatMessage.created`` and the like; Graph's own words."""
    lifecycle = item.text("/lifecycleEvent") or ""
    if _WORD.fullmatch(lifecycle):
        return f"lifecycle.{lifecycle}"
    change = item.text("/changeType") or ""
    if not _WORD.fullmatch(change):
        raise UnreadablePayload("A notification does not say what changed.")
    kind = (item.text("/resourceData/@odata.type") or "").rpartition(".")[2]
    kind = _KINDS.get(kind.lower(), kind) if _WORD.fullmatch(kind) else place_of_resource(item).kind
    return f"{kind or 'unknown'}.{change}"


def _dedupe_key(event_type: str, item: Document) -> str:
    """Subscription, resource, change and version.

    A plain notification has no version. All but a creation can happen again (what was deleted can be restored), so
    there the whole notification stands for it: the same words told twice are one.
    """
    version = item.text("/resourceData/@odata.etag", "/resourceData/etag", "/resourceData/lastModifiedDateTime") or ""
    if not version and event_type.partition(".")[2] != "created":
        version = _digest(item.value)
    parts = [item.text("/subscriptionId"), item.text("/resource"), item.text("/resourceData/id"), event_type, version]
    return f"notification:{_digest(parts)}"


def _digest(value: JSON | list[Any]) -> str:
    try:
        return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
    except TypeError:
        raise UnreadablePayload("A notification is nested too deeply.") from None
