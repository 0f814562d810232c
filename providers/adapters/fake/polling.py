"""The pull road: one list, declared. How it is read, page by page and run by run, is ``providers.listing``'s.

Nothing is remembered here between two calls: all a run has to know is in the position it is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from providers.adapters.fake.mapping import EVENT_TYPES, happening
from providers.document import Document
from providers.errors import ProviderFault
from providers.listing import ListStream, Order, Place
from providers.paging import NextToken, Query
from providers.spi import ProviderEvent


class IssueStream(ListStream):
    """``GET /issues``: oldest change first, paged by cursor, with an ETag for the state of the list."""

    name = "issues"
    description = "Issues by the time of their last change."
    overlap_seconds = 60
    # The end of a window is the provider's to find, so a slice costs what is in it.
    slice = timedelta(days=7)
    order = Order.OLDEST_FIRST
    paging = NextToken(size=20, token_at="/next", token_in="cursor")
    conditional = True
    items_at = "/issues"
    changed_at = ("/updated",)

    def partitions(self, settings: Mapping[str, Any]) -> Sequence[str]:
        return settings.get("projects") or ("",)

    def query(self, place: Place) -> Query:
        params = {"project": place.partition, "since": place.since.isoformat()}
        if place.until:
            params["until"] = place.until.isoformat()
        return Query(path="/issues", params=params)

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        """One version of an issue, in the shape a webhook would have told it."""
        key, updated = item.text("/key", limit=80), item.time("/updated")
        if key is None or updated is None:
            raise ProviderFault("An issue of the provider's answer has no key or no time.")
        event_type = _event_type(item, updated)
        version = updated.isoformat()
        yield ProviderEvent(
            event_type=event_type,
            dedupe_key=f"issue:{key}:{version}",
            payload={"type": event_type, "at": version, "actor": item.text("/updated_by"), "issue": item.value},
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
