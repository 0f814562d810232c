"""Markdown as the HTML of a work item, and marks in it that nobody sees.

No text can mention anybody: a mention is an element of its own, which is not made here.
"""

from __future__ import annotations

from typing import Final

from providers.invisible import invisible, last_mark
from providers.markdown import SafeMarkdown, words

_MARKDOWN: Final = SafeMarkdown().enable(["strikethrough", "table"])


def html(markdown: str) -> str:
    """The text as HTML; a text that shows nothing, such as a lone definition, is empty."""
    return str(_MARKDOWN.render(markdown)).strip()


def with_mark(content: str, mark: str) -> str:
    """The HTML with the mark, a UUID, at its end."""
    return content + invisible(mark)


def mark_of(content: str) -> str:
    """The mark HTML ends with, or empty."""
    return last_mark(words(content))
