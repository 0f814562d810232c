"""Webhook registrations as the API shows and takes them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from connections.fields import StrictSerializer, Text
from webhooks.models import RegistrationStatus, WebhookRegistration
from webhooks.registrations import (
    MAX_SECRET_LENGTH,
    MIN_SECRET_LENGTH,
    IssuedRegistration,
    masked_url,
    public_url,
)

# A deleted registration is not shown.
PRESENT_STATUSES = [choice for choice in RegistrationStatus.choices if choice[0] != RegistrationStatus.DELETED]


class Registration(serializers.ModelSerializer[WebhookRegistration]):
    """A registration. Its URL is shown whole to those who manage the connection; its secret never again."""

    connection_id = serializers.UUIDField()
    public_url = serializers.SerializerMethodField(help_text="Where the provider posts to; masked for readers.")
    status = serializers.ChoiceField(choices=PRESENT_STATUSES)
    events_subscribed = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = WebhookRegistration
        fields = (
            "registration_id",
            "connection_id",
            "public_url",
            "scheme",
            "events_subscribed",
            "status",
            "previous_secret_until",
            "last_received_at",
            "created_at",
            "updated_at",
        )
        read_only_fields = fields

    def get_public_url(self, row: WebhookRegistration) -> str:
        return public_url(row) if self.context.get("whole_url") else masked_url(row)


class IssuedRegistrationBody(Registration):
    """A registration with its signing secret, told this once."""

    secret = serializers.CharField(
        read_only=True, allow_null=True, help_text="Signing secret; null where secret_ref was given. Keep it now."
    )

    class Meta(Registration.Meta):
        fields = (*Registration.Meta.fields, "secret")  # type: ignore[assignment]
        read_only_fields = fields  # type: ignore[assignment]

    @classmethod
    def of(cls, issued: IssuedRegistration) -> dict[str, Any]:
        shown = Registration(issued.registration).data
        return {**shown, "public_url": issued.public_url, "secret": issued.secret or None}


class RegistrationCreate(StrictSerializer):
    """All optional: without ``secret`` or ``secret_ref`` the signing secret is made here."""

    events_subscribed = serializers.ListField(
        child=Text(max_length=120),
        required=False,
        max_length=200,
        help_text="Events asked for at the provider, in its words; empty means all.",
    )
    secret = Text(
        required=False,
        write_only=True,
        min_length=MIN_SECRET_LENGTH,
        max_length=MAX_SECRET_LENGTH,
        help_text="For providers that choose the secret.",
    )
    secret_ref = Text(required=False, max_length=300, help_text="Reference to a secret in the secret store.")
    scheme = Text(required=False, max_length=50, help_text="Signature scheme; default: the provider's first.")


class SecretRotation(StrictSerializer):
    """The new secret; without it one is made."""

    secret = Text(required=False, write_only=True, min_length=MIN_SECRET_LENGTH, max_length=MAX_SECRET_LENGTH)
