"""Telling the alerting service what it does not know yet (``connections.outbox``).

A row is due while what the service was told is not the incident's status. That an incident is open is told until it is
taken, its end for ``TOLD_WITHIN`` at most.
"""

from __future__ import annotations

import uuid

import structlog
from django.db.models import Case, DateTimeField, Value, When
from django.db.models.functions import Now

from connections import outbox
from connections.incident_alerts import AlertingService, alerting
from connections.incidents import TOLD_WITHIN, calm
from connections.models import Incident, IncidentStatus
from connections.outbox import NotTaken, Sent, from_now

log = structlog.get_logger(__name__)

# A provider that fails for thousands of connections makes thousands of incidents; they are told at this pace.
MESSAGES_A_RUN = 100

_NEVER = Value(None, output_field=DateTimeField())


def send_due() -> Sent:
    """Tell what is due, a bounded number and for a bounded time. Without an alerting service nothing is sent."""
    service = alerting()
    if service is None:
        return Sent()
    token = uuid.uuid4()
    return outbox.send_each(
        _claim(token),
        token,
        tell=lambda row: _mark_taken(row, token, _tell(service, row)),
        failed=lambda row, error: _mark_failed(row, token, error),
    )


def _claim(token: uuid.UUID) -> list[Incident]:
    rows = Incident.objects.select_related("connection")
    return outbox.claim(rows, token, limit=MESSAGES_A_RUN, offered=True)


def _tell(service: AlertingService, row: Incident) -> str:
    """The status the row had when it was claimed. Returns the service's id of the alert. Raises ``NotTaken``."""
    if row.status == IncidentStatus.OPEN:
        return service.raise_alert(row)
    service.resolve_alert(row)
    return row.alert_id


def _mark_taken(row: Incident, token: uuid.UUID, alert_id: str) -> int:
    """What it has become meanwhile is due in its turn."""
    return Incident.objects.filter(pk=row.pk, lease_token=token).update(
        told=row.status,
        alert_id=alert_id,
        attempts=0,
        last_send_error="",
        lease_token=None,
        next_attempt_at=Case(
            When(status=row.status, then=_NEVER),
            When(status=IncidentStatus.RESOLVED, then=from_now(calm(row))),
            default=Now(),
        ),
        updated_at=Now(),
    )


def _mark_failed(row: Incident, token: uuid.UUID, error: NotTaken) -> None:
    Incident.objects.filter(pk=row.pk, lease_token=token).update(
        last_send_error=str(error)[:500],
        lease_token=None,
        next_attempt_at=Case(
            When(status=IncidentStatus.RESOLVED, resolved_at__lt=Now() - TOLD_WITHIN, then=_NEVER),
            default=outbox.next_try(row, error),
        ),
        updated_at=Now(),
    )
    log.warning(
        "incident_not_told",
        tenant_id=row.tenant_id,
        incident_id=str(row.pk),
        status=row.status,
        attempts=row.attempts,
        error=str(error),
    )
