"""The pull road: one page a call, the position says where to go on.

The runtime commits each page's events and the position after it in one transaction, so a crash repeats a
page and the dedupe key absorbs it. Nothing is remembered here between two calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from providers.adapters.fake.mapping import EVENT_TYPES, happening
from providers.canonical import JSON
from providers.client import ProviderClient
from providers.document import Document, compact
from providers.errors import ProviderFault
from providers.spi import Page, ProviderEvent, Stream, Window


class IssueStream(Stream):
    """``GET /issues``: oldest change first, paged by cursor, with an ETag for the state of the list.

    Position: ``watermark`` newest change read so far, ``etag`` of the run's first page, and between two
    pages of a run also ``since`` and ``cursor``.
    """

    name = "issues"
    description = "Issues by the time of their last change."
    overlap_seconds = 60

    def partitions(self, settings: Mapping[str, Any]) -> Sequence[str]:
        return settings.get("projects") or ("",)

    def page(
        self,
        client: ProviderClient,
        *,
        partition: str,
        settings: Mapping[str, Any],
        position: JSON,
        window: Window,
    ) -> Page:
        here = Document(position)
        cursor, etag = here.text("/cursor"), here.text("/etag")
        since = here.text("/since") or self._since(here, window)
        params = {
            "project": partition,
            "since": since,
            "until": window.until.isoformat() if window.until else "",
            "cursor": cursor or "",
        }
        # Only a run's first page may be conditional: "unchanged" says nothing about the middle of a list.
        conditional = {"If-None-Match": etag} if etag and not cursor else {}
        answer = client.get("/issues", params={k: v for k, v in params.items() if v}, headers=conditional)
        if answer.status == 304:
            return Page(events=(), position=position)

        body = Document(answer.json())
        issues = body.at("/issues")
        if not isinstance(issues, list):
            raise ProviderFault("The provider's answer holds no list of issues.")
        events = [_event(issue) for issue in issues]
        following = body.text("/next")
        if following and following == cursor:
            raise ProviderFault("The provider repeats a page.")
        times = [here.time("/watermark"), *(event.occurred_at for event in events)]
        watermark = max((moment for moment in times if moment), default=None)
        after = {
            "watermark": watermark.isoformat() if watermark else None,
            # The first page's ETag: a change while the run went on must make the next poll look again.
            "etag": etag if cursor else answer.headers.get("etag"),
            "since": since if following else None,
            "cursor": following,
        }
        return Page(events=events, position=compact(after), more=bool(following))

    def _since(self, here: Document, window: Window) -> str:
        watermark = here.time("/watermark")
        if watermark is None:
            return window.since.isoformat()
        return max(window.since, watermark - timedelta(seconds=self.overlap_seconds)).isoformat()


def _event(issue: Any) -> ProviderEvent:
    """One version of an issue, in the shape a webhook would have told it."""
    document = Document(issue)
    key, updated = document.text("/key", limit=80), document.time("/updated")
    if key is None or updated is None:
        raise ProviderFault("An issue of the provider's answer has no key or no time.")
    event_type = _event_type(document, updated)
    version = updated.isoformat()
    return ProviderEvent(
        event_type=event_type,
        dedupe_key=f"issue:{key}:{version}",
        payload={"type": event_type, "at": version, "actor": document.text("/updated_by"), "issue": issue},
        signal_type=EVENT_TYPES[event_type],
        occurred_at=updated,
        happening=happening("issue", key, event_type, version),
        ordering_key=f"issue:{key}",
    )


def _event_type(issue: Document, updated: datetime) -> str:
    """What the last change was. A list shows states, not changes, so only three can be told apart."""
    if issue.time("/created") == updated:
        return "issue.created"
    if issue.time("/closed") == updated:
        return "issue.closed"
    return "issue.updated"
