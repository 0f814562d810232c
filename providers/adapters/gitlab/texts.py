"""Texts as GitLab takes them: Markdown, in which it looks for more than Markdown.

https://docs.gitlab.com/user/project/quick_actions/, https://docs.gitlab.com/user/discussions/#mentioning-all-members
"""

from __future__ import annotations

import re
from typing import Final

from providers.document import Document

# A line that begins so is carried out, not shown. A path such as /usr/bin is no such line.
_QUICK_ACTION: Final = re.compile(r"^(?=/\w+(?:\s|$))", re.MULTILINE)
# Told to every member of the project and its group. References are looked for in what is shown, so signs of emphasis
# around one do not count, and a character may be written as HTML names it. Letters and digits are those of ASCII.
# https://docs.gitlab.com/user/markdown/#gitlab-specific-references
_ALL: Final = r"(?:a|&#0*(?:97|65);|&#x0*[46]1;)" + 2 * r"(?:l|&#0*(?:108|76);|&#x0*[46]c;)"
_EVERYBODY: Final = re.compile(
    rf"(?<![a-z0-9])(?:@|&#0*64;|&#x0*40;|&commat;)(?={_ALL}(?![a-z0-9]|[_-]+[a-z0-9]))", re.IGNORECASE | re.ASCII
)
_ZERO_WIDTH_SPACE: Final = "\u200b"
# On a line of its own and not behind the sign of a quotation.
_MARK: Final = re.compile(r"^<!-- sig:(\S+) -->[ \t]*\r?$", re.MULTILINE)
MAX_TEXT: Final = 1_100_000


def harmless(text: str) -> str:
    """The text without power: no line is a command, and nobody is told who is not named.

    GitLab takes carriage returns out before it looks for commands, so they go first.
    """
    escaped = _QUICK_ACTION.sub(r"\\", text.replace("\r\n", "\n").replace("\r", ""))
    return _EVERYBODY.sub(f"@{_ZERO_WIDTH_SPACE}", escaped)


def marked(text: str, mark: str) -> str:
    """The harmless text with the mark before it, where no unclosed code or comment of the text can reach it.

    A comment of HTML is kept and not shown.
    """
    return f"<!-- sig:{mark} -->\n\n{harmless(text)}" if text else f"<!-- sig:{mark} -->"


def bears(made: Document, mark: str, *pointers: str) -> bool:
    """Whether this was made with the mark: only the first in it counts, for a text may hold those of others."""
    found = _MARK.search(made.text(*pointers, limit=MAX_TEXT) or "")
    return found is not None and found[1] == mark
