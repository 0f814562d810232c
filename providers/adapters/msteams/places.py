"""Where something happened in Teams: team, channel or chat, message, thread.

Message ids are the milliseconds since 1970 at which they were posted, and unique only within their channel or chat.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, unquote, urlencode

from providers.document import Document, moment_of

_ID_LENGTH = 150
# teams('a')/channels('b')/messages('c') and teams/a/channels/b/messages/c are the same resource.
_STEP = re.compile(r"(?:^|/)(teams|channels|chats|messages|replies)(?:\('([^'()]*)'\)|/([^/()]*)|$)")
_MILLISECONDS = re.compile(r"[0-9]{13}", re.ASCII)
_THREAD = ";messageid="


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """``team`` is the id of the team's group, else of its thread; ``directory`` that of the organisation."""

    directory: str | None = None
    team: str | None = None
    group: str | None = None
    channel: str | None = None
    message: str | None = None
    thread: str | None = None
    kind: str = ""

    @property
    def posted_at(self) -> datetime | None:
        found = _MILLISECONDS.fullmatch(self.message or "")
        return moment_of(int(found[0])) if found else None

    @property
    def ordering_key(self) -> str:
        if not self.channel:
            return ""
        return f"message:{self.channel}:{self.message[:40]}" if self.message else f"channel:{self.channel}"

    @property
    def url(self) -> str | None:
        """https://learn.microsoft.com/en-us/microsoftteams/platform/concepts/build-and-test/deep-link-teams"""
        if not (self.directory and self.group and self.channel and self.message):
            return None
        parent = self.thread or self.message
        query = urlencode({"tenantId": self.directory, "groupId": self.group, "parentMessageId": parent})
        return f"https://teams.microsoft.com/l/message/{quote(self.channel, safe='')}/{quote(self.message)}?{query}"


def place_of_resource(item: Document) -> Place:
    """The place a change notification names by its resource."""
    path = item.text("/resource", "/resourceData/@odata.id") or ""
    steps = {name: unquote(quoted or plain)[:_ID_LENGTH] for name, quoted, plain in _STEP.findall(path)}
    last = max(steps, key=list(steps).index, default="")
    is_message = last in ("messages", "replies")
    own = item.text("/resourceData/id", limit=_ID_LENGTH)
    return Place(
        directory=item.text("/tenantId", limit=_ID_LENGTH),
        team=steps.get("teams"),
        group=steps.get("teams"),
        channel=steps.get("channels") or steps.get("chats") or (own if last == "channels" else None) or None,
        message=(steps.get(last) or own) if is_message else None,
        thread=steps.get("messages") if last == "replies" else None,
        kind={"messages": "chatMessage", "replies": "chatMessage", "channels": "channel"}.get(last, ""),
    )


def place_of_activity(activity: Document, message: str | None) -> Place:
    """The place of a bot's or outgoing webhook's activity; ``message`` is the one it is about."""
    conversation, _, thread = (activity.text("/conversation/id", limit=400) or "").partition(_THREAD)
    group = activity.text("/channelData/team/aadGroupId", limit=_ID_LENGTH)
    channel = activity.text("/channelData/channel/id", limit=_ID_LENGTH) or conversation[:_ID_LENGTH]
    return Place(
        directory=activity.text("/channelData/tenant/id", "/conversation/tenantId", limit=_ID_LENGTH),
        team=group or activity.text("/channelData/team/id", limit=_ID_LENGTH),
        group=group,
        channel=channel or None,
        message=message,
        thread=thread[:_ID_LENGTH] if thread and thread != message else None,
    )


def messages_path(*, team: str, channel: str, thread: str = "") -> str:
    """Where Graph keeps the messages of a chat, or of a team's channel, or the answers in a thread of it."""
    if not team:
        return f"chats/{quote(channel, safe='')}/messages"
    messages = f"teams/{quote(team, safe='')}/channels/{quote(channel, safe='')}/messages"
    return f"{messages}/{quote(thread, safe='')}/replies" if thread else messages
