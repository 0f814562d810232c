"""Connections as the API shows and takes them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from connections.expiry import FORECASTS, forecast
from connections.fields import Flag, JsonObject, Moment, StrictSerializer, Text, TextToText
from connections.models import ConnectionStatus, IntegrationConnection

# A deleted connection is not shown.
PRESENT_STATUSES = [choice for choice in ConnectionStatus.choices if choice[0] != ConnectionStatus.DELETED]
WANTED_STATUSES = [ConnectionStatus.ACTIVE.value, ConnectionStatus.SUSPENDED.value]


class Capabilities(StrictSerializer):
    """What a connection is used for; what is not named is off."""

    webhook = Flag(required=False)
    polling = Flag(required=False)
    outbound_actions = Flag(required=False)


class Waiver(serializers.Serializer[IntegrationConnection]):
    """Who accepted that deliveries of an unsigned scheme prove nothing beyond knowing the URL, why and when."""

    accepted_by = serializers.CharField(source="unsigned_waiver_by")
    reason = serializers.CharField(source="unsigned_waiver_reason")
    accepted_at = serializers.DateTimeField(source="unsigned_waiver_at")


class WaiverCreate(StrictSerializer):
    """An acceptance needs a reason; who gives it is taken from the token."""

    reason = Text(min_length=10, max_length=500, help_text="Why unsigned deliveries are acceptable here.")


class Connection(serializers.ModelSerializer[IntegrationConnection]):
    """A connection. The credential itself is never shown."""

    provider_id = serializers.CharField()
    status = serializers.ChoiceField(choices=PRESENT_STATUSES, help_text="Life cycle.")
    enabled_capabilities = Capabilities()
    metadata_tags = TextToText(help_text="Free labels, text to text.")
    settings = JsonObject(help_text="Validated by the provider's settings_schema.")
    credential_state = serializers.SerializerMethodField(
        help_text="expiring from 14 days before the end; unknown where nobody told when that is."
    )
    unsigned_waiver = serializers.SerializerMethodField(
        help_text="Set where somebody accepted unsigned deliveries; null: they are refused."
    )

    class Meta:
        model = IntegrationConnection
        fields = (
            "connection_id",
            "tenant_id",
            "provider_id",
            "display_name",
            "status",
            "auth_ref",
            "enabled_capabilities",
            "metadata_tags",
            "settings",
            "api_version",
            "account",
            "last_verified_at",
            "last_success_at",
            "last_error",
            "last_error_at",
            "consecutive_failures",
            "credential_expires_at",
            "credential_state",
            "unsigned_waiver",
            "created_at",
            "updated_at",
        )
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=FORECASTS))
    def get_credential_state(self, row: IntegrationConnection) -> str:
        return forecast(row).value

    @extend_schema_field(Waiver(allow_null=True))
    def get_unsigned_waiver(self, row: IntegrationConnection) -> dict[str, Any] | None:
        return dict(Waiver(row).data) if row.waives_signatures else None


@extend_schema_field({"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"\S"})
class DisplayName(Text):
    """A name with something to read in it."""


class ConnectionCreate(StrictSerializer):
    """Give either ``credential`` or ``auth_ref``; neither only if the connection just receives webhooks."""

    provider_id = Text(max_length=50)
    display_name = DisplayName(max_length=200)
    credential = JsonObject(
        required=False,
        write_only=True,
        help_text="What the provider's credential_schema asks for, such as a token. Stored encrypted, never returned.",
    )
    auth_ref = Text(max_length=300, required=False, help_text="Reference to a credential in the secret store.")
    enabled_capabilities = Capabilities(required=False, help_text="Default: all the provider offers.")
    metadata_tags = TextToText(required=False, help_text="Up to 50 labels, text to text.")
    settings = JsonObject(required=False, help_text="What the provider's settings_schema describes.")
    api_version = Text(max_length=50, required=False, help_text="Default: the provider's newest.")
    credential_expires_at = Moment(
        required=False, allow_null=True, help_text="When the credential ends, where the provider does not tell."
    )


class ConnectionUpdate(StrictSerializer):
    """Each given field replaces the old value whole."""

    display_name = DisplayName(max_length=200, required=False)
    status = serializers.ChoiceField(
        choices=WANTED_STATUSES,
        required=False,
        help_text="suspended stops everything; active goes on after a suspension.",
    )
    enabled_capabilities = Capabilities(required=False)
    metadata_tags = TextToText(required=False)
    settings = JsonObject(required=False)
    credential_expires_at = Moment(
        required=False, allow_null=True, help_text="When the credential ends, where the provider does not tell."
    )
