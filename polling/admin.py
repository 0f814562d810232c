"""Cursors and backfills: how far polling has read, what went wrong, and what of the past is being read."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminSplitDateTimeWidget

from connections.console import OfConnection
from connections.errors import ServiceError
from connections.models import ConnectionStatus
from connections.service_form import ServiceForm
from polling.backfill import cancel_backfill, start_backfill
from polling.models import Backfill, BackfillStatus, PollingCursor
from polling.services import poll_now
from providers.console.base import ConsoleAdmin, EvidenceInline, actor_of
from providers.console.display import (
    age,
    column,
    error_line,
    json_block,
    label,
    link,
    moment,
    progress,
    span,
    text_block,
)
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
from providers.console.verbs import verb

STATUS_COLOURS: dict[str, str] = {
    BackfillStatus.PENDING: "info",
    BackfillStatus.RUNNING: "info",
    BackfillStatus.COMPLETED: "success",
    BackfillStatus.FAILED: "danger",
    BackfillStatus.CANCELLED: "",
}
_STOPPABLE = (BackfillStatus.PENDING, BackfillStatus.RUNNING)


class HealthFilter(DropdownFilter):
    title = "health"
    parameter_name = "health"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookups:
        return [("failing", "Failing"), ("fine", "Fine"), ("off", "Off")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "failing":
                return queryset.filter(active=True, consecutive_failures__gt=0)
            case "fine":
                return queryset.filter(active=True, consecutive_failures=0)
            case "off":
                return queryset.filter(active=False)
        return queryset


class BackfillStatusFilter(ChoiceFilter):
    title = "status"
    parameter_name = "status"
    column = "status"
    options = BackfillStatus


class CursorDisplay:
    """Columns of a cursor, in its list and below its connection."""

    @column("health")
    def health(self, cursor: PollingCursor) -> SafeString:
        if not cursor.active:
            return label("off")
        if cursor.consecutive_failures:
            return label("failing", "danger")
        return label("fine", "success") if cursor.last_success_at else label("new", "info")

    @column("last poll")
    def polled(self, cursor: PollingCursor) -> str | SafeString:
        return age(cursor.last_polled_at)

    @column("next poll")
    def due(self, cursor: PollingCursor) -> str | SafeString:
        return age(cursor.next_poll_at) if cursor.active else "–"

    @column("last error")
    def trouble(self, cursor: PollingCursor) -> str | SafeString:
        return error_line(cursor.last_error if cursor.consecutive_failures else "", cursor.last_polled_at)


class CursorInline(CursorDisplay, EvidenceInline):
    model = PollingCursor
    verbose_name_plural = "polling cursors"
    fields = ("page", "partition", "health", "polled", "due", "events_total", "trouble")
    readonly_fields = fields

    @column("stream")
    def page(self, cursor: PollingCursor) -> SafeString:
        return link("polling_pollingcursor_change", cursor.stream, cursor.pk)


@admin.register(PollingCursor)
class CursorAdmin(OfConnection, CursorDisplay, ConsoleAdmin):
    list_display = (
        "stream",
        "partition",
        "health",
        "connection_link",
        "tenant_id",
        "polled",
        "due",
        "events_total",
        "trouble",
    )
    list_select_related = ("connection",)
    list_filter = (HealthFilter, ConnectionProviderFilter, TenantFilter, ConnectionFilter)
    search_fields = ("=cursor_id", "=connection", "=tenant_id")
    search_help_text = "Cursor id, connection id or tenant, whole."
    refusals = (*ConsoleAdmin.refusals, ServiceError)
    actions_row = ("poll_connection",)
    actions_detail = ("poll_connection",)
    readonly_fields = (
        "health",
        "connection_link",
        "polled_exactly",
        "due_exactly",
        "succeeded",
        "brought",
        "pause",
        "error_text",
        "position_json",
        "live_from",
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("stream", "partition", "health"),
                    ("connection_link", "tenant_id"),
                    ("polled_exactly", "due_exactly", "pause"),
                    ("succeeded", "brought", "consecutive_failures"),
                    "error_text",
                )
            },
        ),
        (
            "Position",
            {
                "fields": (
                    ("live_from", "run_in_progress"),
                    "position_json",
                    ("events_total", "requests_total"),
                    "cursor_id",
                )
            },
        ),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A cursor is moved by reading, never by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @verb(
        "Poll connection now",
        icon="sync",
        question="All streams of its connection become due at once; the provider is called within seconds.",
        available=lambda cursor: cursor.connection.status == ConnectionStatus.ACTIVE,
    )
    def poll_connection(self, request: HttpRequest, cursor: PollingCursor) -> str:
        poll_now(cursor.connection, actor=actor_of(request))
        return f"{cursor.connection} is due for polling now."

    @column("last poll")
    def polled_exactly(self, cursor: PollingCursor) -> str | SafeString:
        return moment(cursor.last_polled_at)

    @column("next poll")
    def due_exactly(self, cursor: PollingCursor) -> str | SafeString:
        return moment(cursor.next_poll_at)

    @column("last success")
    def succeeded(self, cursor: PollingCursor) -> str | SafeString:
        return moment(cursor.last_success_at)

    @column("last new event")
    def brought(self, cursor: PollingCursor) -> str | SafeString:
        return moment(cursor.last_event_at)

    @column("interval")
    def pause(self, cursor: PollingCursor) -> str:
        return f"{cursor.interval_seconds} s{f' ({cursor.interval_reason})' if cursor.interval_reason else ''}"

    @column("last error")
    def error_text(self, cursor: PollingCursor) -> str | SafeString:
        return text_block(cursor.last_error)

    @column("position, in the adapter's words")
    def position_json(self, cursor: PollingCursor) -> str | SafeString:
        return json_block(cursor.cursor_position)

    @column("tells of nothing older than")
    def live_from(self, cursor: PollingCursor) -> str | SafeString:
        return moment(cursor.started_from)


class BackfillForm(ServiceForm):
    """A window of the past to read."""

    since = forms.SplitDateTimeField(widget=UnfoldAdminSplitDateTimeWidget, help_text="Start of the window, UTC.")
    until = forms.SplitDateTimeField(widget=UnfoldAdminSplitDateTimeWidget, help_text="End of the window, UTC.")

    class Meta:
        model = Backfill
        fields = ("connection", "since", "until")

    def perform(self, cleaned: dict[str, Any]) -> Backfill:
        return start_backfill(cleaned["connection"], cleaned["since"], cleaned["until"], actor=self.actor)


class BackfillInline(EvidenceInline):
    model = Backfill
    verbose_name_plural = "backfills"
    fields = ("page", "status_label", "bar", "trouble")
    readonly_fields = fields

    @column("window (UTC)")
    def page(self, backfill: Backfill) -> SafeString:
        return link("polling_backfill_change", backfill, backfill.pk)

    @column("status")
    def status_label(self, backfill: Backfill) -> SafeString:
        return label(backfill.get_status_display(), STATUS_COLOURS[backfill.status])

    @column("progress")
    def bar(self, backfill: Backfill) -> SafeString:
        return _bar(backfill)

    @column("last error")
    def trouble(self, backfill: Backfill) -> str | SafeString:
        return error_line(backfill.last_error)


@admin.register(Backfill)
class BackfillAdmin(OfConnection, ConsoleAdmin):
    list_display = ("window", "status_label", "connection_link", "tenant_id", "bar", "found", "trouble", "asked")
    list_select_related = ("connection",)
    list_filter = (
        BackfillStatusFilter,
        ConnectionProviderFilter,
        TenantFilter,
        ConnectionFilter,
        MadeWithinFilter,
        ("created_at", MadeBetweenFilter),
    )
    search_fields = ("=backfill_id", "=connection", "=tenant_id")
    search_help_text = "Backfill id, connection id or tenant, whole."
    refusals = (*ConsoleAdmin.refusals, ServiceError)
    autocomplete_fields = ("connection",)
    actions = ("cancel",)
    actions_row = ("cancel",)
    actions_detail = ("cancel",)
    add_fieldsets = ((None, {"fields": ("connection", "since", "until")}),)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("status_label", "connection_link", "tenant_id"),
                    ("window", "requested_by"),
                    "bar",
                    ("pages", "found", "consecutive_failures"),
                    "error_text",
                    ("asked_exactly", "started", "completed"),
                )
            },
        ),
        ("Position", {"fields": ("position_json", "backfill_id")}),
    )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None:
            return super().get_form(request, obj, change=change, **kwargs)
        form = super().get_form(request, obj, change=change, **{**kwargs, "form": BackfillForm})
        return type(form.__name__, (form,), {"actor": actor_of(request)})

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ()
        return [name for _, part in self.fieldsets for line in part["fields"] for name in _names(line)]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nothing of a backfill is edited; it is cancelled."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """The form's service has saved."""

    @verb(
        "Cancel",
        icon="cancel",
        question="Reading stops after the page in hand. Events found so far stay; the rest of the window is not read.",
        available=lambda backfill: backfill.status in _STOPPABLE,
    )
    def cancel(self, request: HttpRequest, backfill: Backfill) -> str:
        cancel_backfill(backfill, actor=actor_of(request))
        return f"The backfill {backfill} is cancelled."

    @column("window (UTC)")
    def window(self, backfill: Backfill) -> str:
        return f"{backfill} ({span(backfill.until - backfill.since)})"

    @column("status")
    def status_label(self, backfill: Backfill) -> SafeString:
        return label(backfill.get_status_display(), STATUS_COLOURS[backfill.status])

    @column("progress")
    def bar(self, backfill: Backfill) -> SafeString:
        return _bar(backfill)

    @column("events")
    def found(self, backfill: Backfill) -> str:
        return f"{backfill.events_new} new of {backfill.events_found}"

    @column("last error")
    def trouble(self, backfill: Backfill) -> str | SafeString:
        return error_line(backfill.last_error)

    @column("asked")
    def asked(self, backfill: Backfill) -> str | SafeString:
        return age(backfill.created_at)

    @column("last error")
    def error_text(self, backfill: Backfill) -> str | SafeString:
        return text_block(backfill.last_error)

    @column("asked")
    def asked_exactly(self, backfill: Backfill) -> str | SafeString:
        return moment(backfill.created_at)

    @column("started")
    def started(self, backfill: Backfill) -> str | SafeString:
        return moment(backfill.started_at)

    @column("completed")
    def completed(self, backfill: Backfill) -> str | SafeString:
        return moment(backfill.completed_at)

    @column("position, in the adapter's words")
    def position_json(self, backfill: Backfill) -> str | SafeString:
        return json_block(backfill.position)


def _bar(backfill: Backfill) -> SafeString:
    percent = 100 if backfill.status == BackfillStatus.COMPLETED else backfill.progress_percent
    return progress(percent, f"{backfill.parts_done} of {backfill.parts_total} parts, {backfill.pages} pages")


def _names(line: Any) -> tuple[str, ...]:
    return line if isinstance(line, tuple) else (line,)
