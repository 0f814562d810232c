"""Tolerant reading of untrusted JSON: a wrong type or a missing part is ``None``, never an exception.

Pointers are RFC 6901 (``/pull_request/head/ref``), so a mapping reads like the provider's fact sheet.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from providers.redaction import REDACTED

MAX_TEXT = 4000
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_NO_YEAR_BEFORE = datetime(1990, 1, 1, tzinfo=UTC)


def parse_json(raw: bytes) -> Any:
    """The value of a JSON text. Raises ``ValueError`` for anything that is not JSON (RFC 8259).

    Real senders cut text in the middle of a surrogate pair and write numbers no machine word holds; both
    are JSON, so they are read too: a lone surrogate becomes U+FFFD, a huge integer a float.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass
    try:
        value = json.loads(raw.decode(), parse_int=_bounded_integer, parse_constant=_no_constant)
        return orjson.loads(_LONE_SURROGATE.sub("\ufffd", json.dumps(value, ensure_ascii=False)).encode())
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _bounded_integer(digits: str) -> int | float:
    return float(digits) if len(digits) > 18 else int(digits)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@lru_cache(maxsize=4096)
def _steps(pointer: str) -> tuple[str, ...]:
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


class Document:
    """A JSON value with typed access by pointer."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def at(self, pointer: str) -> Any:
        """Whatever lies at the pointer, or ``None``."""
        value = self.value
        for step in _steps(pointer):
            if isinstance(value, dict):
                value = value.get(step)
            elif isinstance(value, list) and step.isascii() and step.isdigit() and int(step) < len(value):
                value = value[int(step)]
            else:
                return None
        return value

    def text(self, *pointers: str, limit: int = MAX_TEXT) -> str | None:
        """The first non-empty string; numbers become text because ids come in both forms."""
        for pointer in pointers:
            value = self.at(pointer)
            if isinstance(value, int | float) and not isinstance(value, bool):
                value = str(value)
            if isinstance(value, str) and value:
                return value[:limit]
        return None

    def name(self, *pointers: str, limit: int = MAX_TEXT) -> str | None:
        """The first text that redaction left whole: a login that is an e-mail address names nobody in a stored body."""
        found = (self.text(pointer, limit=limit) for pointer in pointers)
        return next((text for text in found if text and REDACTED not in text), None)

    def integer(self, *pointers: str) -> int | None:
        for pointer in pointers:
            value = self.at(pointer)
            if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
                return value
        return None

    def boolean(self, pointer: str) -> bool | None:
        value = self.at(pointer)
        return value if isinstance(value, bool) else None

    def items(self, pointer: str) -> list[Document]:
        value = self.at(pointer)
        return [Document(item) for item in value] if isinstance(value, list) else []

    def texts(self, pointer: str, member: str = "") -> list[str]:
        """The strings of an array, or of one member of its objects (``/labels``, ``/name``)."""
        found = (item.text(member) if member else Document([item.value]).text("/0") for item in self.items(pointer))
        return [text for text in found if text]

    def time(self, *pointers: str) -> datetime | None:
        """The first usable time: ISO 8601 with zone, or an epoch in seconds or milliseconds."""
        for pointer in pointers:
            moment = moment_of(self.at(pointer))
            if moment:
                return moment
        return None


def moment_of(value: Any) -> datetime | None:
    """A timezone-aware time from ISO 8601 text or an epoch number; ``None`` if it is neither or absurd."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            # Seconds until the year 5138 stay below 1e11; anything above is milliseconds.
            moment = datetime.fromtimestamp(value / 1000 if abs(value) >= 1e11 else value, tz=UTC)
        elif isinstance(value, str) and value:
            moment = datetime.fromisoformat(value)
        else:
            return None
        if moment.tzinfo is None:
            return None
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment > _NO_YEAR_BEFORE else None


def compact(mapping: dict[str, Any]) -> dict[str, Any]:
    """The mapping without empty entries (``None``, empty text, empty list); ``False`` and 0 stay."""
    # Most are told by their truth alone.
    return {
        key: value for key, value in mapping.items() if value or (value is not None and value != "" and value != [])
    }
