"""How long polling waits, as a pure function."""

from __future__ import annotations

import pytest

from polling.intervals import LONGEST_WISH_SECONDS, Bounds, after_failure, after_success, with_jitter

BOUNDS = Bounds(base=300, minimum=30, maximum=3600)


def test_a_busy_connection_is_polled_twice_as_often_each_time_down_to_the_minimum() -> None:
    waits, current = [], 300
    for _ in range(5):
        current = after_success(BOUNDS, current=current, events_new=4, quiet_runs=0).seconds
        waits.append(current)
    assert waits == [150, 75, 38, 30, 30]


def test_a_connection_that_was_busy_comes_back_to_its_own_interval() -> None:
    assert after_success(BOUNDS, current=38, events_new=0, quiet_runs=1).seconds == 76
    assert after_success(BOUNDS, current=200, events_new=0, quiet_runs=2).seconds == 300


def test_a_quiet_connection_is_polled_less_often_but_never_goes_deaf() -> None:
    current = 300
    for quiet_runs in range(1, 40):
        current = after_success(BOUNDS, current=current, events_new=0, quiet_runs=quiet_runs).seconds
    assert current == 1200
    assert after_success(BOUNDS, current=300, events_new=0, quiet_runs=4).seconds == 450


def test_the_first_event_after_a_quiet_time_brings_it_back_at_once() -> None:
    assert after_success(BOUNDS, current=1200, events_new=1, quiet_runs=0).seconds == 150


def test_failures_double_the_wait_up_to_the_maximum() -> None:
    waits = [after_failure(BOUNDS, failures=n, retryable=True).seconds for n in (1, 2, 3, 8, 500)]
    assert waits == [30, 60, 120, 3600, 3600]


def test_what_a_person_must_mend_is_not_tried_sooner_than_the_interval() -> None:
    assert after_failure(BOUNDS, failures=1, retryable=False).seconds == 300


@pytest.mark.parametrize("wish", [90.0, 7200.0])
def test_the_providers_wish_is_a_minimum_even_beyond_our_maximum(wish: float) -> None:
    waited = after_failure(BOUNDS, failures=1, retryable=True, provider_wish=wish)
    assert waited.seconds == wish
    assert "provider asked" in waited.reason
    assert after_success(BOUNDS, current=30, events_new=1, quiet_runs=0, provider_wish=wish).seconds == wish


def test_a_wish_shorter_than_our_own_wait_changes_nothing() -> None:
    assert after_failure(BOUNDS, failures=3, retryable=True, provider_wish=1.0).seconds == 120


def test_a_wish_for_ever_is_not_believed() -> None:
    assert after_failure(BOUNDS, failures=1, retryable=True, provider_wish=1e12).seconds == LONGEST_WISH_SECONDS


def test_an_interval_asked_for_outside_the_bounds_is_brought_inside() -> None:
    eager = Bounds(base=1, minimum=30, maximum=3600)
    assert after_success(eager, current=1, events_new=0, quiet_runs=1).seconds == 30


def test_jitter_stays_within_ten_per_cent_and_never_undercuts_the_providers_wish() -> None:
    plain = [with_jitter(100) for _ in range(300)]
    assert 90 <= min(plain) < 97
    assert 103 < max(plain) <= 110
    assert min(with_jitter(100, at_least=100) for _ in range(300)) >= 100


def test_every_interval_says_why() -> None:
    assert "2 new" in after_success(BOUNDS, current=300, events_new=2, quiet_runs=0).reason
    assert "nothing new in 6 runs" in after_success(BOUNDS, current=300, events_new=0, quiet_runs=6).reason
    assert "failed 3 times" in after_failure(BOUNDS, failures=3, retryable=True).reason


def test_while_webhooks_arrive_polling_only_looks_for_what_they_missed() -> None:
    quiet = after_success(BOUNDS, current=75, events_new=0, quiet_runs=1, webhooks_arrive=True)
    assert (quiet.seconds, quiet.reason) == (900, "webhooks arrive: polling looks for what they missed")
    assert after_success(BOUNDS, current=900, events_new=0, quiet_runs=9, webhooks_arrive=True).seconds == 1200
    # What is new to polling is mostly what a webhook told as well.
    assert after_success(BOUNDS, current=75, events_new=9, quiet_runs=0, webhooks_arrive=True).seconds == 300


@pytest.mark.parametrize(("left", "seconds"), [(None, 300), (1.0, 300), (0.24, 600), (0.09, 1200), (0.0, 1200)])
def test_the_less_of_a_quota_is_left_the_longer_the_pause(left: float | None, seconds: int) -> None:
    chosen = after_success(BOUNDS, current=300, events_new=0, quiet_runs=1, quota_left=left)
    assert chosen.seconds == seconds
    assert ("of the provider's quota is left" in chosen.reason) == (seconds > 300)


def test_a_scarce_quota_slows_down_a_busy_connection_too() -> None:
    assert after_success(BOUNDS, current=75, events_new=9, quiet_runs=0, quota_left=0.2).seconds == 600
