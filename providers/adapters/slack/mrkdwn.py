"""Slack's message text as plain text: links and mentions stand in angle brackets, the rest is escaped.

Source: https://docs.slack.dev/messaging/formatting-message-text/
"""

from __future__ import annotations

import re

from providers.document import MAX_TEXT

_MARK = re.compile(r"<([^<>]*)>")


def plain(text: str | None) -> str | None:
    """``Hi <@U1>, see <https://x.example|this> &amp; go`` as ``Hi @U1, see this (https://x.example) & go``."""
    if not text:
        return None
    words = _MARK.sub(lambda mark: _word(mark[1]), text)
    # The ampersand last: what it yields is not escaped again.
    return words.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")[:MAX_TEXT] or None


def _word(mark: str) -> str:
    target, _, label = mark.partition("|")
    match target[:1]:
        case "@":
            return f"@{(label or target).lstrip('@')}"
        case "#":
            return f"#{(label or target).lstrip('#')}"
        case "!":
            # <!here>, <!subteam^S1|@devs>, <!date^1392734382^{date}|yesterday>
            return label or f"@{target[1:]}"
        case _:
            address = target.removeprefix("mailto:")
            return f"{label} ({target})" if label and label not in (target, address) else address
