"""Hooks that are looked after, deliveries that were missed, and outages of our own, as staff see them."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from connections.console import OfConnection
from providers.console.base import EvidenceAdmin, EvidenceInline
from providers.console.display import age, column, error_line, label, link, moment, span, text_block
from providers.console.filters import (
    ChoiceFilter,
    ConnectionFilter,
    ConnectionProviderFilter,
    ExactTextFilter,
    MadeBetweenFilter,
    MadeWithinFilter,
    TenantFilter,
)
from webhooks.evidence_admin import RegistrationFilter
from webhooks.models import IngressOutage, MissedDelivery, WatchedHook
from webhooks.repair_models import MissedCause, MissedState, Standing

STANDING_COLOURS: dict[str, str] = {
    Standing.ENABLED: "success",
    Standing.PAUSED: "warning",
    Standing.DISABLED: "danger",
    Standing.GONE: "danger",
    Standing.ELSEWHERE: "danger",
    Standing.UNKNOWN: "",
}
STATE_COLOURS: dict[str, str] = {
    MissedState.MISSING: "warning",
    MissedState.ASKED: "info",
    MissedState.ARRIVED: "success",
    MissedState.FETCHED: "success",
    MissedState.POLLED: "info",
    MissedState.LOST: "danger",
}


class StandingFilter(ChoiceFilter):
    title = "standing"
    parameter_name = "standing"
    column = "standing"
    options = Standing


class StateFilter(ChoiceFilter):
    title = "state"
    parameter_name = "state"
    column = "state"
    options = MissedState


class MissedCauseFilter(ChoiceFilter):
    title = "cause"
    parameter_name = "cause"
    column = "cause"
    options = MissedCause


class GapFilter(ExactTextFilter):
    title = "gap id"
    parameter_name = "gap"
    column = "gap"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = (self.value() or "").strip()
        try:
            return queryset.filter(gap_id=uuid.UUID(value)) if value else queryset
        except ValueError:
            return queryset.none()


class _HookColumns(OfConnection):
    @column("hook")
    def hook_link(self, watch: WatchedHook) -> SafeString:
        return link("webhooks_watchedhook_change", watch.hook_id, watch.pk)

    @column("standing")
    def standing_label(self, watch: WatchedHook) -> SafeString:
        return label(watch.get_standing_display(), STANDING_COLOURS[watch.standing])

    @column("looked at")
    def checked(self, watch: WatchedHook) -> str | SafeString:
        return age(watch.checked_at)

    @column("trouble")
    def trouble(self, watch: WatchedHook) -> str | SafeString:
        return error_line(watch.last_error, watch.checked_at)


class WatchedHookInline(_HookColumns, EvidenceInline):
    """The hooks of a registration."""

    model = WatchedHook
    verbose_name_plural = "hooks at the provider"
    fields = ("place", "hook_link", "standing_label", "checked", "trouble")
    readonly_fields = fields


@admin.register(WatchedHook)
class WatchedHookAdmin(_HookColumns, EvidenceAdmin):
    list_display = ("hook_id", "place", "standing_label", "connection_link", "tenant_id", "checked", "trouble")
    list_select_related = ("connection",)
    list_filter = (
        StandingFilter,
        ConnectionProviderFilter,
        TenantFilter,
        ConnectionFilter,
        RegistrationFilter,
        MadeWithinFilter,
    )
    search_fields = ("=watch_id", "=connection", "=registration", "=tenant_id")
    search_help_text = "Connection id, registration id or tenant, whole."
    fieldsets = (
        (None, {"fields": (("place", "hook_id"), ("standing_label", "since", "pause_ends", "ends"), "full_trouble")}),
        ("Looked after", {"fields": (("checked_exactly", "delivered_at"), ("compared", "newest", "put_right"))}),
        ("Where", {"fields": (("connection_link", "tenant_id"), ("door", "missed", "watch_id"))}),
    )
    readonly_fields = (
        *("standing_label", "since", "pause_ends", "ends", "full_trouble", "checked_exactly", "delivered_at"),
        *("compared", "newest", "put_right", "connection_link", "door", "missed"),
    )

    @column("since")
    def since(self, watch: WatchedHook) -> str | SafeString:
        return moment(watch.standing_since)

    @column("pause ends")
    def pause_ends(self, watch: WatchedHook) -> str | SafeString:
        return moment(watch.paused_until)

    @column("ends unless renewed")
    def ends(self, watch: WatchedHook) -> str | SafeString:
        return moment(watch.expires_at)

    @column("what stands in the way")
    def full_trouble(self, watch: WatchedHook) -> str | SafeString:
        return text_block(watch.last_error)

    @column("looked at")
    def checked_exactly(self, watch: WatchedHook) -> str | SafeString:
        return moment(watch.checked_at)

    @column("last known to deliver")
    def delivered_at(self, watch: WatchedHook) -> str | SafeString:
        return moment(watch.enabled_seen_at)

    @column("ledger compared up to")
    def compared(self, watch: WatchedHook) -> str | SafeString:
        return moment(watch.read_at)

    @column("newest delivery in it")
    def newest(self, watch: WatchedHook) -> str | SafeString:
        return moment(watch.read_to)

    @column("put right lately")
    def put_right(self, watch: WatchedHook) -> str:
        number = len(watch.cured_at)
        return f"{number} times, last {watch.cured_at[-1][:16].replace('T', ' ')} UTC" if number else "never"

    @column("webhook")
    def door(self, watch: WatchedHook) -> SafeString:
        return link("webhooks_webhookregistration_change", watch.registration_id, watch.registration_id)

    @column("what was missed")
    def missed(self, watch: WatchedHook) -> SafeString:
        query = f"connection={watch.connection_id}"
        return link("events_deliverygap_changelist", "gaps of its connection", query=query)


@admin.register(MissedDelivery)
class MissedDeliveryAdmin(OfConnection, EvidenceAdmin):
    list_display = (
        "event_type",
        "state_label",
        "cause_words",
        "connection_link",
        "tenant_id",
        "sent",
        "noticed",
        "why",
    )
    list_select_related = ("connection",)
    list_filter = (
        StateFilter,
        MissedCauseFilter,
        GapFilter,
        TenantFilter,
        ConnectionFilter,
        MadeWithinFilter,
        ("created_at", MadeBetweenFilter),
    )
    search_fields = ("=missed_id", "=delivery_id", "=connection", "=tenant_id")
    search_help_text = "The provider's delivery id, connection id or tenant, whole."
    fieldsets = (
        (None, {"fields": (("event_type", "state_label", "cause_words"), ("delivery_id", "attempt_id"), "full_error")}),
        ("Times", {"fields": (("sent_exactly", "status_code"), ("noticed_exactly", "asked", "settled"))}),
        ("Where", {"fields": (("connection_link", "tenant_id"), ("gap_link", "event", "missed_id"))}),
    )
    readonly_fields = (
        *("state_label", "cause_words", "full_error", "sent_exactly", "noticed_exactly", "asked", "settled"),
        *("connection_link", "gap_link", "event"),
    )

    @column("state")
    def state_label(self, row: MissedDelivery) -> SafeString:
        return label(row.get_state_display(), STATE_COLOURS[row.state])

    @column("cause")
    def cause_words(self, row: MissedDelivery) -> str:
        return str(row.get_cause_display())

    @column("sent")
    def sent(self, row: MissedDelivery) -> str | SafeString:
        return age(row.delivered_at)

    @column("noticed")
    def noticed(self, row: MissedDelivery) -> str | SafeString:
        return age(row.detected_at)

    @column("last error")
    def why(self, row: MissedDelivery) -> str | SafeString:
        return error_line(row.last_error)

    @column("last error")
    def full_error(self, row: MissedDelivery) -> str | SafeString:
        return text_block(row.last_error)

    @column("sent by the provider")
    def sent_exactly(self, row: MissedDelivery) -> str | SafeString:
        return moment(row.delivered_at)

    @column("noticed")
    def noticed_exactly(self, row: MissedDelivery) -> str | SafeString:
        return moment(row.detected_at)

    @column("asked for again")
    def asked(self, row: MissedDelivery) -> str | SafeString:
        return moment(row.asked_at)

    @column("settled")
    def settled(self, row: MissedDelivery) -> str | SafeString:
        return moment(row.settled_at)

    @column("gap")
    def gap_link(self, row: MissedDelivery) -> SafeString:
        return link("events_deliverygap_change", row.gap_id, row.gap_id)

    @column("event")
    def event(self, row: MissedDelivery) -> SafeString:
        return link("events_adapterevent_changelist", "look for it", query=f"q={row.delivery_id}")


@admin.register(IngressOutage)
class OutageAdmin(EvidenceAdmin):
    list_display = ("began", "length", "told", "connections")
    fields = ("began_exactly", "ended", "length", "told", "connections", "outage_id")
    readonly_fields = ("began_exactly", "ended", "length", "told")

    @column("began")
    def began(self, outage: IngressOutage) -> str | SafeString:
        return age(outage.since)

    @column("began")
    def began_exactly(self, outage: IngressOutage) -> str | SafeString:
        return moment(outage.since)

    @column("ended")
    def ended(self, outage: IngressOutage) -> str | SafeString:
        return moment(outage.until) if outage.until else "It still lasts."

    @column("length")
    def length(self, outage: IngressOutage) -> str | SafeString:
        return span(outage.until - outage.since) if outage.until else label("still lasts", "danger")

    @column("all connections told")
    def told(self, outage: IngressOutage) -> str | SafeString:
        return age(outage.told_at)
