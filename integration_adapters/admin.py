"""The connection's page put together: it shows and does more than the app of connections may know."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString

from connections.admin import ConnectionAdmin, HistoryInline, IncidentInline, VerificationInline
from connections.models import ConnectionStatus, IntegrationConnection
from events.gap_admin import GapInline
from events.ledger import ledger
from events.ledger_display import ledger_line
from integration_adapters import access_admin, schedule_admin
from polling.admin import BackfillInline, CursorInline
from polling.services import poll_now
from providers.console.base import actor_of
from providers.console.display import column
from providers.console.verbs import shortcut, verb
from webhooks.admin import RegistrationInline
from webhooks.diagnosis import diagnose_connection
from webhooks.diagnosis_display import diagnosis_block

__all__ = ["ConnectionConsole", "access_admin", "schedule_admin"]


def _may_poll(connection: IntegrationConnection) -> bool:
    return connection.status == ConnectionStatus.ACTIVE and connection.uses("polling")


@admin.register(IntegrationConnection)
class ConnectionConsole(ConnectionAdmin):
    """A connection with its ways in: what they add to its page comes from apps it may not know."""

    inlines = (  # type: ignore[assignment]
        *(RegistrationInline, GapInline, CursorInline),
        *(BackfillInline, IncidentInline, VerificationInline, HistoryInline),
    )
    actions = ("verify", "poll", "suspend", "resume")
    actions_row = ("verify", "poll", "suspend", "resume")
    actions_detail = (
        "verify",
        "poll",
        {
            "title": "More",
            "icon": "more_horiz",
            "items": [
                *("replace_credential", "authorise", "suspend", "resume", "add_webhook", "backfill"),
                *("waive", "withdraw"),
                *("hold_breaker_open", "hold_breaker_closed", "reset_breaker", "remove"),
            ],
        },
    )

    change_fieldsets = (
        ("Webhooks", {"fields": ("webhook_diagnosis",)}),
        *ConnectionAdmin.change_fieldsets,
        ("Conservation", {"fields": ("conservation",)}),
    )
    readonly_fields = ("webhook_diagnosis", "conservation", *ConnectionAdmin.readonly_fields)

    @column("how they stand")
    def webhook_diagnosis(self, connection: IntegrationConnection) -> SafeString:
        return diagnosis_block(diagnose_connection(connection))

    @column("where its events went")
    def conservation(self, connection: IntegrationConnection) -> SafeString:
        return ledger_line(ledger(connection.pk))

    def has_webhook_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("webhooks.add_webhookregistration")

    def has_backfill_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("polling.add_backfill")

    @verb(
        "Poll now",
        icon="sync",
        question="All its streams become due at once; the provider is called within seconds.",
        available=_may_poll,
    )
    def poll(self, request: HttpRequest, connection: IntegrationConnection) -> str:
        poll_now(connection, actor=actor_of(request))
        return f"{connection} is due for polling now."

    @shortcut(
        "Add webhook",
        icon="webhook",
        permission="webhook",
        available=lambda row: row.status != ConnectionStatus.DELETED and row.uses("webhook"),
    )
    def add_webhook(self, object_id: str) -> str:
        return f"{reverse('admin:webhooks_webhookregistration_add')}?connection={object_id}"

    @shortcut("Backfill", icon="history_toggle_off", permission="backfill", available=_may_poll)
    def backfill(self, object_id: str) -> str:
        return f"{reverse('admin:polling_backfill_add')}?connection={object_id}"
