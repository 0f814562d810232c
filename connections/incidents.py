"""The port to incidents: trouble that a person should know of, raised once and resolved once.

Raising and resolving write rows inside the caller's transaction and call nobody. The row is the message: where
``ALERTING_SERVICE_URL`` is set, ``connections.incident_outbox`` tells that service what it has not been told yet;
without it the table, the log and the metrics are all there is.

Trouble that comes back within ``REOPENS_WITHIN`` of its end is the same incident, opened again: the same row and the
same alert. Its end is told only after a calm that grows with each time it came back, so trouble that comes and goes
every minute is one alert that stays open.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from connections.metrics import INCIDENTS_RAISED
from connections.models import ConnectionStatus, Incident, IncidentSeverity, IncidentStatus, IntegrationConnection
from connections.outbox import from_now as from_now
from providers.redaction import redact_text

log = structlog.get_logger(__name__)

REOPENS_WITHIN = timedelta(minutes=30)
# Between an incident's end and the word of it; doubled with each time it came back.
CALM = timedelta(minutes=2)
CALM_LIMIT = REOPENS_WITHIN
# After which the word of its end is given up.
TOLD_WITHIN = timedelta(hours=24)
KEPT_DAYS = 90
ROWS_A_BATCH = 500

_MAX_LINE = 300
_MAX_DETAIL = 4000
# Nothing is expected of a connection that rests, so nothing of it is in trouble.
_RESTING = (ConnectionStatus.SUSPENDED, ConnectionStatus.DELETED)


class Cause(StrEnum):
    """Kinds of trouble. Of each a connection has one incident at a time; the road that raises a kind ends it too."""

    PROVIDER_DOWN = "provider_down"
    CREDENTIAL_REFUSED = "credential_refused"
    CONFIGURATION = "configuration"
    REQUEST_REFUSED = "request_refused"
    RATE_LIMITED = "rate_limited"
    BUDGET_SPENT = "budget_spent"
    OWN_FAULT = "own_fault"
    HOOK_OFF = "hook_off"
    EVENTS_LOST = "events_lost"
    BREAKER_OPEN = "breaker_open"
    CREDENTIAL_EXPIRING = "credential_expiring"


def raise_incident(
    connection: IntegrationConnection, cause: Cause, *, severity: IncidentSeverity, summary: str, detail: str = ""
) -> None:
    """Open the connection's incident of this cause; if it is open already, count it.

    ``severity``, ``summary`` and ``detail`` stay those of the moment it opened. The connection's row is locked, so
    whoever locks rows of the connection as well does so afterwards.
    """
    rows = Incident.objects.filter(connection=connection, cause=cause, current=True)
    told = {"severity": severity, "summary": _text(summary, _MAX_LINE), "detail": _text(detail, _MAX_DETAIL)}
    with transaction.atomic():
        IntegrationConnection.objects.select_for_update(no_key=True).only("pk").get(pk=connection.pk)
        # While its end is still to be told, the alert is the same one.
        over = Q(next_attempt_at=None, resolved_at__lt=Now() - REOPENS_WITHIN) | Q(resolved_at__lt=Now() - TOLD_WITHIN)
        rows.filter(over).update(current=False, updated_at=Now())
        new = Incident(
            tenant_id=connection.tenant_id,
            connection=connection,
            cause=cause,
            started_at=Now(),
            last_seen_at=Now(),
            next_attempt_at=Now(),
            **told,
        )
        Incident.objects.bulk_create([new], ignore_conflicts=True)
        row = rows.select_for_update().get()
        values: dict[str, Any] = {
            "occurrences": F("occurrences") + 1,
            "last_seen_at": Now(),
            "updated_at": Now(),
        }
        came_back = row.status == IncidentStatus.RESOLVED
        if came_back:
            values |= told | {
                "status": IncidentStatus.OPEN,
                "resolved_at": None,
                "resolution": "",
                "reopened": F("reopened") + 1,
            }
        # While a message is on its way, its sender looks at the status when it is back.
        if came_back and row.lease_token is None:
            values["next_attempt_at"] = None if row.told == IncidentStatus.OPEN else Now()
        rows.update(**values)
        if came_back or row.pk == new.pk:
            transaction.on_commit(lambda: _tell_opened(connection, cause, told, came_back=came_back))


def resolve_incident(connection: IntegrationConnection, cause: str, *, reason: str = "It works again.") -> bool:
    """End the connection's incident of this cause; returns whether one was open."""
    with transaction.atomic():
        row = (
            Incident.objects.filter(connection=connection, cause=cause, status=IncidentStatus.OPEN)
            .select_for_update()
            .first()
        )
        if row is None:
            return False
        Incident.objects.filter(pk=row.pk).update(
            status=IncidentStatus.RESOLVED,
            resolved_at=Now(),
            resolution=_text(reason, _MAX_LINE),
            next_attempt_at=from_now(calm(row)) if row.offered else None,
            updated_at=Now(),
        )
        transaction.on_commit(lambda: log.info("incident_resolved", reason=reason, **_names(connection, cause)))
    return True


def change_incident(
    connection: IntegrationConnection, cause: Cause, *, severity: IncidentSeverity, summary: str, detail: str = ""
) -> bool:
    """Change what the connection's open incident of this cause says; returns whether one was open.

    The alerting service is told again, under the same id: a message under way loses its lease, so that what it told
    does not pass for what is true now.
    """
    rows = Incident.objects.filter(connection=connection, cause=cause, status=IncidentStatus.OPEN)
    changed = rows.update(
        severity=severity,
        summary=_text(summary, _MAX_LINE),
        detail=_text(detail, _MAX_DETAIL),
        told="",
        lease_token=None,
        next_attempt_at=Now(),
        updated_at=Now(),
    )
    if changed:
        names = _names(connection, cause)
        transaction.on_commit(lambda: log.warning("incident_changed", severity=str(severity), **names))
    return bool(changed)


def resolve_resting() -> int:
    """End incidents of connections that were suspended or deleted; returns how many."""
    left = Incident.objects.filter(status=IncidentStatus.OPEN, connection__status__in=_RESTING)
    done = 0
    for row in left.select_related("connection")[:ROWS_A_BATCH]:
        done += resolve_incident(row.connection, row.cause, reason=f"The connection is {row.connection.status}.")
    return done


def purge_incidents() -> int:
    """Remove a batch of incidents that ended more than ``KEPT_DAYS`` ago and return how many."""
    old = Incident.objects.filter(
        status=IncidentStatus.RESOLVED, resolved_at__lt=Now() - timedelta(days=KEPT_DAYS)
    ).values_list("pk", flat=True)
    return Incident.objects.filter(pk__in=list(old[:ROWS_A_BATCH])).delete()[0]


def calm(row: Incident) -> timedelta:
    """How long the end of an incident is kept back, in case it comes back."""
    return min(CALM * 2.0 ** min(row.reopened, 10), CALM_LIMIT)


def _tell_opened(connection: IntegrationConnection, cause: Cause, told: dict[str, Any], *, came_back: bool) -> None:
    INCIDENTS_RAISED.labels(connection.provider_id, connection.tenant_id, cause).inc()
    log.warning("incident_opened", came_back=came_back, **told, **_names(connection, cause))


def _names(connection: IntegrationConnection, cause: str) -> dict[str, str]:
    return {
        "cause": str(cause),
        "tenant_id": connection.tenant_id,
        "provider_id": connection.provider_id,
        "connection_id": str(connection.pk),
    }


def _text(text: str, limit: int) -> str:
    # NUL is what the database cannot hold.
    return redact_text(text[: 2 * limit].replace("\x00", ""), emails=settings.REDACT_EMAILS)[:limit]
