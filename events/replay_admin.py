"""Replay of all events a list shows, the causes of dead ones, and the progress of replays."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.utils import parse_datetime_str

from connections.errors import ServiceError
from events.models import DeliveryStatus, Replay, ReplayStatus
from events.replays import matching, preview, start_replay
from providers.console.base import EvidenceAdmin, actor_of
from providers.console.display import age, column, json_block, label, moment, progress
from providers.console.filters import ExactTextFilter, MadeWithinFilter, TenantFilter

CAUSES_SHOWN = 12

# Parameters of the list of events that are conditions of a replay.
_CONDITIONS = {
    "status": "status",
    "provider": "provider_id",
    "source": "source",
    "connection": "connection_id",
    "cause": "last_error_code",
}
_PAGING = {"p", "all", "e"}


class CauseFilter(ExactTextFilter):
    title = "cause (error code)"
    parameter_name = "cause"
    column = "last_error_code"


def conditions_of(request: HttpRequest) -> tuple[str, dict[str, Any]] | None:
    """Tenant and conditions the list is filtered by; ``None`` if by none, or by what no replay understands."""
    given = {name: str(value).strip() for name, value in request.GET.items() if value and name not in _PAGING}
    tenant_id = given.pop("tenant", "")
    found: dict[str, Any] = {}
    try:
        for name, value in given.items():
            if name in _CONDITIONS:
                found[_CONDITIONS[name]] = str(uuid.UUID(value)) if name == "connection" else value
            elif name == "within":
                lengths = {key: length for key, _, length in MadeWithinFilter.spans}
                found["since"] = timezone.now() - lengths[value]
            elif name in ("received_at_from_0", "received_at_to_0"):
                end = name.removesuffix("_0")
                found["since" if end.endswith("from") else "until"] = _moment(value, given.get(f"{end}_1", ""))
            elif name not in ("received_at_from_1", "received_at_to_1"):
                return None
    except (ValueError, KeyError):
        return None
    return (tenant_id, found) if tenant_id or found else None


def _moment(day: str, clock: str) -> datetime:
    at: datetime | None = parse_datetime_str(f"{day} {clock or '00:00:00'}")
    if at is None:
        raise ValueError(day)
    return at.replace(tzinfo=UTC)


def causes_of_death(tenant_id: str, conditions: dict[str, Any]) -> list[dict[str, Any]]:
    """Dead events by cause: how many, the oldest and the newest, the most frequent cause first."""
    dead = matching(tenant_id, {**conditions, "status": DeliveryStatus.DEAD.value})
    numbers = dead.order_by().values_list("last_error_code").annotate(number=Count("pk")).order_by("-number")
    causes = []
    for code, number in numbers[:CAUSES_SHOWN]:
        ordered = dead.filter(last_error_code=code).only("received_at", "last_error", "provider_event_type")
        oldest, newest = ordered.order_by("pk").first(), ordered.order_by("-pk").first()
        causes.append({"code": code, "number": number, "oldest": oldest, "newest": newest})
    return causes


class ReplayMatching:
    """Mixin for the list of events: its causes, and one verb for all that it shows."""

    list_before_template = "admin/console/event_causes.html"

    def get_urls(self) -> list[Any]:
        own: Any = self
        view = own.admin_site.admin_view(self.replay_matching)
        urls: list[Any] = super().get_urls()  # type: ignore[misc]
        return [path("replay-matching/", view, name="events_adapterevent_replay_matching"), *urls]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        own: Any = self
        asked = conditions_of(request)
        context: dict[str, Any] = {}
        if asked is not None and own.has_view_permission(request):
            tenant_id, conditions = asked
            if own.has_act_permission(request) and conditions.get("status") != DeliveryStatus.IGNORED:
                address = reverse("admin:events_adapterevent_replay_matching")
                context["replay_matching"] = f"{address}?{request.GET.urlencode()}"
            if conditions.get("status") == DeliveryStatus.DEAD:
                others = request.GET.copy()
                for name in ("cause", *_PAGING):
                    others.pop(name, None)
                context["others"] = others.urlencode()
                context["causes"] = causes_of_death(tenant_id, conditions)
        answer: HttpResponse = super().changelist_view(request, {**context, **(extra_context or {})})  # type: ignore[misc]
        return answer

    def replay_matching(self, request: HttpRequest) -> HttpResponse:
        """Says how many of which status and cause, and asks; the POST starts the replay."""
        own: Any = self
        if not own.has_act_permission(request):
            raise PermissionDenied
        back = reverse("admin:events_adapterevent_changelist")
        asked = conditions_of(request)
        if asked is None:
            own.message_user(request, "Filter the list first; a search cannot be replayed.", messages.WARNING)
            return HttpResponseRedirect(back)
        tenant_id, conditions = asked
        if request.method == "POST":
            try:
                started = start_replay(tenant_id, conditions, actor=actor_of(request))
            except ServiceError as error:
                own.message_user(request, error.message, messages.ERROR)
                return HttpResponseRedirect(f"{back}?{request.GET.urlencode()}")
            own.log_addition(request, started, "Replay all that match.")
            own.message_user(
                request, f"{started.matched} events: {started.replayed} are due, the rest follow.", messages.SUCCESS
            )
            return HttpResponseRedirect(reverse("admin:events_replay_change", args=[started.pk]))
        found = preview(tenant_id, conditions)
        context = {
            **own.admin_site.each_context(request),
            "opts": own.opts,
            "title": "Replay all that match?",
            "found": found,
            "total": sum(line.number for line in found),
            "tenant_id": tenant_id,
            "conditions": conditions,
            "back": f"{back}?{request.GET.urlencode()}",
        }
        return TemplateResponse(request, "admin/console/replay_matching.html", context)


@admin.register(Replay)
class ReplayAdmin(EvidenceAdmin):
    list_display = ("started", "state", "how_far", "tenant", "actor")
    list_filter = (TenantFilter, MadeWithinFilter)
    fields = ("state", "how_far", "tenant", "filter_json", "actor", "started_exactly", "changed")
    readonly_fields = fields

    @column("started")
    def started(self, asked: Replay) -> str | SafeString:
        return age(asked.created_at)

    @column("started")
    def started_exactly(self, asked: Replay) -> str | SafeString:
        return moment(asked.created_at)

    @column("last batch")
    def changed(self, asked: Replay) -> str | SafeString:
        return moment(asked.updated_at)

    @column("status")
    def state(self, asked: Replay) -> SafeString:
        return label(asked.get_status_display(), "success" if asked.status == ReplayStatus.COMPLETED else "info")

    @column("progress")
    def how_far(self, asked: Replay) -> SafeString:
        over = asked.status == ReplayStatus.COMPLETED
        percent = 100 if over else 100 * asked.replayed // max(1, asked.matched)
        return progress(percent, f"{asked.replayed} of {asked.matched}")

    @column("tenant")
    def tenant(self, asked: Replay) -> str:
        return asked.tenant_id or "all tenants"

    @column("events that meet")
    def filter_json(self, asked: Replay) -> str | SafeString:
        return json_block(asked.conditions)
