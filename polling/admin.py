"""Cursors: how far polling has read and what went wrong. Backfills have a file of their own."""

from __future__ import annotations

from datetime import datetime, timedelta
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
from polling.backfill_admin import BackfillAdmin, BackfillInline
from polling.cursor_moves import move_cursor
from polling.models import PollingCursor
from polling.services import poll_now
from providers.console.base import ConsoleAdmin, EvidenceInline, actor_of
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
    span,
    text_block,
)
from providers.console.filters import (
    ConnectionFilter,
    ConnectionProviderFilter,
    DropdownFilter,
    Lookups,
    TenantFilter,
)
from providers.console.verbs import verb

__all__ = ["BackfillAdmin", "BackfillInline", "CursorAdmin", "CursorInline"]


class MoveForm(forms.Form):
    """Where live polling starts again."""

    since = forms.SplitDateTimeField(
        widget=UnfoldAdminSplitDateTimeWidget,
        help_text="By the provider's clock, UTC; at most a year back and not in the future.",
    )


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

    @column("seen after")
    def seen(self, cursor: PollingCursor) -> str:
        """From the provider's time of its newest event to ours."""
        after = cursor.seen_after_seconds
        return EMPTY if after is None else span(timedelta(seconds=after))

    @column("why then")
    def why(self, cursor: PollingCursor) -> str | SafeString:
        return note_line(cursor.interval_reason if cursor.active else "")

    @column("last error")
    def trouble(self, cursor: PollingCursor) -> str | SafeString:
        return error_line(cursor.last_error if cursor.consecutive_failures else "", cursor.last_polled_at)


class CursorInline(CursorDisplay, EvidenceInline):
    model = PollingCursor
    verbose_name_plural = "polling cursors"
    fields = ("page", "partition", "health", "polled", "due", "why", "seen", "events_total", "trouble")
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
        "why",
        "seen",
        "events_total",
        "trouble",
    )
    list_select_related = ("connection",)
    list_filter = (HealthFilter, ConnectionProviderFilter, TenantFilter, ConnectionFilter)
    search_fields = ("=cursor_id", "=connection", "=tenant_id")
    search_help_text = "Cursor id, connection id or tenant, whole."
    refusals = (*ConsoleAdmin.refusals, ServiceError)
    actions_row = ("poll_connection",)
    actions_detail = ("poll_connection", "move")
    readonly_fields = (
        "health",
        "connection_link",
        "polled_exactly",
        "due_exactly",
        "succeeded",
        "brought",
        "newest",
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
                    ("newest", "seen"),
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
        """A cursor is moved by reading; by hand only with the verb that records it."""
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

    @verb(
        "Move",
        icon="history",
        question="Live polling of this stream starts again at the time given, and tells of everything since then that "
        "is not known yet. To read a window once without delaying what is new, start a backfill instead.",
        available=lambda cursor: cursor.active,
        danger=True,
        form=MoveForm,
    )
    def move(self, request: HttpRequest, cursor: PollingCursor, *, since: datetime) -> str:
        move_cursor(cursor, since, actor=actor_of(request))
        return f"{cursor} is read again from {since:%Y-%m-%d %H:%M} on."

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

    @column("newest event, by the provider's time")
    def newest(self, cursor: PollingCursor) -> str | SafeString:
        return moment(cursor.newest_event_at)

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
