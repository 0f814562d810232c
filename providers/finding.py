"""Reading lists to look for what an earlier attempt made.

To the end or back to a time; whoever gives up before that has not looked, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from providers.client import ProviderClient
from providers.document import Document
from providers.errors import ProviderFault
from providers.paging import Paging, Query

# Clocks differ: what was made after an attempt began may carry a time before it.
CLOCKS_DIFFER = timedelta(minutes=5)
MOST_PAGES = 20


def listed(
    client: ProviderClient, query: Query, paging: Paging, *, items_at: str, most_pages: int = MOST_PAGES
) -> Iterator[Document]:
    """Every item of a list, page by page. Raises ``ProviderError``; ``ProviderFault`` if it does not end."""
    mark = None
    for _ in range(most_pages):
        answer = (paging.first(query) if mark is None else paging.at(query, mark)).sent(client)
        body = Document(answer.json())
        items = body.at(items_at) if items_at else body.value
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise ProviderFault("The provider's answer holds no list of items.")
        yield from map(Document, items)
        mark = paging.after(answer, body, len(items), mark)
        if mark is None:
            return
    raise ProviderFault(f"The provider's list goes on after {most_pages} pages; it was not read to its end.")


def made_since(
    client: ProviderClient, query: Query, paging: Paging, *, items_at: str, made_at: str, since: datetime
) -> Iterator[Document]:
    """The items of a list given newest first that were made since then, or a few minutes earlier. Raises as above."""
    for item in listed(client, query, paging, items_at=items_at):
        made = item.time(made_at)
        if made is None:
            raise ProviderFault("An item of the provider's list does not say when it was made.")
        if made < since - CLOCKS_DIFFER:
            return
        yield item
