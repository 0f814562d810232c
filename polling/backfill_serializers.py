"""Backfills as the API shows and takes them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from connections.fields import Moment, StrictSerializer, Text
from polling.models import Backfill

MAX_STREAMS = 50


class BackfillReading(serializers.Serializer[Any]):
    """The slice of the window that is read now."""

    stream = serializers.CharField()
    partition = serializers.CharField(help_text="Part of the stream, such as a repository; empty if it has no parts.")
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()


class BackfillState(serializers.ModelSerializer[Any]):
    """Progress of one backfill."""

    connection_id = serializers.UUIDField()
    streams = serializers.ListField(
        child=serializers.CharField(), help_text="Streams asked for; empty: those the connection is polled for."
    )
    progress_percent = serializers.IntegerField(
        min_value=0, max_value=100, help_text="Share of the parts' time that is read; 100 only if nothing is left."
    )
    reading = BackfillReading(allow_null=True, help_text="Where it stands; null before the first page and at the end.")
    eta_seconds = serializers.IntegerField(
        allow_null=True, min_value=0, help_text="How long it will still take at its present rate; null: unknown."
    )
    eta_at = serializers.DateTimeField(allow_null=True, help_text="When it will have ended, then; null: unknown.")

    class Meta:
        model = Backfill
        fields = (
            "backfill_id",
            "connection_id",
            "purpose",
            "status",
            "since",
            "until",
            "streams",
            "notice",
            "requested_by",
            "paused_by",
            "paused_at",
            "progress_percent",
            "eta_seconds",
            "eta_at",
            "reading",
            "parts_done",
            "parts_total",
            "pages",
            "events_found",
            "events_new",
            "waiting_for",
            "last_error",
            "next_run_at",
            "started_at",
            "completed_at",
            "created_at",
        )
        read_only_fields = fields


class BackfillRequest(StrictSerializer):
    """The window to read again, by the provider's clock."""

    since = Moment(help_text="Start of the window, itself inside.")
    until = Moment(help_text="End of the window, itself outside.")
    streams = serializers.ListField(
        child=Text(max_length=60),
        required=False,
        max_length=MAX_STREAMS,
        help_text="Only these streams of the provider; empty or left out: those the connection is polled for.",
    )
