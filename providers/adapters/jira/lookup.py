"""What is read before and after a write: names to ids, states, and our own marks.

Source: REST API v3, "Issue search" (``/search/jql``), "Issue comments", "Issues" (transitions), "User search".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from providers.adapters.jira.mapping import GATEWAY, milliseconds
from providers.adapters.jira.polling import SEARCH_PATH
from providers.client import ProviderClient, Response
from providers.document import Document
from providers.errors import ProviderFault, Rejected
from providers.finding import CLOCKS_DIFFER, listed, made_since
from providers.paging import Mark, NextToken, Offset, Query

MYSELF_PATH: Final = "rest/api/3/myself"
ISSUE_PATH: Final = "rest/api/3/issue"
ASSIGNABLE_PATH: Final = "rest/api/3/user/assignable/search"
MARK_KEY: Final = "integration-adapters"
_PAGE: Final = 100
_SEARCH: Final = NextToken(
    size=_PAGE,
    size_in="/maxResults",
    token_at="/nextPageToken",
    token_in="/nextPageToken",
    last_at="/isLast",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted(Offset):
    """By offset, to the total: Jira cuts pages as it likes, so a short one need not be the last."""

    def after(self, answer: Response, body: Document, count: int, mark: Mark | None) -> Mark | None:
        total, read = body.integer("/total"), int(mark or 0) + count
        if total is None or (not count and read < total):
            raise ProviderFault("Jira does not say how many there are, or shows fewer.")
        return read if read < total else None


_COMMENTS: Final = _Counted(size=_PAGE, size_in="maxResults", offset_in="startAt")


def issue_with_mark(client: ProviderClient, mark: str, since: datetime) -> str | None:
    """Key of the issue this account made with that mark; the oldest, for a copy may have copied the mark.

    A credential that is not accepted may search as an anonymous visitor and find nothing, so who asks is asked first.
    """
    if not Document(client.get(MYSELF_PATH).json()).text("/accountId"):
        raise ProviderFault("Jira does not say whose credential this is.")
    made = milliseconds(since - CLOCKS_DIFFER)
    jql = f"creator = currentUser() AND created >= {made} ORDER BY created ASC, key ASC"
    query = Query(path=SEARCH_PATH, json={"jql": jql, "fields": ["created"], "properties": [MARK_KEY]})
    for issue in listed(client, query, _SEARCH, items_at="/issues"):
        key = issue.text("/key")
        if not key or not isinstance(issue.at("/properties"), dict):
            raise ProviderFault("Jira shows an issue without its key or its properties.")
        if issue.text(f"/properties/{MARK_KEY}/mark") == mark:
            return key
    return None


def comment_with_mark(client: ProviderClient, issue_key: str, mark: str, since: datetime) -> str | None:
    """Id of the comment with that mark. Comments are read from the database, so none is missing."""
    query = Query(path=f"{ISSUE_PATH}/{issue_key}/comment", params={"orderBy": "-created", "expand": "properties"})
    for comment in made_since(client, query, _COMMENTS, items_at="/comments", made_at="/created", since=since):
        if not isinstance(comment.at("/properties"), list):
            raise ProviderFault("Jira shows a comment without its properties.")
        marks = [entry.text("/value/mark") for entry in comment.items("/properties") if entry.text("/key") == MARK_KEY]
        if mark in marks:
            return comment.text("/id")
    return None


def status_of(client: ProviderClient, issue_key: str) -> str:
    """Name of the status an issue is in."""
    answer = client.get(f"{ISSUE_PATH}/{issue_key}", params={"fields": "status"})
    name = Document(answer.json()).text("/fields/status/name")
    if not name:
        raise ProviderFault("Jira does not say which status the issue is in.")
    return name


def transition_to(client: ProviderClient, issue_key: str, state: str) -> str:
    """Id of the transition that leads to the status of that name from where the issue is now."""
    found = Document(client.get(f"{ISSUE_PATH}/{issue_key}/transitions").json())
    if not isinstance(found.at("/transitions"), list):
        raise ProviderFault("Jira does not say which transitions there are.")
    reachable: dict[str, str] = {}
    for transition in found.items("/transitions"):
        name, own = transition.text("/to/name"), transition.text("/id")
        if name and own:
            reachable.setdefault(name, own)
            if name.casefold() == state.strip().casefold():
                return own
    names = ", ".join(reachable) or "none"
    raise Rejected(f"The issue cannot go from its status to {state!r} in one step; it can to: {names}.")


def account_of(client: ProviderClient, who: str, project: str) -> str:
    """The account id of an e-mail address; anything else is an account id already."""
    if "@" not in who:
        return who
    answer = Document(client.get(ASSIGNABLE_PATH, params={"project": project, "query": who}).json())
    if not isinstance(answer.value, list):
        raise ProviderFault("Jira's answer holds no list of people.")
    # Addresses are hidden as a rule; one that is shown and is another is somebody else's.
    people = [person for person in answer.items("") if (person.text("/emailAddress") or who).lower() == who.lower()]
    accounts = {person.text("/accountId") for person in people} - {None}
    if len(accounts) != 1:
        found = "Nobody" if not accounts else "More than one person"
        raise Rejected(f"{found} with this e-mail address can be assigned in {project}; give the account id.")
    return str(accounts.pop())


def reference(key_or_id: str) -> dict[str, str]:
    """How a body names a project or an issue."""
    return {"id" if key_or_id.isdigit() else "key": key_or_id}


def browse(settings: Mapping[str, Any], issue_key: str) -> str:
    """Where people see the issue; empty where only the gateway's address is known."""
    site = str(settings.get("site_url") or settings.get("base_url") or "").rstrip("/")
    return f"{site}/browse/{issue_key}" if site and urlsplit(site).hostname != GATEWAY else ""
