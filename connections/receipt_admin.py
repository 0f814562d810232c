"""Receipts: what was done, the evidence of it, and whether the evidence service has it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from connections import receipts
from connections.console import OfConnection
from connections.errors import ServiceError
from connections.models import Receipt, ReceiptOutcome, ReceiptStatus
from providers.console.base import ConsoleAdmin, EvidenceAdmin
from providers.console.display import age, column, error_line, json_block, label, moment
from providers.console.filters import (
    ChoiceFilter,
    ConnectionFilter,
    ConnectionProviderFilter,
    MadeBetweenFilter,
    MadeWithinFilter,
    TenantFilter,
)
from providers.console.verbs import verb

_OUTCOME_COLOURS: dict[str, str] = {
    ReceiptOutcome.COMPLETED: "success",
    ReceiptOutcome.NEEDS_REVIEW: "warning",
    ReceiptOutcome.FAILED: "danger",
    ReceiptOutcome.REFUSED: "danger",
}
_STATUS_COLOURS: dict[str, str] = {
    ReceiptStatus.PENDING: "info",
    ReceiptStatus.SENT: "success",
    ReceiptStatus.REFUSED: "danger",
}


class OutcomeFilter(ChoiceFilter):
    title = "outcome"
    parameter_name = "outcome"
    column = "outcome"
    options = ReceiptOutcome


class StatusFilter(ChoiceFilter):
    title = "evidence service"
    parameter_name = "status"
    column = "status"
    options = ReceiptStatus


def _can_be_sent(row: Receipt) -> bool:
    return bool(settings.ERIS_SERVICE_URL) and row.lease_token is None


@admin.register(Receipt)
class ReceiptAdmin(OfConnection, EvidenceAdmin):
    list_display = (
        "what",
        "outcome_label",
        "connection_link",
        "tenant_id",
        "actor",
        "status_label",
        "trouble",
        "made",
    )
    list_select_related = ("connection",)
    list_filter = (
        OutcomeFilter,
        StatusFilter,
        ConnectionProviderFilter,
        TenantFilter,
        ConnectionFilter,
        MadeWithinFilter,
        ("created_at", MadeBetweenFilter),
    )
    search_fields = ("=receipt_id", "=operation_id", "=connection")
    search_help_text = "Receipt id, id of the action or connection id, whole."
    refusals = (*ConsoleAdmin.refusals, ServiceError)
    actions = ("send_again",)
    actions_row = ("send_again",)
    actions_detail = ("send_again",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("operation", "outcome_label", "operation_id"),
                    ("connection_link", "tenant_id", "actor"),
                    ("receipt_id", "made_exactly"),
                )
            },
        ),
        ("Evidence service", {"fields": (("status_label", "sent"), "standing")}),
        ("Evidence", {"fields": ("request_json", "snapshot_hash", "body_json", "row_id")}),
    )
    readonly_fields = (
        "outcome_label",
        "connection_link",
        "receipt_id",
        "row_id",
        "status_label",
        "sent",
        "standing",
        "request_json",
        "body_json",
        "made_exactly",
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request)
        match = request.resolver_match
        listed = match is not None and str(match.url_name).endswith("_changelist")
        return rows.defer("request", "body") if listed else rows

    @verb(
        "Send again",
        icon="send",
        question="The receipt is sent to the evidence service as it is, under the same id.",
        available=_can_be_sent,
    )
    def send_again(self, request: HttpRequest, row: Receipt) -> str:
        if not receipts.send_again(row):
            raise ServiceError("CONFLICT", "The receipt is on its way just now.", status=409)
        return f"The receipt of {row} is sent within seconds."

    @column("operation")
    def what(self, row: Receipt) -> str:
        """``<provider>: comment_on_pr``; its full name is on its page."""
        return ": ".join(row.operation.rsplit(".", 2)[-2:])

    @column("outcome")
    def outcome_label(self, row: Receipt) -> SafeString:
        return label(row.get_outcome_display(), _OUTCOME_COLOURS[row.outcome])

    @column("evidence service")
    def status_label(self, row: Receipt) -> SafeString:
        if row.status == ReceiptStatus.PENDING and settings.ERIS_SERVICE_URL:
            return label("waiting", "warning" if row.last_send_error else "info")
        return label(row.get_status_display().lower(), _STATUS_COLOURS[row.status])

    @column("not sent")
    def trouble(self, row: Receipt) -> str | SafeString:
        return error_line(row.last_send_error)

    @column("made")
    def made(self, row: Receipt) -> str | SafeString:
        return age(row.created_at)

    @column("made")
    def made_exactly(self, row: Receipt) -> str | SafeString:
        return moment(row.created_at)

    @column("taken")
    def sent(self, row: Receipt) -> str | SafeString:
        return moment(row.sent_at)

    @column("how it stands")
    def standing(self, row: Receipt) -> str | SafeString:
        if row.status == ReceiptStatus.SENT:
            return "The evidence service has it."
        if row.status == ReceiptStatus.REFUSED:
            return format_html("{} It is not tried again by itself.", error_line(row.last_send_error))
        if not settings.ERIS_SERVICE_URL:
            return "No evidence service is configured; this page is the evidence."
        return format_html("{} Next try {}.", error_line(row.last_send_error), age(row.next_attempt_at))

    @column("request, redacted")
    def request_json(self, row: Receipt) -> str | SafeString:
        return json_block(row.request)

    @column("receipt")
    def body_json(self, row: Receipt) -> str | SafeString:
        return json_block(row.body)
