"""The catalogue page: what the code can talk to. Staff own the status only."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from providers import registry
from providers.console.base import ConsoleAdmin
from providers.console.display import capability_words, column, json_block, label, words
from providers.models import IntegrationProvider, ProviderStatus
from providers.spi import Adapter

STATUS_COLOURS: dict[str, str] = {
    ProviderStatus.ALPHA: "warning",
    ProviderStatus.BETA: "info",
    ProviderStatus.GA: "success",
    ProviderStatus.DEPRECATED: "danger",
}


@admin.register(IntegrationProvider)
class ProviderAdmin(ConsoleAdmin):
    ordering = ("name",)
    list_display = ("name", "provider_id", "category", "status_label", "can", "api_version", "registered")
    list_filter = ()
    readonly_fields = (
        "provider_id",
        "name",
        "category",
        "registered",
        "can",
        "api_version",
        "versions",
        "settings_help",
        "credential_help",
        "events_help",
        "streams_help",
        "manifest_help",
    )
    fieldsets = (
        (None, {"fields": ("name", "provider_id", "category", "status", "registered")}),
        ("What the adapter can do", {"fields": ("can", "api_version", "versions", "events_help", "streams_help")}),
        ("What a connection needs", {"fields": ("settings_help", "credential_help")}),
        ("What the provider imposes", {"fields": ("manifest_help",)}),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @column("status")
    def status_label(self, provider: IntegrationProvider) -> SafeString:
        return label(provider.get_status_display(), STATUS_COLOURS[provider.status])

    @column("capabilities")
    def can(self, provider: IntegrationProvider) -> str | SafeString:
        return capability_words(provider.capabilities)

    @column("API versions spoken")
    def versions(self, provider: IntegrationProvider) -> str | SafeString:
        return words(provider.api_versions)

    @column("settings (JSON Schema)")
    def settings_help(self, provider: IntegrationProvider) -> str | SafeString:
        adapter = _adapter(provider)
        return json_block(adapter.settings_schema if adapter else None)

    @column("credential (JSON Schema)")
    def credential_help(self, provider: IntegrationProvider) -> str | SafeString:
        adapter = _adapter(provider)
        return json_block(adapter.credential_schema if adapter else None)

    @column("webhook events")
    def events_help(self, provider: IntegrationProvider) -> str | SafeString:
        adapter = _adapter(provider)
        return words(adapter.webhook.event_types if adapter and adapter.webhook else ())

    @column("polled streams")
    def streams_help(self, provider: IntegrationProvider) -> str | SafeString:
        adapter = _adapter(provider)
        return words(stream.name for stream in (adapter.streams if adapter else ()))

    @column("manifest")
    def manifest_help(self, provider: IntegrationProvider) -> str | SafeString:
        adapter = _adapter(provider)
        return json_block(asdict(adapter.manifest) if adapter else None)


def _adapter(provider: IntegrationProvider) -> Adapter | None:
    """The adapter, or ``None`` for a row whose code is gone."""
    try:
        return registry.get(provider.provider_id)
    except registry.UnknownProvider:
        return None
