"""Filling gaps by polling: of each window in which deliveries were missed, a backfill of its own reads exactly that.

A gap that still lasts is filled as it goes on, slice by slice. What cannot be polled is said to be lost, unless the
provider itself goes on trying for longer than the gap was.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import DatabaseError, DataError, InterfaceError
from django.db.models import DateTimeField, ExpressionWrapper, F, QuerySet, Value, Window
from django.db.models.expressions import Combinable
from django.db.models.functions import Now, RowNumber
from django.utils import timezone

from connections.errors import ServiceError
from connections.models import ConnectionStatus
from connections.runtime import adapter_for
from events.gap_metrics import REPAIRED
from events.gap_models import DeliveryGap, GapCause, GapRepair, GapStatus
from events.gaps import settle, unsettled
from polling.backfill import start_backfill
from polling.models import OPEN, Backfill, BackfillPurpose, BackfillStatus
from providers.console.display import span
from providers.registry import UnknownProvider
from providers.spi import Adapter

log = structlog.get_logger(__name__)

ACTOR = "system:gap-repair"
GAPS_A_TICK = 50
# Longer than a step takes; a worker that dies leaves its gaps to the next after so long.
CLAIM = timedelta(minutes=1)
LOOK_AGAIN = timedelta(seconds=20)
# Of a gap that still lasts, so much more is read at a time.
SLICE = timedelta(minutes=5)
# Clocks differ, and what has just happened may be listed a little later.
MARGIN = timedelta(minutes=2)
TRIES = 5
MOST_COUNTED = 1000
PAUSE_AFTER_TRY = timedelta(minutes=1)
# Somebody has to switch polling on, or verify the connection.
WAITS_FOR_A_PERSON = timedelta(minutes=10)
WAITS_AT_MOST = timedelta(days=7)

_SWITCHED_OFF = "The window can be read by polling: switch polling on for this connection, and see that it is active."
_NO_LIST = "This provider has no list to read the window from: what it does not send again by itself is lost."
_BY_ITSELF = "This provider tries again by itself for {}, longer than this lasted. What it sends again is taken."


def fill_gaps(limit: int = GAPS_A_TICK) -> int:
    """Take the next step with gaps that are due, tenants in turn; returns with how many."""
    done = 0
    for gap in _claimed(limit):
        try:
            _step(gap)
        except Exception as error:  # ours or an adapter's: one gap must not keep the others, nor be tried without end
            if isinstance(error, DatabaseError | InterfaceError) and not isinstance(error, DataError):
                raise
            log.exception("gap_not_filled", gap_id=str(gap.pk), provider_id=gap.connection.provider_id)
            _try_again(gap, f"Our own fault ({type(error).__name__}).")
        done += 1
    return done


def _due() -> QuerySet[DeliveryGap]:
    return unsettled().filter(repair__in=(GapRepair.POLL, GapRepair.PROVIDER), next_try_at__lte=Now())


def _claimed(limit: int) -> list[DeliveryGap]:
    turn = Window(RowNumber(), partition_by="tenant_id", order_by="next_try_at")
    keys = list(_due().annotate(turn=turn).order_by("turn", "next_try_at").values_list("pk", flat=True)[:limit])
    # Asked again in the statement that takes it: another worker may have been first.
    taken = [key for key in keys if _due().filter(pk=key).update(next_try_at=_from_now(CLAIM), updated_at=Now())]
    rows = DeliveryGap.objects.filter(pk__in=taken).select_related("connection__provider").annotate(now=Now())
    return sorted(rows, key=lambda gap: keys.index(gap.pk))


def _step(gap: Any) -> None:
    if gap.connection.status == ConnectionStatus.DELETED:
        settle(gap, GapStatus.LOST, last_error="The connection was deleted.")
    elif gap.backfill_id is not None:
        _look(gap, Backfill.objects.filter(pk=gap.backfill_id).first())
    else:
        _begin(gap, gap.now)


def _begin(gap: DeliveryGap, now: datetime) -> None:
    """Have the next slice read, or all of a gap that is over."""
    try:
        adapter = adapter_for(gap.connection)
    except UnknownProvider:
        _wait(gap, "This deployment has no adapter for the provider.")
        return
    if not adapter.streams:
        _without_list(gap, adapter, now)
        return
    since = (gap.filled_to or gap.since) - MARGIN
    until = min((gap.until or now) + MARGIN, now)
    try:
        backfill = start_backfill(gap.connection, since, until, actor=ACTOR, purpose=BackfillPurpose.REPAIR)
    except ServiceError as error:
        _refused(gap, error)
        return
    _write(gap, status=GapStatus.FILLING, backfill_id=backfill.pk, last_error="", next_try_at=_from_now(LOOK_AGAIN))


def _refused(gap: DeliveryGap, error: ServiceError) -> None:
    if error.code == "CONNECTION_NOT_ACTIVE":
        _wait(gap, _SWITCHED_OFF)
    elif error.code == "TOO_MANY_BACKFILLS":
        _write(gap, last_error=error.message, next_try_at=_from_now(PAUSE_AFTER_TRY))
    else:
        # The provider keeps nothing of the window any more, or its settings name nothing to read.
        _try_again(gap, error.message)


def _look(gap: DeliveryGap, backfill: Backfill | None) -> None:
    """How the backfill of the current slice is."""
    if backfill is None or backfill.status in (BackfillStatus.FAILED, BackfillStatus.CANCELLED):
        _try_again(gap, backfill.last_error if backfill is not None else "Its backfill was removed.")
        return
    if backfill.status in OPEN:
        _write(gap, last_error=backfill.last_error[:1000], next_try_at=_from_now(LOOK_AGAIN))
        return
    connection, new = gap.connection, backfill.events_new
    REPAIRED.labels(connection.provider_id, gap.tenant_id, gap.cause, "polled").inc(new)
    filled_to = backfill.until
    values = {
        "missing": F("missing") + new,
        "fetched": F("fetched") + new,
        "looked_at": F("looked_at") + backfill.events_found,
        "filled_to": filled_to,
        "backfill_id": None,
        "attempts": 0,
        "last_error": backfill.notice[:1000],
    }
    if gap.until is not None and filled_to >= gap.until:
        settle(gap, GapStatus.FILLED, **values)
    else:
        _write(gap, **values, next_try_at=_from_now(SLICE if gap.until is None else timedelta()))


def _try_again(gap: DeliveryGap, reason: str) -> None:
    """A few times; as often as it takes while the gap lasts, because what it still will miss is not lost yet."""
    if gap.until is not None and gap.attempts + 1 >= TRIES:
        settle(gap, GapStatus.LOST, backfill_id=None, attempts=gap.attempts + 1, last_error=reason[:1000])
        return
    pause = _from_now(PAUSE_AFTER_TRY * 2 ** min(gap.attempts, TRIES))
    attempts = min(gap.attempts + 1, MOST_COUNTED)
    _write(gap, backfill_id=None, attempts=attempts, last_error=reason[:1000], next_try_at=pause)


def _wait(gap: DeliveryGap, reason: str) -> None:
    """For a person; not for ever, once it is over: from when it could have been filled, or was filled last."""
    waits_since = max(filter(None, (gap.detected_at, gap.until, gap.filled_to)))
    if gap.until is not None and waits_since < timezone.now() - WAITS_AT_MOST:
        settle(gap, GapStatus.LOST, last_error=reason)
    else:
        _write(gap, last_error=reason, next_try_at=_from_now(WAITS_FOR_A_PERSON))


def _without_list(gap: DeliveryGap, adapter: Adapter, now: datetime) -> None:
    """The provider cannot be asked what happened; perhaps it tells it again by itself."""
    tries_for = timedelta(seconds=sum(adapter.manifest.retry_schedule_seconds))
    if gap.cause != GapCause.DOOR_DOWN or (gap.until or now) - gap.since >= tries_for:
        settle(gap, GapStatus.LOST, repair=GapRepair.NONE, last_error=_NO_LIST)
    elif gap.until is None or now < gap.until + tries_for:
        due_at = gap.until + tries_for if gap.until is not None else now + LOOK_AGAIN
        told = _BY_ITSELF.format(span(tries_for))
        _write(gap, repair=GapRepair.PROVIDER, status=GapStatus.FILLING, last_error=told, next_try_at=due_at)
    else:
        settle(gap, GapStatus.FILLED, last_error=_BY_ITSELF.format(span(tries_for)))


def _write(gap: DeliveryGap, **values: Any) -> None:
    # The way in that found it may have ended it meanwhile; one that was widened begins anew, and is due at once.
    unsettled().filter(pk=gap.pk, since=gap.since).update(**values, updated_at=Now())


def _from_now(length: timedelta) -> Combinable:
    return ExpressionWrapper(Now() + Value(length), output_field=DateTimeField())
