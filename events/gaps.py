"""Gaps: noticed by the ways in, filled from a provider's ledger or by polling, told to people.

A gap is found by a key, so finding it again changes nothing. Nobody here asks a provider.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from connections.incidents import Cause, raise_incident, resolve_incident
from connections.models import ConnectionStatus, Incident, IncidentSeverity, IncidentStatus, IntegrationConnection
from events.gap_metrics import GAPS
from events.gap_models import UNSETTLED, DeliveryGap, GapCause, GapRepair, GapStatus
from providers.redaction import redact_text

PURGED_A_BATCH = 1000
LOSS_IS_NEWS_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A gap as it is noticed."""

    connection: IntegrationConnection
    key: str
    cause: GapCause
    explanation: str
    since: datetime
    until: datetime | None = None
    repair: GapRepair = GapRepair.POLL
    registration_id: uuid.UUID | None = None
    place: str = ""


def note_gaps(found: Sequence[Found]) -> int:
    """Keep what is new of these and return how many; those with a known key are left as they are."""
    rows = [
        DeliveryGap(
            tenant_id=gap.connection.tenant_id,
            connection=gap.connection,
            key=gap.key,
            registration_id=gap.registration_id,
            place=gap.place[:500],
            cause=gap.cause,
            explanation=redact_text(gap.explanation)[:500],
            since=gap.since,
            until=gap.until,
            repair=gap.repair,
        )
        for gap in found
    ]
    known = set(
        DeliveryGap.objects.filter(
            connection__in=[row.connection_id for row in rows], key__in={row.key for row in rows}
        ).values_list("connection_id", "key")
    )
    new = [row for row in rows if (row.connection_id, row.key) not in known]
    DeliveryGap.objects.bulk_create(new, ignore_conflicts=True)
    for row in new:
        _count(row, "noticed")
    return len(new)


def note_gap(found: Found) -> DeliveryGap:
    """The gap of this key, made if it was not known."""
    note_gaps([found])
    gap: DeliveryGap = DeliveryGap.objects.get(connection=found.connection, key=found.key)
    return gap


def widen_gap(found: Found) -> DeliveryGap:
    """The gap of this key, reaching at least from ``since`` to ``until``; what was settled and grew is open again."""
    with transaction.atomic():
        gap: DeliveryGap = DeliveryGap.objects.select_for_update().get(pk=note_gap(found).pk)
        grows_back = found.since < gap.since
        grows_on = gap.until is not None and (found.until is None or found.until > gap.until)
        if grows_back or grows_on:
            gap.since, gap.until = min(gap.since, found.since), found.until if grows_on else gap.until
            if grows_back:
                gap.filled_to = gap.backfill_id = None
            gap.explanation = redact_text(found.explanation)[:500]
            gap.status = GapStatus.FILLING if gap.status == GapStatus.FILLING else GapStatus.OPEN
            gap.settled_at, gap.attempts = None, 0
            gap.next_try_at = Now()
            gap.save()
            gap.refresh_from_db(fields=["next_try_at"])
    return gap


def end_gaps(gaps: QuerySet[DeliveryGap], until: datetime) -> int:
    """The windows of these end then, as far as they had no end yet; returns how many."""
    return gaps.filter(until=None).update(until=until, attempts=0, next_try_at=Now(), updated_at=Now())


def settle(gap: DeliveryGap, status: GapStatus, **values: Any) -> None:
    """It is filled, or given up; not where its window has changed since it was read."""
    ended = DeliveryGap.objects.filter(pk=gap.pk, since=gap.since, until=gap.until).exclude(status=status)
    if ended.update(**values, status=status, settled_at=Now(), updated_at=Now()):
        _count(gap, status)
        # Of a connection that was deleted nobody misses anything.
        if status == GapStatus.LOST and gap.connection.status != ConnectionStatus.DELETED:
            summary = f"Deliveries of {gap.connection.display_name} were lost"
            detail = f"{gap}. {gap.explanation} {values.get('last_error', gap.last_error)}".strip()
            severity = IncidentSeverity.ERROR
            raise_incident(gap.connection, Cause.EVENTS_LOST, severity=severity, summary=summary, detail=detail)


def forget_losses() -> int:
    """End incidents of losses that nothing was added to for a day, and return how many: they cannot be mended."""
    old = Incident.objects.filter(
        cause=Cause.EVENTS_LOST, status=IncidentStatus.OPEN, last_seen_at__lt=Now() - LOSS_IS_NEWS_FOR
    )
    rows = list(old.select_related("connection")[:PURGED_A_BATCH])
    return sum(
        resolve_incident(row.connection, row.cause, reason="Nothing more was lost for a day; see the gaps.")
        for row in rows
    )


def unsettled() -> QuerySet[DeliveryGap]:
    """Gaps that are still to be filled."""
    return DeliveryGap.objects.filter(status__in=UNSETTLED)


def purge_gaps() -> int:
    """Remove up to 1000 gaps that were settled as long ago as events are kept, and return how many."""
    retention = timedelta(days=settings.EVENT_RETENTION_DAYS)
    old = DeliveryGap.objects.exclude(status__in=UNSETTLED).filter(settled_at__lt=Now() - retention)
    keys = list(old.order_by("pk").values_list("pk", flat=True)[:PURGED_A_BATCH])
    removed, _ = DeliveryGap.objects.filter(pk__in=keys).delete()
    return removed


def _count(gap: DeliveryGap, outcome: str) -> None:
    GAPS.labels(gap.connection.provider_id, gap.tenant_id, gap.cause, outcome).inc()
