"""What the sandbox's commands share."""

from __future__ import annotations

from django.conf import settings
from django.core.management.base import CommandError

from integration_adapters.sandbox.worlds import simulated_slugs
from providers import registry


def refuse_in_production() -> None:
    """Invented events have no place among real ones."""
    if settings.IS_PRODUCTION:
        raise CommandError("The sandbox is for ENVIRONMENT=dev only.")


def chosen_slugs(text: str) -> list[str]:
    """The providers asked for, or all of the demonstration."""
    slugs = [slug.strip() for slug in text.split(",") if slug.strip()] or simulated_slugs()
    unknown = sorted(set(slugs) - set(registry.slugs()))
    if unknown:
        raise CommandError(f"No such provider: {', '.join(unknown)}")
    return slugs
