"""Incidents: what is in trouble, since when, what to do, and what the alerting service knows of it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString

from connections.console import OfConnection
from connections.incidents import Cause
from connections.models import Incident, IncidentSeverity, IncidentStatus
from providers.console.base import EvidenceAdmin, EvidenceInline
from providers.console.display import age, column, error_line, label, link, moment, text_block
from providers.console.filters import (
    ChoiceFilter,
    ConnectionFilter,
    ConnectionProviderFilter,
    DropdownFilter,
    Lookups,
    MadeBetweenFilter,
    MadeWithinFilter,
    TenantFilter,
)

SEVERITY_COLOURS: dict[str, str] = {
    IncidentSeverity.INFO: "info",
    IncidentSeverity.WARNING: "warning",
    IncidentSeverity.ERROR: "danger",
    IncidentSeverity.CRITICAL: "danger",
}


class StatusFilter(ChoiceFilter):
    title = "status"
    parameter_name = "status"
    column = "status"
    options = IncidentStatus


class SeverityFilter(ChoiceFilter):
    title = "severity"
    parameter_name = "severity"
    column = "severity"
    options = IncidentSeverity


class CauseFilter(DropdownFilter):
    title = "cause"
    parameter_name = "cause"

    def lookups(self, request: Any, model_admin: Any) -> Lookups:
        return [(cause, cause.replace("_", " ")) for cause in Cause]

    def queryset(self, request: Any, queryset: Any) -> Any:
        return queryset.filter(cause=self.value()) if self.value() else queryset


class IncidentDisplay:
    """Columns of an incident, in its list and below its connection."""

    @column("status")
    def status_label(self, row: Incident) -> SafeString:
        if row.status == IncidentStatus.RESOLVED:
            return label("resolved", "success")
        return label(f"open, {row.get_severity_display().lower()}", SEVERITY_COLOURS[row.severity])

    @column("began")
    def began(self, row: Incident) -> str | SafeString:
        return age(row.started_at)

    @column("last raised")
    def last_seen(self, row: Incident) -> str | SafeString:
        return age(row.last_seen_at)

    @column("ended")
    def ended(self, row: Incident) -> str | SafeString:
        return age(row.resolved_at)


class IncidentInline(IncidentDisplay, EvidenceInline):
    model = Incident
    verbose_name_plural = "incidents"
    fields = ("page", "status_label", "occurrences", "began", "last_seen", "ended")
    readonly_fields = fields

    @column("what")
    def page(self, row: Incident) -> SafeString:
        return link("connections_incident_change", row.summary, row.pk)


@admin.register(Incident)
class IncidentAdmin(OfConnection, IncidentDisplay, EvidenceAdmin):
    list_display = (
        "summary",
        "status_label",
        "connection_link",
        "tenant_id",
        "occurrences",
        "began",
        "last_seen",
        "ended",
        "untold",
    )
    list_select_related = ("connection",)
    list_filter = (
        StatusFilter,
        SeverityFilter,
        CauseFilter,
        ConnectionProviderFilter,
        TenantFilter,
        ConnectionFilter,
        MadeWithinFilter,
        ("created_at", MadeBetweenFilter),
    )
    search_fields = ("=incident_id", "=connection", "=tenant_id")
    search_help_text = "Incident id, connection id or tenant, whole."
    fieldsets = (
        (None, {"fields": (("status_label", "cause", "connection_link", "tenant_id"), "summary", "full_detail")}),
        (
            "When",
            {
                "fields": (
                    ("began_exactly", "last_seen_exactly", "occurrences"),
                    ("ended_exactly", "resolution", "reopened"),
                )
            },
        ),
        ("Alerting service", {"fields": ("told_words", ("alert_id", "incident_id"))}),
    )
    readonly_fields = (
        "status_label",
        "connection_link",
        "full_detail",
        "began_exactly",
        "last_seen_exactly",
        "ended_exactly",
        "told_words",
        "incident_id",
    )

    @column("what is known and what to do")
    def full_detail(self, row: Incident) -> str | SafeString:
        return text_block(row.detail)

    @column("not told")
    def untold(self, row: Incident) -> str | SafeString:
        return error_line(row.last_send_error)

    @column("what it knows")
    def told_words(self, row: Incident) -> str | SafeString:
        if row.last_send_error:
            return format_html("{} {}", error_line(row.last_send_error), _next_try(row))
        if row.next_attempt_at is None:
            return f"That it is {row.told}." if row.told else "Nothing: it was over before it could be told."
        if not settings.ALERTING_SERVICE_URL:
            return "No alerting service is configured."
        return format_html("{} {}", f"That it is {row.told}." if row.told else "Nothing yet.", _next_try(row))

    @column("began")
    def began_exactly(self, row: Incident) -> str | SafeString:
        return moment(row.started_at)

    @column("last raised")
    def last_seen_exactly(self, row: Incident) -> str | SafeString:
        return moment(row.last_seen_at)

    @column("ended")
    def ended_exactly(self, row: Incident) -> str | SafeString:
        return moment(row.resolved_at)


def _next_try(row: Incident) -> str | SafeString:
    if row.next_attempt_at is None:
        return "It is not tried again."
    return format_html("Next message {}.", age(row.next_attempt_at))
