"""Boot-time checks of the settings for polling."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as Caution

from providers import registry
from providers.client import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS

FAIL_MODES = ("", "open", "closed")


@register()
def check_polling(**_: Any) -> list[CheckMessage]:
    """polling.W001 a page may outlast its lease; E001 bounds that exclude each other; E002 unknown fail mode; W002 a
    stream reads again what may be forgotten."""
    problems: list[CheckMessage] = []
    page_seconds = CONNECT_TIMEOUT_SECONDS + READ_TIMEOUT_SECONDS
    if page_seconds > settings.POLL_LEASE_SECONDS:
        problems.append(
            Caution(
                f"POLL_LEASE_SECONDS is {settings.POLL_LEASE_SECONDS}, but one page may take {page_seconds:.0f} s.",
                hint="A slow provider's pages are then read and thrown away.",
                id="polling.W001",
            )
        )
    if not 0 < settings.POLL_INTERVAL_MIN_SECONDS <= settings.POLL_INTERVAL_MAX_SECONDS:
        problems.append(Error("POLL_INTERVAL_MIN_SECONDS must be positive and at most the maximum.", id="polling.E001"))
    if settings.BUDGET_FAIL_MODE not in FAIL_MODES:
        problems.append(
            Error(f"BUDGET_FAIL_MODE must be open or closed, not {settings.BUDGET_FAIL_MODE!r}.", id="polling.E002")
        )
    kept = settings.EVENT_RETENTION_DAYS * 86400
    for slug in registry.slugs():
        for stream in registry.get(slug).streams:
            if stream.overlap_seconds > kept:
                message = f"{slug} reads {stream.name} again {stream.overlap_seconds // 86400} days back."
                hint = "With a shorter EVENT_RETENTION_DAYS the same would be told as new."
                problems.append(Caution(message, hint=hint, id="polling.W002"))
    return problems
