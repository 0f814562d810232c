"""How a list is handed out in pages: one class a style, all of them data.

A *mark* says which page comes next. It is a JSON scalar, kept in the stream's position, so another process can go on
with it. A style whose marks count items or pages is not ``stable``: when an item is removed or moves while a run goes
on, the items behind it move up, over the edge of a page that was read already. ``providers.listing`` reads such edges
twice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from providers.canonical import JSON
from providers.client import ProviderClient, Response
from providers.document import Document
from providers.errors import ProviderFault

Mark = str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One request that only reads: GET, or POST where there is a ``json`` body (a search, GraphQL)."""

    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    json: JSON | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def sent(self, client: ProviderClient, etag: str = "") -> Response:
        """The answer; with ``etag`` it may be a 304 (RFC 9110, 13.1.2). Raises ``ProviderError``."""
        headers = {**self.headers, **({"If-None-Match": etag} if etag else {})}
        if self.json is not None:
            return client.post_query(self.path, json=self.json, headers=headers)
        return client.get(self.path, params=self.params, headers=headers)

    def with_value(self, place: str, value: Any) -> Query:
        """The query with a parameter set; ``/variables/after`` names a place in the body instead."""
        if not place.startswith("/"):
            return replace(self, params={**self.params, place: value})
        return replace(self, json=_with_member(self.json or {}, place.split("/")[1:], value))


def _with_member(body: JSON, steps: list[str], value: Any) -> JSON:
    first, *rest = steps
    inner = body.get(first)
    return {**body, first: _with_member(inner if isinstance(inner, dict) else {}, rest, value) if rest else value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging(ABC):
    """``size``: items asked for a page, at most what the vendor allows. ``size_in``: the parameter that says so."""

    size: int
    size_in: str = ""
    stable: bool = False

    def first(self, query: Query) -> Query:
        """The request for the first page."""
        return query.with_value(self.size_in, self.size) if self.size_in else query

    @abstractmethod
    def at(self, query: Query, mark: Mark) -> Query:
        """The request for the page a mark names."""

    @abstractmethod
    def after(self, answer: Response, body: Document, count: int, mark: Mark | None) -> Mark | None:
        """The mark of the page after this one of ``count`` items, or ``None`` at the end of the list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkHeader(Paging):
    """``Link: <…>; rel="next"`` (RFC 8288). The address is followed as it is, never built."""

    def at(self, query: Query, mark: Mark) -> Query:
        return replace(query, path=str(mark), params={})

    def after(self, answer: Response, body: Document, count: int, mark: Mark | None) -> Mark | None:
        return answer.link("next") or None


@dataclass(frozen=True, slots=True, kw_only=True)
class NextAddress(Paging):
    """The next page's address stands in the body, at ``next_at``; a relative one is below the base URL."""

    next_at: str = "/next"

    def at(self, query: Query, mark: Mark) -> Query:
        return replace(query, path=str(mark), params={})

    def after(self, answer: Response, body: Document, count: int, mark: Mark | None) -> Mark | None:
        return body.text(self.next_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class NextToken(Paging):
    """A token in the body, at ``token_at``, is handed back in ``token_in`` (Relay cursors are one such).

    ``more_at``: a place that is true while there is more; ``last_at``: one that is true on the last page. Without
    either, a page without a token is the last.
    """

    token_at: str
    token_in: str
    more_at: str = ""
    last_at: str = ""
    stable: bool = True

    def at(self, query: Query, mark: Mark) -> Query:
        return self.first(query).with_value(self.token_in, mark)

    def after(self, answer: Response, body: Document, count: int, mark: Mark | None) -> Mark | None:
        if self.more_at and body.boolean(self.more_at) is not True:
            return None
        if self.last_at and body.boolean(self.last_at) is True:
            return None
        token = body.text(self.token_at)
        if self.more_at and token is None:
            raise ProviderFault("The provider says that there is more, and not where.")
        return token


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderToken(Paging):
    """A token in the response header ``header`` is handed back in ``token_in``."""

    header: str
    token_in: str
    stable: bool = True

    def at(self, query: Query, mark: Mark) -> Query:
        return self.first(query).with_value(self.token_in, mark)

    def after(self, answer: Response, body: Document, count: int, mark: Mark | None) -> Mark | None:
        return answer.headers.get(self.header) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset(Paging):
    """So many items are passed over, counted from zero. A page that is not full is the last."""

    offset_in: str

    def at(self, query: Query, mark: Mark) -> Query:
        return self.first(query).with_value(self.offset_in, mark)

    def after(self, answer: Response, body: Document, count: int, mark: Mark | None) -> Mark | None:
        return int(mark or 0) + count if count >= self.size else None
