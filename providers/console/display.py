"""How values look to staff."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

import orjson
from django.contrib.admin import display
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

Shown = TypeVar("Shown", bound=Callable[..., Any])

EMPTY = "–"
SHOWN_ERROR_CHARACTERS = 90

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def column(description: str) -> Callable[[Shown], Shown]:
    """Make a method a column or a read-only field."""

    def decorate(method: Shown) -> Shown:
        display(description=description)(method)
        return method

    return decorate


def label(text: Any, colour: str = "") -> SafeString:
    """A coloured word, such as a status. Colours: success, info, warning, danger; grey otherwise."""
    return format_html('<span class="console-label {}">{}</span>', colour, text)


def span(length: timedelta) -> str:
    """A length of time in its largest unit: ``3 h``; below a second ``a moment``."""
    seconds = int(length.total_seconds())
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return "a moment"


def age(at: datetime | None) -> str | SafeString:
    """How long ago, or how far ahead, with the exact time on hover."""
    if at is None:
        return EMPTY
    ago = timezone.now() - at
    words = "now"
    if abs(ago) >= timedelta(seconds=1):
        words = f"{span(ago)} ago" if ago > timedelta(0) else f"in {span(-ago)}"
    return format_html('<time class="console-age" datetime="{0}" title="{0}">{1}</time>', _exact(at), words)


def moment(at: datetime | None) -> str | SafeString:
    """The exact time, and how long ago."""
    if at is None:
        return EMPTY
    return format_html('{} <span class="console-muted">({})</span>', _exact(at), age(at))


def json_block(value: Any) -> str | SafeString:
    """JSON, indented and in the order it has, in a box of its own."""
    if value in (None, {}, []):
        return EMPTY
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()
    return format_html('<pre class="console-json" tabindex="0">{}</pre>', text)


def text_block(text: str) -> str | SafeString:
    """Text that may be long, such as an error, kept as it is."""
    return format_html('<div class="console-text">{}</div>', text) if text else EMPTY


def error_line(text: str, at: datetime | None = None) -> str | SafeString:
    """The first words of an error for a list, all of it on hover, and its age."""
    if not text:
        return EMPTY
    shown = text if len(text) <= SHOWN_ERROR_CHARACTERS else text[:SHOWN_ERROR_CHARACTERS].rstrip() + "…"
    line = format_html('<span class="console-error" title="{}">{}</span>', text, shown)
    return format_html('{} <span class="console-muted">{}</span>', line, age(at)) if at else line


def note_line(text: str) -> str | SafeString:
    """A remark for a list that is not a fault."""
    return format_html('<span class="console-muted">{}</span>', text) if text else EMPTY


def link(url_name: str, label: Any, *args: Any, query: str = "") -> SafeString:
    """A link to another page of the admin."""
    address = reverse(f"admin:{url_name}", args=args) + (f"?{query}" if query else "")
    return format_html('<a class="console-link" href="{}">{}</a>', address, label)


def words(items: Iterable[str]) -> str | SafeString:
    """Short words side by side, such as capabilities or tags."""
    found = list(items)
    if not found:
        return EMPTY
    return format_html_join(" ", '<span class="console-word">{}</span>', ((item,) for item in found))


def capability_words(capabilities: Mapping[str, bool]) -> str | SafeString:
    """The capabilities that are on."""
    return words(name.replace("outbound_actions", "actions") for name, on in capabilities.items() if on)


def progress(percent: int, caption: str) -> SafeString:
    """A bar with its caption. An SVG, because the bar's length may not be an inline style."""
    return format_html(
        '<svg class="console-progress" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label="{0} %">'
        '<rect class="rest" width="100" height="6" rx="1"/><rect class="done" width="{0}" height="6" rx="1"/></svg>'
        '<span class="console-muted">{1}</span>',
        max(0, min(100, percent)),
        caption,
    )


def _exact(at: datetime) -> str:
    return f"{at.astimezone(timezone.get_current_timezone()):%Y-%m-%d %H:%M:%S %Z}"
