"""Actions as the API shows them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from actions.models import NormalisedAction
from connections.fields import JsonObject, StrictSerializer, Text
from providers.actions import OneEffect
from providers.canonical.action_types import ActionType
from providers.redaction import redact

TYPES = [(kind.value, kind.meaning) for kind in ActionType]
MEANS = [(means.value, means.value) for means in OneEffect]


class Effect(serializers.Serializer[Any]):
    """What was made or changed, in the provider's words."""

    reference = serializers.CharField(required=False, help_text="The provider's id of it.")
    url = serializers.CharField(required=False, allow_blank=True, help_text="Where a person can look at it.")


class Trace(serializers.Serializer[Any]):
    """One thing that was tried."""

    at = serializers.DateTimeField()
    attempt = serializers.IntegerField()
    event = serializers.CharField(help_text="completed, later, failed, gave up, needs review or reviewed.")
    message = serializers.CharField(allow_blank=True)
    category = serializers.CharField(required=False, help_text="Kind of the error.")
    status = serializers.IntegerField(required=False, allow_null=True, help_text="The provider's HTTP status.")
    sent = serializers.BooleanField(required=False, help_text="Whether the provider may have seen the request.")


class Execute(StrictSerializer):
    """A canonical command. target and payload follow the schemas of the provider's action."""

    provider_id = Text(max_length=50)
    connection_id = serializers.UUIDField()
    canonical_type = serializers.ChoiceField(choices=TYPES)
    target = JsonObject(help_text="What it is done to.")
    payload = JsonObject(help_text="What is said or set.")
    idempotency_key = Text(max_length=200, help_text="The same key is the same action, for as long as it is kept.")
    correlation_id = Text(max_length=200, required=False, help_text="The caller's own id for it.")


class WouldSend(serializers.Serializer[Any]):
    """The request that would be sent; what proves who asks is hidden."""

    method = serializers.CharField()
    url = serializers.CharField()
    headers = serializers.DictField(child=serializers.CharField())
    body = serializers.JSONField(allow_null=True)


class Cost(serializers.Serializer[Any]):
    """Units of a budget or quota."""

    of = serializers.CharField(help_text="The platform's resource type, or the name of the provider's quota.")
    units = serializers.FloatField()


class DryRun(serializers.Serializer[Any]):
    """What a command would do."""

    dry_run = serializers.BooleanField()
    request = WouldSend(allow_null=True)
    nothing_to_do = serializers.BooleanField(help_text="It is so already; no request would be sent.")
    one_effect = serializers.ChoiceField(choices=MEANS, help_text="What keeps a repetition from a second effect.")
    permissions = serializers.ListField(child=serializers.CharField(), help_text="What the credential needs.")
    costs = Cost(many=True)
    known_action_id = serializers.UUIDField(allow_null=True, help_text="The action that has the key already.")
    notes = serializers.ListField(child=serializers.CharField())


class Action(serializers.ModelSerializer[NormalisedAction]):
    """One canonical command and its outcome."""

    provider_id = serializers.CharField()
    connection_id = serializers.UUIDField()
    target = JsonObject(help_text="What it is done to.")
    payload = JsonObject(help_text="What is said or set.")
    result = Effect(help_text="reference and url of what was made; empty until then.")
    evidence = Trace(many=True, help_text="What was tried and what came of it, oldest first; at most 20.")

    class Meta:
        model = NormalisedAction
        fields = (
            "action_id",
            "provider_id",
            "connection_id",
            "canonical_type",
            "target",
            "payload",
            "idempotency_key",
            "correlation_id",
            "status",
            "result",
            "error",
            "error_category",
            "attempts",
            "evidence",
            "next_attempt_at",
            "created_at",
            "completed_at",
        )
        read_only_fields = fields

    def to_representation(self, instance: NormalisedAction) -> dict[str, Any]:
        """What a caller wrote is stored as it is until it was sent; it is shown without secrets at any time."""
        shown: dict[str, Any] = super().to_representation(instance)
        return {**shown, "target": redact(shown["target"]), "payload": redact(shown["payload"])}
