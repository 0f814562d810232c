"""Circuit breakers: which are open, why and until when, and what a person may decide about them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextareaWidget

from connections import breaker, breaker_overrides
from connections.breaker import Standing
from connections.breaker_models import BreakerState, ConnectionBreaker
from connections.console import OfConnection
from connections.models import ConnectionStatus, IntegrationConnection
from providers.console.base import EvidenceAdmin, actor_of
from providers.console.display import age, column, error_line, label, link, moment, text_block
from providers.console.filters import ConnectionFilter, ConnectionProviderFilter, DropdownFilter, Lookups, TenantFilter
from providers.console.verbs import verb

_COLOURS = {BreakerState.CLOSED: "success", BreakerState.HALF_OPEN: "warning", BreakerState.OPEN: "danger"}
_CLOSED = Q(state=BreakerState.CLOSED, held="")


class ReasonForm(forms.Form):
    """Why a person decides otherwise."""

    reason = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Kept with your name in the connection's history.",
    )


def _standing(row: Any) -> Standing:
    return breaker.state_of(row) if isinstance(row, IntegrationConnection) else breaker.standing(row)


def _may_hold(row: Any, state: BreakerState) -> bool:
    connection = row if isinstance(row, IntegrationConnection) else row.connection
    now = _standing(row)
    return connection.status != ConnectionStatus.DELETED and not (now.held and now.state == state)


def _may_reset(row: Any) -> bool:
    now = _standing(row)
    return now.held or now.state != BreakerState.CLOSED or bool(now.failures)


def _label(standing: Standing) -> SafeString:
    words = str(standing.state.label).lower()
    return label(f"held {words}" if standing.held else words, _COLOURS[standing.state])


class BreakerVerbs:
    """For pages of connections and for those of their breakers: both go by the connection's id."""

    @verb(
        "Hold breaker open",
        icon="front_hand",
        question="No action of this connection is sent until somebody resets the breaker. What is under way ends.",
        available=lambda row: _may_hold(row, BreakerState.OPEN),
        form=ReasonForm,
        at_most=1,
    )
    def hold_breaker_open(self, request: HttpRequest, row: Any, *, reason: str) -> str:
        breaker_overrides.force_open(row.pk, actor=actor_of(request), reason=reason)
        return "The circuit breaker is held open."

    @verb(
        "Hold breaker closed",
        icon="electrical_services",
        danger=True,
        question="Actions are sent however often they fail, until somebody resets the breaker.",
        available=lambda row: _may_hold(row, BreakerState.CLOSED),
        form=ReasonForm,
        at_most=1,
    )
    def hold_breaker_closed(self, request: HttpRequest, row: Any, *, reason: str) -> str:
        breaker_overrides.force_closed(row.pk, actor=actor_of(request), reason=reason)
        return "The circuit breaker is held closed."

    @verb(
        "Reset breaker",
        icon="restart_alt",
        question="The breaker forgets failures and what was decided about it. Actions are sent at once.",
        available=_may_reset,
    )
    def reset_breaker(self, request: HttpRequest, row: Any) -> str:
        breaker_overrides.reset(row.pk, actor=actor_of(request))
        return "The circuit breaker is reset: closed."

    @column("circuit breaker")
    def breaker_line(self, connection: IntegrationConnection) -> str | SafeString:
        standing = breaker.state_of(connection)
        if standing == Standing(state=BreakerState.CLOSED):
            return _label(standing)
        more = link("connections_connectionbreaker_change", "more", connection.pk)
        return format_html("{}, {} failed in a row ({})", _label(standing), standing.failures, more)


class StandingFilter(DropdownFilter):
    """Closed ones are shown when they are asked for."""

    title = "standing"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookups:
        return [("open", "Open or half open"), ("held", "Held"), ("closed", "Closed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "open":
                return queryset.filter(state__in=(BreakerState.OPEN, BreakerState.HALF_OPEN), held="")
            case "held":
                return queryset.exclude(held="")
            case "closed":
                return queryset.filter(_CLOSED)
        return queryset.exclude(_CLOSED)


@admin.register(ConnectionBreaker)
class BreakerAdmin(OfConnection, BreakerVerbs, EvidenceAdmin):
    list_display = ("state_label", "connection_link", "tenant_id", "failures", "opened", "next_trial", "trouble")
    list_select_related = ("connection",)
    list_filter = (StandingFilter, ConnectionProviderFilter, TenantFilter, ConnectionFilter)
    search_fields = ("=connection", "=tenant_id")
    search_help_text = "Connection id or tenant, whole."
    actions: Any = ("reset_breaker",)
    actions_row: Any = ("reset_breaker",)
    actions_detail: Any = ("hold_breaker_open", "hold_breaker_closed", "reset_breaker")
    fields = (
        ("state_label", "connection_link", "tenant_id"),
        ("failures", "successes", "generation"),
        ("opened_exactly", "next_trial_exactly", "trial_ends"),
        "last_failure",
        "connection_key",
    )
    readonly_fields = (
        "state_label",
        "connection_link",
        "opened_exactly",
        "next_trial_exactly",
        "trial_ends",
        "last_failure",
        "connection_key",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConnectionBreaker]:
        """With the database's time, by which the state is told."""
        rows: QuerySet[ConnectionBreaker] = (
            super().get_queryset(request).select_related("connection").annotate(clock=Now())
        )
        return rows

    @column("state")
    def state_label(self, row: ConnectionBreaker) -> SafeString:
        return _label(breaker.standing(row))

    @column("opened")
    def opened(self, row: ConnectionBreaker) -> str | SafeString:
        return age(row.opened_at)

    @column("next trial")
    def next_trial(self, row: ConnectionBreaker) -> str | SafeString:
        return age(None if row.held else row.retry_at)

    @column("last failure")
    def trouble(self, row: ConnectionBreaker) -> str | SafeString:
        return error_line(row.last_error, row.last_error_at)

    @column("opened")
    def opened_exactly(self, row: ConnectionBreaker) -> str | SafeString:
        return moment(row.opened_at)

    @column("next trial")
    def next_trial_exactly(self, row: ConnectionBreaker) -> str | SafeString:
        return moment(None if row.held else row.retry_at)

    @column("trial under way ends by")
    def trial_ends(self, row: ConnectionBreaker) -> str | SafeString:
        return moment(row.trial_until)

    @column("last failure")
    def last_failure(self, row: ConnectionBreaker) -> str | SafeString:
        return text_block(row.last_error)

    @column("connection id")
    def connection_key(self, row: ConnectionBreaker) -> str:
        return str(row.pk)
