"""Actions: evidence of what was asked of a provider and what came of it."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString

from actions.models import ActionStatus, NormalisedAction
from connections.console import OfConnection
from providers.console.base import EvidenceAdmin
from providers.console.display import EMPTY, age, column, error_line, json_block, label, moment, text_block
from providers.console.filters import (
    ChoiceFilter,
    ConnectionFilter,
    MadeBetweenFilter,
    MadeWithinFilter,
    ProviderFilter,
    TenantFilter,
)
from providers.redaction import redact

STATUS_COLOURS: dict[str, str] = {
    ActionStatus.PENDING: "info",
    ActionStatus.PROCESSING: "info",
    ActionStatus.COMPLETED: "success",
    ActionStatus.FAILED: "danger",
    ActionStatus.NEEDS_REVIEW: "warning",
}


class ActionStatusFilter(ChoiceFilter):
    title = "status"
    parameter_name = "status"
    column = "status"
    options = ActionStatus


@admin.register(NormalisedAction)
class ActionAdmin(OfConnection, EvidenceAdmin):
    list_display = ("canonical_type", "status_label", "connection_link", "tenant_id", "attempts", "trouble", "asked")
    list_select_related = ("connection",)
    list_filter = (
        ActionStatusFilter,
        ProviderFilter,
        TenantFilter,
        ConnectionFilter,
        MadeWithinFilter,
        ("created_at", MadeBetweenFilter),
    )
    search_fields = ("=action_id", "=connection")
    search_help_text = "Action id or connection id, whole."
    readonly_fields = (
        "status_label",
        "connection_link",
        "asked_exactly",
        "completed",
        "target_json",
        "payload_json",
        "result_json",
        "result_link",
        "error_text",
    )
    fieldsets = (
        (None, {"fields": (("canonical_type", "status_label"), ("connection_link", "tenant_id", "provider"))}),
        (
            "Outcome",
            {"fields": (("asked_exactly", "completed", "attempts"), "result_link", "result_json", "error_text")},
        ),
        ("What was asked, redacted", {"fields": ("target_json", "payload_json")}),
        ("Keys", {"fields": ("action_id", "idempotency_key", "correlation_id")}),
    )

    @column("status")
    def status_label(self, action: NormalisedAction) -> SafeString:
        return label(action.get_status_display(), STATUS_COLOURS[action.status])

    @column("last error")
    def trouble(self, action: NormalisedAction) -> str | SafeString:
        return error_line(action.error)

    @column("asked")
    def asked(self, action: NormalisedAction) -> str | SafeString:
        return age(action.created_at)

    @column("asked")
    def asked_exactly(self, action: NormalisedAction) -> str | SafeString:
        return moment(action.created_at)

    @column("completed")
    def completed(self, action: NormalisedAction) -> str | SafeString:
        return moment(action.completed_at)

    @column("target")
    def target_json(self, action: NormalisedAction) -> str | SafeString:
        return json_block(redact(action.target))

    @column("payload")
    def payload_json(self, action: NormalisedAction) -> str | SafeString:
        return json_block(redact(action.payload))

    @column("result")
    def result_json(self, action: NormalisedAction) -> str | SafeString:
        return json_block(redact(action.result))

    @column("made at the provider")
    def result_link(self, action: NormalisedAction) -> str | SafeString:
        url = str(action.result.get("url") or "")
        if not url.startswith(("https://", "http://")):
            return EMPTY
        return format_html('<a class="console-link" href="{0}" rel="noreferrer noopener" target="_blank">{0}</a>', url)

    @column("error")
    def error_text(self, action: NormalisedAction) -> str | SafeString:
        return text_block(action.error)
