"""Markdown as the text of a Slack message.

Slack's markup is its own: ``*bold*``, ``_italic_``, ``<url|label>``. Everything else is escaped, so that a text cannot
say ``<!channel>`` and call everybody: of Slack's own words in angle brackets only those that name one person or one
channel (``<@U…>``, ``<#C…>``) are let through, and a link only with an address of the web or of mail.

https://docs.slack.dev/messaging/formatting-message-text/
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).enable("strikethrough")
_NAMED = re.compile(r"&lt;((?:@[UW]|#[CDG])[A-Z0-9]{2,39})&gt;", re.ASCII)
_ADDRESS = re.compile(r"(?:https?://|mailto:)[^\s<>|]+", re.IGNORECASE)
_AROUND: Final = {"em": "_", "s": "~"}
_RULE: Final = "———"


def mrkdwn(markdown: str) -> str:
    """``**Hi** [there](https://…)`` as ``*Hi* <https://…|there>``; empty where nothing would be seen."""
    return _blocks(SyntaxTreeNode(_MARKDOWN.parse(markdown)).children).strip()


def escaped(text: str) -> str:
    """Text in which Slack finds no links and no mentions."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _blocks(nodes: Iterable[SyntaxTreeNode], between: str = "\n\n") -> str:
    return between.join(filter(None, map(_block, nodes)))


def _block(node: SyntaxTreeNode) -> str:
    match node.type:
        case "heading":
            words = _inline(node, bold=True).strip()
            return f"*{words}*" if words else ""
        case "bullet_list" | "ordered_list":
            return _list(node)
        case "blockquote":
            return _prefixed(_blocks(node.children), "> ", "> ")
        case "fence" | "code_block":
            return f"```\n{escaped(node.content)}```"
        case "hr":
            return _RULE
        case _:
            return _inline(node)


def _list(node: SyntaxTreeNode) -> str:
    number = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else None
    lines = []
    for item in node.children:
        mark = "• " if number is None else f"{number}. "
        lines.append(_prefixed(_blocks(item.children, "\n"), mark, "    "))
        number = None if number is None else number + 1
    return "\n".join(lines)


def _prefixed(text: str, first: str, other: str) -> str:
    return "\n".join(f"{other if index else first}{line}" for index, line in enumerate(text.split("\n")))


def _inline(node: SyntaxTreeNode, *, bold: bool = False) -> str:
    """The text below a node; ``bold`` says that it is bold already, for Slack knows no bold inside bold."""
    match node.type:
        case "text":
            return _NAMED.sub(r"<\1>", escaped(node.content))
        case "code_inline":
            return f"`{escaped(node.content)}`"
        case "softbreak" | "hardbreak":
            return "\n"
        case "link":
            return _link(str(node.attrs.get("href", "")), _plain(node))
        case "image":
            return _link(str(node.attrs.get("src", "")), node.content or _plain(node))
    inside = "".join(_inline(child, bold=bold or node.type == "strong") for child in node.children)
    around = "*" if node.type == "strong" and not bold else _AROUND.get(node.type, "")
    return f"{around}{inside}{around}" if inside.strip() else inside


def _plain(node: SyntaxTreeNode) -> str:
    if node.type in ("softbreak", "hardbreak"):
        return " "
    return "".join(map(_plain, node.children)) or node.content


def _link(address: str, label: str) -> str:
    """A label cannot end the link: what ends one is escaped in it. What is no address is only text."""
    words = escaped(label.strip())
    if not _ADDRESS.fullmatch(address):
        return f"{words} ({escaped(address)})" if address else words
    target = address.replace("&", "&amp;")
    return f"<{target}|{words}>" if words and words not in (target, target.removeprefix("mailto:")) else f"<{target}>"
