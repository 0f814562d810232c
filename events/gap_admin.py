"""Gaps as staff see them: what was missed, why, and what became of it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from connections.console import OfConnection
from events.gap_models import DeliveryGap, GapCause, GapRepair, GapStatus
from providers.console.base import EvidenceAdmin, EvidenceInline
from providers.console.display import EMPTY, age, column, label, link, moment, span, text_block
from providers.console.filters import (
    ChoiceFilter,
    ConnectionFilter,
    ConnectionProviderFilter,
    MadeBetweenFilter,
    MadeWithinFilter,
    TenantFilter,
)

STATUS_COLOURS: dict[str, str] = {
    GapStatus.OPEN: "warning",
    GapStatus.FILLING: "info",
    GapStatus.FILLED: "success",
    GapStatus.LOST: "danger",
}


class CauseFilter(ChoiceFilter):
    title = "cause"
    parameter_name = "cause"
    column = "cause"
    options = GapCause


class StatusFilter(ChoiceFilter):
    title = "status"
    parameter_name = "status"
    column = "status"
    options = GapStatus


class RepairFilter(ChoiceFilter):
    title = "repair"
    parameter_name = "repair"
    column = "repair"
    options = GapRepair


class GapColumns(OfConnection):
    """What lists and pages of gaps show alike."""

    @column("cause")
    def cause_link(self, gap: DeliveryGap) -> SafeString:
        return link("events_deliverygap_change", gap.get_cause_display(), gap.pk)

    @column("status")
    def status_label(self, gap: DeliveryGap) -> SafeString:
        return label(gap.get_status_display(), STATUS_COLOURS[gap.status])

    @column("window")
    def window(self, gap: DeliveryGap) -> SafeString:
        length = f"for {span(gap.until - gap.since)}" if gap.until else "and still lasting"
        return format_html('{} <span class="console-muted">{}</span>', age(gap.since), length)

    @column("what became of it")
    def figures(self, gap: DeliveryGap) -> str:
        """``12 missed: 9 arrived, 3 fetched``."""
        parts = ((gap.arrived, "arrived"), (gap.fetched, "fetched"), (gap.lost, "lost"))
        told = ", ".join(f"{number} {word}" for number, word in parts if number)
        return f"{gap.missing} missed{f': {told}' if told else ''}"

    @column("noticed")
    def noticed(self, gap: DeliveryGap) -> str | SafeString:
        return age(gap.detected_at)


class GapInline(GapColumns, EvidenceInline):
    model = DeliveryGap
    verbose_name_plural = "gaps"
    fields = ("cause_link", "status_label", "window", "figures", "noticed")
    readonly_fields = fields


@admin.register(DeliveryGap)
class GapAdmin(GapColumns, EvidenceAdmin):
    list_display = (
        *("cause_label", "status_label", "connection_link", "tenant_id"),
        *("place", "window", "figures", "noticed"),
    )
    list_select_related = ("connection",)
    list_filter = (
        StatusFilter,
        CauseFilter,
        RepairFilter,
        ConnectionProviderFilter,
        TenantFilter,
        ConnectionFilter,
        MadeWithinFilter,
        ("created_at", MadeBetweenFilter),
    )
    search_fields = ("=gap_id", "=connection", "=registration_id", "=tenant_id")
    search_help_text = "Gap, connection or registration id, or tenant, whole."
    fieldsets = (
        (None, {"fields": (("cause_label", "status_label", "repair_words"), "explanation", "trouble")}),
        ("Window", {"fields": (("began", "ended"), ("read_to", "noticed_exactly", "settled"))}),
        ("What became of it", {"fields": ("report", ("went_wrong", "left_alone"), ("deliveries", "backfill"))}),
        ("Where", {"fields": (("connection_link", "tenant_id"), ("door", "place", "gap_id"))}),
    )
    readonly_fields = (
        *("cause_label", "status_label", "repair_words", "trouble", "began", "ended", "read_to", "noticed_exactly"),
        *("settled", "report", "went_wrong", "left_alone", "deliveries", "backfill", "connection_link", "door"),
    )

    @column("cause")
    def cause_label(self, gap: DeliveryGap) -> str:
        return str(gap.get_cause_display())

    @column("repair")
    def repair_words(self, gap: DeliveryGap) -> str:
        return str(gap.get_repair_display())

    @column("what stands in the way")
    def trouble(self, gap: DeliveryGap) -> str | SafeString:
        return text_block(gap.last_error)

    @column("from")
    def began(self, gap: DeliveryGap) -> str | SafeString:
        return moment(gap.since)

    @column("to")
    def ended(self, gap: DeliveryGap) -> str | SafeString:
        return moment(gap.until) if gap.until else "It still lasts."

    @column("polled up to")
    def read_to(self, gap: DeliveryGap) -> str | SafeString:
        return moment(gap.filled_to)

    @column("noticed")
    def noticed_exactly(self, gap: DeliveryGap) -> str | SafeString:
        return moment(gap.detected_at)

    @column("settled")
    def settled(self, gap: DeliveryGap) -> str | SafeString:
        return moment(gap.settled_at)

    @column("report")
    def report(self, gap: DeliveryGap) -> SafeString:
        polled = gap.repair == GapRepair.POLL
        rows: list[tuple[str, Any]] = [
            ("missed" if not polled else "missed, as far as polling tells", gap.missing),
            ("asked for again", EMPTY if polled else gap.asked),
            ("arrived after all", EMPTY if polled else gap.arrived),
            ("fetched" if not polled else "brought by polling", gap.fetched),
            ("not recoverable", gap.lost),
        ]
        if polled:
            rows.append(("events read in the window", gap.looked_at))
        return _keys(rows)

    @column("what went wrong")
    def went_wrong(self, gap: DeliveryGap) -> str | SafeString:
        return _keys([(cause.replace("_", " "), number) for cause, number in sorted(gap.causes.items())])

    @column("left alone")
    def left_alone(self, gap: DeliveryGap) -> SafeString:
        return _keys([("become no signal", gap.irrelevant), ("refused on purpose", gap.deliberate)])

    @column("deliveries")
    def deliveries(self, gap: DeliveryGap) -> str | SafeString:
        if gap.repair != GapRepair.LEDGER:
            return EMPTY
        return link("webhooks_misseddelivery_changelist", "one by one", query=f"gap={gap.pk}")

    @column("backfill")
    def backfill(self, gap: DeliveryGap) -> str | SafeString:
        return link("polling_backfill_change", gap.backfill_id, gap.backfill_id) if gap.backfill_id else EMPTY

    @column("webhook")
    def door(self, gap: DeliveryGap) -> str | SafeString:
        if gap.registration_id is None:
            return EMPTY
        return link("webhooks_webhookregistration_change", gap.registration_id, gap.registration_id)


def _keys(rows: list[tuple[str, Any]]) -> SafeString:
    return format_html('<dl class="console-keys">{}</dl>', format_html_join("", "<dt>{}</dt><dd>{}</dd>", rows))
