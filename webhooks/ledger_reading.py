"""Reading a provider's ledger of deliveries, newest first, down to where the last reading began, and comparing it.

A reading that does not get through in one run goes on in the next; only at its end the watermark moves, to the newest
entry it saw, by the provider's clock. Each reads a little behind the watermark, because entries may appear late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.utils import timezone

from events.gap_models import GapCause
from events.gaps import Found, note_gaps
from providers.canonical import JSON
from providers.document import moment_of
from providers.errors import ProviderFault, Rejected
from providers.ledgers import DeliveryLedger, LedgerEntry, LedgerPage
from webhooks.hook_work import HookWork
from webhooks.ledger_pauses import Pauses
from webhooks.missed import compare, count
from webhooks.models import MissedDelivery, WatchedHook
from webhooks.repair_taking import take

log = structlog.get_logger(__name__)

PAGES_A_RUN = 10
# A ledger that has no end is not read for ever.
PAGES_A_READING = 1000
# A provider's clock may be a little ahead of ours.
CLOCK_SKEW = timedelta(minutes=5)


@dataclass(slots=True)
class _Reading:
    """One walk down the ledger: where it is, and what it has seen."""

    began_at: datetime
    since: datetime
    position: JSON
    newest: datetime | None = None
    pages: int = 0
    pauses: Pauses = field(default_factory=Pauses)

    @classmethod
    def of(cls, kept: dict[str, Any]) -> _Reading | None:
        began_at, since = moment_of(kept.get("began_at")), moment_of(kept.get("since"))
        if began_at is None or since is None:
            return None
        newest, pauses = moment_of(kept.get("newest")), Pauses.of(kept.get("pauses", {}))
        return cls(began_at, since, kept["position"], newest, kept["pages"], pauses)

    def kept(self) -> dict[str, Any]:
        return {
            "began_at": self.began_at.isoformat(),
            "since": self.since.isoformat(),
            "position": self.position,
            "newest": self.newest.isoformat() if self.newest else None,
            "pages": self.pages,
            "pauses": self.pauses.kept(),
        }


def read_ledger(work: HookWork, watch: WatchedHook) -> bool:
    """Go on comparing, a few pages; returns whether the reading came to its end.

    Raises ``ProviderError`` and ``LeaseLost``.
    """
    ledger = work.ledger
    if ledger is None:
        return True
    reading = _Reading.of(watch.walk) or _begin(work, watch, ledger)
    for _ in range(PAGES_A_RUN):
        page = _page(work, watch, ledger, reading)
        if page.more and (page.position == reading.position or reading.pages >= PAGES_A_READING):
            _write(work, watch, {"walk": {}})
            raise ProviderFault("The provider's ledger of deliveries does not end; its reading begins anew.")
        # A time in the future is as good as now; reckoning with it must not end beyond the calendar.
        latest = timezone.now() + CLOCK_SKEW
        told = (replace(entry, delivered_at=min(entry.delivered_at, latest)) for entry in page.entries)
        entries = [entry for entry in told if entry.delivered_at >= reading.since]
        reading.position, reading.pages = page.position, reading.pages + 1
        reading.newest = max(filter(None, (reading.newest, *(e.delivered_at for e in entries))), default=None)
        reading.pauses.add([entry for entry in entries if entry.delivered_at > watch.read_to])
        _take_at_hand(work, compare(work, watch, entries))
        if not page.more:
            _end(work, watch, reading)
            return True
        _write(work, watch, {"walk": reading.kept()})
        if work.is_over:
            break
    return False


def _take_at_hand(work: HookWork, missed: Sequence[tuple[MissedDelivery, LedgerEntry]]) -> None:
    """What the ledger hands out whole is taken at once; what cannot be, the repair has its turn with."""
    at_hand = [(row, entry.request) for row, entry in missed if entry.request is not None]
    for row, request in at_hand:
        try:
            take(work, row, request)
        except ProviderFault as error:
            log.warning("repair.not_taken", missed_id=str(row.pk), error=str(error))
    count({row.gap_id for row, _ in at_hand})


def _begin(work: HookWork, watch: WatchedHook, ledger: DeliveryLedger) -> _Reading:
    """A new reading; what the ledger no longer holds is a gap."""
    with work.holding() as now:
        floor = now - ledger.retention
        if watch.read_at < floor:
            note_gaps([_forgotten(work, watch, floor)])
    return _Reading(now, max(watch.read_to - ledger.overlap, floor), watch.start)


def _forgotten(work: HookWork, watch: WatchedHook, floor: datetime) -> Found:
    return Found(
        connection=work.connection,
        key=f"ledger-ended:{watch.pk}:{watch.read_at.isoformat()}",
        cause=GapCause.LEDGER_ENDED,
        explanation=f"The provider forgot its deliveries to the hook in {watch.place} before they could be read.",
        since=watch.read_at,
        until=floor,
        registration_id=watch.registration_id,
        place=watch.place,
    )


def _page(work: HookWork, watch: WatchedHook, ledger: DeliveryLedger, reading: _Reading) -> LedgerPage:
    def asked(position: JSON) -> LedgerPage:
        return ledger.attempts(
            work.client, target=watch.place, hook_id=watch.hook_id, position=position, since=reading.since
        )

    try:
        return asked(reading.position)
    except Rejected:
        if not reading.pages:
            raise
        # The mark may have gone stale between two runs.
        reading.position, reading.pages = {}, 0
        return asked({})


def _end(work: HookWork, watch: WatchedHook, reading: _Reading) -> None:
    threshold = work.watcher.pauses_after if work.watcher is not None else 0
    with work.holding() as now:
        if threshold:
            reading.pauses.settle(work, watch, threshold, now)
        # One entry with a time in the future must not hide all that follow.
        newest = min(reading.newest or watch.read_to, now + CLOCK_SKEW)
        watch.read_at, watch.read_to = reading.began_at, max(watch.read_to, newest)
        watch.walk, watch.start = {}, reading.position
        changed = ("walk", "start", "read_at", "read_to", "failing_since", "failed_in_row", "updated_at")
        watch.save(update_fields=changed)


def _write(work: HookWork, watch: WatchedHook, values: dict[str, Any]) -> None:
    with work.holding():
        for name, value in values.items():
            setattr(watch, name, value)
        watch.save(update_fields=[*values, "updated_at"])
