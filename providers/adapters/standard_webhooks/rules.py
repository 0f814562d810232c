"""Which event type becomes which signal: a table in the connection's settings, first match counts.

The specification leaves types to the sender ("Payload structure": dotted names such as ``invoice.paid``), so nothing
can be known here beforehand. A type that no rule names becomes ``external_event_received``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.canonical import JSON, SignalType

UNTYPED = "untyped"
LEFT_OUT = "the settings of the connection leave this type out"

RULES_SCHEMA: JSON = {
    "type": "array",
    "maxItems": 200,
    "items": {
        "type": "object",
        "properties": {
            "type": {
                "type": "string",
                "pattern": r"^[!-)+-~]*\*?[!-)+-~]*$",
                "minLength": 1,
                "maxLength": 120,
                "description": "The sender's event type. A * stands for anything, and so does a dot at the end.",
            },
            "signal_type": {
                "enum": [None, *sorted(SignalType)],
                "description": "What it becomes; null stores it as ignored.",
            },
        },
        "required": ["type", "signal_type"],
        "additionalProperties": False,
    },
    "description": "What the sender's events become; the first rule that fits counts.",
}


_SIGNALS = {str(signal_type): signal_type for signal_type in SignalType}


def classify(event_type: str, settings: Mapping[str, Any]) -> tuple[SignalType | None, str]:
    """The signal a type becomes, or ``None`` and the reason."""
    for rule in settings.get("mapping") or ():
        if _fits(rule["type"], event_type):
            if rule["signal_type"] is None:
                return None, LEFT_OUT
            # A name the vocabulary no longer has is no reason to lose the event.
            return _SIGNALS.get(rule["signal_type"], SignalType.EXTERNAL_EVENT_RECEIVED), ""
    return SignalType.EXTERNAL_EVENT_RECEIVED, ""


def _fits(pattern: str, event_type: str) -> bool:
    if pattern.endswith(".") and "*" not in pattern:
        return event_type.startswith(pattern)
    head, star, tail = pattern.partition("*")
    if not star:
        return event_type == pattern
    return len(event_type) >= len(head) + len(tail) and event_type.startswith(head) and event_type.endswith(tail)
