"""Text out of Jira's two text forms: wiki markup (a string) and Atlassian Document Format (a tree).

Source: "Atlassian Document Format" (structure, node types) of the Jira Cloud platform documentation.
"""

from __future__ import annotations

from typing import Any, Final

from providers.document import MAX_TEXT, moment_of

_MAX_DEPTH: Final = 60
_INLINE_VALUE: Final = {
    "mention": "text",
    "emoji": "shortName",
    "status": "text",
    "inlineCard": "url",
    "blockCard": "url",
    "embedCard": "url",
    "media": "alt",
    "mediaInline": "alt",
}
_INLINE_PARENTS: Final = frozenset({"paragraph", "heading", "codeBlock", "caption", "taskItem", "decisionItem"})


def plain_text(value: Any) -> str | None:
    """Readable text of either form, cut at 4000 characters; ``None`` for anything else or nothing."""
    if isinstance(value, dict):
        value = _text_of(value, 0).strip()
    return value[:MAX_TEXT] if isinstance(value, str) and value else None


def _text_of(node: Any, depth: int) -> str:
    if not isinstance(node, dict) or depth > _MAX_DEPTH:
        return ""
    kind, attrs = _string(node.get("type")), node.get("attrs")
    if kind == "text":
        return _string(node.get("text"))
    if kind == "hardBreak":
        return "\n"
    if isinstance(attrs, dict):
        if kind == "date":
            day = moment_of(_number(attrs.get("timestamp")))
            return day.date().isoformat() if day else ""
        if kind in _INLINE_VALUE:
            return _string(attrs.get(_INLINE_VALUE[kind]))
    content = node.get("content")
    parts = [_text_of(child, depth + 1) for child in content] if isinstance(content, list) else []
    separator = "" if kind in _INLINE_PARENTS else " " if kind == "tableRow" else "\n"
    return separator.join(part for part in parts if part)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16 else None
