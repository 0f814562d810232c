"""Work items by the feed of their revisions: every version of each, in the order in which the service learned of it.

Source: https://learn.microsoft.com/rest/api/azure/devops/wit/reporting-work-item-revisions
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any
from urllib.parse import quote

from providers.adapters.azure_devops import mapping_work
from providers.adapters.azure_devops.items import event_of, in_hook_shape, params, refused
from providers.adapters.azure_devops.mapping import WORK_ITEM_CREATED, WORK_ITEM_DELETED, WORK_ITEM_UPDATED
from providers.canonical import JSON, SignalType
from providers.document import Document, compact
from providers.errors import ProviderError, ProviderFault
from providers.feeds import FeedStream, FeedToken
from providers.listing import Place
from providers.paging import Query
from providers.spi import ProviderEvent

_CHANGED = "/fields/System.ChangedDate"
_STATE_CHANGED = "/fields/Microsoft.VSTS.Common.StateChangeDate"
_CLOSED = "/fields/Microsoft.VSTS.Common.ClosedDate"
# What the feed gives happened after the time that is asked for, not at it.
_BEFORE = timedelta(seconds=1)


class WorkItemStream(FeedStream):
    """Each revision is told once; what changed in it shows only where the revision's own time stands in a field."""

    name = "work_items"
    description = "Every revision of the work items."
    overlap_seconds = 600
    paging = FeedToken(
        size=200,
        size_in="$maxPageSize",
        token_at="/continuationToken",
        token_in="continuationToken",
        last_at="/isLastBatch",
        since_in="startDateTime",
    )
    items_at = "/values"

    def partitions(self, settings: Mapping[str, Any]) -> Sequence[str]:
        return settings.get("projects") or ()

    def query(self, place: Place) -> Query:
        start = (place.since - _BEFORE).astimezone(UTC)
        wanted = {"includeDeleted": "true", "includeIdentityRef": "true", "$expand": "fields"}
        return Query(
            path=f"{quote(place.partition, safe='')}/_apis/wit/reporting/workitemrevisions",
            params=params(startDateTime=f"{start:%Y-%m-%dT%H:%M:%SZ}", **wanted),
        )

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        """A revision in the shape of ``workitem.created``, ``.updated`` or ``.deleted``."""
        changed = item.text(_CHANGED) if item.time(_CHANGED) else None
        if changed is None:
            raise ProviderFault("A revision of the provider's feed has no time.")
        if item.boolean("/fields/System.IsDeleted"):
            payload = in_hook_shape(WORK_ITEM_DELETED, _whole(item), place, happened=changed)
            yield event_of(WORK_ITEM_DELETED, SignalType.ISSUE_DELETED, payload)
        elif item.integer("/rev") == 1:
            payload = in_hook_shape(WORK_ITEM_CREATED, _whole(item), place, happened=changed)
            yield event_of(WORK_ITEM_CREATED, SignalType.ISSUE_CREATED, payload)
        else:
            payload = in_hook_shape(WORK_ITEM_UPDATED, _update(item), place, happened=changed)
            signal_types = mapping_work.meanings(Document(payload))
            if _now(item, _CLOSED):
                signal_types.append(SignalType.ISSUE_CLOSED)
            for signal_type in signal_types:
                yield event_of(WORK_ITEM_UPDATED, signal_type, payload)

    def refusal(self, error: ProviderError, place: Place) -> ProviderError:
        return refused(error, "work items", "vso.work", f"The project {place.partition}")


def _whole(item: Document) -> JSON:
    return compact({name: item.at(f"/{name}") for name in ("id", "rev", "fields", "_links", "url")})


def _update(item: Document) -> JSON:
    """A revision as an update: of what changed, only the state and a comment are known, and not what was before."""
    changes = {}
    if _now(item, _STATE_CHANGED):
        changes["System.State"] = {"newValue": item.at("/fields/System.State")}
    if item.text("/fields/System.History"):
        changes["System.History"] = {"newValue": item.at("/fields/System.History")}
    whole = _whole(item)
    update = {"workItemId": whole.get("id"), "rev": whole.get("rev"), "revisedBy": item.at("/fields/System.ChangedBy")}
    return compact({**update, "fields": changes, "revision": whole})


def _now(item: Document, pointer: str) -> bool:
    """Whether a time of the item is that of this revision."""
    moment = item.time(pointer)
    return moment is not None and moment == item.time(_CHANGED)
