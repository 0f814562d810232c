"""Whose token it is: ``auth.test``, which needs no scope, and ``bots.info``, which needs one.

https://docs.slack.dev/reference/methods/auth.test
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from providers.canonical import JSON
from providers.client import ProviderClient, Response
from providers.document import Document, compact
from providers.errors import AuthFailed, ProviderFault, Rejected
from providers.scopes import ScopeNeed

# https://docs.slack.dev/reference/scopes
_HISTORY: Final = ("channels:history", "groups:history", "im:history", "mpim:history")
REQUIRED_SCOPES: Final[Mapping[str, Sequence[ScopeNeed]]] = {
    "polling": (ScopeNeed(any_of=_HISTORY, purpose="to read channels"),),
    "outbound_actions": (
        ScopeNeed(any_of=("chat:write",), purpose="to post and change messages"),
        ScopeNeed(any_of=("reactions:write",), purpose="to add reactions"),
        ScopeNeed(any_of=_HISTORY, purpose="to find out whether a message was posted when no answer came"),
    ),
}
_ID_LENGTH = 60


def ask(client: ProviderClient) -> Response:
    return client.post_query("auth.test", json={})


def named(answer: Response) -> Document:
    """What the answer says of the token. Raises ``ProviderFault`` where it names nobody."""
    who = Document(answer.json())
    if who.boolean("/ok") is not True or not who.text("/team_id") or not who.text("/user_id"):
        raise ProviderFault("Slack does not say whose token this is.")
    return who


def remembered(who: Document) -> JSON:
    """The part that tells own messages and mentions apart: workspace, user and, for a bot, bot."""
    pointers = {"team": "/team_id", "user": "/user_id", "bot": "/bot_id"}
    return compact({name: who.text(pointer, limit=_ID_LENGTH) for name, pointer in pointers.items()})


def app_of(client: ProviderClient, bot: str) -> str | None:
    """The id of the app a bot belongs to, or ``None`` where the token may not ask.

    https://docs.slack.dev/reference/methods/bots.info
    """
    try:
        info = Document(client.get("bots.info", params={"bot": bot}).json())
    except (AuthFailed, Rejected):
        return None
    return info.text("/bot/app_id", limit=60) if info.text("/bot/id") == bot else None
