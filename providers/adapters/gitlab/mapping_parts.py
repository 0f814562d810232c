"""What the shapes of GitLab's payloads have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

from providers.canonical import JSON, Severity, SignalType
from providers.document import Document

ATTRIBUTES = "/object_attributes"
ID_LENGTH = 200


@dataclass(slots=True)
class Parts:
    """What a shape knows; ``signal`` keeps what the signal type may carry."""

    resource: JSON = field(default_factory=dict)
    keys: JSON = field(default_factory=dict)
    fields: JSON = field(default_factory=dict)
    attributes: JSON = field(default_factory=dict)
    actor: str | None = None
    severity: Severity | None = None


Shape = Callable[[Document, SignalType], Parts]


def repository_id(document: Document) -> int | None:
    return document.integer("/project/id", "/project_id", f"{ATTRIBUTES}/project_id")


def first_line(document: Document, *pointers: str) -> str:
    """The title of a commit: given as such, or the first line of its message."""
    return (document.text(*pointers) or "").split("\n", 1)[0].strip()


def page(document: Document, *path: str | None) -> str | None:
    """An address below the project, where every part is known."""
    site = document.text("/project/web_url")
    parts = [quote(part) for part in path if part]
    return f"{site}/-/{'/'.join(parts)}" if site and len(parts) == len(path) else None


def lower(document: Document, *pointers: str) -> str:
    return (document.text(*pointers) or "").lower()
