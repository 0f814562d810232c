"""Deliveries that a provider's ledger shows and that did not come in: told apart, kept, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count, F
from django.db.models.functions import Now

from connections.models import ConnectionHistory
from events.gap_metrics import MISSED
from events.gap_models import GapCause, GapRepair, GapStatus
from events.gaps import Found, note_gap, settle, widen_gap
from events.models import DeliveryGap
from events.received import came_in, came_in_under_another_key
from providers.ledgers import LedgerEntry
from providers.verification import UnsignedScheme
from webhooks.hook_work import HookWork
from webhooks.models import MissedDelivery, QuarantinedDelivery, WatchedHook
from webhooks.repair_models import UNSETTLED_MISSED, MissedCause, MissedState

# Losses no further apart are one window of the report.
ONE_WINDOW = timedelta(minutes=15)
LONGEST_WINDOW = timedelta(hours=24)
# So many are had one by one; what is missing beyond them is polled.
UNSETTLED_A_HOOK = 2000
# Around a delivery that can be had in no other way.
POLLED_AROUND = timedelta(minutes=5)
# A door that was just closed or opened is remembered for seconds, and clocks differ.
CLOCK_SPREAD = timedelta(seconds=60)

# Between the time a provider notes and the one at which its delivery was stored: clocks, and redelivery.
ARRIVES_BEFORE, ARRIVES_AFTER = timedelta(minutes=15), timedelta(hours=1)

_CLOSES = frozenset({"webhook_suspended", "suspended", "waiver_withdrawn"})
_OPENS = frozenset({"webhook_resumed", "resumed", "signatures_waived"})


class Sought(NamedTuple):
    """What a delivery would be known by: the keys of its events, or its own id about the time it was sent."""

    dedupe_keys: Sequence[str]
    delivered_at: datetime


@dataclass(frozen=True, slots=True)
class _Told:
    """All attempts at one delivery that were read together, newest first."""

    attempts: Sequence[LedgerEntry]

    @property
    def newest(self) -> LedgerEntry:
        return self.attempts[0]

    @property
    def sought(self) -> Sought:
        return Sought(self.newest.dedupe_keys, self.newest.delivered_at)

    @property
    def ok(self) -> bool:
        return any(entry.ok for entry in self.attempts)

    @property
    def cause(self) -> MissedCause:
        if self.ok:
            return MissedCause.NOT_HERE
        status = self.newest.status
        if status == 429:
            return MissedCause.PUT_OFF
        if 300 <= status < 500:
            return MissedCause.REFUSED
        return MissedCause.OUR_FAULT if status >= 500 else MissedCause.NOT_REACHED


def compare(
    work: HookWork, watch: WatchedHook, entries: Sequence[LedgerEntry]
) -> list[tuple[MissedDelivery, LedgerEntry]]:
    """Keep what of these did not come in, and return what of it is still to be had. Raises ``LeaseLost``."""
    told = _by_delivery(entries)
    relevant = {key: group for key, group in told.items() if _is_wanted(work, group.newest)}
    known = here(
        work, {key: Sought(group.newest.dedupe_keys, group.newest.delivered_at) for key, group in relevant.items()}
    )
    missing = {
        key: group
        for key, group in relevant.items()
        # Before this hook was looked after, what told nothing new left no trace.
        if key not in known and not (group.ok and group.newest.delivered_at < watch.created_at)
    }
    refused = _on_purpose(work, missing.values())
    missed = {key: group for key, group in missing.items() if key not in refused}
    fresh = [group for group in told.values() if group.newest.delivered_at > watch.read_to and not group.ok]
    irrelevant = sum(group.newest.delivery_id not in relevant for group in fresh)
    deliberate = sum(group.newest.delivery_id in refused for group in fresh)
    with work.holding():
        _keep(work, watch, missed, irrelevant=irrelevant, deliberate=deliberate)
    rows = watch.missed.filter(delivery_id__in=missed, state__in=UNSETTLED_MISSED)
    return [(row, missed[row.delivery_id].newest) for row in rows]


def here(work: HookWork, deliveries: Mapping[str, Sought]) -> set[str]:
    """Which of these deliveries have come in, if only to be kept aside."""
    keys = {key for sought in deliveries.values() for key in sought.dedupe_keys}
    known = came_in(work.connection.pk, keys, deliveries)
    found = {name for name, sought in deliveries.items() if name in known or not known.isdisjoint(sought.dedupe_keys)}
    rest = {name: sought.delivered_at for name, sought in deliveries.items() if name not in found}
    if not rest:
        return found
    # Of some happenings a provider tells in several deliveries, and they share a key made of the happening.
    since, until = min(rest.values()) - ARRIVES_BEFORE, max(rest.values()) + ARRIVES_AFTER
    found |= came_in_under_another_key(work.connection.pk, rest, since, until)
    return found | _quarantined(work, rest.keys() - found)


def count(gap_ids: Collection[Any]) -> None:
    """Bring the figures of these gaps up to date with their deliveries, and settle those that are done."""
    for gap in DeliveryGap.objects.filter(pk__in=gap_ids).select_related("connection"):
        rows = MissedDelivery.objects.filter(gap=gap).order_by()
        states = Counter(dict(rows.values_list("state").annotate(number=Count("pk"))))
        causes = dict(rows.values_list("cause").annotate(number=Count("pk")))
        values: dict[str, Any] = {
            "missing": sum(states.values()),
            "asked": rows.filter(asked_at__isnull=False).count(),
            "arrived": states[MissedState.ARRIVED],
            "fetched": states[MissedState.FETCHED],
            "lost": states[MissedState.LOST],
            "causes": causes,
        }
        if states[MissedState.MISSING] or states[MissedState.ASKED]:
            touched = len(states) > 1 or values["asked"]
            status = GapStatus.FILLING if touched else GapStatus.OPEN
            DeliveryGap.objects.filter(pk=gap.pk).update(**values, status=status, settled_at=None, updated_at=Now())
        else:
            DeliveryGap.objects.filter(pk=gap.pk).update(**values, updated_at=Now())
            settle(gap, GapStatus.LOST if values["lost"] else GapStatus.FILLED)


def _by_delivery(entries: Iterable[LedgerEntry]) -> dict[str, _Told]:
    groups: dict[str, list[LedgerEntry]] = {}
    for entry in entries:
        groups.setdefault(entry.delivery_id, []).append(entry)
    return {key: _Told(group) for key, group in groups.items()}


def _is_wanted(work: HookWork, entry: LedgerEntry) -> bool:
    subscribed = work.registration.events_subscribed
    asked_for = not subscribed or entry.event_type in subscribed or entry.event_type.partition(".")[0] in subscribed
    return entry.matters and asked_for


def _quarantined(work: HookWork, delivery_ids: Collection[str]) -> set[str]:
    """Which of these were kept aside: by the header that names a delivery, which is kept with them."""
    header = work.adapter.manifest.delivery_id_header
    if not delivery_ids or not header:
        return set()
    kept = QuarantinedDelivery.objects.filter(registration=work.registration)
    named = kept.filter(**{f"headers__{header}__in": list(delivery_ids)}).values_list("headers", flat=True)
    return {str(headers[header]) for headers in named}


def _on_purpose(work: HookWork, missing: Iterable[_Told]) -> set[str]:
    """Which of these our door refused because somebody had closed it."""
    refused = [group.newest for group in missing if group.cause == MissedCause.REFUSED]
    if not refused:
        return set()
    spans = _closed(work, until=max(entry.delivered_at for entry in refused))
    return {
        entry.delivery_id
        for entry in refused
        if any(since - CLOCK_SPREAD <= entry.delivered_at <= until + CLOCK_SPREAD for since, until in spans)
    }


def _closed(work: HookWork, *, until: datetime) -> list[tuple[datetime, datetime]]:
    """When the door was closed on purpose, after the history of its connection."""
    entries = ConnectionHistory.objects.filter(
        connection=work.connection, operation__in=_CLOSES | _OPENS, outcome="ok"
    ).order_by("entry_id")
    scheme = work.webhook.schemes.get(work.registration.scheme)
    spans: list[tuple[datetime, datetime]] = []
    closed_at: dict[str, datetime] = {}
    for operation, detail, at in entries.values_list("operation", "detail", "created_at"):
        kind = "webhook" if operation.startswith("webhook") else "waiver" if "waive" in operation else "connection"
        if kind == "webhook" and str(work.registration.pk) not in detail:
            continue
        if kind == "waiver" and not isinstance(scheme, UnsignedScheme):
            continue
        if operation in _CLOSES:
            closed_at.setdefault(kind, at)
        elif kind in closed_at:
            spans.append((closed_at.pop(kind), at))
    return spans + [(at, until) for at in closed_at.values()]


def _keep(work: HookWork, watch: WatchedHook, missed: dict[str, _Told], *, irrelevant: int, deliberate: int) -> None:
    known = set(watch.missed.filter(delivery_id__in=missed).values_list("delivery_id", flat=True))
    new = {key: group for key, group in missed.items() if key not in known}
    room = max(UNSETTLED_A_HOOK - watch.missed.filter(state__in=UNSETTLED_MISSED).count(), 0)
    too_many = [new.pop(key).newest.delivered_at for key in list(new)[room:]]
    if too_many:
        widen_gap(_polled(work, watch, too_many))
    if not new:
        return
    gap = _window(work, watch, [group.newest.delivered_at for group in new.values()])
    rows = [
        MissedDelivery(
            tenant_id=work.connection.tenant_id,
            connection=work.connection,
            watch=watch,
            gap=gap,
            delivery_id=key,
            attempt_id=group.newest.attempt_id,
            event_type=group.newest.event_type[:120],
            dedupe_keys=list(group.newest.dedupe_keys),
            delivered_at=group.newest.delivered_at,
            status_code=group.newest.status,
            cause=group.cause,
        )
        for key, group in new.items()
    ]
    MissedDelivery.objects.bulk_create(rows, ignore_conflicts=True)
    DeliveryGap.objects.filter(pk=gap.pk).update(
        irrelevant=F("irrelevant") + irrelevant, deliberate=F("deliberate") + deliberate
    )
    count([gap.pk])
    for row in rows:
        MISSED.labels(work.connection.provider_id, work.connection.tenant_id, row.cause).inc()


def _polled(work: HookWork, watch: WatchedHook, times: Sequence[datetime]) -> Found:
    """The day of these, from the first to the last that is too many."""
    since, until = min(times), max(times)
    return Found(
        connection=work.connection,
        key=f"too-many:{watch.pk}:{since.date().isoformat()}",
        cause=GapCause.NOT_OBTAINABLE,
        explanation=f"So many deliveries to the hook in {watch.place} did not come in that the window is polled.",
        since=since - POLLED_AROUND,
        until=until + POLLED_AROUND,
        registration_id=watch.registration_id,
        place=watch.place,
    )


def _window(work: HookWork, watch: WatchedHook, times: Sequence[datetime]) -> DeliveryGap:
    """The gap these belong to: the last one of this hook where they follow closely, or a new one."""
    since, until = min(times), max(times)
    found = Found(
        connection=work.connection,
        key=f"ledger:{watch.pk}:{since.isoformat()}",
        cause=GapCause.DELIVERIES_FAILED,
        explanation=f"Deliveries to the hook in {watch.place} did not come in.",
        since=since,
        until=until,
        repair=GapRepair.LEDGER,
        registration_id=watch.registration_id,
        place=watch.place,
    )
    mine = DeliveryGap.objects.filter(connection=work.connection, key__startswith=f"ledger:{watch.pk}:")
    near = mine.filter(since__lte=until + ONE_WINDOW, until__gte=since - ONE_WINDOW, since__gte=until - LONGEST_WINDOW)
    last = near.order_by("-gap_id").first()
    return widen_gap(replace(found, key=last.key)) if last is not None else note_gap(found)
