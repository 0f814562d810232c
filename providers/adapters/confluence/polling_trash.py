"""What lies in the trash: the only trace of a deletion that can be polled.

Source: https://developer.atlassian.com/cloud/confluence/rest/v2/api-group-page/#api-pages-get. The list is sorted by
the time of the last change and does not say when something was deleted, so what was last changed long ago is not looked
at. Spaces have numbers here: a cursor first asks for those of the spaces in the settings and keeps them (``numbers``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from providers.adapters.confluence.polling import CursorOfAddress, milliseconds, page_of, polled
from providers.canonical import JSON
from providers.client import ProviderClient
from providers.document import Document, compact
from providers.errors import AuthFailed, ProviderError, ProviderFault, Rejected, StaleMark
from providers.listing import ListStream, Order, Place
from providers.paging import Query
from providers.spi import Page, ProviderEvent, Window

_KINDS: Final = {"pages": "page", "blogposts": "blog"}
_NUMBERS: Final = "numbers"
_MOST: Final = 250


class TrashStream(ListStream):
    """``GET /api/v2/pages`` and ``/api/v2/blogposts`` with ``status=trashed``, newest change first."""

    name = "trash"
    description = "Pages and blog posts in the trash, as far as they were changed in the last two weeks."
    enabled_by_default = False
    # By the last change before the deletion, which may be a while ago.
    overlap_seconds = 14 * 24 * 3600
    order = Order.NEWEST_FIRST
    paging = CursorOfAddress(size=_MOST, size_in="limit")
    items_at = "/results"
    changed_at = ("/version/createdAt",)

    def partitions(self, settings: Mapping[str, Any]) -> Sequence[str]:
        return tuple(_KINDS)

    def page(
        self,
        client: ProviderClient,
        *,
        partition: str,
        settings: Mapping[str, Any],
        position: JSON,
        window: Window,
    ) -> Page:
        keys, known = settings.get("spaces") or [], position.get(_NUMBERS) or {}
        if sorted(keys) != sorted(known.values()):
            return Page(events=(), position={**position, _NUMBERS: _numbers(client, keys)}, more=True)
        kept = {_NUMBERS: known} if known else {}
        numbered = {**settings, _NUMBERS: known}
        try:
            page = super().page(client, partition=partition, settings=numbered, position=position, window=window)
        except StaleMark as stale:
            stale.position = {**stale.position, **kept}
            raise
        return replace(page, position={**page.position, **kept})

    def query(self, place: Place) -> Query:
        params = {"status": "trashed", "sort": "-modified-date"}
        spaces = {"space-id": ",".join(place.settings[_NUMBERS])} if place.settings[_NUMBERS] else {}
        return Query(path=f"api/v2/{place.partition}", params={**params, **spaces})

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        kind, own = _KINDS[place.partition], item.text("/id", limit=60)
        version, changed = item.integer("/version/number"), item.time("/version/createdAt")
        if own is None or version is None or changed is None:
            raise ProviderFault("An item of Confluence's answer has no id, no version or no time.")
        # The event has no time that could be judged: what was changed before the window may have been deleted before.
        if changed < place.since or (place.until and changed >= place.until):
            return
        space = item.text("/spaceId", limit=60)
        content = {
            "id": own,
            "title": item.text("/title"),
            "version": version,
            "spaceId": space,
            "spaceKey": place.settings[_NUMBERS].get(space),
            "self": page_of(place.settings, item.text("/_links/webui")),
            "creatorAccountId": item.text("/authorId"),
            "modificationDate": milliseconds(changed),
        }
        yield polled(f"{kind}_trashed", None, {kind: compact(content)})

    def refusal(self, error: ProviderError, place: Place) -> ProviderError:
        return _refusal(error, "read:page:confluence")


def _numbers(client: ProviderClient, keys: Sequence[str]) -> dict[str, str]:
    """Key by number of each space. Raises ``Rejected`` where one is missing."""
    try:
        answer = client.get("api/v2/spaces", params={"keys": ",".join(keys), "limit": _MOST})
    except ProviderError as error:
        raise _refusal(error, "read:space:confluence") from None
    body = Document(answer.json())
    if not isinstance(body.at("/results"), list):
        raise ProviderFault("The provider's answer holds no list of spaces.")
    named = [(item.text("/id", limit=60), item.text("/key")) for item in body.items("/results")]
    found = {number: key for number, key in named if number and key and key in keys}
    missing = sorted(set(keys) - set(found.values()))
    if missing:
        raise Rejected(f"The space {missing[0]} does not exist or is not visible to the credential.")
    return found


def _refusal(error: ProviderError, scope: str) -> ProviderError:
    """A missing scope is told as 401, 403 or, here, as if there were nothing (404)."""
    if isinstance(error, AuthFailed):
        return AuthFailed(
            f"Confluence refuses the list ({error.status}): it needs the scope {scope}.", status=error.status
        )
    if isinstance(error, Rejected) and error.status == 404:
        return Rejected(f"Confluence has no such list (404): the credential may lack the scope {scope}.", status=404)
    return error
