"""Feeds: lists in the order in which the provider learned of things, read on from a token that outlives the run.

The token, and no time, is the position between two runs. Nothing is read twice and nothing can come late: what becomes
visible later stands later. Only where the provider has forgotten the token does a time count: the feed is then asked
for from ``overlap_seconds`` before the begin of the last run that came to its end, by the provider's clock, or from the
start of the window if there was none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, ClassVar

from providers.canonical import JSON
from providers.client import ProviderClient
from providers.document import Document, compact
from providers.errors import ProviderError, ProviderFault, Rejected, StaleMark
from providers.listing import FORGETFUL, RESTARTS, ListStream, Order, Place, clock_of
from providers.paging import Mark, NextToken, Query
from providers.spi import Page, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedToken(NextToken):
    """A token that comes with every page, the last too (``last_at`` says which that is), and is handed back in place of
    the time in ``since_in``."""

    last_at: str
    since_in: str

    def at(self, query: Query, mark: Mark) -> Query:
        asked = self.first(query)
        params = {name: value for name, value in asked.params.items() if name != self.since_in}
        return replace(asked, params={**params, self.token_in: mark})


class FeedStream(ListStream):
    """One feed. Declare ``paging``, ``items_at`` and ``overlap_seconds``, build the ``query`` of a first page, tell an
    item's ``events``.

    Its position has ``token``; ``read_at``, the begin of the last run that came to its end; inside a run also
    ``asked_at``, its own begin, and ``restarts``.
    """

    order = Order.NONE
    paging: ClassVar[FeedToken]

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
        token, read_at, restarts = here.text("/token"), here.time("/read_at"), here.integer("/restarts") or 0
        kept = {"read_at": here.text("/read_at"), "asked_at": here.text("/asked_at"), "restarts": restarts or None}
        place = Place(partition=partition, settings=settings, since=window.since, until=window.until)
        behind = read_at - timedelta(seconds=self.overlap_seconds) if read_at else window.since
        query = self.query(replace(place, since=max(window.since, behind)))
        asked = self.paging.at(query, token) if token else self.paging.first(query)
        try:
            answer = asked.sent(client)
        except Rejected as error:
            if not token:
                raise self.refusal(error, place) from None
            if restarts >= RESTARTS:
                afresh = compact({"read_at": kept["read_at"]})
                raise StaleMark(FORGETFUL, status=error.status, position=afresh) from None
            return Page(events=(), position=compact({**kept, "restarts": restarts + 1}), more=True)
        except ProviderError as error:
            raise self.refusal(error, place) from None
        body = Document(answer.json())
        events = [
            event for item in self._items(body) for event in self.events(item, place) if place.holds(event.occurred_at)
        ]
        last, following = body.boolean(self.paging.last_at), body.text(self.paging.token_at)
        if last is None or not following:
            raise ProviderFault("The provider does not say where its feed goes on.")
        if following == token and not last:
            raise ProviderFault("The provider repeats a page.")
        now = clock_of(answer)
        begun = kept["asked_at"] or (now.isoformat() if now else None)
        after = {"read_at": begun} if last else {**kept, "asked_at": begun}
        return Page(
            events=events,
            position=compact({"token": following, **after}),
            more=not last,
            poll_after_seconds=self.wish(answer),
        )
