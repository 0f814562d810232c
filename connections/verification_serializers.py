"""Verifications as the API shows them, and what replaces a credential."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from connections.fields import Flag, JsonObject, Moment, StrictSerializer, Text, TextToText
from connections.models import ConnectionVerification, IntegrationConnection
from connections.serializers import Connection
from connections.verification import newest
from connections.verification_steps import StepName
from connections.verification_words import Outcome


class StepState(serializers.Serializer[Any]):
    """What was tried and how it went."""

    step = serializers.ChoiceField(choices=[name.value for name in StepName])
    outcome = serializers.ChoiceField(
        choices=[outcome.value for outcome in Outcome], help_text="A warning does not keep the connection from working."
    )
    duration_ms = serializers.IntegerField(min_value=0)
    summary = serializers.CharField(help_text="What was found, or why the step was skipped.")
    evidence = TextToText(help_text="What was seen, name to value; never a secret.")
    advice = serializers.CharField(allow_blank=True, help_text="What to do about it; empty: nothing.")


class VerificationState(serializers.ModelSerializer[ConnectionVerification]):
    """One verification, step by step."""

    steps = StepState(many=True)

    class Meta:
        model = ConnectionVerification
        fields = ("verification_id", "purpose", "outcome", "account", "steps", "created_at")
        read_only_fields = fields


class VerifiedConnection(Connection):
    """A connection with its last verification."""

    verification = serializers.SerializerMethodField()

    class Meta(Connection.Meta):
        fields = (*Connection.Meta.fields, "verification")  # type: ignore[assignment]
        read_only_fields = fields  # type: ignore[assignment]

    @extend_schema_field(VerificationState(allow_null=True))
    def get_verification(self, row: IntegrationConnection) -> dict[str, Any] | None:
        last = newest(row)
        return dict(VerificationState(last).data) if last is not None else None


class CredentialReplace(StrictSerializer):
    """Give either ``credential`` or ``auth_ref``."""

    credential = JsonObject(
        required=False,
        write_only=True,
        help_text="What the provider's credential_schema asks for. Stored encrypted, never returned.",
    )
    auth_ref = Text(max_length=300, required=False, help_text="Reference to a credential in the secret store.")
    credential_expires_at = Moment(
        required=False, allow_null=True, help_text="When it ends, where the provider does not tell."
    )
    allow_account_change = Flag(
        required=False, help_text="Take the credential although it is of another account than the one verified before."
    )
