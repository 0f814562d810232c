"""The account's own messages, known by a hidden mark, and how one is looked for.

A channel's messages are read as a delta since a time, a chat's filtered by time, a thread's as a whole.
https://learn.microsoft.com/en-us/graph/api/chatmessage-delta, chat-list-messages and chatmessage-list-replies
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from providers.actions import Command
from providers.adapters.msteams.html_writing import mark_of
from providers.adapters.msteams.places import messages_path
from providers.client import ProviderClient
from providers.document import Document
from providers.errors import ProviderFault
from providers.markdown import letters

PAGE_SIZE: Final = 50
_MAX_PAGES: Final = 40
_CLOCKS_DIFFER: Final = timedelta(minutes=5)


def posted_by(client: ProviderClient, command: Command, content: str) -> Document | None:
    """The message an earlier attempt posted, or ``None``. Raises ``ProviderError`` where that cannot be said.

    Nothing in Graph's pages promises that hidden characters are kept. So a message of this account without a mark that
    says the same, or was edited, or says nothing any more because it was deleted, may be the one: then it cannot be
    said.
    """
    begun = command.since - _CLOCKS_DIFFER
    said, own, unclear = letters(content), "", False
    for message in _listed(client, command, begun):
        written = message.text("/body/content", limit=100_000) or ""
        mark = mark_of(written)
        gone, edited = (message.at(f"/{name}DateTime") is not None for name in ("deleted", "lastEdited"))
        alike = gone or (not mark and (edited or letters(written) == said))
        if mark != command.mark and not alike:
            continue
        own = own or _account(client)
        author = message.text("/from/user/id")
        if mark == command.mark and author == own:
            return message
        created = message.time("/createdDateTime")
        # Nobody knew the mark before: it was posted with a token that was replaced since, or copied.
        unclear |= mark == command.mark
        # A deleted message may have lost its author with its text.
        unclear |= alike and (author == own or (gone and author is None)) and (created is None or created >= begun)
    if unclear:
        raise ProviderFault(
            "There is a message that may be the one: its mark is not to be read, or its author another."
        )
    return None


def _listed(client: ProviderClient, command: Command, begun: datetime) -> Iterator[Document]:
    target = command.target
    team, thread = target.get("workspace_id", ""), target.get("thread_id", "")
    path = messages_path(team=team, channel=target["channel_id"], thread=thread)
    params: dict[str, Any] | None = {"$top": PAGE_SIZE}
    if not thread:
        since = begun.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        params = {"$top": PAGE_SIZE, "$filter": f"lastModifiedDateTime gt {since}"}
        if team:
            path += "/delta"
        else:
            params["$orderby"] = "lastModifiedDateTime desc"
    for _ in range(_MAX_PAGES):
        page = Document(client.get(path, params=params).json())
        if not isinstance(page.at("/value"), list):
            raise ProviderFault("Microsoft Graph's answer is no list of messages.")
        yield from page.items("/value")
        following = page.at("/@odata.nextLink")
        if following is None:
            return
        if not isinstance(following, str) or not following:
            raise ProviderFault("Microsoft Graph says that there are more messages, but not where.")
        # It holds the parameters too.
        path, params = following, None
    raise ProviderFault("There are too many messages to read them all.")


def _account(client: ProviderClient) -> str:
    account = Document(client.get("me", params={"$select": "id"}).json()).text("/id")
    if account is None:
        raise ProviderFault("Microsoft Graph does not say whose token this is.")
    return account
