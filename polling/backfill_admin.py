"""Backfills: asked for, watched, paused, resumed and cancelled by staff."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSplitDateTimeWidget

from connections.console import OfConnection
from connections.errors import ServiceError
from connections.models import IntegrationConnection
from connections.runtime import adapter_for
from connections.service_form import ServiceForm
from polling import backfill_display as shown
from polling.backfill import cancel_backfill, pause_backfill, resume_backfill, start_backfill
from polling.backfill_status import held_up
from polling.models import OPEN, UNFINISHED, Backfill, BackfillPurpose, BackfillStatus
from providers import registry
from providers.console.base import ConsoleAdmin, EvidenceInline, actor_of
from providers.console.display import age, column, json_block, link, moment, span, text_block, words
from providers.console.filters import (
    ChoiceFilter,
    ConnectionFilter,
    ConnectionProviderFilter,
    MadeBetweenFilter,
    MadeWithinFilter,
    TenantFilter,
)
from providers.console.verbs import verb
from providers.spi import Stream

LIVE = "integration_adapters/live.js"


class BackfillStatusFilter(ChoiceFilter):
    title = "status"
    parameter_name = "status"
    column = "status"
    options = BackfillStatus


class PurposeFilter(ChoiceFilter):
    title = "purpose"
    parameter_name = "purpose"
    column = "purpose"
    options = BackfillPurpose


def _a_week_ago() -> Any:
    return timezone.now().replace(microsecond=0) - timedelta(days=7)


def _now() -> Any:
    return timezone.now().replace(microsecond=0)


class BackfillForm(ServiceForm):
    """A window of the past to read."""

    since = forms.SplitDateTimeField(
        widget=UnfoldAdminSplitDateTimeWidget,
        initial=_a_week_ago,
        help_text="Start of the window, UTC, itself inside. If the provider does not keep its data for so long, the "
        "backfill says from when it reads.",
    )
    until = forms.SplitDateTimeField(
        widget=UnfoldAdminSplitDateTimeWidget,
        initial=_now,
        help_text="End of the window, UTC, itself outside; not in the future.",
    )
    streams = forms.MultipleChoiceField(required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget)

    class Meta:
        model = Backfill
        fields = ("connection", "since", "until", "streams")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Without it the row's default would be taken for what the person chose.
        self.initial.pop("streams", None)
        connection = _connection(self.data.get("connection") or self.initial.get("connection"))
        offered = _streams(connection)
        field = self.fields["streams"]
        assert isinstance(field, forms.MultipleChoiceField)  # noqa: S101
        field.choices = [(stream.name, _described(stream)) for stream in offered]
        field.help_text = "None chosen: those the connection is polled for."
        if not offered:
            field.help_text = "All the connection is polled for. To choose, start from the connection's page: Backfill."

    def perform(self, cleaned: dict[str, Any]) -> Backfill:
        return start_backfill(
            cleaned["connection"], cleaned["since"], cleaned["until"], actor=self.actor, streams=cleaned["streams"]
        )


class BackfillInline(EvidenceInline):
    model = Backfill
    verbose_name_plural = "backfills"
    fields = ("page", "state", "bar", "counts", "trouble")
    readonly_fields = fields

    class Media:
        js = (LIVE,)

    @column("window (UTC)")
    def page(self, backfill: Backfill) -> SafeString:
        return link("polling_backfill_change", backfill, backfill.pk)

    @column("status")
    def state(self, backfill: Backfill) -> SafeString:
        return shown.state(backfill)

    @column("progress")
    def bar(self, backfill: Backfill) -> SafeString:
        return shown.bar(backfill)

    @column("events")
    def counts(self, backfill: Backfill) -> SafeString:
        return shown.counts(backfill)

    @column("waits for, or last error")
    def trouble(self, backfill: Backfill) -> SafeString:
        return shown.trouble(backfill)


@admin.register(Backfill)
class BackfillAdmin(OfConnection, ConsoleAdmin):
    list_display = ("window", "state", "connection_link", "tenant_id", "bar", "counts", "trouble", "asked")
    list_select_related = ("connection",)
    list_filter = (
        BackfillStatusFilter,
        PurposeFilter,
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
    actions = ("pause", "resume", "cancel")
    actions_row = ("pause", "resume", "cancel")
    actions_detail = ("pause", "resume", "cancel")
    add_fieldsets = ((None, {"fields": ("connection", "since", "until", "streams")}),)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("state", "connection_link", "tenant_id"),
                    ("window", "purpose", "requested_by"),
                    "notice_text",
                    "bar",
                    ("counts", "work", "expected"),
                    ("where", "due", "consecutive_failures"),
                    "waiting_text",
                    "error_text",
                    ("asked_exactly", "started", "completed"),
                )
            },
        ),
        ("Position", {"fields": ("stream_words", "position_json", "backfill_id")}),
    )

    class Media:
        js = (LIVE,)

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
        """Nothing of a backfill is edited; it is paused, resumed or cancelled."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """The form's service has saved."""

    @verb(
        "Pause",
        icon="pause",
        question="Reading stops where it is, and goes on there when it is resumed. A page in hand is read again then.",
        available=lambda backfill: backfill.status in UNFINISHED,
    )
    def pause(self, request: HttpRequest, backfill: Backfill) -> str:
        pause_backfill(backfill, actor=actor_of(request))
        return f"The backfill {backfill} is paused."

    @verb(
        "Resume",
        icon="play_arrow",
        question="Reading goes on where it was paused.",
        available=lambda backfill: backfill.status == BackfillStatus.PAUSED,
    )
    def resume(self, request: HttpRequest, backfill: Backfill) -> str:
        resume_backfill(backfill, actor=actor_of(request))
        return f"The backfill {backfill} goes on."

    @verb(
        "Cancel",
        icon="cancel",
        question="Reading stops for good. Events found so far stay; the rest of the window is not read.",
        available=lambda backfill: backfill.status in OPEN,
        danger=True,
    )
    def cancel(self, request: HttpRequest, backfill: Backfill) -> str:
        cancel_backfill(backfill, actor=actor_of(request))
        return f"The backfill {backfill} is cancelled."

    @column("window (UTC)")
    def window(self, backfill: Backfill) -> str | SafeString:
        return shown.window(backfill)

    @column("status")
    def state(self, backfill: Backfill) -> SafeString:
        return shown.state(backfill)

    @column("progress")
    def bar(self, backfill: Backfill) -> SafeString:
        return shown.bar(backfill)

    @column("events")
    def counts(self, backfill: Backfill) -> SafeString:
        return shown.counts(backfill)

    @column("read so far")
    def work(self, backfill: Backfill) -> SafeString:
        return shown.work(backfill)

    @column("reading now (UTC)")
    def where(self, backfill: Backfill) -> SafeString:
        return shown.where(backfill)

    @column("expected end")
    def expected(self, backfill: Backfill) -> SafeString:
        return shown.expected(backfill)

    @column("waits for, or last error")
    def trouble(self, backfill: Backfill) -> SafeString:
        return shown.trouble(backfill)

    @column("not kept by the provider")
    def notice_text(self, backfill: Backfill) -> str | SafeString:
        return text_block(backfill.notice)

    @column("waits for")
    def waiting_text(self, backfill: Backfill) -> SafeString:
        return shown.live(backfill, "waits", text_block(held_up(backfill)))

    @column("last error")
    def error_text(self, backfill: Backfill) -> SafeString:
        return shown.live(backfill, "error", text_block(backfill.last_error))

    @column("next run")
    def due(self, backfill: Backfill) -> SafeString:
        return shown.due(backfill)

    @column("asked")
    def asked(self, backfill: Backfill) -> str | SafeString:
        return age(backfill.created_at)

    @column("asked")
    def asked_exactly(self, backfill: Backfill) -> str | SafeString:
        return moment(backfill.created_at)

    @column("started")
    def started(self, backfill: Backfill) -> str | SafeString:
        return moment(backfill.started_at)

    @column("completed")
    def completed(self, backfill: Backfill) -> SafeString:
        return shown.live(backfill, "completed", moment(backfill.completed_at))

    @column("streams asked for")
    def stream_words(self, backfill: Backfill) -> str | SafeString:
        return words(backfill.streams) if backfill.streams else "those the connection is polled for"

    @column("position, in the adapter's words")
    def position_json(self, backfill: Backfill) -> str | SafeString:
        return json_block(backfill.position)


def _connection(key: Any) -> IntegrationConnection | None:
    try:
        return IntegrationConnection.objects.filter(pk=uuid.UUID(str(key))).first()
    except ValueError:
        return None


def _streams(connection: IntegrationConnection | None) -> list[Stream]:
    if connection is None:
        return []
    try:
        return list(adapter_for(connection).streams)
    except registry.UnknownProvider:
        return []


def _described(stream: Stream) -> str:
    kept = f"Kept for {span(stream.retention)}." if stream.retention else ""
    return f"{stream.name}: {' '.join(filter(None, (stream.description, kept)))}".removesuffix(": ")


def _names(line: Any) -> tuple[str, ...]:
    return line if isinstance(line, tuple) else (line,)
