"""The history of connections: evidence, in a list of its own and on the page of its connection."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from connections.console import OfConnection
from connections.models import ConnectionHistory
from providers.console.base import EvidenceAdmin, EvidenceInline
from providers.console.display import age, column, label, moment, note_line, text_block
from providers.console.filters import (
    ConnectionFilter,
    ExactTextFilter,
    MadeBetweenFilter,
    MadeWithinFilter,
    TenantFilter,
)

OUTCOME_COLOURS = {"ok": "success", "failed": "danger"}


class OperationFilter(ExactTextFilter):
    title = "operation"
    parameter_name = "operation"
    column = "operation"


class HistoryInline(EvidenceInline):
    model = ConnectionHistory
    verbose_name_plural = "history"
    fields = ("when", "operation", "outcome_label", "actor", "detail")
    readonly_fields = fields

    @column("when")
    def when(self, entry: ConnectionHistory) -> str | SafeString:
        return age(entry.created_at)

    @column("outcome")
    def outcome_label(self, entry: ConnectionHistory) -> SafeString:
        return label(entry.outcome, OUTCOME_COLOURS.get(entry.outcome, ""))


@admin.register(ConnectionHistory)
class HistoryAdmin(OfConnection, EvidenceAdmin):
    list_display = ("operation", "outcome_label", "connection_link", "tenant_id", "actor", "what", "when")
    list_select_related = ("connection",)
    list_filter = (
        OperationFilter,
        TenantFilter,
        ConnectionFilter,
        MadeWithinFilter,
        ("created_at", MadeBetweenFilter),
    )
    search_fields = ("=entry_id", "=connection")
    search_help_text = "Connection id, whole."
    fields = ("operation", "outcome_label", "connection_link", "tenant_id", "actor", "full_detail", "when_exactly")
    readonly_fields = ("outcome_label", "connection_link", "full_detail", "when_exactly")

    @column("outcome")
    def outcome_label(self, entry: ConnectionHistory) -> SafeString:
        return label(entry.outcome, OUTCOME_COLOURS.get(entry.outcome, ""))

    @column("detail")
    def what(self, entry: ConnectionHistory) -> str | SafeString:
        return note_line(entry.detail)

    @column("detail")
    def full_detail(self, entry: ConnectionHistory) -> str | SafeString:
        return text_block(entry.detail)

    @column("when")
    def when(self, entry: ConnectionHistory) -> str | SafeString:
        return age(entry.created_at)

    @column("when")
    def when_exactly(self, entry: ConnectionHistory) -> str | SafeString:
        return moment(entry.created_at)
