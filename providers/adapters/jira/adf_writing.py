"""Markdown to Atlassian Document Format, the only form in which REST v3 takes texts.

Source: https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/ and the pages of its nodes, which
say what may lie in what. HTML is shown as it is written, never passed through. Nothing in a text becomes a mention:
those are nodes of their own, which are not made here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

Node = dict[str, Any]

_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
_MARKS: Final = {"strong": "strong", "em": "em", "s": "strike"}
_LINKED: Final = frozenset({"http", "https", "mailto"})


def document(markdown: str) -> Node:
    """The document of a Markdown text; one that shows nothing, such as a lone comment, is shown as it is written."""
    blocks = _blocks(SyntaxTreeNode(_MARKDOWN.parse(markdown)).children, inside="doc")
    return {"type": "doc", "version": 1, "content": blocks or [_paragraph([_text(markdown.strip(), ())])]}


def _blocks(nodes: Iterable[SyntaxTreeNode], *, inside: str) -> list[Node]:
    """The block nodes; ``inside`` is what they lie in: ``doc``, ``blockquote``, ``listItem`` or a cell."""
    return [block for node in nodes for block in _block(node, inside)]


def _block(node: SyntaxTreeNode, inside: str) -> Iterator[Node]:
    match node.type:
        case "paragraph":
            yield _paragraph(_inline(node))
        case "heading" if inside == "doc":
            yield {"type": "heading", "attrs": {"level": int(node.tag[1])}, "content": _inline(node)}
        case "heading":
            # Neither lists nor quotes hold headings.
            yield _paragraph(_inline(node, ("strong",)))
        case "fence" | "code_block":
            yield _code(node)
        case "bullet_list":
            yield {"type": "bulletList", "content": [_list_item(item) for item in node.children]}
        case "ordered_list":
            first = int(node.attrs.get("start", 1))
            items = [_list_item(item) for item in node.children]
            yield {"type": "orderedList", "attrs": {"order": first}, "content": items}
        case "blockquote" if inside == "doc":
            yield {"type": "blockquote", "content": _blocks(node.children, inside="blockquote") or [_paragraph([])]}
        case "blockquote":
            yield from _blocks(node.children, inside=inside)
        case "table" if inside == "doc":
            yield {"type": "table", "content": [_row(row) for part in node.children for row in part.children]}
        case "table":
            for row in (row for part in node.children for row in part.children):
                yield _paragraph(_separated([_inline(cell) for cell in row.children]))
        case "hr" if inside == "doc":
            yield {"type": "rule"}


def _list_item(item: SyntaxTreeNode) -> Node:
    content = _blocks(item.children, inside="listItem")
    # An item begins with a paragraph or with code.
    if not content or content[0]["type"] not in ("paragraph", "codeBlock"):
        content.insert(0, _paragraph([]))
    return {"type": "listItem", "content": content}


def _row(row: SyntaxTreeNode) -> Node:
    cells = [
        {"type": "tableHeader" if cell.type == "th" else "tableCell", "content": [_paragraph(_inline(cell))]}
        for cell in row.children
    ]
    return {"type": "tableRow", "content": cells}


def _separated(cells: list[list[Node]]) -> list[Node]:
    """The cells of a row that may not be a table, in one line."""
    return [node for number, cell in enumerate(cells) for node in ([_text(" | ", ())] if number else []) + cell]


def _code(node: SyntaxTreeNode) -> Node:
    code = node.content.removesuffix("\n")
    language = node.info.split()[0][:50] if node.info.strip() else ""
    return {
        "type": "codeBlock",
        **({"attrs": {"language": language}} if language else {}),
        # Text nodes may not be empty.
        "content": [{"type": "text", "text": code}] if code else [],
    }


def _paragraph(content: list[Node]) -> Node:
    return {"type": "paragraph", "content": content}


def _inline(node: SyntaxTreeNode, marks: tuple[str | Node, ...] = ()) -> list[Node]:
    """The inline nodes of a block; neighbours with the same marks are one text."""
    merged: list[Node] = []
    for part in (part for child in node.children for part in _parts(child, marks)):
        last = merged[-1] if merged else {}
        if part["type"] == last.get("type") == "text" and part.get("marks") == last.get("marks"):
            last["text"] += part["text"]
        else:
            merged.append(part)
    return merged


def _parts(node: SyntaxTreeNode, marks: tuple[str | Node, ...]) -> Iterator[Node]:
    match node.type:
        case "text" | "text_special":
            if node.content:
                yield _text(node.content, marks)
        case "softbreak":
            yield _text(" ", marks)
        case "hardbreak":
            yield {"type": "hardBreak"}
        case "code_inline":
            # Code goes together with a link and with nothing else.
            yield _text(node.content, (*(mark for mark in marks if isinstance(mark, dict)), "code"))
        case "image":
            # A picture would have to be uploaded; it is linked to instead.
            address = str(node.attrs["src"])
            if node.content or address:
                yield _text(node.content or address, (*marks, *_link(address, marks)))
        case _:
            more = _link(str(node.attrs["href"]), marks) if node.type == "link" else [_MARKS.get(node.type)]
            inner = (*marks, *(mark for mark in more if mark and mark not in marks))
            for child in node.children:
                yield from _parts(child, inner)


def _link(address: str, marks: tuple[str | Node, ...]) -> list[Node]:
    """The mark of a link that can be followed from anywhere; others are left as text."""
    try:
        linked = urlsplit(address).scheme in _LINKED and not any(isinstance(mark, dict) for mark in marks)
    except ValueError:
        linked = False
    return [{"type": "link", "attrs": {"href": address}}] if linked else []


def _text(text: str, marks: tuple[str | Node, ...]) -> Node:
    written = [{"type": mark} if isinstance(mark, str) else mark for mark in marks]
    return {"type": "text", "text": text, **({"marks": written} if written else {})}
