"""Where in a sender's body a signal's parts stand: pointers (RFC 6901), with the connection's own before the usual.

The specification fixes ``type``, ``timestamp`` and ``data`` ("Payload structure") and leaves ``data`` to the sender.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from providers.canonical import FIELDS, JSON
from providers.document import Document

_USUAL: dict[str, tuple[str, ...]] = {
    "type": ("/type",),
    "occurred_at": ("/timestamp",),
    "entity_id": ("/data/id",),
    "title": ("/data/title", "/data/name"),
    "url": ("/data/url",),
    "state": ("/data/status",),
    "severity": ("/data/severity",),
    "actor": ("/data/actor/id", "/data/user/id", "/data/actor/name", "/data/user/name"),
    "repository": ("/data/repository",),
    "branch": ("/data/branch",),
    "commit": ("/data/commit",),
}
# Fields that name somebody, perhaps by an e-mail address.
_PEOPLE = frozenset({"author", "assignee", "previous_assignee", "merged_by", "reviewer", "member"})
# Parts without a usual place.
_OTHERS = ("service", "pr_number")

_PLACE: JSON = {"type": "string", "pattern": "^(/([^~/]|~[01])*)+$", "maxLength": 200}

POINTERS_SCHEMA: JSON = {
    "type": "object",
    "properties": dict.fromkeys(sorted({*_USUAL, *_OTHERS, *FIELDS}), _PLACE),
    "additionalProperties": False,
    "description": "JSON pointers to the parts of a signal, where they do not stand at their usual place.",
}


class Reading:
    """One event, read with a connection's pointers."""

    def __init__(self, event: Any, pointers: Mapping[str, str]) -> None:
        self._document = Document(event)
        self._pointers = pointers

    def _places(self, name: str) -> tuple[str, ...]:
        own = self._pointers.get(name)
        return (own,) if own else _USUAL.get(name, ())

    def text(self, name: str, *, limit: int) -> str | None:
        return self._document.text(*self._places(name), limit=limit)

    def person(self, name: str, *, limit: int) -> str | None:
        """Who it was; nobody where a stored event has lost the name because it was an e-mail address."""
        return self._document.name(*self._places(name), limit=limit)

    def integer(self, name: str) -> int | None:
        return self._document.integer(*self._places(name))

    def time(self, name: str) -> datetime | None:
        return self._document.time(*self._places(name))

    def field(self, name: str) -> Any:
        """A canonical field in its own JSON type; ``None`` where the place holds something else."""
        places = self._places(name)
        match FIELDS[name][0]:
            case "boolean":
                return self._document.boolean(*places) if places else None
            case "integer":
                return self._document.integer(*places)
            case "array":
                return self._document.texts(*places) if places else None
            case _:
                return self._document.name(*places) if name in _PEOPLE else self._document.text(*places)
