"""Polling and health as the API shows them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from connections.expiry import FORECASTS
from connections.models import BreakerState, VerificationOutcome
from connections.serializers import PRESENT_STATUSES
from events.models import DeliveryStatus
from polling.backfill_serializers import BackfillState
from polling.models import PollingCursor


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
            "newest_event_at",
            "seen_after_seconds",
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


class DeliveryFigures(serializers.Serializer[Any]):
    """What the connection brought and is not delivered yet, and how long the newest events took."""

    backlog = serializers.IntegerField(min_value=0, help_text="Events not delivered yet.")
    oldest_waits_seconds = serializers.FloatField(min_value=0, help_text="Age of the oldest of them; 0 if none.")
    lag_median_seconds = serializers.FloatField(
        allow_null=True, help_text="From the provider's time to delivery, of the newest 200 events; null: none yet."
    )
    lag_worst_seconds = serializers.FloatField(allow_null=True, help_text="The longest of them.")


class QuotaFigures(serializers.Serializer[Any]):
    """One quota of the provider, as all connections with the same credential share it."""

    name = serializers.CharField()
    limit = serializers.FloatField(allow_null=True, help_text="Units a window; null: none are counted.")
    remaining = serializers.FloatField(allow_null=True, help_text="Units left.")
    resets_at = serializers.DateTimeField(allow_null=True, help_text="When it is whole again, if the provider tells.")
    blocked_until = serializers.DateTimeField(allow_null=True, help_text="Nobody calls before; null: calls go.")
    reason = serializers.CharField(allow_blank=True, help_text="Why nobody calls.")
    in_flight = serializers.IntegerField(min_value=0, help_text="Calls under way.")


class PollingStatus(serializers.Serializer[Any]):
    """How polling stands."""

    connection_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=PRESENT_STATUSES)
    enabled = serializers.BooleanField(help_text="Whether the connection may be polled now.")
    streams = StreamStatus(many=True)
    backfills = BackfillState(many=True, help_text="The newest 20.")
    delivery = DeliveryFigures()
    quotas = QuotaFigures(many=True, help_text="Empty: no quota is known, or the ledger does not answer.")


class PollAsked(serializers.Serializer[Any]):
    """The cursors are due; workers take them from here."""

    connection_id = serializers.UUIDField()
    cursors_due = serializers.IntegerField(min_value=0)


class EventCounts(serializers.Serializer[Any]):
    """Where everything received went: received is the sum of the others."""

    received = serializers.IntegerField(min_value=0)
    duplicate = serializers.IntegerField(min_value=0)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        counted = {name: serializers.IntegerField(min_value=0) for name in DeliveryStatus.values}
        return {**super().get_fields(), **counted}


class ActionCounts(serializers.Serializer[Any]):
    """The connection's actions by status, as long as they are kept."""

    pending = serializers.IntegerField(min_value=0)
    processing = serializers.IntegerField(min_value=0)
    completed = serializers.IntegerField(min_value=0)
    failed = serializers.IntegerField(min_value=0)
    needs_review = serializers.IntegerField(min_value=0)


class ErrorCounts(serializers.Serializer[Any]):
    """How much of the connection fails."""

    consecutive_failures = serializers.IntegerField(min_value=0, help_text="Failed calls since the last success.")
    consecutive_refusals = serializers.IntegerField(
        min_value=0, help_text="Calls among them at which the credential itself was refused; with three it is an error."
    )
    failures_total = serializers.IntegerField(min_value=0, help_text="Failed calls of all time.")
    streams_failing = serializers.IntegerField(min_value=0, help_text="Streams whose last run failed.")
    events_failed = serializers.IntegerField(min_value=0, help_text="Events whose delivery failed and is tried again.")
    events_dead = serializers.IntegerField(min_value=0, help_text="Events that are not tried again.")


class CredentialState(serializers.Serializer[Any]):
    """How far off the end of the credential is."""

    state = serializers.ChoiceField(choices=FORECASTS)
    expires_at = serializers.DateTimeField(allow_null=True)


class LastVerification(serializers.Serializer[Any]):
    """How the last verification ended."""

    outcome = serializers.ChoiceField(choices=VerificationOutcome.choices)
    failed_step = serializers.CharField(allow_blank=True, help_text="The step that failed; empty: none.")
    at = serializers.DateTimeField()


class BreakerFigures(serializers.Serializer[Any]):
    """The circuit breaker of the connection's actions."""

    state = serializers.ChoiceField(choices=BreakerState.choices)
    held = serializers.BooleanField(help_text="Whether a person holds it in this state.")
    failures = serializers.IntegerField(min_value=0, help_text="Failures in a row that count.")
    opened_at = serializers.DateTimeField(allow_null=True)
    retry_after_seconds = serializers.FloatField(allow_null=True, help_text="When to ask again; null: calls go.")
    last_error = serializers.CharField(allow_blank=True)


class ConnectionHealth(serializers.Serializer[Any]):
    """Health of one connection, for the platform's own services."""

    connection_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=PRESENT_STATUSES)
    last_verified_at = serializers.DateTimeField(allow_null=True)
    last_success_at = serializers.DateTimeField(allow_null=True, help_text="Last call to the provider that worked.")
    last_webhook_at = serializers.DateTimeField(allow_null=True, help_text="Last verified webhook, to the minute.")
    last_error = serializers.CharField(allow_blank=True)
    last_error_at = serializers.DateTimeField(allow_null=True)
    consecutive_failures = serializers.IntegerField(min_value=0)
    error_counts = ErrorCounts()
    credential = CredentialState()
    verification = LastVerification(allow_null=True, help_text="null: it was never verified by a call.")
    lag_seconds = serializers.FloatField(min_value=0, help_text="Age of the oldest event not delivered yet; 0 if none.")
    backlog = serializers.IntegerField(min_value=0, help_text="Events not delivered yet.")
    events = EventCounts()
    actions = ActionCounts()
    breaker = BreakerFigures()
    rate_limit = QuotaFigures(many=True, help_text="The provider's quotas; empty: none is known.")
    streams = StreamStatus(many=True)
