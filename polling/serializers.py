"""Polling and backfills as the API shows and takes them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from connections.fields import Moment, StrictSerializer
from connections.serializers import PRESENT_STATUSES
from events.models import DeliveryStatus
from polling.models import Backfill, PollingCursor


class StreamStatus(serializers.ModelSerializer[PollingCursor]):
    """Where one stream of the connection stands."""

    lag_seconds = serializers.IntegerField(help_text="How long ago the stream was last known to be read to its end.")
    more_pages_wait = serializers.BooleanField(help_text="A run stopped between pages; the next one goes on there.")

    class Meta:
        model = PollingCursor
        fields = (
            "stream",
            "partition",
            "active",
            "last_polled_at",
            "last_success_at",
            "last_event_at",
            "last_outcome",
            "last_error",
            "consecutive_failures",
            "lag_seconds",
            "more_pages_wait",
            "next_poll_at",
            "interval_seconds",
            "interval_reason",
            "events_total",
            "requests_total",
            "budget_refusals",
        )
        read_only_fields = fields


class BackfillState(serializers.ModelSerializer[Backfill]):
    """Progress of one backfill."""

    progress_percent = serializers.IntegerField(min_value=0, max_value=100)

    class Meta:
        model = Backfill
        fields = (
            "backfill_id",
            "status",
            "since",
            "until",
            "requested_by",
            "progress_percent",
            "parts_done",
            "parts_total",
            "pages",
            "events_found",
            "events_new",
            "last_error",
            "next_run_at",
            "started_at",
            "completed_at",
            "created_at",
        )
        read_only_fields = fields


class PollingStatus(serializers.Serializer[Any]):
    """How polling stands."""

    connection_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=PRESENT_STATUSES)
    enabled = serializers.BooleanField(help_text="Whether the connection may be polled now.")
    streams = StreamStatus(many=True)
    backfills = BackfillState(many=True, help_text="The newest 20.")


class PollAsked(serializers.Serializer[Any]):
    """The cursors are due; workers take them from here."""

    connection_id = serializers.UUIDField()
    cursors_due = serializers.IntegerField(min_value=0)


class BackfillRequest(StrictSerializer):
    """The window to read again, by the provider's clock."""

    since = Moment()
    until = Moment()


class EventCounts(serializers.Serializer[Any]):
    """Where everything received went: received is the sum of the others."""

    received = serializers.IntegerField(min_value=0)
    duplicate = serializers.IntegerField(min_value=0)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        counted = {name: serializers.IntegerField(min_value=0) for name in DeliveryStatus.values}
        return {**super().get_fields(), **counted}


class ConnectionHealth(serializers.Serializer[Any]):
    """Health of one connection, for the platform's own services."""

    connection_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=PRESENT_STATUSES)
    last_verified_at = serializers.DateTimeField(allow_null=True)
    last_success_at = serializers.DateTimeField(allow_null=True)
    last_error = serializers.CharField(allow_blank=True)
    last_error_at = serializers.DateTimeField(allow_null=True)
    consecutive_failures = serializers.IntegerField(min_value=0)
    lag_seconds = serializers.FloatField(min_value=0, help_text="Age of the oldest event not delivered yet; 0 if none.")
    backlog = serializers.IntegerField(min_value=0, help_text="Events not delivered yet.")
    events = EventCounts()
    breaker = serializers.DictField(allow_null=True, help_text="State of the circuit breaker; null: none is kept yet.")
    rate_limit = serializers.DictField(
        allow_null=True, help_text="What the provider last said of its quota; null: not kept yet."
    )
    streams = StreamStatus(many=True)
