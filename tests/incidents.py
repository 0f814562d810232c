"""Incidents for tests, and time that passes over them."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import F

from connections.incidents import Cause, raise_incident
from connections.models import Incident, IncidentSeverity, IntegrationConnection

TIMES = ("started_at", "last_seen_at", "resolved_at", "next_attempt_at")


def trouble(
    connection: IntegrationConnection, cause: Cause = Cause.PROVIDER_DOWN, *, summary: str = "It is down."
) -> None:
    """Raise an incident."""
    raise_incident(connection, cause, severity=IncidentSeverity.ERROR, summary=summary, detail="See its status page.")


def later(length: timedelta) -> None:
    """Time passes: everything that was noted of incidents is so much older."""
    Incident.objects.update(**{name: F(name) - length for name in TIMES})


def only() -> Incident:
    return Incident.objects.get()
