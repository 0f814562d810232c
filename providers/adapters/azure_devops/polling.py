"""Builds, pull requests and pushes by list; work items are in ``polling_work``.

Sources: https://learn.microsoft.com/rest/api/azure/devops/build/builds/list,
https://learn.microsoft.com/rest/api/azure/devops/git/pull-requests/get-pull-requests-by-project and
https://learn.microsoft.com/rest/api/azure/devops/git/pushes/list
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from providers.adapters.azure_devops import mapping, naming
from providers.adapters.azure_devops.items import event_of, in_hook_shape, params, refused, with_page
from providers.adapters.azure_devops.mapping import (
    BUILD_COMPLETE,
    PULL_REQUEST_CREATED,
    PULL_REQUEST_UPDATED,
    PUSH,
)
from providers.document import Document
from providers.errors import ProviderError, ProviderFault
from providers.listing import ListStream, Order, Place
from providers.paging import HeaderToken, Offset, Query
from providers.spi import ProviderEvent

_LOOKBACK_SECONDS = 600


class BuildStream(ListStream):
    """Finished builds, the first to finish first. The times that filter are those the list is sorted by."""

    name = "builds"
    description = "Builds and pipeline runs that have ended."
    overlap_seconds = _LOOKBACK_SECONDS
    slice = timedelta(days=7)
    order = Order.OLDEST_FIRST
    step = timedelta(seconds=1)
    # What the token is made of is not documented, so it is not relied on where builds of one second fill a page.
    paging = HeaderToken(
        size=200, size_in="$top", header="x-ms-continuationtoken", token_in="continuationToken", stable=False
    )
    items_at = "/value"
    changed_at = ("/finishTime",)

    def partitions(self, settings: Mapping[str, Any]) -> Sequence[str]:
        return settings.get("projects") or ()

    def query(self, place: Place) -> Query:
        chosen = {"statusFilter": "completed", "queryOrder": "finishTimeAscending"}
        return Query(
            path=f"{quote(place.partition, safe='')}/_apis/build/builds",
            params=params(**chosen, minTime=_text(place.since), maxTime=_text(place.until)),
        )

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        payload = in_hook_shape(BUILD_COMPLETE, item.value, place)
        signal_types, _ = mapping.meanings(BUILD_COMPLETE, "", Document(payload))
        for signal_type in signal_types:
            yield event_of(BUILD_COMPLETE, signal_type, payload)

    def refusal(self, error: ProviderError, place: Place) -> ProviderError:
        return refused(error, "builds", "vso.build", f"The project {place.partition}")


class _PullRequestStream(ListStream):
    """Pull requests of a project by one of their two times; there is no filter by the time of a change."""

    overlap_seconds = _LOOKBACK_SECONDS
    slice = timedelta(days=30)
    # The order is not documented. Read as newest first every page is read all the same, because the filter keeps out
    # what is older, and the watermark is at worst too low.
    order = Order.NEWEST_FIRST
    paging = Offset(size=100, size_in="$top", offset_in="$skip")
    items_at = "/value"
    time_range: ClassVar[str]
    event: ClassVar[str]

    def partitions(self, settings: Mapping[str, Any]) -> Sequence[str]:
        return settings.get("projects") or ()

    def query(self, place: Place) -> Query:
        chosen = {"status": "all", "queryTimeRangeType": self.time_range}
        chosen |= {"minTime": _text(place.since), "maxTime": _text(place.until)}
        return Query(
            path=f"{quote(place.partition, safe='')}/_apis/git/pullrequests",
            params=params(**{f"searchCriteria.{name}": value for name, value in chosen.items()}),
        )

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        payload = in_hook_shape(self.event, with_page(item.value, place), place)
        signal_types, _ = mapping.meanings(self.event, "", Document(payload))
        for signal_type in signal_types:
            if self.event == PULL_REQUEST_CREATED or signal_type in naming.CLOSING:
                yield event_of(self.event, signal_type, payload)

    def refusal(self, error: ProviderError, place: Place) -> ProviderError:
        return refused(error, "pull requests", "vso.code", f"The project {place.partition}")


class OpenedPullRequestStream(_PullRequestStream):
    name = "pull_requests_created"
    description = "Pull requests that were opened."
    time_range = "created"
    event = PULL_REQUEST_CREATED
    changed_at = ("/creationDate",)


class ClosedPullRequestStream(_PullRequestStream):
    name = "pull_requests_closed"
    description = "Pull requests that were merged or abandoned."
    time_range = "closed"
    event = PULL_REQUEST_UPDATED
    changed_at = ("/closedDate",)


class PushStream(ListStream):
    """Pushes to one repository, newest first; one event for each ref a push moved."""

    name = "pushes"
    description = "Pushes, branches and tags of the repositories."
    enabled_by_default = False
    overlap_seconds = _LOOKBACK_SECONDS
    slice = timedelta(days=7)
    order = Order.NEWEST_FIRST
    # A push never goes away: the list grows at its top, and what moves down is read twice, not missed.
    paging = Offset(size=100, size_in="$top", offset_in="$skip", stable=True)
    items_at = "/value"
    changed_at = ("/date",)

    def partitions(self, settings: Mapping[str, Any]) -> Sequence[str]:
        return settings.get("repositories") or ()

    def query(self, place: Place) -> Query:
        project, _, repository = place.partition.partition("/")
        chosen = {"includeRefUpdates": "true", "fromDate": _text(place.since), "toDate": _text(place.until)}
        return Query(
            path=f"{quote(project, safe='')}/_apis/git/repositories/{quote(repository, safe='')}/pushes",
            params=params(**{f"searchCriteria.{name}": value for name, value in chosen.items()}),
        )

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        if not isinstance(item.at("/refUpdates"), list):
            raise ProviderFault("A push of the provider's list does not say what it moved.")
        if not item.items("/refUpdates"):
            return
        for payload in naming.refs(in_hook_shape(PUSH, with_page(item.value, place), place)):
            signal_types, _ = mapping.meanings(PUSH, "", Document(payload))
            for signal_type in signal_types:
                yield event_of(PUSH, signal_type, payload)

    def refusal(self, error: ProviderError, place: Place) -> ProviderError:
        return refused(error, "pushes", "vso.code", f"The repository {place.partition}")


def _text(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z" if moment else ""
