"""Pauses a provider makes after failures, as its ledger shows them: it sends nothing then, and notes nothing.

After so many failures in a row a provider may hold back for a minute, then longer after each further failure. Such a
pause can be over before anybody looks at the hook's state, so it is concluded from the ledger: from the first failure
of the row to the next delivery that was taken, anything may have been held back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q

from events.gap_models import DeliveryGap, GapCause
from events.gaps import Found, widen_gap
from providers.document import moment_of
from providers.ledgers import LedgerEntry
from webhooks.hook_work import HookWork
from webhooks.models import WatchedHook
from webhooks.repair_models import Standing

MOST_COUNTED = 10_000


@dataclass(slots=True)
class _Row:
    """Failures in a row, going back in time. ``taken_at``: the delivery after them that was taken; empty: none was."""

    first_at: datetime
    number: int = 0
    taken_at: datetime | None = None

    def kept(self) -> list[Any]:
        return [self.first_at.isoformat(), self.number, self.taken_at.isoformat() if self.taken_at else None]


@dataclass(slots=True)
class Pauses:
    """Rows of failures met while a ledger is read, newest first."""

    rows: list[_Row] = field(default_factory=list)
    is_in_row: bool = False
    taken_at: datetime | None = None
    """The oldest delivery met so far that was taken."""

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Pauses:
        found = [(moment_of(first), number, moment_of(taken)) for first, number, taken in kept.get("rows", [])]
        rows = [_Row(first, number, taken) for first, number, taken in found if first is not None]
        return cls(rows, bool(kept.get("is_in_row")), moment_of(kept.get("taken_at")))

    def kept(self) -> dict[str, Any]:
        taken_at = self.taken_at.isoformat() if self.taken_at else None
        return {"rows": [row.kept() for row in self.rows], "is_in_row": self.is_in_row, "taken_at": taken_at}

    def add(self, entries: Sequence[LedgerEntry]) -> None:
        """Go on with older entries, newest first; none that an earlier reading had."""
        for entry in entries:
            if entry.ok:
                self.is_in_row, self.taken_at = False, entry.delivered_at
                continue
            if not self.is_in_row:
                self.rows.append(_Row(entry.delivered_at, 0, self.taken_at))
            self.is_in_row = True
            row = self.rows[-1]
            row.first_at, row.number = min(row.first_at, entry.delivered_at), row.number + 1

    def settle(self, work: HookWork, watch: WatchedHook, threshold: int, now: datetime) -> None:
        """The reading is at its end: note the pauses, and whether the newest deliveries go on failing."""
        if watch.failing_since is not None:
            self._go_on_from(_Row(watch.failing_since, watch.failed_in_row), watch, now)
        for row in self.rows:
            until = row.taken_at or now
            if row.number >= threshold and not _is_known(watch, row.first_at, until):
                widen_gap(_gap(work, watch, row, until))
        if self.rows and self.rows[0].taken_at is None:
            newest = self.rows[0]
            watch.failing_since, watch.failed_in_row = newest.first_at, min(newest.number, MOST_COUNTED)
        elif self.taken_at is not None:
            watch.failing_since, watch.failed_in_row = None, 0

    def _go_on_from(self, before: _Row, watch: WatchedHook, now: datetime) -> None:
        """The newest deliveries of the reading before this one had failed."""
        if self.is_in_row:
            oldest = self.rows[-1]
            oldest.first_at, oldest.number = before.first_at, oldest.number + before.number
        elif self.taken_at is not None:
            self.rows.append(_Row(before.first_at, before.number, self.taken_at))
        elif watch.standing == Standing.ENABLED and before.first_at <= watch.read_to:
            # Nothing was sent since, and the pause is over: a further failure begins another one.
            self.rows.append(_Row(before.first_at, before.number, now))
            watch.failing_since = now


def _is_known(watch: WatchedHook, since: datetime, until: datetime) -> bool:
    """Whether the pause was seen in the hook's state as well, which is then a gap already."""
    seen = DeliveryGap.objects.filter(connection=watch.connection_id, key__startswith=f"hook:{watch.pk}:")
    return seen.filter(Q(until=None) | Q(until__gte=until), since__lte=since).exists()


def _gap(work: HookWork, watch: WatchedHook, row: _Row, until: datetime) -> Found:
    return Found(
        connection=work.connection,
        key=f"pause:{watch.pk}:{row.first_at.isoformat()}",
        cause=GapCause.HOOK_PAUSED,
        explanation=f"{row.number} deliveries to the hook in {watch.place} failed in a row; the provider then pauses.",
        since=row.first_at,
        until=max(until, row.first_at),
        registration_id=watch.registration_id,
        place=watch.place,
    )
