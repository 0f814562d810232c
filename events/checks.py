"""Boot-time checks of the settings for delivery."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from events.forwarder import MAX_SIGNALS_A_REQUEST


@register()
def check_delivery(**_: Any) -> list[CheckMessage]:
    """events.E001 a batch the ingestion service cannot take; E002 a lease too short for a single call."""
    problems: list[CheckMessage] = []
    if not 0 < settings.DELIVERY_BATCH_SIZE <= MAX_SIGNALS_A_REQUEST:
        problems.append(Error(f"DELIVERY_BATCH_SIZE must be 1 to {MAX_SIGNALS_A_REQUEST}.", id="events.E001"))
    if settings.PM3_TIMEOUT_SECONDS >= settings.DELIVERY_LEASE_SECONDS:
        problems.append(
            Error(
                "PM3_TIMEOUT_SECONDS must be less than DELIVERY_LEASE_SECONDS.",
                hint="No call could end inside its lease, so none would be made.",
                id="events.E002",
            )
        )
    return problems
