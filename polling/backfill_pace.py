"""How long a backfill will still take: from the rate of its last runs, pauses between them included.

Time is the database's, as its rows have it. Where that clock was set back, or nothing was read for a while, the rate is
unknown and said to be so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from polling.models import Backfill, BackfillStatus

RUNS_KEPT = 8
# What would take longer than this is as good as unknown.
LONGEST = timedelta(days=366)

Sample = list[float]
"""Seconds since the epoch, and the share that was done then."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """When it will be done, reckoned at ``seconds`` before."""

    seconds: int
    at: datetime


def noted(pace: Sequence[Sample], at: datetime, share: float) -> list[Sample]:
    """The samples with a new one. Those that claim to be later are forgotten: the clock was set back."""
    now = at.timestamp()
    return [*(sample for sample in pace if sample[0] < now), [now, share]][-RUNS_KEPT:]


def estimate(backfill: Backfill, now: datetime) -> Estimate | None:
    """When it will have ended, if it goes on as in its last runs; ``None`` while that is unknown."""
    if backfill.status != BackfillStatus.RUNNING or not backfill.pace:
        return None
    began_at, share_then = backfill.pace[0]
    gained, elapsed = backfill.share_done - share_then, backfill.updated_at.timestamp() - began_at
    if gained <= 0 or elapsed <= 0:
        return None
    seconds = (1 - backfill.share_done) / gained * elapsed
    if seconds > LONGEST.total_seconds():
        return None
    waits = max(timedelta(0), backfill.next_run_at - now) if backfill.lease_token is None else timedelta(0)
    left = waits + timedelta(seconds=seconds)
    return Estimate(round(left.total_seconds()), now + left)
