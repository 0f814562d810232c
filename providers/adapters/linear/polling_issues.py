"""Issues, with as much of their history as tells what made the last version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from providers.adapters.linear import changes, naming, queries
from providers.adapters.linear.issue_history import as_update, at_once, entry_at, time_of
from providers.adapters.linear.polling import LinearStream, hook_data, pages, text_of, times_of
from providers.adapters.linear.shapes import ID_LENGTH
from providers.canonical import JSON, SignalType
from providers.document import Document, compact
from providers.listing import Place
from providers.spi import ProviderEvent

# Entries of each issue's history: what an edit or two can be; or as many as one query may cost.
_FEW, _MANY = 5, 20


class IssueStream(LinearStream):
    """An issue tells that it was made, closed or put away, by the times it keeps of that, and its last version.

    With the setting ``history`` earlier changes are told as well; nothing makes those one with a webhook's.
    """

    name = "issues"
    description = "Issues by the time of their last change."
    kind, operation, text = "Issue", "Issues", queries.ISSUES
    items_at, paging = "/data/issues/nodes", pages("issues")

    def variables(self, place: Place) -> JSON:
        return {"changes": _MANY if place.settings.get("history") else _FEW}

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        made, updated = times_of(item)
        issue = hook_data(item)
        yield from self.told("create", issue)
        closed = naming.stamp(SignalType.ISSUE_CLOSED, Document({"data": issue}))
        if closed:
            yield self.event(SignalType.ISSUE_CLOSED, self._update(issue, closed, {"completedAt": None}))
        gone = item.time("/archivedAt")
        if gone:
            signal_type = SignalType.ISSUE_DELETED if item.boolean("/trashed") else SignalType.ISSUE_ARCHIVED
            yield self.event(signal_type, self._update(issue, gone, {"archivedAt": None}))
        kept = [moment for moment in (made, closed, gone) if moment]
        entries = [entry for entry in item.items("/history/nodes") if entry.text("/id") and time_of(entry)]
        last = entry_at(updated, entries)
        if last is not None:
            yield from self._change(issue, last, updated, kept)
        elif not at_once(updated, kept):
            yield from self.told("update", issue, then={})
        for entry in entries if place.settings.get("history") else ():
            if entry is not last:
                earlier = self._change(issue, entry, time_of(entry) or made, kept)
                yield from (replace(event, happening="") for event in earlier)

    def _change(
        self, issue: JSON, entry: Document, moment: datetime, kept: Sequence[datetime]
    ) -> Iterator[ProviderEvent]:
        """What an entry of the history tells, as of ``moment``; ``kept``: times of which the issue itself tells."""
        data, then = as_update(entry, issue)
        if at_once(moment, kept[:1]) or (not then and at_once(moment, kept)):
            return
        payload = self._update(data, moment, then, actor=entry.text("/actorId"))
        written = naming.version(f"history:{entry.text('/id', limit=ID_LENGTH)}", time_of(entry))
        for signal_type in changes.meanings(Document(payload)):
            yield replace(self.event(signal_type, payload), dedupe_key=f"polled:{written}:{signal_type}")

    def _update(self, issue: JSON, moment: datetime, then: JSON, actor: str | None = None) -> JSON:
        data = {**issue, "updatedAt": text_of(moment)}
        whole = {"type": self.kind, "action": "update", "data": data, "url": issue.get("url"), "updatedFrom": then}
        return compact({**whole, "actor": {"id": actor} if actor else None})
