"""Ending what is owed by hooks nobody looks after any more: their door was closed, or their place is not wanted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from connections.models import ConnectionStatus
from events.gap_metrics import LOST
from events.gap_models import GapCause
from events.gaps import Found, end_gaps, widen_gap
from events.models import DeliveryGap
from providers import registry
from providers.registry import UnknownProvider
from providers.spi import Adapter
from webhooks.hook_work import wanted_hooks
from webhooks.lookup import OPEN_REGISTRATIONS
from webhooks.missed import POLLED_AROUND, count
from webhooks.models import MissedDelivery, RegistrationStatus, WatchedHook
from webhooks.repair_models import UNSETTLED_MISSED, MissedState, Standing

ROWS_A_HOOK = 1000
LOOKED_AFTER_WITHIN = timedelta(hours=1)
_CLOSED = "Its door was closed, or its place is no longer in the settings; the ledger of its hook is not read any more."


def close_repairs() -> int:
    """End gaps that would last for ever and settle what is still missed; returns how many of both.

    A suspended door may be opened again, so what it missed waits for as long as its ledger has it.
    """
    return sum(_close(watch) for watch in _owing() if not _is_looked_after(watch))


def _owing() -> list[WatchedHook]:
    lasting = DeliveryGap.objects.filter(until=None).exclude(registration_id=None)
    unsettled = MissedDelivery.objects.filter(state__in=UNSETTLED_MISSED)
    owing = Q(registration__in=lasting.values("registration_id")) | Q(pk__in=unsettled.values("watch"))
    # Those that are looked after were so lately.
    left = ~Q(registration__status__in=OPEN_REGISTRATIONS) | Q(checked_at__lt=Now() - LOOKED_AFTER_WITHIN)
    return list(WatchedHook.objects.filter(owing, left).select_related("registration", "connection"))


def _is_looked_after(watch: WatchedHook) -> bool:
    door = watch.registration
    return door.status in OPEN_REGISTRATIONS and watch.place in wanted_hooks(door, watch.connection)


def _close(watch: WatchedHook) -> int:
    now, adapter = timezone.now(), _adapter(watch)
    with transaction.atomic():
        ended = end_gaps(_lasting(watch), now)
        if ended:
            # If it is looked after again and still off, that is another gap.
            WatchedHook.objects.filter(pk=watch.pk).update(
                standing=Standing.UNKNOWN, standing_since=now, enabled_seen_at=now, updated_at=Now()
            )
        rows = list(_given_up(watch, adapter, now)[:ROWS_A_HOOK])
        if rows:
            _settle(watch, adapter, rows, now)
    return ended + len(rows)


def _lasting(watch: WatchedHook) -> QuerySet[DeliveryGap]:
    gaps: QuerySet[DeliveryGap] = DeliveryGap.objects.filter(connection=watch.connection_id, until=None)
    return gaps.filter(key__startswith=f"hook:{watch.pk}:")


def _given_up(watch: WatchedHook, adapter: Adapter | None, now: datetime) -> QuerySet[MissedDelivery]:
    rows: QuerySet[MissedDelivery] = watch.missed.filter(state__in=UNSETTLED_MISSED).order_by("delivered_at")
    ledger = adapter.webhook.ledger if adapter is not None and adapter.webhook is not None else None
    if watch.registration.status == RegistrationStatus.SUSPENDED and ledger is not None:
        rows = rows.filter(delivered_at__lt=now - ledger.retention)
    return rows


def _settle(watch: WatchedHook, adapter: Adapter | None, rows: Sequence[MissedDelivery], now: datetime) -> None:
    connection = watch.connection
    can_be_polled = (
        adapter is not None
        and bool(adapter.streams)
        and connection.status != ConnectionStatus.DELETED
        and connection.uses("polling")
    )
    if can_be_polled:
        since, until = rows[0].delivered_at - POLLED_AROUND, rows[-1].delivered_at + POLLED_AROUND
        widen_gap(_window(watch, since, min(until, now)))
    state = MissedState.POLLED if can_be_polled else MissedState.LOST
    MissedDelivery.objects.filter(pk__in=[row.pk for row in rows]).update(
        state=state, last_error=_CLOSED, settled_at=Now(), updated_at=Now()
    )
    if state == MissedState.LOST:
        for row in rows:
            LOST.labels(connection.provider_id, row.tenant_id, row.cause).inc()
    count({row.gap_id for row in rows})


def _window(watch: WatchedHook, since: datetime, until: datetime) -> Found:
    return Found(
        connection=watch.connection,
        key=f"closed:{watch.pk}",
        cause=GapCause.NOT_OBTAINABLE,
        explanation=f"The hook in {watch.place} is not looked after any more, and deliveries to it had been missed.",
        since=min(since, until - timedelta(minutes=1)),
        until=until,
        registration_id=watch.registration_id,
        place=watch.place,
    )


def _adapter(watch: WatchedHook) -> Adapter | None:
    try:
        return registry.get(watch.registration.provider_id)
    except UnknownProvider:
        return None
