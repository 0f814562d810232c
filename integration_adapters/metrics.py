"""What Prometheus reads: counters of the parts, and what only the database knows, asked at scrape time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime

from django.conf import settings
from django.db.models import Count, Min, Sum
from django.utils import timezone
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import REGISTRY, GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from actions.models import ActionStatus, NormalisedAction
from connections.breaker_models import BreakerState, ConnectionBreaker
from connections.models import Incident, IncidentStatus, IntegrationConnection, Receipt, ReceiptStatus
from events.conservation import oldest_check, unaccounted_by_provider
from events.gaps import unsettled
from events.models import UNDELIVERED, AdapterEvent, DeliveryGap
from providers.models import IntegrationProvider
from webhooks.lookup import OPEN_REGISTRATIONS
from webhooks.models import WatchedHook

REQUEST_SECONDS = Histogram(
    "http_request_duration_seconds",
    "Time to answer, by route; its count is the number of requests.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)

# Figures of a gap.
_OUTCOMES = ("missing", "arrived", "fetched", "lost")


class StateCollector:
    """Gauges computed from rows: true in every process, whoever changed them."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        backlog = GaugeMetricFamily(
            "integration_delivery_backlog", "Events waiting to be delivered.", labels=["provider", "status"]
        )
        lag = GaugeMetricFamily(
            "integration_delivery_lag_seconds", "Age of the oldest event waiting to be delivered.", labels=["provider"]
        )
        waiting = AdapterEvent.objects.filter(delivery_status__in=UNDELIVERED).order_by()
        oldest: dict[str, float] = {}
        now = timezone.now()
        for provider_id, status, count, since in waiting.values_list("provider_id", "delivery_status").annotate(
            Count("event_id"), Min("received_at")
        ):
            backlog.add_metric([provider_id, status], count)
            oldest[provider_id] = max(oldest.get(provider_id, 0.0), (now - since).total_seconds())
        for provider_id, age in oldest.items():
            lag.add_metric([provider_id], age)
        connections = GaugeMetricFamily(
            "integration_connections", "Connections by status.", labels=["provider", "status"]
        )
        rows = IntegrationConnection.objects.present().order_by().values_list("provider_id", "status")
        for provider_id, status, count in rows.annotate(Count("connection_id")):
            connections.add_metric([provider_id, status], count)
        yield from (
            backlog,
            lag,
            connections,
            *_incidents(),
            *_receipts(now),
            _breakers(),
            *_actions(now),
            *_gaps(now),
            *_conservation(now),
        )


def _incidents() -> Iterator[GaugeMetricFamily]:
    found = GaugeMetricFamily("integration_incidents_open", "Incidents that are open.", labels=["provider", "cause"])
    rows = (
        Incident.objects.filter(status=IncidentStatus.OPEN).order_by().values_list("connection__provider_id", "cause")
    )
    for provider_id, cause, number in rows.annotate(Count("incident_id")):
        found.add_metric([provider_id, cause], number)
    yield found
    untold = Incident.objects.filter(next_attempt_at__isnull=False).exclude(last_send_error="")
    yield GaugeMetricFamily(
        "integration_incidents_untold",
        "Incidents of which the alerting service does not know what it should, after a message that was not taken.",
        value=untold.count(),
    )


def _receipts(now: datetime) -> Iterator[GaugeMetricFamily]:
    """How far the evidence service is behind; without one nothing is owed to it."""
    if not settings.ERIS_SERVICE_URL:
        return
    waiting = Receipt.objects.filter(next_attempt_at__isnull=False).order_by()
    backlog, since = waiting.aggregate(number=Count("pk"), since=Min("created_at")).values()
    yield GaugeMetricFamily(
        "integration_receipts_backlog", "Receipts the evidence service does not have yet.", value=backlog
    )
    yield GaugeMetricFamily(
        "integration_receipts_oldest_seconds",
        "Age of the oldest of them.",
        value=(now - since).total_seconds() if since else 0.0,
    )
    yield GaugeMetricFamily(
        "integration_receipts_refused",
        "Receipts it will never take as they are.",
        value=Receipt.objects.filter(status=ReceiptStatus.REFUSED).count(),
    )


def _breakers() -> GaugeMetricFamily:
    found = GaugeMetricFamily(
        "integration_breakers",
        "Circuit breakers that are not closed, and those a person holds open or closed.",
        labels=["provider", "state", "held"],
    )
    rows = ConnectionBreaker.objects.exclude(state=BreakerState.CLOSED, held="").order_by()
    for provider_id, state, held, number in rows.values_list("connection__provider_id", "state", "held").annotate(
        Count("connection")
    ):
        found.add_metric([provider_id, held or state, "yes" if held else "no"], number)
    return found


def _actions(now: datetime) -> Iterator[GaugeMetricFamily]:
    """What waits to go out, and what waits for a person."""
    waiting = GaugeMetricFamily("integration_actions_waiting", "Actions that are not over.", labels=["provider"])
    oldest = GaugeMetricFamily(
        "integration_actions_overdue_seconds", "How long the most overdue of them has been due.", labels=["provider"]
    )
    rows = NormalisedAction.objects.filter(next_attempt_at__isnull=False).order_by().values_list("provider_id")
    for provider_id, number, due in rows.annotate(Count("pk"), Min("next_attempt_at")):
        waiting.add_metric([provider_id], number)
        oldest.add_metric([provider_id], max((now - due).total_seconds(), 0.0))
    review = GaugeMetricFamily(
        "integration_actions_to_review", "Actions a person must decide over.", labels=["provider"]
    )
    doubtful = NormalisedAction.objects.filter(status=ActionStatus.NEEDS_REVIEW).order_by().values_list("provider_id")
    for provider_id, number in doubtful.annotate(Count("pk")):
        review.add_metric([provider_id], number)
    yield from (waiting, oldest, review)


def _gaps(now: datetime) -> Iterator[GaugeMetricFamily]:
    """Windows in which deliveries were missed, what became of these, and how hooks stand at their providers."""
    number = GaugeMetricFamily(
        "integration_gaps_kept", "Windows in which deliveries were missed.", labels=["provider", "cause", "status"]
    )
    oldest = GaugeMetricFamily(
        "integration_gap_oldest_seconds", "Time since the oldest one to fill was noticed.", labels=["provider", "cause"]
    )
    gaps = DeliveryGap.objects.order_by()
    states = gaps.values_list("connection__provider_id", "cause", "status")
    for provider_id, cause, status, count in states.annotate(Count("gap_id")):
        number.add_metric([provider_id, cause, status], count)
    rows = unsettled().order_by().values_list("connection__provider_id", "cause")
    for provider_id, cause, since in rows.annotate(Min("detected_at")):
        oldest.add_metric([provider_id, cause], (now - since).total_seconds())
    deliveries = GaugeMetricFamily(
        "integration_gap_deliveries",
        "Deliveries in the gaps that are kept: missing in all, and of those arrived, fetched and lost.",
        labels=["provider", "cause", "outcome"],
    )
    known = gaps.exclude(missing=0).values_list("connection__provider_id", "cause")
    for provider_id, cause, *sums in known.annotate(*(Sum(outcome) for outcome in _OUTCOMES)):
        for outcome, total in zip(_OUTCOMES, sums, strict=True):
            deliveries.add_metric([provider_id, cause, outcome], total)
    hooks = GaugeMetricFamily(
        "integration_hooks", "Hooks made at providers, by how they stand there.", labels=["provider", "standing"]
    )
    watched = WatchedHook.objects.filter(registration__status__in=OPEN_REGISTRATIONS).order_by()
    standings = watched.values_list("connection__provider_id", "standing")
    for provider_id, standing, count in standings.annotate(Count("watch_id")):
        hooks.add_metric([provider_id, standing], count)
    yield from (number, oldest, deliveries, hooks)


def _conservation(now: datetime) -> Iterator[GaugeMetricFamily]:
    """What the last checks of the ledgers found: a few rows, however many events there are."""
    unaccounted = GaugeMetricFamily(
        "integration_unaccounted_events",
        "Events that came in and are nowhere, or are there and never came in; 0, or something is wrong.",
        labels=["provider"],
    )
    found = unaccounted_by_provider()
    for provider_id in IntegrationProvider.objects.filter(registered=True).values_list("pk", flat=True):
        unaccounted.add_metric([provider_id], found.pop(provider_id, 0))
    for provider_id, number in found.items():
        unaccounted.add_metric([provider_id], number)
    yield unaccounted
    if (checked_at := oldest_check()) is not None:
        yield GaugeMetricFamily(
            "integration_ledger_check_age_seconds",
            "Time since the ledger was added up of the connection whose turn is next.",
            value=(now - checked_at).total_seconds(),
        )


def exposition() -> bytes:
    """All metrics in Prometheus text format.

    With ``PROMETHEUS_MULTIPROC_DIR`` set, counters of all processes that share the directory are added up.
    """
    counters = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        counters = CollectorRegistry()
        MultiProcessCollector(counters)  # type: ignore[no-untyped-call]
    state = CollectorRegistry(auto_describe=False)
    state.register(StateCollector())
    return generate_latest(counters) + generate_latest(state)
