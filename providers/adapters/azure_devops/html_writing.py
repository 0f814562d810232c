"""Markdown as the HTML of a work item, and marks in it that nobody sees.

HTML in the text is shown, not obeyed, so no text can mention anybody: a mention is an element of its own, which is not
made here. Links lead to the web or to mail only.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final
from uuid import UUID

from markdown_it import MarkdownIt

# Characters without a shape, two bits each: they stand in the text and are kept with it.
_SYMBOLS: Final = "\u200b\u200c\u200d\u2060"
_HIDDEN = re.compile(f"[{_SYMBOLS}]{{64}}")
_ADDRESS = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)


class _Markdown(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802 (the library's name)
        return _ADDRESS.match(url) is not None


_MARKDOWN: Final = _Markdown("commonmark", {"html": False, "breaks": True}).enable(["strikethrough", "table"])


def html(markdown: str) -> str:
    """The text as HTML; a text that shows nothing, such as a lone definition, is empty."""
    return str(_MARKDOWN.render(markdown)).strip()


def with_mark(content: str, mark: str) -> str:
    """The HTML with the mark, a UUID, at its end."""
    number = UUID(mark).int
    return content + "".join(_SYMBOLS[number >> shift & 3] for shift in range(126, -1, -2))


def mark_of(content: str) -> str:
    """The mark HTML ends with, or empty. One before it comes from a text that was quoted."""
    found = _HIDDEN.findall(_words(content))
    if not found:
        return ""
    number = 0
    for symbol in found[-1]:
        number = number << 2 | _SYMBOLS.index(symbol)
    return str(UUID(int=number))


def letters(content: str) -> str:
    """The letters and digits of HTML, by which a text is known again whatever became of its form."""
    return "".join(filter(str.isalnum, _words(content)))


def _words(content: str) -> str:
    reader = _Words()
    reader.feed(content)
    reader.close()
    return "".join(reader.found)


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)
