"""Marks in a text that nobody sees, for messages that can carry nothing else to be known again by."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

# Characters without a shape, two bits each.
_SYMBOLS: Final = "\u200b\u200c\u200d\u2060"
_HIDDEN: Final = re.compile(f"[{_SYMBOLS}]{{64}}")


def invisible(mark: str) -> str:
    """A mark, which is a UUID, as characters that show nothing."""
    number = UUID(mark).int
    return "".join(_SYMBOLS[number >> shift & 3] for shift in range(126, -1, -2))


def last_mark(text: str) -> str:
    """The mark a text ends with, or empty. One before it comes from a text that was quoted."""
    found = _HIDDEN.findall(text)
    if not found:
        return ""
    number = 0
    for symbol in found[-1]:
        number = number << 2 | _SYMBOLS.index(symbol)
    return str(UUID(int=number))
