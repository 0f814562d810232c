"""Boot-time checks of the settings for incidents."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from connections.incident_outbox import LEASE_SECONDS


@register()
def check_alerting(**_: Any) -> list[CheckMessage]:
    """connections.E001 no address of an alerting service; E002 a call that may outlast its lease."""
    problems: list[CheckMessage] = []
    if settings.ALERTING_SERVICE_URL and not _is_address(settings.ALERTING_SERVICE_URL):
        problems.append(Error("ALERTING_SERVICE_URL must be an http or https address.", id="connections.E001"))
    if not 0 < settings.ALERTING_TIMEOUT_SECONDS <= LEASE_SECONDS / 4:
        problems.append(
            Error(f"ALERTING_TIMEOUT_SECONDS must be above 0 and at most {LEASE_SECONDS // 4}.", id="connections.E002")
        )
    return problems


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
