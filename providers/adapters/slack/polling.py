"""Slack's pull road: what was posted in each channel, newest first.

Source: https://docs.slack.dev/reference/methods/conversations.history. ``oldest`` and ``latest`` are times to the
microsecond, and the cursor names the message to go on from, so nothing is skipped between pages. A list shows messages
as they are now: of an edit the time is left, of a deletion nothing.

A message does not say whose app reads it, which is what tells mentions and the app's own posts; so a new cursor asks
``auth.test`` first and remembers the answer in its position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from providers.adapters.slack import account, mapping, mapping_rules
from providers.adapters.slack.answers import ThreadGone
from providers.canonical import JSON
from providers.client import ProviderClient
from providers.document import Document, compact
from providers.errors import ProviderError, ProviderFault, Rejected, StaleMark
from providers.listing import ListStream, Order, Place
from providers.paging import NextToken, Query
from providers.spi import Page, ProviderEvent, Window

ACCOUNT: Final = "account"
PAGE_SIZE, LIMITED_PAGE_SIZE = 200, 15
# An app that is distributed outside the Marketplace may ask once a minute.
# https://docs.slack.dev/changelog/2025/05/29/rate-limit-changes-for-non-marketplace-apps
LIMITED_PAUSE_SECONDS: Final = 60.0


class MessageStream(ListStream):
    """``conversations.history``: messages and the first ones of threads; replies only if sent to the channel too."""

    name = "messages"
    description = "Messages of the channels, without the replies in threads."
    # Nothing comes late: what is read again shows edits.
    overlap_seconds = 300
    slice = timedelta(days=7)
    order = Order.NEWEST_FIRST
    paging = NextToken(
        size=PAGE_SIZE, token_at="/response_metadata/next_cursor", token_in="cursor", more_at="/has_more"
    )
    items_at = "/messages"

    def partitions(self, settings: Mapping[str, Any]) -> Sequence[str]:
        return settings.get("channels") or ()

    def page(
        self,
        client: ProviderClient,
        *,
        partition: str,
        settings: Mapping[str, Any],
        position: JSON,
        window: Window,
    ) -> Page:
        def read(known: Mapping[str, Any]) -> Page:
            return super(MessageStream, self).page(
                client, partition=partition, settings=known, position=position, window=window
            )

        return knowing_the_account(client, settings, position, read)

    def query(self, place: Place) -> Query:
        return Query(path="conversations.history", params=span(place))

    def changed(self, item: Document) -> datetime | None:
        return mapping.moment(item.at("/ts"))

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        return told(item, place)

    def refusal(self, error: ProviderError, place: Place) -> ProviderError:
        return of_channel(error, place)


def knowing_the_account(
    client: ProviderClient, settings: Mapping[str, Any], position: JSON, read: Callable[[Mapping[str, Any]], Page]
) -> Page:
    """The page that is read with the account among the settings; where it is not known yet, the page that asks."""
    known = position.get(ACCOUNT)
    if not isinstance(known, dict):
        who = account.named(account.ask(client))
        return Page(events=(), position={**position, ACCOUNT: account.remembered(who)}, more=True)
    try:
        page = read({**settings, ACCOUNT: known})
    except StaleMark as stale:
        stale.position = {**stale.position, ACCOUNT: known}
        raise
    pause = LIMITED_PAUSE_SECONDS if settings.get("limited") else None
    return replace(page, position={**page.position, ACCOUNT: known}, poll_after_seconds=pause)


def span(place: Place) -> dict[str, str | int]:
    """Parameters of both lists: the channel, the span with both its ends, and how much at once."""
    latest = {"latest": mapping.ts_of(place.until)} if place.until else {}
    limit = LIMITED_PAGE_SIZE if place.settings.get("limited") else PAGE_SIZE
    oldest = mapping.ts_of(place.since)
    return {"channel": place.partition, "oldest": oldest, **latest, "inclusive": "true", "limit": limit}


def of_channel(error: ProviderError, place: Place) -> ProviderError:
    """The refusal with the channel it is about."""
    if not isinstance(error, Rejected) or isinstance(error, ThreadGone):
        return error
    return Rejected(f"Channel {place.partition}: {error}", status=error.status)


def told(item: Document, place: Place) -> Iterator[ProviderEvent]:
    """That a message was posted and, if it was, that it was edited: in the shape of the Events API."""
    ts, edited = item.at("/ts"), item.text("/edited/ts", limit=60)
    if mapping.moment(ts) is None:
        raise ProviderFault("A message of Slack's answer has no time.")
    # Of a direct message the kind matters, and here only the channel's id tells it.
    kind = {"channel_type": "im"} if place.partition.startswith("D") else {}
    where = {"type": "message", "channel": place.partition, **kind}
    yield _event({**item.value, **where, "event_ts": ts}, place, ts)
    if edited:
        change = {"subtype": "message_changed", "ts": edited, "event_ts": edited, "message": item.value}
        yield _event({**where, **change}, place, f"{ts}:edited:{edited}")


def _event(event: JSON, place: Place, version: str) -> ProviderEvent:
    who = Document(place.settings.get(ACCOUNT))
    team, bot = who.text("/team") or "", who.text("/bot")
    reader = compact({"team_id": team, "user_id": who.text("/user"), "bot_id": bot})
    payload = {
        "type": "event_callback",
        "team_id": team,
        "event": event,
        "authorizations": [{**reader, "is_bot": bot is not None}],
    }
    body = Document(payload)
    event_type = mapping_rules.event_name(body)
    signal_type, ignored_reason = mapping_rules.classify(event_type, body)
    return ProviderEvent(
        event_type=event_type,
        dedupe_key=f"message:{team}:{place.partition}:{version}",
        payload=payload,
        signal_type=signal_type,
        ignored_reason=ignored_reason,
        occurred_at=mapping.occurred_at(body),
        happening=mapping.happening(signal_type, body),
        ordering_key=mapping.ordering_key(signal_type, body),
    )
