"""Getting what was missed: asked for again where it can arrive, else fetched out of the provider's ledger.

What is asked for takes the ordinary road: signature, replay protection, the answer after the commit. What is fetched
is proven by where it comes from, and is recorded under the same dedupe keys, so a delivery that comes late all the same
is a repetition. A worker that dies between asking and noting it has asked asks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from django.db.models.functions import Now

from events.gap_models import GapCause
from events.gaps import Found, widen_gap
from providers.errors import (
    AuthFailed,
    Misconfigured,
    OutOfTime,
    ProviderError,
    ProviderFault,
    QuotaSpent,
    RateLimited,
    Rejected,
    Unreachable,
)
from providers.ledgers import DeliveryLedger
from providers.redaction import redact_text
from webhooks.hook_work import HookWork
from webhooks.missed import POLLED_AROUND, Sought, count, here
from webhooks.models import MissedDelivery, WatchedHook
from webhooks.repair_lease import from_now
from webhooks.repair_models import UNSETTLED_MISSED, MissedCause, MissedState
from webhooks.repair_taking import settle_missed, take

log = structlog.get_logger(__name__)

ROWS_A_RUN = 200
# What was asked for comes within seconds, or not at all.
ARRIVES_WITHIN = timedelta(seconds=60)
# The pace is told by the minute; a door that is shut may be open by then.
ASKED_AGAIN_AFTER = timedelta(seconds=60)
# Of one delivery; then its window is polled.
TRIES = 4
# Where it can only be asked for: the window is polled soon enough to be here in a quarter of an hour.
TRIES_OF_ASKING = 2
PAUSE_AFTER_TRY = timedelta(seconds=90)
# These are about all deliveries, not about one.
_OF_ALL = (AuthFailed, RateLimited, QuotaSpent, Unreachable, OutOfTime)


def repair(work: HookWork, watch: WatchedHook) -> bool:
    """Take the next step with what this hook missed; returns whether more is due at once.

    Raises ``ProviderError`` and ``LeaseLost``.
    """
    ledger = work.ledger
    if ledger is None:
        return False
    rows = _settle_arrived(work, watch)
    gap_ids = {row.gap_id for row in rows}
    try:
        return _steps(work, watch, ledger, rows)
    finally:
        count(gap_ids)


def leave_to_polling(work: HookWork, watch: WatchedHook) -> None:
    """The hook is gone, and its ledger with it: what it still owed can only be polled."""
    rows = list(watch.missed.filter(state__in=UNSETTLED_MISSED)[:ROWS_A_RUN])
    for row in rows:
        give_up(work, watch, row, "The hook was removed at the provider, and its ledger with it.")
    count({row.gap_id for row in rows})


def _settle_arrived(work: HookWork, watch: WatchedHook) -> list[MissedDelivery]:
    """What is due; of it, what has come in meanwhile is done."""
    due = watch.missed.filter(state__in=UNSETTLED_MISSED, next_step_at__lte=Now()).order_by("delivered_at")
    rows: list[MissedDelivery] = list(due[:ROWS_A_RUN])
    arrived = here(work, {row.delivery_id: Sought(row.dedupe_keys, row.delivered_at) for row in rows})
    done = [row for row in rows if row.delivery_id in arrived]
    if done:
        with work.holding():
            for row in done:
                settle_missed(work, row, MissedState.ARRIVED)
        count({row.gap_id for row in done})
    return [row for row in rows if row.delivery_id not in arrived]


def _steps(work: HookWork, watch: WatchedHook, ledger: DeliveryLedger, rows: Sequence[MissedDelivery]) -> bool:
    left_to_ask = _left_to_ask(work, ledger) if work.door_is_open else 0
    waiting = []
    for row in rows:
        if work.is_over:
            return True
        try:
            if not _may_be_asked_for(work, ledger, row):
                _fetch(work, watch, ledger, row)
            elif left_to_ask > 0 and _asked(work, watch, ledger, row):
                left_to_ask -= 1
            elif ledger.fetches:
                _fetch(work, watch, ledger, row)
            else:
                waiting.append(row.pk)
        except _OF_ALL:
            raise
        except ProviderError as error:
            _failed(work, watch, row, error, TRIES if ledger.fetches else TRIES_OF_ASKING)
    if waiting:
        with work.holding():
            rows_left = MissedDelivery.objects.filter(pk__in=waiting)
            rows_left.update(next_step_at=from_now(ASKED_AGAIN_AFTER), updated_at=Now())
    return len(rows) == ROWS_A_RUN


def _may_be_asked_for(work: HookWork, ledger: DeliveryLedger, row: MissedDelivery) -> bool:
    """Once, where it can then be fetched; what the provider holds for delivered is better looked at."""
    if not ledger.fetches:
        return row.state == MissedState.MISSING and work.may_ask
    is_new = row.state == MissedState.MISSING and not row.tries and row.cause != MissedCause.NOT_HERE
    return is_new and work.may_ask


def _left_to_ask(work: HookWork, ledger: DeliveryLedger) -> int:
    """How many may still be asked for in this minute; one credential counts for all hooks of the connection."""
    lately = MissedDelivery.objects.filter(connection=work.connection, asked_at__gt=from_now(-timedelta(minutes=1)))
    return ledger.redeliveries_a_minute - lately.count()


def _asked(work: HookWork, watch: WatchedHook, ledger: DeliveryLedger, row: MissedDelivery) -> bool:
    """Have it sent again; ``False`` where the provider does not do that, so that it has to be fetched."""
    try:
        ledger.redeliver(work.client, target=watch.place, hook_id=watch.hook_id, attempt_id=row.attempt_id)
    except (AuthFailed, Rejected, Misconfigured) as error:
        if error.status == 401 or not ledger.fetches:
            raise
        # A credential that may only read is refused every time.
        work.may_ask = not isinstance(error, AuthFailed)
        log.info("repair.redelivery_refused", watch_id=str(watch.pk), error=str(error))
        return False
    with work.holding():
        MissedDelivery.objects.filter(pk=row.pk).update(
            state=MissedState.ASKED, asked_at=Now(), next_step_at=from_now(ARRIVES_WITHIN), updated_at=Now()
        )
    return True


def _fetch(work: HookWork, watch: WatchedHook, ledger: DeliveryLedger, row: MissedDelivery) -> None:
    if not ledger.fetches:
        raise ProviderFault("It was asked for again, but did not come.")
    request = ledger.fetch(work.client, target=watch.place, hook_id=watch.hook_id, attempt_id=row.attempt_id)
    if request is None:
        give_up(work, watch, row, "The ledger no longer has its content.")
    else:
        take(work, row, request)


def _failed(work: HookWork, watch: WatchedHook, row: MissedDelivery, error: ProviderError, tries: int) -> None:
    """One delivery that cannot be had must not keep the others."""
    reason = redact_text(str(error))[:500]
    if error.status in (404, 410) or row.tries + 1 >= tries:
        give_up(work, watch, row, reason)
        return
    with work.holding():
        MissedDelivery.objects.filter(pk=row.pk).update(
            state=MissedState.MISSING,
            tries=row.tries + 1,
            last_error=reason,
            next_step_at=from_now(PAUSE_AFTER_TRY * 2**row.tries),
            updated_at=Now(),
        )


def give_up(work: HookWork, watch: WatchedHook, row: MissedDelivery, reason: str) -> None:
    """It cannot be had; the time around it is polled, where the provider can be."""
    can_be_polled = bool(work.adapter.streams) and work.connection.uses("polling")
    with work.holding() as now:
        if can_be_polled:
            widen_gap(_around(work, watch, row, now))
        settle_missed(work, row, MissedState.POLLED if can_be_polled else MissedState.LOST, reason)


def _around(work: HookWork, watch: WatchedHook, row: MissedDelivery, now: datetime) -> Found:
    # One gap a quarter of an hour, however many deliveries it has.
    quarter = row.delivered_at.replace(minute=row.delivered_at.minute // 15 * 15, second=0, microsecond=0)
    return Found(
        connection=work.connection,
        key=f"not-obtainable:{watch.pk}:{quarter.isoformat()}",
        cause=GapCause.NOT_OBTAINABLE,
        explanation=f"Deliveries to the hook in {watch.place} are in the provider's ledger, but not to be had from it.",
        since=row.delivered_at - POLLED_AROUND,
        until=min(row.delivered_at + POLLED_AROUND, now),
        registration_id=watch.registration_id,
        place=watch.place,
    )
