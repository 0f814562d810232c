"""Boot-time checks of the settings for incidents, receipts and secrets."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from connections.outbox import LEASE_SECONDS

# A webhook whose secret is asked for must be answered before its provider gives up.
LONGEST_ANSWER_SECONDS = 5.0


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


@register()
def check_receipts(**_: Any) -> list[CheckMessage]:
    """connections.E003 no address of an evidence service; E004 a call that may outlast its lease; E005 no retention."""
    problems: list[CheckMessage] = []
    if settings.ERIS_SERVICE_URL and not _is_address(settings.ERIS_SERVICE_URL):
        problems.append(Error("ERIS_SERVICE_URL must be an http or https address.", id="connections.E003"))
    if not 0 < settings.ERIS_TIMEOUT_SECONDS <= LEASE_SECONDS / 4:
        problems.append(
            Error(f"ERIS_TIMEOUT_SECONDS must be above 0 and at most {LEASE_SECONDS // 4}.", id="connections.E004")
        )
    if settings.RECEIPT_RETENTION_DAYS < 1:
        problems.append(Error("RECEIPT_RETENTION_DAYS must be at least 1.", id="connections.E005"))
    return problems


@register()
def check_key_management(**_: Any) -> list[CheckMessage]:
    """connections.E006 no address of key management, or secrets in clear text; E007 a time-out that is none."""
    problems: list[CheckMessage] = []
    url = settings.KMS_SERVICE_URL
    if url and not _is_address(url):
        problems.append(Error("KMS_SERVICE_URL must be an http or https address.", id="connections.E006"))
    elif url.startswith("http:") and settings.IS_PRODUCTION:
        problems.append(Error("KMS_SERVICE_URL must be https outside development.", id="connections.E006"))
    if not 0 < settings.KMS_TIMEOUT_SECONDS <= LONGEST_ANSWER_SECONDS:
        message = f"KMS_TIMEOUT_SECONDS must be above 0 and at most {LONGEST_ANSWER_SECONDS:.0f}."
        problems.append(Error(message, id="connections.E007"))
    return problems


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
