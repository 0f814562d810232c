"""Jira's pull road: issues in the order of their last change.

Source: REST API v3, "Issue search" (``/search/jql``); "Advanced search reference" for JQL dates: an unquoted
number is epoch milliseconds, while a quoted date has minutes only and the time zone of the credential's user.
Search leaves out issues the user may not see, and deletions cannot be polled at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from providers.adapters.jira.mapping import milliseconds
from providers.adapters.jira.ordering import issue_key
from providers.adapters.jira.webhook import issue_created, issue_updated
from providers.canonical import SignalType
from providers.document import Document, compact
from providers.errors import ProviderFault
from providers.listing import ListStream, Order, Place
from providers.paging import NextToken, Query
from providers.spi import ProviderEvent

SEARCH_PATH: Final = "rest/api/3/search/jql"
PAGE_SIZE: Final = 100
# Without a list the endpoint answers ids only.
FIELDS: Final = (
    *("summary", "description", "status", "resolution", "created", "updated", "creator", "reporter", "assignee"),
    *("project", "issuetype", "labels", "priority", "parent", "fixVersions"),
)
EVENT_TYPE: Final = "issue"


class IssuesStream(ListStream):
    """Every issue at its latest version; a version is told once, the making of an issue as well."""

    name = "issues"
    description = "Issues as they are created and changed."
    order = Order.OLDEST_FIRST
    # The search index lags by seconds, by minutes after bulk changes.
    overlap_seconds = 300
    # The end of a window is part of the query.
    slice = timedelta(days=30)
    items_at = "/issues"
    changed_at = ("/fields/updated",)
    # A token dies after seven days and with every change of the query.
    paging = NextToken(
        size=PAGE_SIZE,
        size_in="/maxResults",
        token_at="/nextPageToken",
        token_in="/nextPageToken",
        last_at="/isLast",
    )

    def query(self, place: Place) -> Query:
        return Query(path=SEARCH_PATH, json={"jql": _jql(place), "fields": list(FIELDS)})

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        """What a snapshot can tell: that the issue was made in this span, and that it changed since."""
        key, updated, created = item.text("/id", limit=60), item.time("/fields/updated"), item.time("/fields/created")
        if not key or not updated:
            raise ProviderFault("The provider lists an issue without id or time of change.")
        payload = compact({"issue": item.value, "site": place.settings.get("site_url")})
        found: list[tuple[str, SignalType, datetime]] = []
        if created:
            found.append((issue_created(key), SignalType.ISSUE_CREATED, created))
        if updated != created:
            found.append((issue_updated(key, milliseconds(updated)), SignalType.ISSUE_UPDATED, updated))
        for identity, signal_type, moment in found:
            yield ProviderEvent(
                event_type=EVENT_TYPE,
                dedupe_key=identity,
                payload=payload,
                signal_type=signal_type,
                occurred_at=moment,
                happening=identity,
                ordering_key=issue_key(key),
                correlation_id=identity,
            )


def _jql(place: Place) -> str:
    since_ms = milliseconds(place.since)
    if place.until is None:
        span = f"updated >= {since_ms}"
    else:
        until_ms = milliseconds(place.until)
        # An issue made in the span and changed after it is no longer found by its time of change.
        made, changed = (f"({name} >= {since_ms} AND {name} < {until_ms})" for name in ("created", "updated"))
        span = f"({changed} OR {made})"
    projects: Sequence[str] = place.settings.get("projects") or ()
    scope = f"project in ({', '.join(map(_quoted, projects))}) AND " if projects else ""
    return f"{scope}{span} ORDER BY updated ASC, key ASC"


def _quoted(text: str) -> str:
    """A JQL string: quotes and backslashes escaped, so that a value can never become syntax."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
