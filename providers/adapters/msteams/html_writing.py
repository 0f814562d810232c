"""Markdown as the HTML of a Teams message, and marks in it that nobody sees.

HTML in the text is shown, not obeyed, so no text can mention anybody: a mention is an element that names an entry of a
list this adapter never sends. Links lead to the web or to mail only.

https://learn.microsoft.com/en-us/graph/api/resources/itembody
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from html import escape
from typing import Any, Final

from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from providers.invisible import invisible, last_mark
from providers.markdown import SafeMarkdown, words


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


_MARKDOWN: Final = SafeMarkdown(renderer_cls=_Renderer).enable("strikethrough")


def html(markdown: str) -> str:
    """The text as HTML; empty where nothing would be seen."""
    return str(_MARKDOWN.render(markdown)).strip()


def with_mark(content: str, mark: str) -> str:
    """The HTML with the mark, a UUID, at its end."""
    before = content.removesuffix("</p>")
    return f"{before}{invisible(mark)}{content[len(before) :]}"


def mark_of(content: str) -> str:
    """The mark HTML ends with, or empty."""
    return last_mark(words(content))
