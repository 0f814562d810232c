"""The catalogue as the API shows it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from providers import registry
from providers.actions import OneEffect
from providers.models import IntegrationProvider


class ProviderCapabilities(serializers.Serializer[Any]):
    """What the adapter can do."""

    webhook = serializers.BooleanField()
    polling = serializers.BooleanField()
    outbound_actions = serializers.BooleanField()


class Provider(serializers.ModelSerializer[IntegrationProvider]):
    """A tool the platform can talk to."""

    capabilities = ProviderCapabilities()
    api_versions = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = IntegrationProvider
        fields = ("provider_id", "name", "category", "status", "capabilities", "api_version", "api_versions")
        read_only_fields = fields


class ProviderAction(serializers.Serializer[Any]):
    """A command the provider takes."""

    canonical_type = serializers.CharField(source="type.value")
    meaning = serializers.CharField(source="type.meaning")
    target_schema = serializers.JSONField(help_text="JSON Schema (2020-12) of the target.")
    payload_schema = serializers.JSONField(help_text="JSON Schema (2020-12) of the payload.")
    one_effect = serializers.ChoiceField(
        choices=[(means.value, means.value) for means in OneEffect],
        source="one_effect.value",
        help_text="What keeps a repetition from a second effect.",
    )
    permissions = serializers.ListField(child=serializers.CharField(), help_text="What the credential needs.")
    notes = serializers.CharField()


class ProviderOAuth(serializers.Serializer[Any]):
    """How access is granted at the provider's own page."""

    scopes = serializers.ListField(
        child=serializers.CharField(), help_text="What is asked for unless the request or the operator says otherwise."
    )
    pkce = serializers.BooleanField(help_text="Whether the code is bound to the request by PKCE (RFC 7636).")


class ProviderDetail(Provider):
    """A provider with what a connection to it is made of."""

    oauth = serializers.SerializerMethodField(help_text="Null where connections are made with a credential only.")
    settings_schema = serializers.SerializerMethodField()
    credential_schema = serializers.SerializerMethodField()
    webhook_schemes = serializers.SerializerMethodField()
    webhook_events = serializers.SerializerMethodField()
    streams = serializers.SerializerMethodField()
    actions = serializers.SerializerMethodField()

    class Meta(Provider.Meta):
        fields = (  # type: ignore[assignment]
            *Provider.Meta.fields,
            "settings_schema",
            "credential_schema",
            "oauth",
            "webhook_schemes",
            "webhook_events",
            "streams",
            "actions",
        )
        read_only_fields = fields  # type: ignore[assignment]

    @extend_schema_field({"type": "object", "description": "JSON Schema (2020-12) of a connection's settings."})
    def get_settings_schema(self, row: IntegrationProvider) -> dict[str, Any]:
        return registry.get(row.pk).settings_schema

    @extend_schema_field({"type": "object", "description": "JSON Schema (2020-12) of the credential object."})
    def get_credential_schema(self, row: IntegrationProvider) -> dict[str, Any]:
        return registry.get(row.pk).credential_schema

    @extend_schema_field(ProviderOAuth(allow_null=True))
    def get_oauth(self, row: IntegrationProvider) -> dict[str, Any] | None:
        oauth = registry.get(row.pk).oauth
        return dict(ProviderOAuth(oauth).data) if oauth is not None else None

    def get_webhook_schemes(self, row: IntegrationProvider) -> list[str]:
        webhook = registry.get(row.pk).webhook
        return list(webhook.schemes) if webhook else []

    def get_webhook_events(self, row: IntegrationProvider) -> list[str]:
        webhook = registry.get(row.pk).webhook
        return list(webhook.event_types) if webhook else []

    def get_streams(self, row: IntegrationProvider) -> list[str]:
        return [stream.name for stream in registry.get(row.pk).streams]

    @extend_schema_field(ProviderAction(many=True))
    def get_actions(self, row: IntegrationProvider) -> Any:
        return ProviderAction(registry.get(row.pk).actions, many=True).data
