"""What is read before and after a write: pull requests, comments, people.

Source: https://developer.atlassian.com/cloud/bitbucket/rest/api-group-pullrequests/,
https://developer.atlassian.com/cloud/bitbucket/rest/api-group-users/ and
https://developer.atlassian.com/cloud/bitbucket/rest/intro/#filtering
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from providers.adapters.bitbucket.marking import has_mark
from providers.adapters.bitbucket.polling import STATES
from providers.client import ProviderClient
from providers.document import Document
from providers.errors import ProviderFault, Rejected
from providers.finding import CLOCKS_DIFFER, listed
from providers.paging import NextAddress, Query

OPEN: Final = "OPEN"
_PAGES: Final = NextAddress(size=50, size_in="pagelen")


def repository_path(name: str) -> str:
    """Where a repository stands: both parts may be ids in braces."""
    return "/".join(("repositories", *(quote(part, safe="") for part in name.split("/"))))


def pull_path(target: Mapping[str, Any]) -> str:
    return f"{repository_path(target['repository'])}/pullrequests/{target['pr_number']}"


def pull_request(client: ProviderClient, target: Mapping[str, Any]) -> Document:
    pull = Document(client.get(pull_path(target)).json())
    if not pull.text("/id") or not pull.text("/state") or not pull.text("/title"):
        raise ProviderFault("Bitbucket shows a pull request without its number, state or title.")
    return pull


def open_pull_requests(client: ProviderClient, repository: str, source: str) -> Iterator[Document]:
    """Those that are open, out of a branch of this name, here or in a fork."""
    return _pull_requests(client, repository, source, (OPEN,), "")


def recent_pull_requests(client: ProviderClient, repository: str, source: str, since: datetime) -> Iterator[Document]:
    """Those out of a branch of this name, in any state, that may have been made since then."""
    return _pull_requests(client, repository, source, STATES, f" AND updated_on >= {_begin(since)}")


def _pull_requests(
    client: ProviderClient, repository: str, source: str, states: Sequence[str], more: str
) -> Iterator[Document]:
    # Whether a query counts beside ``state`` or in its place is not documented, so both name the states.
    wanted = " OR ".join(f'state = "{state}"' for state in states)
    query = Query(
        path=f"{repository_path(repository)}/pullrequests",
        params={"state": states, "q": f'source.branch.name = "{source}"{more} AND ({wanted})', "sort": "created_on"},
    )
    return listed(client, query, _PAGES, items_at="/values")


def is_between(pull: Document, destination: str) -> bool:
    """Whether it goes to this branch and comes out of the same repository, not out of a fork."""
    home = pull.text("/destination/repository/uuid", "/destination/repository/full_name")
    source = pull.text("/source/repository/uuid", "/source/repository/full_name")
    return home == source and pull.text("/destination/branch/name") == destination


def _begin(since: datetime) -> str:
    return f"{(since - CLOCKS_DIFFER).astimezone(UTC):%Y-%m-%dT%H:%M:%S}+00:00"


def comment_with_mark(client: ProviderClient, target: Mapping[str, Any], mark: str, since: datetime) -> Document | None:
    """The first comment with that mark, also where somebody has taken it away since, as far as its text is shown."""
    query = Query(
        path=f"{pull_path(target)}/comments", params={"q": f"updated_on >= {_begin(since)}", "sort": "created_on"}
    )
    found = []
    for comment in listed(client, query, _PAGES, items_at="/values"):
        text = comment.at("/content/raw")
        if comment.boolean("/deleted") is True and not text:
            continue
        if not isinstance(text, str):
            raise ProviderFault("Bitbucket shows a comment without its text.")
        if has_mark(text, mark):
            found.append(comment)
    # A later one is a copy.
    return min(found, key=lambda comment: comment.integer("/id") or 0) if found else None


def reviewers_of(pull: Document) -> list[str]:
    """Ids, in braces, of those who are asked to review."""
    there = pull.items("/reviewers")
    found = [uuid for person in there if (uuid := person.text("/uuid"))]
    if not isinstance(pull.at("/reviewers"), list) or len(found) < len(there):
        raise ProviderFault("Bitbucket does not say who reviews the pull request.")
    return found


def reviewer(client: ProviderClient, who: str) -> str:
    """The id, in braces, of an account."""
    if who.startswith("{"):
        return who
    try:
        uuid = Document(client.get(f"users/{quote(who, safe='')}").json()).text("/uuid")
    except Rejected as refused:
        if refused.status != 404:
            raise
        raise Rejected(f"There is no account {who!r}; give an account id, or an id in braces.", status=404) from None
    if not uuid:
        raise ProviderFault("Bitbucket shows an account without its id.")
    return uuid
