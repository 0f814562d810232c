"""The catalogue of providers: one row per registered adapter."""

from __future__ import annotations

from django.db import models

from providers.canonical import Category


class ProviderStatus(models.TextChoices):
    ALPHA = "alpha", "Alpha"
    BETA = "beta", "Beta"
    GA = "GA", "GA"
    DEPRECATED = "deprecated", "Deprecated"


class IntegrationProvider(models.Model):
    """A tool the platform can talk to. Rows follow the code; staff own the status only."""

    provider_id = models.SlugField(primary_key=True, max_length=50, help_text="Slug of the adapter; never changes.")
    name = models.CharField(max_length=100, help_text="Name as the vendor writes it.")
    category = models.CharField(
        max_length=20, choices=[(c.value, c.value) for c in Category], help_text="Kind of tool."
    )
    status = models.CharField(
        max_length=20,
        choices=ProviderStatus,
        default=ProviderStatus.BETA,
        help_text="Maturity shown to clients. New connections to a deprecated provider are refused.",
    )
    capabilities = models.JSONField(default=dict, help_text="What the adapter can do; derived from its parts.")
    api_version = models.CharField(max_length=50, help_text="Version of the provider's API used by default.")
    api_versions = models.JSONField(default=list, help_text="All versions of the provider's API the adapter speaks.")
    registered = models.BooleanField(default=True, help_text="Whether this deployment's code still has the adapter.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "integration_providers"
        ordering = ("provider_id",)
        verbose_name = "provider"

    def __str__(self) -> str:
        return self.name
