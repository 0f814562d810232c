"""The app's own messages, known by the mark in their metadata, and how one is looked for.

https://docs.slack.dev/messaging/message-metadata/ and the lists conversations.history and conversations.replies
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from providers.actions import Command
from providers.adapters.slack import account
from providers.adapters.slack.mapping import ts_of
from providers.adapters.slack.polling import LIMITED_PAGE_SIZE, PAGE_SIZE
from providers.canonical import JSON
from providers.client import ProviderClient
from providers.document import Document
from providers.errors import ProviderFault

_EVENT_TYPE: Final = "ia_action"
_CLOCKS_DIFFER: Final = timedelta(minutes=5)
_MAX_PAGES: Final = 50


def marked(mark: str) -> JSON:
    """The metadata of a message made for this mark."""
    return {"event_type": _EVENT_TYPE, "event_payload": {"key": mark}}


def posted_by(client: ProviderClient, command: Command) -> Document | None:
    """The message an earlier attempt posted, or ``None``. Raises ``ProviderError`` where that cannot be said.

    The list is read from a little before the first attempt on; a thread has a list of its own, in which replies are.
    """
    thread = command.target.get("thread_id")
    params: dict[str, Any] = {
        "channel": command.target["channel_id"],
        **({"ts": thread} if thread else {}),
        "oldest": ts_of(command.since - _CLOCKS_DIFFER),
        "inclusive": "true",
        "include_all_metadata": "true",
        "limit": LIMITED_PAGE_SIZE if command.settings.get("limited") else PAGE_SIZE,
    }
    foreign = False
    for _ in range(_MAX_PAGES):
        page = Document(client.get(f"conversations.{'replies' if thread else 'history'}", params=params).json())
        if page.boolean("/ok") is not True or not isinstance(page.at("/messages"), list):
            raise ProviderFault("Slack's answer is no list of messages.")
        for message in page.items("/messages"):
            if thread and message.text("/ts") == thread and message.text("/thread_ts") not in (None, thread):
                # What answers it stands in the thread it is in itself, not in this list.
                raise ProviderFault("The message that was to begin the thread is an answer in another one.")
            if _carries(message, command.mark):
                if _is_own(client, message):
                    return message
                foreign = True
        cursor = page.text("/response_metadata/next_cursor")
        if not cursor and page.boolean("/has_more"):
            raise ProviderFault("Slack says that there are more messages, but not where.")
        if not cursor and foreign:
            # Nobody knew the mark before: it was posted with a token that was replaced since, or copied.
            raise ProviderFault("A message with the mark was posted by another app or account than the token's.")
        if not cursor:
            return None
        params["cursor"] = cursor
    raise ProviderFault("There are too many messages since the first attempt to read them all.")


def _carries(message: Document, mark: str) -> bool:
    found = (message.text("/metadata/event_type"), message.text("/metadata/event_payload/key"))
    return found == (_EVENT_TYPE, mark)


def _is_own(client: ProviderClient, message: Document) -> bool:
    """People write no metadata, but another app could repeat ours."""
    who = account.named(account.ask(client))
    bot = who.text("/bot_id")
    return message.text("/user") == who.text("/user_id") or (bot is not None and message.text("/bot_id") == bot)
