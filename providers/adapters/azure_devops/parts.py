"""What a shape says about one event; the signal keeps what its type may carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from providers.canonical import JSON, SignalType
from providers.document import Document


@dataclass(slots=True)
class Parts:
    resource: JSON = field(default_factory=dict)
    keys: JSON = field(default_factory=dict)
    fields: JSON = field(default_factory=dict)
    attributes: JSON = field(default_factory=dict)
    actor: str | None = None


Shape = Callable[[Document, SignalType], Parts]
