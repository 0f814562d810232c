"""What can be asked of Slack: to post a message, to change one of its own, to react.

Every call is one request, and a refusal is told with status 200 (``answers``).
https://docs.slack.dev/reference/methods/chat.postMessage, chat.update and reactions.add
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from providers.actions import Command, Done, OneEffect, OutboundAction, WriteRequest
from providers.adapters.slack.mrkdwn_writing import mrkdwn
from providers.adapters.slack.own_messages import marked, posted_by
from providers.canonical import JSON
from providers.canonical.action_types import ActionType
from providers.client import ProviderClient, Response
from providers.document import Document
from providers.errors import ProviderFault, Rejected

# A longer text is shown as several messages, of which only one could be told.
MAX_TEXT: Final = 4000
_CHANNEL: Final = {"pattern": "^[CDG][A-Z0-9]{2,39}$"}
_MESSAGE: Final = {"pattern": "^[0-9]{9,11}\\.[0-9]{1,6}$"}
_CONVERSATION: Final[Mapping[str, JSON]] = {"channel_id": _CHANNEL, "thread_id": _MESSAGE}
_PLACE: Final[Mapping[str, JSON]] = {**_CONVERSATION, "message_id": _MESSAGE}
_TEXT: Final[JSON] = {"maxLength": MAX_TEXT}
_TS = re.compile(r"[0-9]{9,11}\.[0-9]{1,6}", re.ASCII)
# Without the character set Slack warns in every answer.
_HEADERS: Final = {"Content-Type": "application/json; charset=utf-8"}


class PostMessage(OutboundAction):
    """``chat.postMessage``; the mark is metadata, which people do not see and cannot write."""

    type = ActionType.POST_CHAT_MESSAGE
    one_effect = OneEffect.MARKER
    permissions = ("chat:write",)
    narrowed: ClassVar[Mapping[str, JSON]] = {**_CONVERSATION, "text": _TEXT}
    notes = (
        "The app must be in the channel, or have chat:write.public for public ones. Where the end of an attempt is "
        "unknown the channel is read, which needs channels:history (groups:, im:, mpim: for other kinds). "
        "<@U…> mentions a person and <#C…> a channel; nothing mentions everybody."
    )

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        channel, thread = command.target["channel_id"], command.target.get("thread_id")
        body = {
            "channel": channel,
            "text": _text(command),
            "metadata": marked(command.mark),
            "unfurl_links": False,
            **({"thread_ts": thread} if thread else {}),
        }
        return WriteRequest(method="POST", path="chat.postMessage", json=body, headers=_HEADERS, lane=channel)

    def done(self, command: Command, answer: Response) -> Done:
        return _message(command, _accepted(answer))

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        found = posted_by(client, command)
        return _message(command, found) if found is not None else None


class UpdateMessage(OutboundAction):
    """``chat.update``: what the message is to say is a state."""

    type = ActionType.UPDATE_CHAT_MESSAGE
    one_effect = OneEffect.NATURAL_KEY
    permissions = ("chat:write",)
    narrowed: ClassVar[Mapping[str, JSON]] = {**_PLACE, "text": _TEXT}
    notes = "Only messages of the app itself, and only as long as the workspace lets messages be edited."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        body = {
            "channel": command.target["channel_id"],
            "ts": command.target["message_id"],
            "text": _text(command),
            # Unlike a new message, a changed one is searched for names unless this is said.
            "parse": "none",
        }
        return WriteRequest(method="POST", path="chat.update", json=body, headers=_HEADERS)

    def done(self, command: Command, answer: Response) -> Done:
        return _message(command, _accepted(answer))


class AddReaction(OutboundAction):
    """``reactions.add``: an app has each reaction to a message once."""

    type = ActionType.ADD_REACTION
    one_effect = OneEffect.NATURAL_KEY
    permissions = ("reactions:write",)
    narrowed: ClassVar[Mapping[str, JSON]] = {
        **_PLACE,
        "reaction": {"pattern": "^[^\\s:]+(::skin-tone-[2-6])?$", "description": "Slack's name of the emoji."},
    }

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        target = command.target
        body = {
            "channel": target["channel_id"],
            "timestamp": target["message_id"],
            "name": command.payload["reaction"],
        }
        return WriteRequest(method="POST", path="reactions.add", json=body, headers=_HEADERS)

    def done(self, command: Command, answer: Response) -> Done:
        _accepted(answer)
        return self._there(command)

    def settled_by(self, command: Command, refusal: Rejected) -> Done | None:
        return self._there(command) if refusal.code == "already_reacted" else None

    def _there(self, command: Command) -> Done:
        target = command.target
        return Done(reference=f"{target['channel_id']}:{target['message_id']}:{command.payload['reaction']}")


ACTIONS: Final = (PostMessage(), UpdateMessage(), AddReaction())


def _text(command: Command) -> str:
    text = mrkdwn(command.payload["text"])
    if not text:
        raise Rejected("The text shows nothing.")
    if len(text) > MAX_TEXT:
        raise Rejected(f"In Slack's form the text has {len(text)} characters; {MAX_TEXT} are one message.")
    return text


def _accepted(answer: Response) -> Document:
    body = Document(answer.json())
    if body.boolean("/ok") is not True:
        raise ProviderFault("Slack does not say whether it took the request.", status=answer.status)
    return body


def _message(command: Command, told: Document) -> Done:
    ts: Any = told.at("/ts")
    if not isinstance(ts, str) or not _TS.fullmatch(ts):
        raise ProviderFault("Slack does not say which message this is.")
    return Done(reference=f"{command.target['channel_id']}:{ts}")
