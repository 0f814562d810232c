"""Names of what webhooks and lists both tell, so that it becomes one signal, and of what it happened to.

The log of pull requests names its repository by path only, so the path stands in these names, in small letters as
Bitbucket writes it. Hashes inside pull requests have 12 characters, so no more of them count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from providers.adapters.bitbucket import mapping
from providers.document import Document

_SECOND: Final = "%Y-%m-%dT%H:%M:%S"
_HASH_LENGTH: Final = 12
_LENGTH: Final = 200
# Longer parts are hashed on their own, so that what follows them still shows.
_MAX_PART: Final = 80

_Parts = tuple[str | None, ...]


def happening(event_key: str, document: Document) -> str:
    """The name of a body's happening; empty where only webhooks tell of it, or the body lacks what it takes."""
    rule = _RULES.get(event_key)
    parts = rule(document) if rule else ()
    if not parts or not all(parts):
        return ""
    return bounded(":".join(part for part in parts if part))


def pull_request(document: Document) -> str:
    """The entity a pull request is: ``pr:<repository>:<number>``."""
    home, number = _home(document), document.integer("/pullrequest/id")
    return f"pr:{home}:{number}" if home and number is not None else ""


def build_status(document: Document) -> str:
    """The entity a status is: ``status:<repository>:<commit>:<key>``."""
    home, key = _home(document), document.text("/commit_status/key")
    commit = (mapping.status_commit(document) or "")[:_HASH_LENGTH]
    return f"status:{home}:{commit}:{short(key)}" if home and commit and key else ""


def bounded(name: str) -> str:
    """The name, or its hash where a column could not hold it."""
    return name if len(name) <= _LENGTH else f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def short(text: str) -> str:
    return text if len(text) <= _MAX_PART else hashlib.sha256(text.encode()).hexdigest()


def _home(document: Document) -> str:
    return short((document.text("/repository/full_name") or document.text("/repository/uuid") or "").lower())


def _at(document: Document, pointer: str) -> str | None:
    moment = document.time(pointer)
    return f"{moment:{_SECOND}}" if moment else None


def _once(what: str) -> Callable[[Document], _Parts]:
    return lambda document: (pull_request(document), what)


def _version(document: Document) -> _Parts:
    return pull_request(document), "updated", _at(document, "/pullrequest/updated_on")


def _review(what: str, root: str) -> Callable[[Document], _Parts]:
    def parts(document: Document) -> _Parts:
        return pull_request(document), what, mapping.person_at(document, f"{root}/user"), _at(document, f"{root}/date")

    return parts


def _comment(what: str) -> Callable[[Document], _Parts]:
    return lambda document: (pull_request(document), "comment", document.text("/comment/id", limit=40), what)


def _edited_comment(document: Document) -> _Parts:
    return *_comment("updated")(document), _at(document, "/comment/updated_on")


def _status(document: Document) -> _Parts:
    # A build that is run again under its number comes to the same end at another time, which lists do not show alike.
    return build_status(document), (document.text("/commit_status/state", limit=40) or "").lower()


_RULES: dict[str, Callable[[Document], _Parts]] = {
    # Each of these ends comes once: what is merged or declined cannot be opened again.
    "pullrequest:created": _once("created"),
    "pullrequest:fulfilled": _once("merged"),
    "pullrequest:rejected": _once("declined"),
    **dict.fromkeys(("pullrequest:updated", "pullrequest:push"), _version),
    "pullrequest:approved": _review("approved", "/approval"),
    "pullrequest:changes_request_created": _review("changes_requested", "/changes_request"),
    "pullrequest:comment_created": _comment("created"),
    "pullrequest:comment_updated": _edited_comment,
    "pullrequest:comment_deleted": _comment("deleted"),
    **dict.fromkeys(("repo:commit_status_created", "repo:commit_status_updated"), _status),
}
