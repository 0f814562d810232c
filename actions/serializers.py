"""Actions as the API shows them."""

from __future__ import annotations

from rest_framework import serializers

from actions.models import NormalisedAction
from connections.fields import JsonObject


class Action(serializers.ModelSerializer[NormalisedAction]):
    """One canonical command and its outcome."""

    provider_id = serializers.CharField()
    connection_id = serializers.UUIDField()
    target = JsonObject(help_text="What it is done to.")
    payload = JsonObject(help_text="What is said or set.")
    result = JsonObject(help_text="reference and url of what was made; empty until then.")

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
            "attempts",
            "created_at",
            "completed_at",
        )
        read_only_fields = fields
