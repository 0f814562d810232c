"""Boot-time checks: a registry or manifest that contradicts itself or the settings is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from providers import registry

# Longest published redelivery horizon plus a day.
MIN_DEDUPE_MEMORY = timedelta(days=8)


@register()
def check_adapters(**_: Any) -> list[CheckMessage]:
    """providers.E001 an adapter cannot be loaded; E002 retention is shorter than a redelivery horizon."""
    problems: list[CheckMessage] = []
    retention = timedelta(days=settings.EVENT_RETENTION_DAYS)
    if retention < MIN_DEDUPE_MEMORY:
        problems.append(
            Error(
                f"EVENT_RETENTION_DAYS is {settings.EVENT_RETENTION_DAYS}; the dedupe memory needs at least 8 days.",
                id="providers.E002",
            )
        )
    for slug in sorted({*registry.BUILT_IN, *settings.EXTRA_ADAPTERS}):
        try:
            manifest = registry.load(slug).manifest
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            problems.append(Error(f"Adapter {slug!r} cannot be loaded: {error}", id="providers.E001"))
            continue
        if manifest.redelivery_horizon > retention:
            problems.append(
                Error(
                    f"{slug} may redeliver for {manifest.redelivery_horizon}, longer than events are kept.",
                    id="providers.E002",
                )
            )
    return problems
