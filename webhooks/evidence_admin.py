"""Evidence at the doors: what was refused, what could not be read, and the keys providers publish."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from connections.console import OfConnection
from connections.errors import ServiceError
from providers.console.base import EvidenceAdmin, EvidenceInline, actor_of
from providers.console.display import (
    age,
    column,
    error_line,
    json_block,
    label,
    link,
    moment,
    note_line,
    text_block,
    words,
)
from providers.console.filters import (
    ConnectionFilter,
    DropdownFilter,
    ExactTextFilter,
    Lookups,
    MadeBetweenFilter,
    MadeWithinFilter,
    TenantFilter,
)
from providers.console.verbs import verb
from webhooks.forms import ReasonForm
from webhooks.models import PublishedKeys, QuarantinedDelivery, RejectedDelivery
from webhooks.quarantine import discard, read_again
from webhooks.reasons import REASONS, explained


class ReasonFilter(DropdownFilter):
    title = "reason"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookups:
        return [(reason, reason.replace("_", " ")) for reason in REASONS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(reason=self.value()) if self.value() else queryset


class RegistrationFilter(ExactTextFilter):
    title = "registration id"
    parameter_name = "registration"
    column = "registration"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = (self.value() or "").strip()
        try:
            return queryset.filter(registration_id=uuid.UUID(value)) if value else queryset
        except ValueError:
            return queryset.none()


class _OfRegistration(OfConnection):
    """What both kinds of rows show alike."""

    @column("reason")
    def reason_words(self, row: Any) -> str:
        return str(row.reason).replace("_", " ")

    @column("what it means")
    def meaning(self, row: Any) -> str:
        words_of = explained(row.reason).words
        return f"{words_of[:1].upper()}{words_of[1:]}."

    @column("what to do")
    def advice(self, row: Any) -> str:
        return explained(row.reason).advice

    @column("webhook")
    def registration_link(self, row: Any) -> SafeString:
        return link("webhooks_webhookregistration_change", row.registration_id, row.registration_id)

    @column("webhook")
    def door(self, row: Any) -> SafeString:
        return link("webhooks_webhookregistration_change", row.registration, row.registration_id)


class RejectionInline(EvidenceInline):
    model = RejectedDelivery
    verbose_name_plural = "rejected deliveries"
    fields = ("what", "number", "last", "first")
    readonly_fields = fields

    @column("why")
    def what(self, row: RejectedDelivery) -> SafeString:
        return link("webhooks_rejecteddelivery_change", explained(row.reason).words, row.pk)

    @column("last")
    def last(self, row: RejectedDelivery) -> str | SafeString:
        return age(row.last_at)

    @column("first of this hour")
    def first(self, row: RejectedDelivery) -> str | SafeString:
        return age(row.first_at)


@admin.register(RejectedDelivery)
class RejectedDeliveryAdmin(_OfRegistration, EvidenceAdmin):
    list_display = ("reason_label", "number", "meaning", "connection_link", "tenant_id", "last")
    list_select_related = ("connection", "registration__connection")
    list_filter = (
        ReasonFilter,
        TenantFilter,
        ConnectionFilter,
        RegistrationFilter,
        MadeWithinFilter,
        ("created_at", MadeBetweenFilter),
    )
    search_fields = ("=rejection_id", "=connection", "=registration", "=tenant_id")
    search_help_text = "Connection id, registration id or tenant, whole."
    fieldsets = (
        (
            None,
            {"fields": (("reason_label", "number"), ("meaning", "fate"), "advice", ("first_exactly", "last_exactly"))},
        ),
        ("The last of them", {"fields": ("headers", "size")}),
        ("Where", {"fields": (("connection_link", "tenant_id"), ("door", "rejection_id"))}),
    )
    readonly_fields = (
        "reason_label",
        "meaning",
        "fate",
        "advice",
        "first_exactly",
        "last_exactly",
        "headers",
        "size",
        "connection_link",
        "door",
        "rejection_id",
    )

    @column("reason")
    def reason_label(self, row: RejectedDelivery) -> SafeString:
        mild = row.reason in ("rate_limited", "unrouted")
        return label(str(row.reason).replace("_", " "), "warning" if mild else "danger")

    @column("names of its headers")
    def headers(self, row: RejectedDelivery) -> str | SafeString:
        return words(row.header_names)

    @column("what became of them")
    def fate(self, row: RejectedDelivery) -> str | SafeString:
        if not explained(row.reason).taken:
            return "Refused."
        kept = link(
            "webhooks_quarantineddelivery_changelist", "Quarantine", query=f"registration={row.registration_id}"
        )
        return format_html("Taken, and kept under {} while there is room.", kept)

    @column("size of its body")
    def size(self, row: RejectedDelivery) -> str:
        if row.body_bytes is None:
            return "not read"
        return f"{row.body_bytes} bytes{'' if explained(row.reason).taken else '; it is not kept'}"

    @column("last")
    def last(self, row: RejectedDelivery) -> str | SafeString:
        return age(row.last_at)

    @column("first in this hour")
    def first_exactly(self, row: RejectedDelivery) -> str | SafeString:
        return moment(row.first_at)

    @column("last in this hour")
    def last_exactly(self, row: RejectedDelivery) -> str | SafeString:
        return moment(row.last_at)


def _is_kept(row: QuarantinedDelivery) -> bool:
    return bool(row.text) or not row.body_bytes


@admin.register(QuarantinedDelivery)
class QuarantinedDeliveryAdmin(_OfRegistration, EvidenceAdmin):
    list_display = ("reason_label", "what", "connection_link", "registration_link", "tenant_id", "when")
    list_select_related = ("connection",)
    list_filter = (
        ReasonFilter,
        TenantFilter,
        ConnectionFilter,
        RegistrationFilter,
        MadeWithinFilter,
        ("created_at", MadeBetweenFilter),
    )
    search_fields = ("=quarantine_id", "=connection", "=registration", "=tenant_id")
    search_help_text = "Connection id, registration id or tenant, whole."
    refusals = (*EvidenceAdmin.refusals, ServiceError)
    actions = ("read_again",)
    actions_row = ("read_again",)
    actions_detail = ("read_again", "discard")
    fieldsets = (
        (None, {"fields": (("reason_label", "when_exactly", "proof"), "meaning", "full_detail", "advice")}),
        ("As received, redacted", {"fields": ("body_text", "kept_headers", ("body_bytes", "kept_query"))}),
        ("Where", {"fields": (("connection_link", "tenant_id"), ("door", "quarantine_id"))}),
    )
    readonly_fields = (
        "reason_label",
        "when_exactly",
        "meaning",
        "full_detail",
        "advice",
        "body_text",
        "kept_headers",
        "kept_query",
        "connection_link",
        "door",
        "quarantine_id",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[QuarantinedDelivery]:
        """Lists leave the bodies in the database."""
        rows: QuerySet[QuarantinedDelivery] = super().get_queryset(request)
        return rows.defer("body", "body_hash", "signature_hash")

    @verb(
        "Read again",
        icon="refresh",
        question="The kept body goes through the adapter as if it had just arrived. If it can be read now, its events "
        "are stored and delivered, and the row goes away.",
        available=_is_kept,
    )
    def read_again(self, request: HttpRequest, delivery: QuarantinedDelivery) -> str:
        new = read_again(delivery, actor=actor_of(request))
        return f"It is read: {new} new event{'' if new == 1 else 's'}."

    @verb(
        "Discard",
        icon="delete",
        permission="retire",
        danger=True,
        question="It is removed for good and becomes no event.",
        form=ReasonForm,
    )
    def discard(self, request: HttpRequest, delivery: QuarantinedDelivery, *, reason: str) -> str:
        discard(delivery, actor=actor_of(request), reason=reason)
        return "It is discarded."

    @column("what to do")
    def advice(self, row: QuarantinedDelivery) -> str:
        if _is_kept(row):
            return super().advice(row)
        return "It cannot be read again: have the provider send it once more in another form, or discard it."

    @column("reason")
    def reason_label(self, row: QuarantinedDelivery) -> SafeString:
        return label(str(row.reason).replace("_", " "), "warning")

    @column("what the adapter said")
    def what(self, row: QuarantinedDelivery) -> str | SafeString:
        return note_line(row.detail)

    @column("what the adapter said")
    def full_detail(self, row: QuarantinedDelivery) -> str | SafeString:
        return text_block(row.detail)

    @column("body")
    def body_text(self, row: QuarantinedDelivery) -> str | SafeString:
        try:
            return json_block(orjson.loads(row.text))
        except orjson.JSONDecodeError:
            return text_block(row.text[:20_000])

    @column("headers")
    def kept_headers(self, row: QuarantinedDelivery) -> str | SafeString:
        return json_block(row.headers)

    @column("parameters of the URL")
    def kept_query(self, row: QuarantinedDelivery) -> str | SafeString:
        return json_block(row.query)

    @column("received")
    def when(self, row: QuarantinedDelivery) -> str | SafeString:
        return age(row.created_at)

    @column("received")
    def when_exactly(self, row: QuarantinedDelivery) -> str | SafeString:
        return moment(row.created_at)


@admin.register(PublishedKeys)
class PublishedKeysAdmin(EvidenceAdmin):
    list_display = ("url", "number", "fetched", "trouble")
    fields = ("url", "number", "fetched", "asked_for", "tried", "trouble")
    readonly_fields = fields

    @column("keys")
    def number(self, row: PublishedKeys) -> int:
        return len(row.document.get("keys", ()))

    @column("fetched")
    def fetched(self, row: PublishedKeys) -> str | SafeString:
        return age(row.fetched_at)

    @column("last try")
    def tried(self, row: PublishedKeys) -> str | SafeString:
        return age(row.tried_at)

    @column("an unknown key was named")
    def asked_for(self, row: PublishedKeys) -> str | SafeString:
        return age(row.wanted_at)

    @column("last error")
    def trouble(self, row: PublishedKeys) -> str | SafeString:
        return error_line(row.last_error, row.tried_at)
