"""The pull road: pull requests, what was said of them, and pipelines, each list one repository's.

- A pull request brings the times of its making and of its last change. When it was merged or declined is not among
  them, so its end is told at the time of its last change, once.
- The log of all pull requests of a repository takes no filter; it is read newest first, down to the last run.
- Pipelines are sorted by when they were started and take no filter by when they ended, so a run reads the list again as
  far back as a pipeline may last.

Sources: https://developer.atlassian.com/cloud/bitbucket/rest/api-group-pullrequests/,
https://developer.atlassian.com/cloud/bitbucket/rest/api-group-pipelines/,
https://developer.atlassian.com/cloud/bitbucket/rest/intro/#filtering and #pagination
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final
from urllib.parse import quote

from providers.adapters.bitbucket import mapping
from providers.adapters.bitbucket.happenings import bounded, build_status, happening, pull_request
from providers.adapters.bitbucket.mapping_rules import classify
from providers.canonical import JSON
from providers.document import Document, compact
from providers.errors import AuthFailed, ProviderError, ProviderFault, Rejected
from providers.listing import ListStream, Order, Place
from providers.paging import NextAddress, Query
from providers.spi import ProviderEvent

# What is written in one go is not written in one instant.
SETTLES: Final = timedelta(seconds=2)
STATES: Final = ("OPEN", "MERGED", "DECLINED", "SUPERSEDED")

Told = tuple[str, str, datetime, JSON]
"""The event's key, what makes it another than the next, when it happened, and its body."""


class BitbucketStream(ListStream):
    """One list of each repository. ``path`` is its place there, ``scope`` what the token needs for it."""

    path: ClassVar[str]
    scope: ClassVar[str]
    items_at = "/values"
    overlap_seconds = 600

    def partitions(self, settings: Mapping[str, Any]) -> Sequence[str]:
        found: dict[str, str] = {}
        for name in settings.get("repositories") or ():
            found.setdefault(name.lower(), name)
        return list(found.values())

    @abstractmethod
    def filters(self, place: Place) -> Mapping[str, Any]:
        """The parameters that choose and sort."""

    @abstractmethod
    def told(self, item: Document, place: Place) -> Iterator[Told]:
        """What an item tells. Raises ``ProviderFault`` for one that identifies nothing."""

    def query(self, place: Place) -> Query:
        name = "/".join(quote(part, safe="") for part in place.partition.split("/"))
        return Query(path=f"repositories/{name}/{self.path}", params=self.filters(place))

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        for event_key, version, moment, body in self.told(item, place):
            document = Document(compact(body))
            signal_type, reason = classify(event_key, document)
            entity = pull_request(document) or build_status(document)
            if not entity:
                raise ProviderFault(f"An item of Bitbucket's {self.name} names no repository.")
            yield ProviderEvent(
                event_type=event_key,
                dedupe_key=bounded(f"poll:{entity}:{version}"),
                payload=document.value,
                signal_type=signal_type,
                ignored_reason=reason,
                occurred_at=moment,
                happening=happening(event_key, document) if signal_type else "",
                ordering_key=entity,
            )

    def refusal(self, error: ProviderError, place: Place) -> ProviderError:
        if isinstance(error, AuthFailed) and error.status == 403:
            return AuthFailed(
                f"Bitbucket refuses the {self.name} of {place.partition} (403): the token needs {self.scope}.",
                status=403,
            )
        if isinstance(error, Rejected) and error.status == 404:
            return Rejected(
                f"Bitbucket shows no {self.name} of {place.partition} to this credential (404): the repository is "
                "gone, renamed or hidden, or does not use them.",
                status=404,
            )
        return error


class PullRequestStream(BitbucketStream):
    name = "pull_requests"
    description = "Pull requests by the time of their last change."
    path = "pullrequests"
    scope = "the scope pullrequest (read:pullrequest:bitbucket)"
    order = Order.OLDEST_FIRST
    # To what part of a second times are compared is not documented.
    step = timedelta(seconds=1)
    paging = NextAddress(size=50, size_in="pagelen")
    changed_at = ("/updated_on",)

    def filters(self, place: Place) -> Mapping[str, Any]:
        # Only open ones are listed by default. Whether a query counts beside ``state`` or in its place is not
        # documented, so both name every state.
        states = " OR ".join(f'state = "{state}"' for state in STATES)
        since = f"{place.since.astimezone(UTC):%Y-%m-%dT%H:%M:%S}+00:00"
        return {"state": STATES, "q": f"updated_on >= {since} AND ({states})", "sort": "updated_on"}

    def told(self, item: Document, place: Place) -> Iterator[Told]:
        created, updated, state = item.time("/created_on"), item.time("/updated_on"), item.text("/state")
        home = item.at("/destination/repository")
        if updated is None or item.integer("/id") is None or not isinstance(home, dict):
            raise ProviderFault("A pull request of Bitbucket's list has no number, no repository or no time.")
        body = {"repository": home, "pullrequest": item.value}
        if created:
            yield "pullrequest:created", "created", created, {**body, "actor": item.at("/author")}
        if state == "MERGED":
            yield "pullrequest:fulfilled", "merged", updated, {**body, "actor": item.at("/closed_by")}
        elif state in ("DECLINED", "SUPERSEDED"):
            yield "pullrequest:rejected", "declined", updated, {**body, "actor": item.at("/closed_by")}
        elif created is None or updated > created + SETTLES:
            yield "pullrequest:updated", f"updated:{_text(updated)}", updated, body


class ActivityStream(BitbucketStream):
    """Its entries of the kind ``update`` tell what the list of pull requests tells, so they are passed over. A merge
    that was made by a push has none."""

    name = "pull_request_activity"
    description = "Comments, approvals and requested changes of all pull requests."
    path = "pullrequests/activity"
    scope = "the scope pullrequest (read:pullrequest:bitbucket)"
    order = Order.NEWEST_FIRST
    paging = NextAddress(size=50, size_in="pagelen")
    # A comment stands where it was written or where it was edited; taken for the later a run never ends too early.
    changed_at = (
        "/comment/updated_on",
        "/comment/created_on",
        "/approval/date",
        "/changes_requested/date",
        "/update/date",
    )

    def filters(self, place: Place) -> Mapping[str, Any]:
        return {}

    def _items(self, body: Document) -> list[Document]:
        """Without entries of a kind that is not known: there is nothing to tell of them, nor a time to sort them by."""
        entries = super()._items(body)
        known = [entry for entry in entries if self.changed(entry)]
        if entries and not known:
            raise ProviderFault("No entry of a page of Bitbucket's log has a time.")
        return known

    def told(self, item: Document, place: Place) -> Iterator[Told]:
        if item.integer("/pull_request/id") is None:
            raise ProviderFault("An entry of Bitbucket's log names no pull request.")
        body = {"repository": _repository(item, place), "pullrequest": item.at("/pull_request")}
        if isinstance(item.at("/comment"), dict):
            yield from _comment(item, {**body, "actor": item.at("/comment/user"), "comment": item.at("/comment")})
        reviews = (
            ("approval", "approval", "pullrequest:approved", "approved"),
            ("changes_requested", "changes_request", "pullrequest:changes_request_created", "changes_requested"),
        )
        for shown, told_as, event_key, what in reviews:
            moment, person = item.time(f"/{shown}/date"), mapping.person_at(item, f"/{shown}/user")
            if moment and person:
                review = {**body, "actor": item.at(f"/{shown}/user"), told_as: item.at(f"/{shown}")}
                yield event_key, f"{what}:{person}:{_text(moment)}", moment, review


def _comment(item: Document, body: JSON) -> Iterator[Told]:
    own = item.text("/comment/id", limit=40)
    created, updated = item.time("/comment/created_on"), item.time("/comment/updated_on")
    if own is None:
        raise ProviderFault("A comment of Bitbucket's log has no id.")
    if item.boolean("/comment/deleted"):
        # What it said is gone, so that it was written is no longer told.
        if updated:
            yield "pullrequest:comment_deleted", f"comment:{own}:deleted", updated, body
        return
    if created:
        yield "pullrequest:comment_created", f"comment:{own}:created", created, body
    if updated and created and updated > created + SETTLES:
        yield "pullrequest:comment_updated", f"comment:{own}:updated:{_text(updated)}", updated, body


def _repository(item: Document, place: Place) -> JSON:
    """The repository an entry is of, by the address of its pull request: its present name, also if asked by id."""
    address = item.text("/pull_request/links/html/href") or ""
    site, found, _ = address.partition("/pull-requests/")
    name = "/".join(site.split("/")[-2:]) if found else place.partition
    return {"full_name": name, **({"links": {"html": {"href": site}}} if found else {})}


class PipelineStream(BitbucketStream):
    """Told as the statuses on their commits, which is how webhooks tell of them."""

    name = "pipelines"
    description = "Runs of Bitbucket Pipelines, as the statuses on their commits."
    path = "pipelines/"
    scope = "the scope pipeline (read:pipeline:bitbucket)"
    enabled_by_default = False
    order = Order.NEWEST_FIRST
    paging = NextAddress(size=100, size_in="pagelen")
    changed_at = ("/created_on",)
    # A run that lasts longer is not seen to end.
    overlap_seconds = 12 * 3600

    def filters(self, place: Place) -> Mapping[str, Any]:
        return {"sort": "-created_on"}

    def told(self, item: Document, place: Place) -> Iterator[Told]:
        created, completed = item.time("/created_on"), item.time("/completed_on")
        number = item.integer("/build_number")
        if created is None or number is None:
            raise ProviderFault("A pipeline of Bitbucket's list has no number or no time.")
        state = _RESULTS.get(item.text("/state/result/name") or "") or _STATES.get(item.text("/state/name") or "")
        if state is None or not item.text("/target/commit/hash"):
            # It has not begun; or there is no commit its status could be on.
            return
        moment = created if state == "INPROGRESS" else completed or created
        event_key = "repo:commit_status_created" if state == "INPROGRESS" else "repo:commit_status_updated"
        ref = item.text("/target/ref_name")
        status = {
            "key": str(number),
            "name": f"Pipeline #{number} for {ref}" if ref else f"Pipeline #{number}",
            "state": state,
            "refname": ref,
            "url": item.at("/links/html/href"),
            "commit": item.at("/target/commit"),
            "created_on": item.at("/created_on"),
            "updated_on": _text(moment),
        }
        home = item.at("/repository") or {"full_name": place.partition}
        body = {"repository": home, "actor": item.at("/creator"), "commit_status": status}
        yield event_key, f"{state}:{_text(moment)}", moment, body


_STATES = {"IN_PROGRESS": "INPROGRESS"}
_RESULTS = {
    "SUCCESSFUL": "SUCCESSFUL",
    **dict.fromkeys(("FAILED", "ERROR"), "FAILED"),
    **dict.fromkeys(("STOPPED", "EXPIRED"), "STOPPED"),
}


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
