"""Events as the API shows them, filters them and takes them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from connections.fields import Moment, StrictSerializer, Text
from events.models import AdapterEvent, DeliveryStatus, Source
from events.services import envelope_of
from providers.models import IntegrationProvider

SIGNAL_TYPE = r"^[a-z][a-z0-9_]{0,59}$"
ERROR_CODE = r"^[A-Za-z0-9_.-]{1,60}$"
ACCEPTANCE_STATUSES = ["accepted", "duplicate", "rejected"]


class Event(serializers.ModelSerializer[AdapterEvent]):
    """What came in, and what became of it."""

    connection_id = serializers.UUIDField()
    provider_id = serializers.CharField()
    signal_type = serializers.SerializerMethodField(help_text="Canonical type; null if it becomes no signal.")
    status = serializers.ChoiceField(choices=DeliveryStatus.choices, source="delivery_status")

    class Meta:
        model = AdapterEvent
        fields = (
            "event_id",
            "connection_id",
            "provider_id",
            "provider_event_type",
            "signal_type",
            "signal_id",
            "source",
            "status",
            "ignored_reason",
            "attempts",
            "last_error_code",
            "last_error",
            "correlation_id",
            "occurred_at",
            "received_at",
            "delivered_at",
        )
        read_only_fields = fields

    def get_signal_type(self, row: AdapterEvent) -> str | None:
        return row.signal_type or None


class EventDetail(Event):
    """An event with its envelope."""

    envelope = serializers.SerializerMethodField()

    class Meta(Event.Meta):
        fields = (*Event.Meta.fields, "envelope")  # type: ignore[assignment]
        read_only_fields = fields  # type: ignore[assignment]

    @extend_schema_field(
        {
            "oneOf": [{"$ref": "#/components/schemas/SignalEnvelope"}, {"type": "null"}],
            "description": "As delivered, or as it would be delivered now; null if it becomes no signal.",
        }
    )
    def get_envelope(self, row: AdapterEvent) -> dict[str, Any] | None:
        return envelope_of(row)


class EventFilter(StrictSerializer):
    """Which events; all given conditions must hold."""

    connection_id = serializers.UUIDField(required=False)
    provider_id = Text(max_length=50, required=False)
    signal_type = serializers.RegexField(SIGNAL_TYPE, required=False)
    status = serializers.ChoiceField(choices=DeliveryStatus.choices, required=False)
    source = serializers.ChoiceField(choices=Source.choices, required=False)  # type: ignore[assignment]
    last_error_code = serializers.RegexField(ERROR_CODE, required=False, help_text="Cause of the last failure.")
    since = Moment(required=False, help_text="Received at or after.")
    until = Moment(required=False, help_text="Received before.")

    def validate_provider_id(self, value: str) -> str:
        if not IntegrationProvider.objects.filter(pk=value).exists():
            raise serializers.ValidationError("is not a known provider")
        return value


class ReplayRequest(EventFilter):
    """At least one condition, given directly or in ``filter``."""

    filter = EventFilter(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        inner = attrs.pop("filter", {})
        if not inner and not attrs:
            raise serializers.ValidationError("needs at least one condition")
        if inner and attrs:
            raise serializers.ValidationError("give the conditions either directly or in filter, not both")
        return inner or attrs


class ReplayedEvent(serializers.Serializer[Any]):
    """The event is due again."""

    event_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=DeliveryStatus.choices)


class Replayed(serializers.Serializer[Any]):
    """How many events are due again."""

    count = serializers.IntegerField(min_value=0)


class AcceptedSignal(serializers.Serializer[Any]):
    """What became of one envelope."""

    signal_id = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=ACCEPTANCE_STATUSES)
    error_code = serializers.ChoiceField(
        choices=["SCHEMA_VIOLATION", "TENANT_ISOLATION_VIOLATION", "UNKNOWN_PRODUCER"], allow_null=True
    )
    error_message = serializers.CharField(allow_null=True)


class AcceptedSignals(serializers.Serializer[Any]):
    """A result for each envelope, in order."""

    results = AcceptedSignal(many=True)
