"""Webhook registrations as the API shows and takes them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from connections.fields import Flag, StrictSerializer, Text, TextToText
from webhooks.diagnosis import State, diagnose
from webhooks.locks import MAX_SECRET_LENGTH, MIN_SECRET_LENGTH
from webhooks.models import RegistrationStatus, RejectedDelivery, WebhookRegistration
from webhooks.reasons import explained
from webhooks.registrations import IssuedRegistration, masked_url, public_url

# A deleted registration is not shown.
PRESENT_STATUSES = [choice for choice in RegistrationStatus.choices if choice[0] != RegistrationStatus.DELETED]


class DiagnosisBody(serializers.Serializer[Any]):
    """Why a registration is quiet or failing, and what to do."""

    state = serializers.ChoiceField(choices=State.choices, help_text="How much a person is needed.")
    code = serializers.CharField(help_text="From a closed set, for machines.")
    summary = serializers.CharField(help_text="One line.")
    advice = serializers.CharField(help_text="What to do; may be empty.")
    others = serializers.ListField(child=serializers.CharField(), help_text="Further findings, less urgent.")


class Registration(serializers.ModelSerializer[WebhookRegistration]):
    """A registration. Its URL is shown whole to those who manage the connection; its secret never again."""

    connection_id = serializers.UUIDField()
    public_url = serializers.SerializerMethodField(help_text="Where the provider posts to; masked for readers.")
    status = serializers.ChoiceField(choices=PRESENT_STATUSES)
    events_subscribed = serializers.ListField(child=serializers.CharField())
    provider_hooks = TextToText(help_text="Hooks made at the provider through its API: place to hook id.")
    diagnosis = serializers.SerializerMethodField(help_text="Why it is quiet or failing, in one line.")

    class Meta:
        model = WebhookRegistration
        fields = (
            "registration_id",
            "connection_id",
            "public_url",
            "scheme",
            "events_subscribed",
            "status",
            "diagnosis",
            "secret_version",
            "secret_since",
            "secret_used_at",
            "previous_secret_until",
            "previous_secret_used_at",
            "provider_hooks",
            "hook_error",
            "last_received_at",
            "created_at",
            "updated_at",
        )
        read_only_fields = fields

    def get_public_url(self, row: WebhookRegistration) -> str:
        return public_url(row) if self.context.get("whole_url") else masked_url(row)

    @extend_schema_field(DiagnosisBody)
    def get_diagnosis(self, row: WebhookRegistration) -> dict[str, Any]:
        found = self.context.get("diagnoses") or diagnose([row])
        return dict(DiagnosisBody(found[row.pk]).data)


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


class Rejection(serializers.ModelSerializer[RejectedDelivery]):
    """Deliveries to one registration that were refused for one reason within one hour."""

    explanation = serializers.SerializerMethodField(help_text="The reason in words.")
    advice = serializers.SerializerMethodField(help_text="What to do about it.")
    header_names = serializers.ListField(
        child=serializers.CharField(), help_text="Names of the last one's headers; values are not kept."
    )

    class Meta:
        model = RejectedDelivery
        fields = (
            "rejection_id",
            "reason",
            "explanation",
            "advice",
            "number",
            "hour",
            "first_at",
            "last_at",
            "header_names",
            "body_bytes",
        )
        read_only_fields = fields

    def get_explanation(self, row: RejectedDelivery) -> str:
        reason = explained(row.reason)
        return f"{'Taken, but' if reason.taken else 'Refused because'} {reason.words}."

    def get_advice(self, row: RejectedDelivery) -> str:
        return explained(row.reason).advice


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
    register = Flag(
        required=False,
        help_text="Make the hooks at the provider through its API, in the places the connection's settings name.",
    )


class SecretRotation(StrictSerializer):
    """The new secret; without it one is made, where the provider lets us."""

    secret = Text(required=False, write_only=True, min_length=MIN_SECRET_LENGTH, max_length=MAX_SECRET_LENGTH)
