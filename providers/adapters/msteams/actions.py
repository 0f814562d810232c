"""What can be asked of Teams through Microsoft Graph: to post, to change an own message, to react.

Graph lets people do this, not applications: all of it needs a delegated permission, and what is done is that person's.
https://learn.microsoft.com/en-us/graph/api/chatmessage-post, chatmessage-update and chatmessage-setreaction
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import quote

import emoji

from providers.actions import Command, Done, OneEffect, OutboundAction, WriteRequest
from providers.adapters.msteams.html_writing import html, with_mark
from providers.adapters.msteams.own_messages import posted_by
from providers.adapters.msteams.places import messages_path
from providers.canonical import JSON
from providers.canonical.action_types import ActionType
from providers.client import ProviderClient, Response
from providers.document import Document
from providers.errors import ProviderFault, Rejected

# Of about 28 KB, some are left for what Graph puts around the text.
# https://learn.microsoft.com/en-us/microsoftteams/limits-specifications-teams
MAX_BYTES: Final = 27_000
_MESSAGE: Final = {"pattern": "^[0-9]{10,20}$"}
_CONVERSATION: Final[Mapping[str, JSON]] = {
    "workspace_id": {
        "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
        "description": "Id of the team's Microsoft 365 group, for a channel; without it: a chat.",
    },
    "channel_id": {"pattern": "^19:[^\\s/?#]+$"},
    "thread_id": {**_MESSAGE, "description": "Message that begins the thread; chats have no threads."},
}
_PLACE: Final[Mapping[str, JSON]] = {**_CONVERSATION, "message_id": _MESSAGE}
# https://learn.microsoft.com/en-us/graph/api/resources/channel; ids of chats end otherwise.
_CHANNELS: Final = ("@thread.tacv2", "@thread.skype")
# The words Teams itself uses besides characters, as it tells of reactions.
# https://learn.microsoft.com/en-us/graph/api/resources/chatmessagereaction
_REACTIONS: Final = {"like": "👍", "heart": "❤️", "laugh": "😆", "surprised": "😮", "sad": "🙁", "angry": "😠"}
_SENDING: Final = "A delegated permission: of a person, not of an application. In a chat ChatMessage.Send instead."


class PostMessage(OutboundAction):
    """A message to a channel or chat, or an answer in a channel's thread; the mark is hidden in its text."""

    type = ActionType.POST_CHAT_MESSAGE
    one_effect = OneEffect.MARKER
    # How soon lists show a message is not documented.
    visible_within_seconds = 120
    permissions = ("ChannelMessage.Send",)
    narrowed: ClassVar[Mapping[str, JSON]] = _CONVERSATION
    notes = (
        f"{_SENDING} Where the end of an attempt is unknown the messages are read, which needs "
        "ChannelMessage.Read.All (in a chat Chat.Read). Nobody is mentioned by a text."
    )

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        path = _messages(command.target, command.target.get("thread_id", ""))
        return WriteRequest(method="POST", path=path, json=_body(command))

    def done(self, command: Command, answer: Response) -> Done:
        return _posted(command, Document(answer.json()))

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        found = posted_by(client, command, _content(command))
        return _posted(command, found) if found is not None else None


class UpdateMessage(OutboundAction):
    """What the message is to say is a state."""

    type = ActionType.UPDATE_CHAT_MESSAGE
    one_effect = OneEffect.NATURAL_KEY
    permissions = ("ChannelMessage.ReadWrite",)
    narrowed: ClassVar[Mapping[str, JSON]] = _PLACE
    notes = "Only the person's own messages. A delegated permission; in a chat Chat.ReadWrite instead."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        return WriteRequest(method="PATCH", path=_message_path(command.target), json=_body(command))

    def done(self, command: Command, answer: Response) -> Done:
        return Done(reference=_reference(command, command.target["message_id"]))


class AddReaction(OutboundAction):
    """A person has each reaction to a message once."""

    type = ActionType.ADD_REACTION
    one_effect = OneEffect.NATURAL_KEY
    permissions = ("ChannelMessage.Send",)
    narrowed: ClassVar[Mapping[str, JSON]] = {
        **_PLACE,
        "reaction": {"pattern": "^[^\\s:]+$", "description": "An emoji, or its name: like, eyes, white_check_mark."},
    }
    notes = _SENDING

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        path = f"{_message_path(command.target)}/setReaction"
        return WriteRequest(method="POST", path=path, json={"reactionType": _emoji(command.payload["reaction"])})

    def done(self, command: Command, answer: Response) -> Done:
        message, reaction = command.target["message_id"], command.payload["reaction"]
        return Done(reference=f"{_reference(command, message)}:{_emoji(reaction)}")


ACTIONS: Final = (PostMessage(), UpdateMessage(), AddReaction())


def _content(command: Command) -> str:
    content = html(command.payload["text"])
    if not content:
        raise Rejected("The text shows nothing.")
    return with_mark(content, command.mark)


def _body(command: Command) -> JSON:
    content = _content(command)
    # Teams counts in two bytes a character; where UTF-8 needs more, that is the safe side.
    size = max(len(content.encode()), len(content.encode("utf-16-le")))
    if size > MAX_BYTES:
        raise Rejected(f"As HTML the text has {size} bytes; Teams takes about 28 KB.")
    return {"body": {"contentType": "html", "content": content}}


def _messages(target: Mapping[str, Any], thread: str) -> str:
    """The list a message lies in."""
    team, channel = target.get("workspace_id", ""), target["channel_id"]
    if not team and (thread or channel.endswith(_CHANNELS)):
        raise Rejected("A channel, or a thread in one, needs the team as workspace_id; chats have no threads.")
    return messages_path(team=team, channel=channel, thread=thread)


def _message_path(target: Mapping[str, Any]) -> str:
    message, thread = target["message_id"], target.get("thread_id", "")
    # The first message of a thread is no answer in it.
    return f"{_messages(target, thread if thread != message else '')}/{quote(message, safe='')}"


def _emoji(name: str) -> str:
    """The character for a name, or the character itself. Raises ``Rejected``."""
    found = _REACTIONS.get(name) or emoji.emojize(f":{name}:", language="alias")
    if emoji.is_emoji(found):
        return found
    if emoji.is_emoji(name):
        return name
    raise Rejected(f"There is no emoji of the name {name[:40]!r}.")


def _posted(command: Command, message: Document) -> Done:
    own = message.text("/id")
    if own is None:
        raise ProviderFault("Microsoft Graph does not say which message this is.")
    url = message.text("/webUrl") or ""
    return Done(reference=_reference(command, own), url=url if url.startswith("https://") else "")


def _reference(command: Command, message: str) -> str:
    return f"{command.target['channel_id']}:{message}"
