"""Jira's pull road: issues in the order of their last change.

Source: REST API v3, "Issue search" (``/search/jql``); "Advanced search reference" for JQL dates: an unquoted
number is epoch milliseconds, while a quoted date has minutes only and the time zone of the credential's user.
Search leaves out issues the user may not see, and deletions cannot be polled at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from providers.adapters.jira.mapping import milliseconds
from providers.adapters.jira.ordering import issue_key
from providers.adapters.jira.webhook import issue_created, issue_updated
from providers.canonical import JSON, SignalType
from providers.client import ProviderClient
from providers.document import Document
from providers.errors import ProviderFault, Rejected
from providers.spi import Page, ProviderEvent, Stream, Window

SEARCH_PATH: Final = "rest/api/3/search/jql"
PAGE_SIZE: Final = 100
# Without a list the endpoint answers ids only.
FIELDS: Final = (
    *("summary", "description", "status", "resolution", "created", "updated", "creator", "reporter", "assignee"),
    *("project", "issuetype", "labels", "priority", "parent", "fixVersions"),
)
EVENT_TYPE: Final = "issue"


class IssuesStream(Stream):
    """Every issue at its latest version; a version is told once, the making of an issue as well.

    Position between runs: ``{"watermark": ms}``, the newest ``updated`` seen. Inside a run also ``since``
    (where the run began), ``token`` (next page) and ``newest``; the watermark moves with the last page only,
    because issues wander between pages while they change.
    """

    name = "issues"
    description = "Issues as they are created and changed."
    # The search index lags by seconds, by minutes after bulk changes.
    overlap_seconds = 300

    def page(
        self,
        client: ProviderClient,
        *,
        partition: str,
        settings: Mapping[str, Any],
        position: JSON,
        window: Window,
    ) -> Page:
        since_ms = self._since_ms(position, window)
        token = position.get("token", "")
        answer = _search(client, _jql(settings.get("projects", ()), since_ms, window), token)
        issues = [_Issue(item) for item in answer["issues"]]
        site = settings.get("site_url", "")
        events = [event for issue in issues for event in _events(issue, since_ms, window, site)]
        newest = max([position.get("newest", since_ms), *(issue.updated_ms for issue in issues)])
        next_token = answer.get("nextPageToken")
        if answer.get("isLast") is True or not next_token:
            # A quiet run starts one overlap back and must not pull the watermark there.
            return Page(events=events, position={"watermark": max(newest, position.get("watermark", 0))})
        if next_token == token:
            raise ProviderFault("The provider gives the same page again and again.")
        unfinished = {"since": since_ms, "token": next_token, "newest": newest}
        return Page(events=events, position={**position, **unfinished}, more=True)

    def _since_ms(self, position: JSON, window: Window) -> int:
        """Where this run began; a new one begins an overlap before the watermark, never before the window."""
        if "since" in position:
            return int(position["since"])
        start = milliseconds(window.since)
        return max(start, int(position.get("watermark", start)) - self.overlap_seconds * 1000)


class _Issue:
    """One found issue with the parts that identify its version."""

    def __init__(self, item: Any) -> None:
        document = Document(item)
        key, updated = document.text("/id", limit=60), document.time("/fields/updated")
        if not key or not updated:
            raise ProviderFault("The provider lists an issue without id or time of change.")
        created = document.time("/fields/created")
        self.item: JSON = item
        self.id = key
        self.updated, self.updated_ms = updated, milliseconds(updated)
        self.created = created
        self.created_ms = milliseconds(created) if created else None


def _events(issue: _Issue, since_ms: int, window: Window, site: str) -> list[ProviderEvent]:
    """What a snapshot can tell: that the issue was made in this span, and that it changed since."""
    until_ms = milliseconds(window.until) if window.until else None

    def inside(moment_ms: int | None) -> bool:
        return moment_ms is not None and moment_ms >= since_ms and (until_ms is None or moment_ms < until_ms)

    payload = {"issue": issue.item, **({"site": site} if site else {})}
    found = []
    if inside(issue.created_ms):
        identity = issue_created(issue.id)
        found.append((identity, SignalType.ISSUE_CREATED, issue.created))
    if inside(issue.updated_ms) and issue.updated_ms != issue.created_ms:
        identity = issue_updated(issue.id, issue.updated_ms)
        found.append((identity, SignalType.ISSUE_UPDATED, issue.updated))
    return [
        ProviderEvent(
            event_type=EVENT_TYPE,
            dedupe_key=identity,
            payload=payload,
            signal_type=signal_type,
            occurred_at=moment,
            happening=identity,
            ordering_key=issue_key(issue.id),
            correlation_id=identity,
        )
        for identity, signal_type, moment in found
    ]


def _search(client: ProviderClient, jql: str, token: str) -> JSON:
    query: JSON = {"jql": jql, "fields": list(FIELDS), "maxResults": PAGE_SIZE}
    try:
        answer = client.post_query(SEARCH_PATH, json=query | ({"nextPageToken": token} if token else {})).json()
    except Rejected:
        if not token:
            raise
        # A token dies after seven days and with every change of the query; the run then begins again.
        answer = client.post_query(SEARCH_PATH, json=query).json()
    if not isinstance(answer, dict) or not isinstance(answer.get("issues"), list):
        raise ProviderFault("The provider's answer to a search has no list of issues.")
    return answer


def _jql(projects: Sequence[str], since_ms: int, window: Window) -> str:
    if window.until is None:
        span = f"updated >= {since_ms}"
    else:
        until_ms = milliseconds(window.until)
        # An issue made in the span and changed after it is no longer found by its time of change.
        made, changed = (f"({name} >= {since_ms} AND {name} < {until_ms})" for name in ("created", "updated"))
        span = f"({changed} OR {made})"
    scope = f"project in ({', '.join(map(_quoted, projects))}) AND " if projects else ""
    return f"{scope}{span} ORDER BY updated ASC, key ASC"


def _quoted(text: str) -> str:
    """A JQL string: quotes and backslashes escaped, so that a value can never become syntax."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
