"""Markdown to Confluence's storage format, and the hidden mark in it.

Source: https://confluence.atlassian.com/doc/confluence-storage-format-790796544.html and
https://confluence.atlassian.com/doc/anchor-macro-182682075.html. HTML is shown as it is written, so no text can bring a
macro, a mention or a script of its own.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from enum import StrEnum
from html import escape, unescape
from typing import Any, Final
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

_LINKED: Final = frozenset({"http", "https", "mailto"})
# What XML 1.0 cannot hold (section 2.2).
_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_LANGUAGE: Final = re.compile(r"[A-Za-z0-9+#-]{1,30}")
_MARK: Final = "integration-adapters-"
_CDATA: Final = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_PARAMETERS: Final = re.compile(r"<ac:parameter\b[^>]*>[^<]*</ac:parameter>")
_ANCHORS: Final = re.compile(rf"<ac:parameter\b[^>]*>{_MARK}([^<]+)</ac:parameter>")
_TAGS: Final = re.compile(r"<[^>]*>")

Options = Any
Environment = MutableMapping[str, Any]


def storage(markdown: str, mark: str) -> str:
    """The storage format of a Markdown text, ending with an anchor, which readers do not see, named after the mark."""
    # Last, for an entity may stand for such a character too.
    return f"{_NOT_XML.sub('', _MARKDOWN.render(markdown))}{_anchor(mark)}"


class Bearer(StrEnum):
    """Whose a stored text is, by its anchor."""

    OURS = "ours"
    ANOTHER = "another"
    UNKNOWN = "unknown"


def bearer(stored: str, wanted: str, mark: str) -> Bearer:
    """``wanted`` is what was sent with this mark; the same words without any anchor may be it, with the anchor lost."""
    marks = set(_ANCHORS.findall(_CDATA.sub("", stored)))
    if mark in marks:
        return Bearer.OURS
    return Bearer.UNKNOWN if not marks and _words(stored) == _words(wanted) else Bearer.ANOTHER


def _words(stored: str) -> list[str]:
    """What people read in it."""
    return unescape(_TAGS.sub(" ", _PARAMETERS.sub("", _CDATA.sub(_content, stored)))).split()


def _content(section: re.Match[str]) -> str:
    return escape(section[1])


def _anchor(mark: str) -> str:
    name = f'<ac:parameter ac:name="">{_MARK}{mark}</ac:parameter>'
    return f'<p><ac:structured-macro ac:name="anchor">{name}</ac:structured-macro></p>'


def _code(
    _renderer: RendererHTML, tokens: Sequence[Token], index: int, _options: Options, _environment: Environment
) -> str:
    token = tokens[index]
    language = _LANGUAGE.fullmatch(token.info.split()[0]) if token.info.strip() else None
    parameter = f'<ac:parameter ac:name="language">{language[0]}</ac:parameter>' if language else ""
    # The end of a CDATA section inside it is cut in two.
    text = token.content.removesuffix("\n").replace("]]>", "]]]]><![CDATA[>")
    body = f"<ac:plain-text-body><![CDATA[{text}]]></ac:plain-text-body>"
    return f'<ac:structured-macro ac:name="code">{parameter}{body}</ac:structured-macro>\n'


def _picture(
    _renderer: RendererHTML, tokens: Sequence[Token], index: int, _options: Options, _environment: Environment
) -> str:
    """A link: a picture would be fetched by everybody who reads the page."""
    token = tokens[index]
    address = str(token.attrs["src"])
    return f'<a href="{escape(address)}">{escape(token.content or address)}</a>'


def _plain_tag(
    _renderer: RendererHTML, tokens: Sequence[Token], index: int, _options: Options, _environment: Environment
) -> str:
    """The tag without attributes, which hold styles."""
    return f"<{tokens[index].tag}>"


class _Markdown(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802 (the library's name)
        """Only what can be followed from anywhere; others stay text."""
        try:
            return urlsplit(url).scheme in _LINKED
        except ValueError:
            return False


def _markdown() -> MarkdownIt:
    made = _Markdown("commonmark", {"html": False, "xhtmlOut": True}).enable(["table", "strikethrough"])
    for name, rule in {
        **dict.fromkeys(("fence", "code_block"), _code),
        **dict.fromkeys(("th_open", "td_open"), _plain_tag),
        "image": _picture,
        "s_open": lambda *_: "<del>",
        "s_close": lambda *_: "</del>",
    }.items():
        made.add_render_rule(name, rule)
    return made


_MARKDOWN: Final = _markdown()
