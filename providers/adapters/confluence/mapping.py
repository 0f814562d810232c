"""From Confluence's events to signals. Polled items are written in the shape of the webhooks, so this reads both.

Cloud writes people as account ids, Data Center as user keys; an id may be a number or, beside it, text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from providers.canonical import JSON, Signal, SignalType
from providers.document import Document, compact

_ID_LENGTH: Final = 60
# Where the object of an event stands, by the first word of its name.
_ROOTS: Final[Mapping[str, str]] = {
    "page": "/page",
    "blog": "/blog",
    "comment": "/comment",
    # The page it is attached to, or the page that is labelled.
    "attachment": "/attachedTo",
    "label": "/labeled",
    "space": "/space",
}
_ONCE: Final = {"page_created", "page_copied", "blog_created", "comment_created"}
_VERSIONED: Final = {
    "page_updated": "updated",
    "blog_updated": "updated",
    "comment_updated": "updated",
    "page_trashed": "deleted",
    "blog_trashed": "deleted",
}
_PAGE_IN_ADDRESS = re.compile(r"/pages/(?:viewpage\.action\?pageId=)?([0-9]{1,20})", re.ASCII)
_DEEPEST: Final = 20


def signal(signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
    """One stored payload as a signal."""
    body = Document(payload)
    kind = event_type.partition("_")[0]
    root = _ROOTS.get(kind, "/page")
    keys, fields = _comment(body) if kind == "comment" else _space(body) if kind == "space" else _page(body, root)
    if kind == "attachment":
        keys["attachment_id"] = body.text(*_places("attachment", "id"), limit=_ID_LENGTH)
        fields["file_name"] = body.text(*_places("attachment", "fileName"), *_places("attachment", "title"))
    if kind == "label":
        fields["label"] = body.text("/label/name")
    return Signal(
        signal_type=signal_type,
        occurred_at=occurred_at(body),
        actor_id=body.text("/userAccountId", "/userKey", limit=_ID_LENGTH),
        canonical_keys=compact(keys),
        fields={name: value for name, value in compact(fields).items() if name in signal_type.fields},
        attributes=compact(
            {
                "space": body.text("/spaceName", limit=200),
                "trigger": body.text("/updateTrigger", limit=_ID_LENGTH),
                "minor_edit": body.boolean("/minorEdit"),
                "version_message": body.text("/versionMessage"),
                "excerpt": body.text("/excerpt") if kind in ("page", "blog") else None,
            }
        ),
    )


def occurred_at(body: Document) -> datetime | None:
    return body.time("/timestamp")


def identity(event_type: str, body: Document) -> str:
    """What identifies a happening on every road: the object with its making or one version; else empty."""
    kind = event_type.partition("_")[0]
    own, version = object_id(event_type, body), body.integer(f"{_ROOTS.get(kind, '')}/version")
    if own and event_type in _ONCE:
        return f"{kind}:{own}:created"
    if own and version is not None and event_type in _VERSIONED:
        return f"{kind}:{own}:{_VERSIONED[event_type]}:{version}"
    return ""


def ordering_key(event_type: str, body: Document) -> str:
    """The page, blog post, comment or space it is about."""
    kind = event_type.partition("_")[0]
    own = object_id(event_type, body)
    return f"{'page' if kind in ('attachment', 'label') else kind}:{own}" if own else ""


def object_id(event_type: str, body: Document) -> str | None:
    kind = event_type.partition("_")[0]
    if kind not in _ROOTS:
        return None
    return body.text("/space/key", limit=_ID_LENGTH) if kind == "space" else _id(body, _ROOTS[kind])


def _page(body: Document, root: str) -> tuple[dict[str, Any], dict[str, Any]]:
    page = _id(body, root)
    keys = {
        "page_id": page,
        "page_version": body.integer(f"{root}/version"),
        "space_key": body.text(f"{root}/spaceKey", limit=_ID_LENGTH),
        "space_id": body.text(f"{root}/spaceId", limit=_ID_LENGTH),
    }
    fields = {
        "title": body.text(f"{root}/title"),
        "url": _address(body, root),
        "author": body.text(f"{root}/creatorAccountId", f"{root}/creatorKey", limit=_ID_LENGTH),
        "page_id": page,
    }
    return keys, fields


def _comment(body: Document) -> tuple[dict[str, Any], dict[str, Any]]:
    """A reply's parent is a comment, so the page is the first above that is none; else its address names it."""
    above = "/comment/parent"
    for _ in range(_DEEPEST):
        if body.text(f"{above}/contentType") != "comment":
            break
        above += "/parent"
    address = body.text("/comment/self") or ""
    found = _PAGE_IN_ADDRESS.search(address)
    page = _id(body, above) or (found[1] if found else None)
    comment = _id(body, "/comment")
    keys = {
        "comment_id": comment,
        "page_id": page,
        "space_key": body.text("/comment/spaceKey", f"{above}/spaceKey", limit=_ID_LENGTH),
    }
    fields = {
        "title": body.text(f"{above}/title"),
        "body": body.text("/excerpt"),
        "url": _address(body, "/comment"),
        "author": body.text("/comment/creatorAccountId", "/comment/creatorKey", limit=_ID_LENGTH),
        "comment_id": comment,
        "page_id": page,
    }
    return keys, fields


def _space(body: Document) -> tuple[dict[str, Any], dict[str, Any]]:
    keys = {"space_key": body.text("/space/key", limit=_ID_LENGTH), "space_id": _id(body, "/space")}
    return keys, {"name": body.text("/space/title", "/space/name"), "url": _address(body, "/space")}


def _id(body: Document, root: str) -> str | None:
    return body.text(f"{root}/idAsString", f"{root}/id", limit=_ID_LENGTH)


def _address(body: Document, root: str) -> str | None:
    """A page for people; what leads to the API is none."""
    address = body.text(f"{root}/self") or ""
    return address if address.startswith(("https://", "http://")) and "/rest/api/" not in address else None


def _places(name: str, member: str) -> tuple[str, str]:
    return f"/{name}/{member}", f"/{name}s/0/{member}"
