"""Keeps the table of providers equal to the registry."""

from __future__ import annotations

from providers import registry
from providers.models import IntegrationProvider


def sync_providers(*, using: str = "default") -> list[str]:
    """Create or update a row per registered adapter and return their slugs.

    The status is set once, when the row is created; a row whose adapter is gone is kept, because
    connections point at it, and marked as not registered.
    """
    rows = IntegrationProvider.objects.using(using)
    slugs = registry.slugs()
    for slug in slugs:
        adapter = registry.get(slug)
        facts = {
            "name": adapter.label,
            "category": adapter.category.value,
            "capabilities": adapter.capabilities(),
            "api_version": adapter.api_versions[0],
            "api_versions": list(adapter.api_versions),
            "registered": True,
        }
        rows.update_or_create(
            provider_id=slug, defaults=facts, create_defaults={**facts, "status": adapter.initial_status}
        )
    rows.exclude(provider_id__in=slugs).update(registered=False)
    return slugs
