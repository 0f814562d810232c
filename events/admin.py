"""Events and their failed deliveries: evidence, and one verb, replay."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from connections.console import OfConnection
from events.models import AdapterEvent, DeliveryAttempt, DeliveryStatus, Source
from events.replay_admin import CauseFilter, ReplayMatching
from events.services import envelope_of, replay
from providers.console.base import EvidenceAdmin, EvidenceInline, actor_of
from providers.console.display import (
    EMPTY,
    age,
    column,
    error_line,
    json_block,
    label,
    link,
    moment,
    note_line,
    text_block,
)
from providers.console.filters import (
    ChoiceFilter,
    ConnectionFilter,
    MadeBetweenFilter,
    MadeWithinFilter,
    ProviderFilter,
    TenantFilter,
)
from providers.console.verbs import verb

STATUS_COLOURS: dict[str, str] = {
    DeliveryStatus.PENDING: "info",
    DeliveryStatus.DELIVERED: "success",
    DeliveryStatus.FAILED: "warning",
    DeliveryStatus.DEAD: "danger",
    DeliveryStatus.IGNORED: "",
}


class DeliveryStatusFilter(ChoiceFilter):
    title = "status"
    parameter_name = "status"
    column = "delivery_status"
    options = DeliveryStatus


class SourceFilter(ChoiceFilter):
    title = "source"
    parameter_name = "source"
    column = "source"
    options = Source


class AttemptInline(EvidenceInline):
    model = DeliveryAttempt
    verbose_name_plural = "failed deliveries"
    fields = ("number", "when", "error_code", "full_error")
    readonly_fields = fields
    tab = False
    ordering = ("-number",)

    @column("when")
    def when(self, attempt: DeliveryAttempt) -> str | SafeString:
        return moment(attempt.created_at)

    @column("error")
    def full_error(self, attempt: DeliveryAttempt) -> str | SafeString:
        return text_block(attempt.error)


@admin.register(AdapterEvent)
class EventAdmin(ReplayMatching, OfConnection, EvidenceAdmin):
    list_display = (
        "provider_event_type",
        "status_label",
        "signal_type",
        "source_label",
        "connection_link",
        "tenant_id",
        "attempts",
        "trouble",
        "received",
    )
    list_select_related = ("connection",)
    list_filter = (
        DeliveryStatusFilter,
        CauseFilter,
        ProviderFilter,
        SourceFilter,
        TenantFilter,
        ConnectionFilter,
        MadeWithinFilter,
        ("received_at", MadeBetweenFilter),
    )
    search_fields = ("=event_id", "=connection", "=signal_id", "=correlation_id")
    search_help_text = "Event id, signal id, connection id or the provider's event id, whole."
    actions = ("replay_events",)
    actions_row = ("replay_events",)
    actions_detail = ("replay_events",)
    inlines = (AttemptInline,)
    readonly_fields = (
        "connection_link",
        "happened",
        "received_exactly",
        "proof_label",
        "delivered",
        "due",
        "first_attempt",
        "error_text",
        "envelope_json",
        "raw_json",
        "status_label",
        "source_label",
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("provider_event_type", "status_label", "source_label"),
                    ("connection_link", "tenant_id", "provider"),
                    ("happened", "received_exactly", "proof_label"),
                )
            },
        ),
        (
            "Delivery",
            {
                "fields": (
                    ("signal_type", "signal_id"),
                    ("attempts", "first_attempt", "due"),
                    ("delivered", "last_error_code"),
                    "error_text",
                    "ignored_reason",
                )
            },
        ),
        ("Envelope", {"fields": ("envelope_json",)}),
        ("Payload of the provider, redacted", {"fields": ("raw_json",)}),
        ("Keys", {"fields": ("event_id", "correlation_id", "dedupe_key", "happening", "ordering_key")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[AdapterEvent]:
        """Lists leave payload and envelope in the database; a page of them would be megabytes."""
        rows: QuerySet[AdapterEvent] = super().get_queryset(request)
        return rows.defer("payload", "envelope", "signature_hash")

    @verb(
        "Replay",
        icon="replay",
        available=lambda event: event.delivery_status != DeliveryStatus.IGNORED,
    )
    def replay_events(self, request: HttpRequest, event: AdapterEvent) -> str:
        replay(AdapterEvent.objects.filter(pk=event.pk), actor=actor_of(request))
        return f"{event.provider_event_type} is due for delivery again; its signal keeps its id."

    @column("status")
    def status_label(self, event: AdapterEvent) -> SafeString:
        return label(event.delivery_status, STATUS_COLOURS[event.delivery_status])

    @column("source")
    def source_label(self, event: AdapterEvent) -> str:
        return event.get_source_display()

    @column("last error")
    def trouble(self, event: AdapterEvent) -> str | SafeString:
        if event.delivery_status == DeliveryStatus.IGNORED:
            return note_line(event.ignored_reason)
        return error_line(event.last_error)

    @column("received")
    def received(self, event: AdapterEvent) -> str | SafeString:
        return age(event.received_at)

    @column("happened (provider's clock)")
    def happened(self, event: AdapterEvent) -> str | SafeString:
        return moment(event.occurred_at)

    @column("received (our clock)")
    def received_exactly(self, event: AdapterEvent) -> str | SafeString:
        return moment(event.received_at)

    @column("how it proved itself")
    def proof_label(self, event: AdapterEvent) -> str | SafeString:
        return label(event.proof, "danger") if event.proof.endswith(":waived") else event.proof or EMPTY

    @column("delivered")
    def delivered(self, event: AdapterEvent) -> str | SafeString:
        return moment(event.delivered_at)

    @column("first attempt")
    def first_attempt(self, event: AdapterEvent) -> str | SafeString:
        return moment(event.first_attempt_at)

    @column("next attempt")
    def due(self, event: AdapterEvent) -> str | SafeString:
        waiting = event.delivery_status in (DeliveryStatus.PENDING, DeliveryStatus.FAILED)
        return moment(event.next_attempt_at if waiting else None)

    @column("last error")
    def error_text(self, event: AdapterEvent) -> str | SafeString:
        return text_block(event.last_error)

    @column("as delivered, or as it would be delivered now")
    def envelope_json(self, event: AdapterEvent) -> str | SafeString:
        return json_block(envelope_of(event))

    @column("as stored")
    def raw_json(self, event: AdapterEvent) -> str | SafeString:
        return json_block(event.raw)


@admin.register(DeliveryAttempt)
class DeliveryAttemptAdmin(EvidenceAdmin):
    list_display = ("event_link", "number", "error_code", "what", "tenant_id", "when")
    list_select_related = ("event",)
    list_filter = (TenantFilter, MadeWithinFilter, ("created_at", MadeBetweenFilter))
    search_fields = ("=attempt_id", "=event")
    search_help_text = "Event id, whole."
    fields = ("event_link", "number", "error_code", "full_error", "tenant_id", "when_exactly")
    readonly_fields = ("event_link", "full_error", "when_exactly")

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeliveryAttempt]:
        rows: QuerySet[DeliveryAttempt] = super().get_queryset(request)
        return rows.defer("event__payload", "event__envelope", "event__signature_hash")

    @column("event")
    def event_link(self, attempt: DeliveryAttempt) -> SafeString:
        return link("events_adapterevent_change", attempt.event.provider_event_type, attempt.event_id)

    @column("error")
    def what(self, attempt: DeliveryAttempt) -> str | SafeString:
        return error_line(attempt.error)

    @column("error")
    def full_error(self, attempt: DeliveryAttempt) -> str | SafeString:
        return text_block(attempt.error)

    @column("when")
    def when(self, attempt: DeliveryAttempt) -> str | SafeString:
        return age(attempt.created_at)

    @column("when")
    def when_exactly(self, attempt: DeliveryAttempt) -> str | SafeString:
        return moment(attempt.created_at)
