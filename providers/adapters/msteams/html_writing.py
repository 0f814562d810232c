"""Markdown as the HTML of a Teams message, and marks in it that nobody sees.

HTML in the text is shown, not obeyed, so no text can mention anybody: a mention is an element that names an entry of a
list this adapter never sends. Links lead to the web or to mail only.

https://learn.microsoft.com/en-us/graph/api/resources/itembody
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from html import escape
from html.parser import HTMLParser
from typing import Any, Final
from uuid import UUID

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

# Characters without a shape, two bits each: they stand in the text and are kept with it.
_SYMBOLS: Final = "\u200b\u200c\u200d\u2060"
_HIDDEN = re.compile(f"[{_SYMBOLS}]{{64}}")
_ADDRESS = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)


class _Markdown(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802 (the library's name)
        return _ADDRESS.match(url) is not None


class _Renderer(RendererHTML):
    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        """A link: Teams shows pictures only from its own stores."""
        address = str(tokens[idx].attrs.get("src", ""))
        label = escape(self.renderInlineAsText(tokens[idx].children or (), options, env) or address)
        opened = [token.type for token in tokens[:idx]]
        if opened.count("link_open") > opened.count("link_close"):
            return label
        return f'<a href="{escape(address)}">{label}</a>'

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        return f"<pre><code>{escape(tokens[idx].content)}</code></pre>\n"


_MARKDOWN: Final = _Markdown("commonmark", {"html": False, "breaks": True}, renderer_cls=_Renderer).enable(
    "strikethrough"
)


def html(markdown: str) -> str:
    """The text as HTML; empty where nothing would be seen."""
    return str(_MARKDOWN.render(markdown)).strip()


def with_mark(content: str, mark: str) -> str:
    """The HTML with the mark, a UUID, at its end."""
    number = UUID(mark).int
    hidden = "".join(_SYMBOLS[number >> shift & 3] for shift in range(126, -1, -2))
    before = content.removesuffix("</p>")
    return f"{before}{hidden}{content[len(before) :]}"


def mark_of(content: str) -> str:
    """The mark HTML ends with, or empty. One before it comes from a text that was quoted."""
    found = _HIDDEN.findall(words(content))
    if not found:
        return ""
    number = 0
    for symbol in found[-1]:
        number = number << 2 | _SYMBOLS.index(symbol)
    return str(UUID(int=number))


def letters(content: str) -> str:
    """The letters and digits of HTML, by which a text is known again whatever Teams made of its form."""
    return "".join(filter(str.isalnum, words(content)))


def words(content: str) -> str:
    """The text of HTML; a picture of an emoji counts as what it stands for."""
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

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name == "alt" and value]
