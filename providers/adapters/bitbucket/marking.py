"""The hidden mark in a text: a link that is defined and never used, which no reader sees.

HTML comments are shown here, so this is the form (https://spec.commonmark.org/, "Link reference definitions").
"""

from __future__ import annotations

from typing import Final

from markdown_it import MarkdownIt

_MARKDOWN: Final = MarkdownIt("commonmark")


def marked(text: str, mark: str) -> str:
    """The text with the mark behind it, or before it where a block that was left open would show it."""
    line = _line(mark)
    behind = f"{text}\n\n{line}" if text else line
    return f"{line}\n\n{text}" if line in _MARKDOWN.render(behind) else behind


def has_mark(text: str, mark: str) -> bool:
    """Whether a line of the text is the mark; one that quotes it is another line."""
    return _line(mark) in text.splitlines()


def _line(mark: str) -> str:
    return f"[//]: # (integration-adapters:{mark})"
