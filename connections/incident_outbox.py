"""Telling the alerting service what it does not know yet: claim, commit, network, commit.

A row is due while what the service was told is not the incident's status. A claim sets a lease with a token, and a
result is written only where the token still stands: a sender that dies, or wakes late, leaves the same alert to be
told again. That an incident is open is told until it is taken, its end for ``TOLD_WITHIN`` at most.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models import Case, DateTimeField, F, Value, When, Window
from django.db.models.functions import Now, RowNumber

from connections.incident_alerts import AlertingFailed, AlertingService, alerting
from connections.incidents import TOLD_WITHIN, calm, from_now
from connections.models import Incident, IncidentStatus

log = structlog.get_logger(__name__)

# A provider that fails for thousands of connections makes thousands of incidents; they are told at this pace.
MESSAGES_A_RUN = 100
RUN_SECONDS = 10.0
LEASE_SECONDS = 60
FIRST_PAUSE_SECONDS = 5.0
PAUSE_LIMIT_SECONDS = 600.0
WISH_LIMIT_SECONDS = 3600.0
# How long the others wait when the service itself is in trouble.
REST_SECONDS = 30.0

_NEVER = Value(None, output_field=DateTimeField())


@dataclass(slots=True)
class Sent:
    """What a run came to. ``put_off``: claimed, and left for another run."""

    claimed: int = 0
    taken: int = 0
    failed: int = 0
    put_off: int = 0


def send_due() -> Sent:
    """Tell what is due, a bounded number and for a bounded time. Without an alerting service nothing is sent."""
    service = alerting()
    if service is None:
        return Sent()
    ends_at = time.monotonic() + RUN_SECONDS
    token = uuid.uuid4()
    rows = _claim(token)
    done = Sent(claimed=len(rows))
    for place, row in enumerate(rows):
        if time.monotonic() >= ends_at:
            done.put_off = _put_off(rows[place:], token, seconds=0.0)
            break
        try:
            alert_id = _tell(service, row)
        except AlertingFailed as error:
            done.failed += 1
            _mark_failed(row, token, error)
            if error.for_all:
                rest = max(REST_SECONDS, min(error.retry_after_seconds, WISH_LIMIT_SECONDS))
                done.put_off = _put_off(rows[place + 1 :], token, seconds=rest)
                break
        else:
            done.taken += _mark_taken(row, token, alert_id)
    return done


def _claim(token: uuid.UUID) -> list[Incident]:
    """Lease what is due, tenants in turn. One sender at a time: a slow service must not take every worker."""
    if Incident.objects.filter(lease_token__isnull=False, next_attempt_at__gt=Now()).exists():
        return []
    due = Incident.objects.filter(next_attempt_at__lte=Now())
    turn = Window(RowNumber(), partition_by=F("tenant_id"), order_by=F("next_attempt_at").asc())
    chosen = due.annotate(turn=turn).order_by("turn", "next_attempt_at").values_list("pk", flat=True)
    keys = list(chosen[:MESSAGES_A_RUN])
    if not keys:
        return []
    with transaction.atomic():
        free = list(due.filter(pk__in=keys).select_for_update(skip_locked=True).values_list("pk", flat=True))
        Incident.objects.filter(pk__in=free).update(
            lease_token=token,
            next_attempt_at=from_now(timedelta(seconds=LEASE_SECONDS)),
            offered=True,
            attempts=F("attempts") + 1,
            updated_at=Now(),
        )
    held = {row.pk: row for row in Incident.objects.filter(lease_token=token).select_related("connection")}
    return [held[key] for key in keys if key in held]


def _tell(service: AlertingService, row: Incident) -> str:
    """The status the row had when it was claimed. Returns the service's id of the alert. Raises ``AlertingFailed``."""
    try:
        if row.status == IncidentStatus.OPEN:
            return service.raise_alert(row)
        service.resolve_alert(row)
    except AlertingFailed:
        raise
    except Exception as error:  # one message must not keep the others
        log.exception("incident_fault", tenant_id=row.tenant_id, incident_id=str(row.pk))
        raise AlertingFailed(f"It could not be told ({type(error).__name__}).", for_all=False) from None
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


def _mark_failed(row: Incident, token: uuid.UUID, error: AlertingFailed) -> None:
    Incident.objects.filter(pk=row.pk, lease_token=token).update(
        last_send_error=str(error)[:500],
        lease_token=None,
        next_attempt_at=Case(
            When(status=IncidentStatus.RESOLVED, resolved_at__lt=Now() - TOLD_WITHIN, then=_NEVER),
            default=from_now(timedelta(seconds=_pause(row.attempts, error.retry_after_seconds))),
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


def _put_off(rows: Sequence[Incident], token: uuid.UUID, *, seconds: float) -> int:
    """Hand back what was not tried."""
    return Incident.objects.filter(pk__in=[row.pk for row in rows], lease_token=token).update(
        lease_token=None,
        next_attempt_at=from_now(timedelta(seconds=seconds)),
        attempts=F("attempts") - 1,
        updated_at=Now(),
    )


def _pause(attempts: int, wish_seconds: float) -> float:
    """Seconds until the next try: doubling with jitter, never before the service asked for."""
    pause = min(PAUSE_LIMIT_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(attempts - 1, 20))
    jittered = pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
    return max(jittered, min(wish_seconds, WISH_LIMIT_SECONDS))
