"""Where things live: organisation, project, repository and page, read out of a body.

A body names its organisation only inside addresses: ``https://dev.azure.com/{organisation}/…``, the older
``https://{organisation}.visualstudio.com/…``, or ``https://{server}/…/{collection}/`` of a server in one's own house.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlsplit

from providers.document import Document

ID_LENGTH = 60
NAME_LENGTH = 200
_BASES = ("/resourceContainers/account/baseUrl", "/resourceContainers/collection/baseUrl")
_ADDRESSES = ("/repository/remoteUrl", "/repository/url", "/url", "/pullRequest/repository/remoteUrl")
# A body is redacted before it is read, which can leave a mark where a user name stood.
_PAGE = re.compile(r"https?://[^\s\[\]@/]+(?:/[^\s\[\]]*)?")


def page(document: Document, *pointers: str) -> str | None:
    """The first address a person could open."""
    for pointer in pointers:
        address = document.text(pointer)
        if address and _PAGE.fullmatch(address):
            return address
    return None


def organisation(document: Document) -> str | None:
    """Name of the organisation, or of the collection on a server in one's own house."""
    for pointer in _BASES:
        if base := page(document, pointer):
            return organisation_at(base)
    for pointer in _ADDRESSES:
        parts = _parts(page(document, f"/resource{pointer}"))
        found = _cloud(*parts) if parts else None
        if found:
            return found
    return None


def organisation_at(base_url: str) -> str | None:
    """The same, of a base address."""
    host, steps = _parts(base_url) or ("", [])
    return _cloud(host, steps) or (steps[-1] if steps else None)


def _parts(address: str | None) -> tuple[str, list[str]] | None:
    """Host and steps of the path."""
    if not address:
        return None
    split = urlsplit(address)
    return (split.hostname or "", [unquote(step) for step in split.path.split("/") if step])


def _cloud(host: str, steps: list[str]) -> str | None:
    if host == "dev.azure.com" or host.endswith(".dev.azure.com"):
        return steps[0] if steps else None
    return host.partition(".")[0] if host.endswith(".visualstudio.com") else None


def project(document: Document) -> str | None:
    return document.text(
        "/resource/repository/project/name",
        "/resource/pullRequest/repository/project/name",
        "/resource/project/name",
        limit=NAME_LENGTH,
    )


def project_id(document: Document) -> str | None:
    return document.text(
        "/resourceContainers/project/id",
        "/resource/repository/project/id",
        "/resource/projectId",
        "/resource/project/id",
        limit=ID_LENGTH,
    )


def full_name(document: Document, name: str | None) -> str | None:
    """``organisation/project/repository``, or nothing where a part is unknown."""
    parts = (organisation(document), project(document), name)
    return "/".join(part for part in parts if part) if all(parts) else None


def work_item_page(document: Document, team_project: str | None, number: int | None) -> str | None:
    """The page the body names, else the one its base address leads to, else that of its organisation in the cloud."""
    named = page(document, "/resource/_links/html/href")
    base, owner = page(document, *_BASES), organisation(document)
    if not base and owner:
        base = f"https://dev.azure.com/{quote(owner)}"
    if named or not (base and team_project and number):
        return named
    return f"{base.rstrip('/')}/{quote(team_project)}/_workitems/edit/{number}"


def person(document: Document, *pointers: str) -> str | None:
    """Id of the first identity found; the name where only ``Name <address>`` is written, or the id is an address.

    Old identities are, and the stored body has lost them.
    """
    for pointer in pointers:
        found = document.at(pointer)
        if isinstance(found, str):
            found = {"displayName": found.partition("<")[0].strip()}
        text = Document(found).name("/id", "/displayName", limit=NAME_LENGTH)
        if text:
            return text
    return None


def short_ref(ref: str | None) -> str:
    """``refs/heads/main`` as ``main``; a ref of another kind stays whole."""
    return (ref or "").removeprefix("refs/heads/").removeprefix("refs/tags/")


def branch(ref: str | None) -> str | None:
    """The name of a branch; tags and the refs of pull requests are none."""
    if not ref or (ref.startswith("refs/") and not ref.startswith("refs/heads/")):
        return None
    return ref.removeprefix("refs/heads/") or None
