"""Whose turn it is: due backfills are claimed tenant by tenant, the one served longest ago first, and run one by one.

They are last in line by what they may use, too: their calls are of the lowest class of the provider's quota
(``providers.quotas``), and while live polling waits for the same credential they read one page a run.
"""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime

from django.conf import settings
from django.db.models import Case, F, IntegerField, Max, QuerySet, Value, When, Window
from django.db.models.functions import Now, RowNumber

from polling.backfill_runner import run_once
from polling.lease import from_now, new_token
from polling.models import UNFINISHED, Backfill, BackfillPurpose
from polling.runner import RunResult

RUNS_A_TICK = 5
PAGES_A_RUN = 50
TICK_SECONDS = 8.0

_NEVER = datetime.min.replace(tzinfo=UTC)
_URGENCY = Case(When(purpose=BackfillPurpose.REPAIR, then=Value(0)), default=Value(1), output_field=IntegerField())


def run_due() -> list[RunResult]:
    """One tick: some pages of some backfills, each for its share of the time.

    Workers hold no more than ``BACKFILLS_AT_ONCE`` together, so slow providers' past leaves room for live polling.
    """
    ends_at = time.monotonic() + TICK_SECONDS
    claims = claim_due(min(RUNS_A_TICK, settings.BACKFILLS_AT_ONCE - _held()))
    results = []
    for number, (backfill_id, token) in enumerate(claims):
        left = ends_at - time.monotonic()
        if left <= 0:
            _due_again(backfill_id, token)
            continue
        share = left / (len(claims) - number)
        results.append(run_once(backfill_id, token, pages=PAGES_A_RUN, seconds=share))
    return results


def claim_due(limit: int) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """Take up to ``limit`` due backfills; returns ids and their lease tokens.

    One of each tenant first, repairs before the others; among tenants the one whose backfills were read longest ago.
    """
    if limit <= 0:
        return []
    turn = Window(
        RowNumber(), partition_by="tenant_id", order_by=[_URGENCY, F("last_run_at").asc(nulls_first=True), "pk"]
    )
    due = _due().annotate(turn=turn, urgency=_URGENCY).filter(turn__lte=limit)
    waiting = list(due.values_list("turn", "urgency", "tenant_id", "pk"))
    if not waiting:
        return []
    served = dict(
        Backfill.objects.filter(status__in=UNFINISHED, tenant_id__in={row[2] for row in waiting})
        .values_list("tenant_id")
        .annotate(at=Max("last_run_at"))
    )
    waiting.sort(key=lambda row: (row[0], row[1], served[row[2]] or _NEVER, row[3]))
    claims: list[tuple[uuid.UUID, uuid.UUID]] = []
    for _, _, _, backfill_id in waiting:
        if len(claims) == limit:
            break
        token, ends_at = new_token(), from_now(settings.POLL_LEASE_SECONDS)
        # Asked again in the statement that takes it: another worker may have been first.
        if _due().filter(pk=backfill_id).update(lease_token=token, next_run_at=ends_at, updated_at=Now()):
            claims.append((backfill_id, token))
    return claims


def _held() -> int:
    """How many some worker has now."""
    held = Backfill.objects.filter(status__in=UNFINISHED, next_run_at__gt=Now())
    return held.exclude(lease_token=None).count()


def _due() -> QuerySet[Backfill]:
    return Backfill.objects.filter(status__in=UNFINISHED, next_run_at__lte=Now())


def _due_again(backfill_id: uuid.UUID, token: uuid.UUID) -> None:
    Backfill.objects.filter(pk=backfill_id, lease_token=token).update(
        lease_token=None, next_run_at=Now(), updated_at=Now()
    )
