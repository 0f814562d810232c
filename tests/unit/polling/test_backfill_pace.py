"""How long a backfill will still take: from its last runs, and unknown rather than absurd."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from polling.backfill_pace import RUNS_KEPT, Estimate, estimate, noted
from polling.backfill_terminal import clock
from polling.models import Backfill, BackfillStatus

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def running(pace: list[list[float]], **values: Any) -> Backfill:
    """Half done now, due now, held by nobody."""
    values = {"status": BackfillStatus.RUNNING, "share_done": 0.5, "next_run_at": NOW, "updated_at": NOW, **values}
    return Backfill(pace=pace, **values)


def at(moment: datetime, share: float) -> list[float]:
    return [moment.timestamp(), share]


def test_the_rate_of_the_last_runs_says_how_long_the_rest_takes() -> None:
    half = running([at(NOW - minutes(10), 0.25), at(NOW - minutes(2), 0.4)])
    assert estimate(half, NOW) == Estimate(20 * 60, NOW + minutes(20))


def test_a_wait_before_the_next_run_is_added_while_nobody_holds_it() -> None:
    waiting = running([at(NOW - minutes(10), 0)], next_run_at=NOW + minutes(60))
    assert estimate(waiting, NOW) == Estimate(70 * 60, NOW + minutes(70))
    # While a run holds it, that is the end of the lease and says nothing.
    held = running([at(NOW - minutes(10), 0)], next_run_at=NOW + minutes(60), lease_token="3f" * 16)
    assert estimate(held, NOW) == Estimate(600, NOW + minutes(10))


@pytest.mark.parametrize(
    "backfill",
    [
        running([]),
        running([at(NOW - minutes(10), 0.5)]),
        running([at(NOW - minutes(10), 0.7)]),
        running([at(NOW, 0.1)]),
        running([at(NOW + minutes(10), 0.1)]),
        running([at(NOW - minutes(10), 0.5 - 1e-9)]),
        running([at(NOW - minutes(10), 0.1)], status=BackfillStatus.PAUSED),
        running([at(NOW - minutes(10), 0.1)], status=BackfillStatus.COMPLETED),
    ],
    ids=["no run", "nothing read", "fewer parts", "no time", "clock set back", "years", "paused", "ended"],
)
def test_what_cannot_be_known_is_unknown(backfill: Backfill) -> None:
    assert estimate(backfill, NOW) is None


def test_the_end_is_never_said_to_be_in_the_past() -> None:
    """However long ago it was last written to."""
    stalled = running([at(NOW - minutes(20), 0)], updated_at=NOW - minutes(10), next_run_at=NOW - minutes(10))
    assert estimate(stalled, NOW + minutes(600)) == Estimate(600, NOW + minutes(610))


def test_samples_of_a_clock_that_was_set_back_are_forgotten() -> None:
    pace = [at(NOW - minutes(30), 0.0), at(NOW - minutes(1), 0.2)]
    assert noted(pace, NOW - minutes(20), 0.3) == [at(NOW - minutes(30), 0.0), at(NOW - minutes(20), 0.3)]


def test_a_clock_set_forward_weighs_on_the_estimate_only_for_some_runs() -> None:
    pace: list[list[float]] = []
    moment, share = NOW, 0.0
    for number in range(2 * RUNS_KEPT):
        moment += timedelta(days=300) if number == 3 else minutes(1)
        share += 0.01
        pace = noted(pace, moment, share)
    assert len(pace) == RUNS_KEPT
    told = estimate(running(pace, share_done=share, updated_at=moment, next_run_at=moment), moment)
    assert told is not None
    assert told.seconds == pytest.approx((1 - share) * 100 * 60, rel=0.01)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00:00"), (59, "0:00:59"), (3723, "1:02:03"), (86400 + 3 * 3600 + 240, "1 d 03:04")]
)
def test_a_length_of_time_is_written_like_a_clock(seconds: int, text: str) -> None:
    assert clock(seconds) == text
