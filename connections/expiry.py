"""Credentials that end on a known day: one incident in time, graver shortly before, over once it is replaced.

Access tokens that are refreshed by themselves have no such day.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum

from django.db import transaction
from django.db.models import F, OuterRef, Q, Subquery
from django.utils import timezone

from connections.incidents import Cause, change_incident, raise_incident, resolve_incident
from connections.models import ConnectionStatus, Incident, IncidentSeverity, IncidentStatus, IntegrationConnection

WARN_BEFORE = timedelta(days=14)
ESCALATE_BEFORE = timedelta(days=3)
LOOKED_AT_A_RUN = 500

_ENDED, _ENDS = ": the credential ended on ", ": the credential ends on "
_RESTING = (ConnectionStatus.SUSPENDED, ConnectionStatus.DELETED)
_ADVICE = (
    "Make a new credential at the provider and replace this one (the verb Replace credential, or POST …/rotate). "
    "The new one is tried before the old one goes."
)


class Forecast(StrEnum):
    """How far off the end of a credential is."""

    UNKNOWN = "unknown"
    FAR = "far"
    EXPIRING = "expiring"
    EXPIRED = "expired"


FORECASTS = [(state.value, state.value) for state in Forecast]


def forecast(connection: IntegrationConnection, now: datetime | None = None) -> Forecast:
    """``unknown`` where nobody told, also for credentials that never end."""
    ends, now = connection.credential_expires_at, now or timezone.now()
    if ends is None:
        return Forecast.UNKNOWN
    if ends <= now:
        return Forecast.EXPIRED
    return Forecast.EXPIRING if ends - now <= WARN_BEFORE else Forecast.FAR


def look_at(connection: IntegrationConnection) -> None:
    """Raise, worsen or resolve the connection's incident, after what is known of its credential now."""
    ends, now = connection.credential_expires_at, timezone.now()
    if ends is None or ends - now > WARN_BEFORE:
        resolve_incident(connection, Cause.CREDENTIAL_EXPIRING, reason="The credential does not end soon any more.")
        return
    if connection.status in _RESTING:
        return
    near = ends - now <= ESCALATE_BEFORE
    severity = IncidentSeverity.ERROR if near else IncidentSeverity.WARNING
    name, day = connection.display_name[:150], ends.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    summary = f"{name}{_ENDED if ends <= now else _ENDS}{day}"
    with transaction.atomic():
        IntegrationConnection.objects.select_for_update(no_key=True).only("pk").get(pk=connection.pk)
        known = Incident.objects.filter(
            connection=connection, cause=Cause.CREDENTIAL_EXPIRING, status=IncidentStatus.OPEN
        ).first()
        if known is None:
            raise_incident(connection, Cause.CREDENTIAL_EXPIRING, severity=severity, summary=summary, detail=_ADVICE)
        elif (known.severity, known.summary) != (severity, summary):
            change_incident(connection, Cause.CREDENTIAL_EXPIRING, severity=severity, summary=summary, detail=_ADVICE)


def look_at_all() -> int:
    """Look at a batch of connections whose incident is not what it has to be; returns how many."""
    ends, now = "credential_expires_at__lte", timezone.now()
    told = Incident.objects.filter(
        connection=OuterRef("pk"), cause=Cause.CREDENTIAL_EXPIRING, status=IncidentStatus.OPEN
    )
    soon = Q(**{ends: now + WARN_BEFORE})
    untold = Q(severity=None) | Q(**{ends: now + ESCALATE_BEFORE}, severity=IncidentSeverity.WARNING)
    over = Q(**{ends: now}) & ~Q(summary__contains=_ENDED)
    due = IntegrationConnection.objects.annotate(
        severity=Subquery(told.values("severity")[:1]), summary=Subquery(told.values("summary")[:1])
    ).filter(
        (soon & ~Q(status__in=_RESTING) & (untold | over))
        | (Q(severity__isnull=False) & (Q(credential_expires_at=None) | ~soon))
    )
    rows = list(due.order_by(F("credential_expires_at").asc(nulls_first=True))[:LOOKED_AT_A_RUN])
    for row in rows:
        look_at(row)
    return len(rows)
