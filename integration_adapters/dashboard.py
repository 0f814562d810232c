"""Figures of the admin's first page: what came in, what waits, what is broken."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Min, QuerySet
from django.db.models.functions import TruncHour
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from actions.models import ActionStatus, NormalisedAction
from connections.models import ConnectionStatus, Incident, IncidentStatus, IntegrationConnection
from events.conservation import conservation
from events.ledger_display import ledger_line
from events.models import UNDELIVERED, AdapterEvent, DeliveryStatus, LedgerCheck
from polling.models import PollingCursor
from providers.console.display import span
from providers.console.filters import first_key_at

HOURS = 24
LISTED = 6
# What can be counted without anybody waiting; more is shown as "999+".
COUNTED = 999

_CHART_HEIGHT = 120
_COLUMN = 30
_BAR = 22
# Bottom to top in a column.
_STACK = (
    DeliveryStatus.DELIVERED,
    DeliveryStatus.IGNORED,
    DeliveryStatus.PENDING,
    DeliveryStatus.FAILED,
    DeliveryStatus.DEAD,
)


def add_figures(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Each part is computed for those who may see what it counts."""
    now = timezone.now()
    if request.user.has_perm("events.view_adapterevent"):
        context["chart"] = _chart(now)
        context["backlog"] = _backlog(now)
        context["dead_events"] = _dead_events()
        context["conservation"] = _conservation()
        context["give_up_hours"] = settings.DELIVERY_GIVE_UP_HOURS
    if request.user.has_perm("connections.view_integrationconnection"):
        context["broken"] = _few(
            IntegrationConnection.objects.filter(status=ConnectionStatus.ERROR).select_related("provider")
        )
    if request.user.has_perm("connections.view_incident"):
        context["incidents"] = _few(Incident.objects.filter(status=IncidentStatus.OPEN).select_related("connection"))
    if request.user.has_perm("polling.view_pollingcursor"):
        context["failing"] = _few(
            PollingCursor.objects.filter(active=True, consecutive_failures__gt=0).select_related("connection")
        )
    if request.user.has_perm("actions.view_normalisedaction"):
        doubtful = NormalisedAction.objects.filter(status=ActionStatus.NEEDS_REVIEW)
        context["to_review"] = _few(doubtful.select_related("connection"))
    return context


def _few(rows: QuerySet[Any]) -> dict[str, Any]:
    """The newest few, and how many there are up to what is cheap to count."""
    number = rows.order_by()[: COUNTED + 1].count()
    return {"rows": rows.order_by("-pk")[:LISTED], "number": f"{COUNTED}+" if number > COUNTED else number}


def _dead_events() -> QuerySet[AdapterEvent]:
    dead: QuerySet[AdapterEvent] = AdapterEvent.objects.filter(delivery_status=DeliveryStatus.DEAD)
    return dead.select_related("connection").defer("payload", "envelope").order_by("-pk")[:LISTED]


def _backlog(now: datetime) -> dict[str, Any]:
    """Events that wait for delivery, and how long the oldest has waited."""
    found = AdapterEvent.objects.filter(delivery_status__in=UNDELIVERED).aggregate(
        number=Count("pk"), oldest=Min("received_at")
    )
    return {"number": found["number"], "age": span(now - found["oldest"]) if found["oldest"] else None}


def _conservation() -> dict[str, Any]:
    """Where everything went that was ever received, as of the last checks, and the ledgers that do not add up."""
    found = conservation()
    if found is None:
        return {"known": False}
    broken = LedgerCheck.objects.exclude(unaccounted=0).select_related("connection").order_by("-checked_at")
    return {
        "known": True,
        "line": ledger_line(found.total),
        "broken": found.broken,
        "rows": broken[:LISTED] if found.broken else (),
        "since": found.since,
    }


def _chart(now: datetime) -> dict[str, Any]:
    """Stacked columns, one an hour, as coordinates for an SVG."""
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    hours = [first + timedelta(hours=n) for n in range(HOURS)]
    counts: dict[datetime, dict[str, int]] = {hour: {} for hour in hours}
    totals = dict.fromkeys(_STACK, 0)
    rows = (
        AdapterEvent.objects.filter(pk__gte=first_key_at(first))
        .order_by()
        .values_list(TruncHour("received_at"), "delivery_status")
        .annotate(Count("pk"))
    )
    for hour, status, number in rows:
        if hour in counts:
            counts[hour][status] = number
            totals[DeliveryStatus(status)] += number
    tallest = max((sum(column.values()) for column in counts.values()), default=0)
    return {
        "width": HOURS * _COLUMN,
        "height": _CHART_HEIGHT,
        "columns": [_column(n, hour, counts[hour], tallest) for n, hour in enumerate(hours)],
        "legend": [
            {"status": status.value, "label": str(status.label).split(",")[0], "number": totals[status]}
            for status in _STACK
        ],
        "total": sum(totals.values()),
        "tallest": tallest,
        "link": reverse("admin:events_adapterevent_changelist"),
    }


def _column(place: int, hour: datetime, counts: dict[str, int], tallest: int) -> dict[str, Any]:
    bars, top = [], float(_CHART_HEIGHT)
    for status in _STACK:
        number = counts.get(status, 0)
        if not number:
            continue
        # One dead event among ten thousand must still be seen.
        height = max(2.0, _CHART_HEIGHT * number / tallest)
        top = max(0.0, top - height)
        bars.append({"status": status.value, "y": f"{top:.1f}", "height": f"{height:.1f}"})
    return {
        "x": place * _COLUMN + (_COLUMN - _BAR) // 2,
        "middle": place * _COLUMN + _COLUMN // 2,
        "width": _BAR,
        "hour": f"{hour:%H}",
        "label": place % 3 == 0,
        "said": f"{hour:%H:%M}: " + (", ".join(f"{n} {s}" for s, n in counts.items()) or "no events"),
        "bars": bars,
    }
