"""What Jira takes as a document, and what it answers "not valid" to.

https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/ and the pages of its nodes and marks
"""

from __future__ import annotations

from typing import Any, Final

_INLINE: Final = frozenset({"text", "hardBreak", "mention", "emoji"})
_LISTED: Final = frozenset({"paragraph", "bulletList", "orderedList", "codeBlock"})
# What may lie in what.
_HOLDS: Final = {
    "doc": _LISTED | {"heading", "blockquote", "rule", "table"},
    "paragraph": _INLINE,
    "heading": _INLINE,
    "blockquote": _LISTED,
    "bulletList": frozenset({"listItem"}),
    "orderedList": frozenset({"listItem"}),
    "listItem": _LISTED,
    "codeBlock": frozenset({"text"}),
    "table": frozenset({"tableRow"}),
    "tableRow": frozenset({"tableHeader", "tableCell"}),
    "tableHeader": _LISTED,
    "tableCell": _LISTED,
}
_NEVER_EMPTY: Final = frozenset({"bulletList", "orderedList", "listItem", "blockquote", "table", "tableRow"})
_MARKS: Final = frozenset({"strong", "em", "strike", "code", "link", "underline"})
_MEMBERS: Final = frozenset({"type", "version", "attrs", "content", "text", "marks"})


def is_document(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "doc" and value.get("version") == 1 and _is_sound(value)


def length(node: Any) -> int:
    """Characters of all texts in it."""
    return len(node.get("text", "")) + sum(map(length, node.get("content", ())))


def _is_sound(node: Any) -> bool:
    if not isinstance(node, dict) or not set(node) <= _MEMBERS:
        return False
    kind = node.get("type")
    if kind == "text":
        return bool(node.get("text")) and _marks_fit(node.get("marks"))
    if kind not in _HOLDS:
        return kind in ("hardBreak", "rule")
    content = node.get("content")
    if not isinstance(content, list) or (kind in _NEVER_EMPTY and not content):
        return False
    if kind == "heading" and node.get("attrs", {}).get("level") not in range(1, 7):
        return False
    if kind == "listItem" and content[0].get("type") not in ("paragraph", "codeBlock"):
        return False
    if kind == "codeBlock" and any(child.get("marks") for child in content):
        return False
    return all(isinstance(child, dict) and child.get("type") in _HOLDS[kind] and _is_sound(child) for child in content)


def _marks_fit(marks: Any) -> bool:
    if marks is None:
        return True
    kinds = [mark.get("type") for mark in marks]
    alone = "code" in kinds and not set(kinds) <= {"code", "link"}
    return bool(kinds) and len(set(kinds)) == len(kinds) and set(kinds) <= _MARKS and not alone
