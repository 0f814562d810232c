"""Whose a delivery is, where one URL and one signing secret serve an app in many workspaces.

A route is said by Slack alone, once of a token (``auth.test``, ``bots.info``) and once of a delivery. It names the
app and the place at once, so that another app's token for the same workspace never gets these events:

    <workspace>:<bot user>    a bot user belongs to one app
    <app>:<workspace>         for what names no bot user: commands, interactions, an app removed

For an app installed in a whole organisation the organisation stands in the workspace's place as well.
Source: https://docs.slack.dev/apis/events-api/#authorizations
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from providers.document import Document

_ID = re.compile(r"[A-Z][A-Z0-9]{1,39}", re.ASCII)
_MAX_ENTRIES = 50


def routes_of_installation(who: Document, app: str | None) -> list[str]:
    """The routes of a bot token, from what ``auth.test`` said of it and the app ``bots.info`` named."""
    whole = who.boolean("/is_enterprise_install") is True
    places = [who.at("/team_id"), *([who.at("/enterprise_id")] if whole else [])]
    return _routes(places, [who.at("/user_id")], app)


def routes_of_delivery(body: Document) -> list[str]:
    """The routes of an event, command or interaction."""
    app = body.at("/api_app_id")
    entries = body.items("/authorizations")[:_MAX_ENTRIES]
    if entries:
        # A person's authorisation is no route: the event is told to them, not to the app's bot.
        bots = [entry for entry in entries if entry.boolean("/is_bot") is True]
        return list(dict.fromkeys(route for bot in bots for route in _routes_of_entry(bot, app)))
    workspace = body.text("/context_team_id", "/team_id", "/team/id")
    # A form says "true".
    whole = body.at("/is_enterprise_install") in (True, "true")
    places = [workspace, *([body.text("/enterprise_id", "/enterprise/id")] if whole else [])]
    # After an uninstallation nothing is authorised any more; revoked tokens still name their bots.
    return _routes(places, body.texts("/event/tokens/bot")[:_MAX_ENTRIES], app)


def _routes_of_entry(entry: Document, app: Any) -> list[str]:
    whole = entry.boolean("/is_enterprise_install") is True
    places = [entry.at("/team_id"), *([entry.at("/enterprise_id")] if whole else [])]
    return _routes(places, [entry.at("/user_id")], app)


def _routes(places: Sequence[Any], bots: Sequence[Any], app: Any) -> list[str]:
    pairs = [(place, bot) for place in places for bot in bots] + [(app, place) for place in places]
    return [f"{first}:{second}" for first, second in pairs if _is_id(first) and _is_id(second)]


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None
