"""Markdown as others show it, and the words that are left of it: what adapters share that write HTML.

HTML in a text is shown, not obeyed, so no text brings an element of its own. Links lead to the web or to mail only.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

from markdown_it import MarkdownIt

_ADDRESS: Final = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)


class SafeMarkdown(MarkdownIt):
    """CommonMark without HTML, in which a line break is one."""

    def __init__(self, **options: object) -> None:
        super().__init__("commonmark", {"html": False, "breaks": True}, **options)  # type: ignore[arg-type]

    def validateLink(self, url: str) -> bool:  # noqa: N802 (the library's name)
        return _ADDRESS.match(url) is not None


def words(html: str) -> str:
    """The text of HTML; a picture counts as what it stands for (``alt``)."""
    reader = _Words()
    reader.feed(html)
    reader.close()
    return "".join(reader.found)


def letters(html: str) -> str:
    """Its letters and digits, by which a text is known again whatever became of its form."""
    return "".join(filter(str.isalnum, words(html)))


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name == "alt" and value]
