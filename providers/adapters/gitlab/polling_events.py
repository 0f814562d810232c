"""What a project's events tell that no other list does: pushes, comments and approvals.

The list is filtered by whole days, and neither of the days named is among them; the days are those of the instance's
own time zone, so two are left on either side. It is read newest first, down to where the last run began. A page is cut
before what the token may not see is taken out of it, so it may be short, or empty, and still have another behind it.

Source: https://docs.gitlab.com/api/events/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, timedelta
from typing import Any, Final

from providers.adapters.gitlab.mapping_rules import action_of, classify
from providers.adapters.gitlab.places import project
from providers.adapters.gitlab.polling import GitLabStream, event, instant
from providers.canonical import JSON
from providers.document import Document
from providers.errors import ProviderFault
from providers.listing import Order, Place
from providers.spi import ProviderEvent

SEVERAL_REFS: Final = "one push of several branches or tags; neither an event nor a webhook names them"
_AROUND = timedelta(days=2)
_NO_COMMIT = "0" * 40
_PUSHES = ("push", "tag_push")
_REFS = {"branch": ("push", "refs/heads/"), "tag": ("tag_push", "refs/tags/")}
# Notes GitLab wrote itself, and those the hooks that are made here leave out, too.
_LEFT_OUT = ("system", "internal", "confidential")
_NOTED = {"MergeRequest": ("merge_request", "merge_requests"), "Issue": ("issue", "issues")}


class EventStream(GitLabStream):
    name = "events"
    description = "Pushes, comments and approvals."
    path = "events"
    order = Order.NEWEST_FIRST
    changed_at = ("/created_at",)
    retention = timedelta(days=3 * 365)
    # Its days are filtered at both ends, and two of them are read beyond each.
    slice = timedelta(days=30)

    def filters(self, place: Place) -> Mapping[str, Any]:
        until = {"before": _day(place.until, _AROUND)} if place.until else {}
        return {"sort": "desc", "after": _day(place.since, -_AROUND), **until}

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        own, moment = item.text("/id", limit=40), item.time("/created_at")
        if own is None or moment is None:
            raise ProviderFault("An event of GitLab's list has no id or no time.")
        body = self._body(item, place)
        if not body:
            return
        document = Document(body)
        kind = body["object_kind"]
        action = action_of(kind, document)
        event_type = f"{kind}.{action}" if action else kind
        signal_types, reason = classify(kind, document)
        if kind in _PUSHES and not document.text("/ref"):
            signal_types, reason = [], SEVERAL_REFS
        for signal_type in signal_types:
            yield event(event_type, signal_type, f"event:{own}", moment, body)
        if kind in _PUSHES and not signal_types:
            yield event(event_type, None, f"event:{own}", moment, body, reason)

    def _body(self, item: Document, place: Place) -> JSON:
        """The event as the webhook of the same thing, or nothing."""
        number = item.integer("/project_id")
        home = project(place.settings, place.partition, number)
        common = {"project_id": number, "project": home, "user": item.at("/author")}
        if isinstance(item.at("/push_data"), dict):
            return {**common, **_push(item)}
        if isinstance(item.at("/note"), dict):
            left_out = any(item.boolean(f"/note/{mark}") for mark in _LEFT_OUT)
            return {} if left_out else {**common, **_note(item, home)}
        if (item.text("/action_name"), item.text("/target_type")) == ("approved", "MergeRequest"):
            return {**common, **_approval(item, home)}
        return {}


def _day(moment: Any, shift: timedelta) -> str:
    return f"{moment.astimezone(UTC) + shift:%Y-%m-%d}"


def _push(item: Document) -> JSON:
    data = "/push_data"
    kind, prefix = _REFS.get(item.text(f"{data}/ref_type") or "", _REFS["branch"])
    ref, after = item.text(f"{data}/ref"), item.text(f"{data}/commit_to")
    head = {"id": after, "title": item.at(f"{data}/commit_title")}
    return {
        "object_kind": kind,
        "ref": f"{prefix}{ref}" if ref else None,
        "before": item.text(f"{data}/commit_from") or _NO_COMMIT,
        "after": after or _NO_COMMIT,
        "checkout_sha": after,
        "user_username": item.at("/author/username"),
        "total_commits_count": item.at(f"{data}/commit_count"),
        "commits": [head] if after else [],
    }


def _note(item: Document, home: JSON) -> JSON:
    note, about = item.at("/note"), item.text("/note/noteable_type") or ""
    number, note_id = item.integer("/note/noteable_iid"), item.text("/note/id", limit=40)
    name, part = _NOTED.get(about, ("commit", ""))
    address = f"{home['web_url']}/-/{part}/{number}" if part and number and "web_url" in home else None
    attributes = {
        **note,
        "note": item.at("/note/body"),
        "action": "create",
        "author_id": item.at("/note/author/id"),
        "url": f"{address}#note_{note_id}" if address else None,
    }
    noted = {
        "id": item.at("/note/noteable_id"),
        "iid": number,
        "target_project_id": item.at("/project_id"),
        "title": item.at("/target_title"),
    }
    return {"object_kind": "note", "object_attributes": attributes, name: noted}


def _approval(item: Document, home: JSON) -> JSON:
    number, moment = item.integer("/target_iid"), item.time("/created_at")
    attributes = {
        "id": item.at("/target_id"),
        "iid": number,
        "title": item.at("/target_title"),
        "target_project_id": item.at("/project_id"),
        "action": "approved",
        "updated_at": instant(moment) if moment else None,
        "url": f"{home['web_url']}/-/merge_requests/{number}" if number and "web_url" in home else None,
    }
    return {"object_kind": "merge_request", "object_attributes": attributes}
