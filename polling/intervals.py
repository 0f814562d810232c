"""How long to wait until the next poll. Pure: no clock, no database, no settings."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

JITTER = 0.1
QUIET_RUNS_TOLERATED = 3
QUIET_GROWTH = 1.5
# Of the connection's own interval: a quiet connection must not become a deaf one.
QUIET_LIMIT = 4
WEBHOOKS_GROWTH = 3
# Below such a share of a quota the pause grows so many times, the smallest share first.
SCARCE = ((0.1, 4), (0.25, 2))
# A provider's wish is obeyed beyond our own bounds, but not for ever: its clock may be wrong.
LONGEST_WISH_SECONDS = 24 * 3600.0
# How the reason of a pause ends that is ours alone, and not the provider's wish.
BACKING_OFF = "backing off"

_random = random.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Seconds. ``base`` is the interval asked for by the connection, or the deployment's."""

    base: int
    minimum: int
    maximum: int

    def clamp(self, seconds: float) -> int:
        return round(min(max(seconds, self.minimum), self.maximum))


class Interval(NamedTuple):
    """Seconds until the next poll, and why, in words."""

    seconds: int
    reason: str


def after_success(
    bounds: Bounds,
    *,
    current: int,
    events_new: int,
    quiet_runs: int,
    provider_wish: float | None = None,
    webhooks_arrive: bool = False,
    quota_left: float | None = None,
) -> Interval:
    """Halve while busy, come back to the base, grow after some quiet runs (this one is counted).

    Where ``webhooks_arrive`` polling only looks for what they missed, and what it finds is mostly theirs. The less of
    the provider's quota is left (``quota_left``, a share of it), the longer the pause.
    """
    base = bounds.clamp(bounds.base)
    if webhooks_arrive:
        longer = 1 if events_new else WEBHOOKS_GROWTH if quiet_runs <= QUIET_RUNS_TOLERATED else QUIET_LIMIT
        chosen = Interval(bounds.clamp(base * longer), "webhooks arrive: polling looks for what they missed")
    elif events_new:
        chosen = Interval(bounds.clamp(min(current, base) / 2), f"{events_new} new in the last run: polled more often")
    elif quiet_runs <= QUIET_RUNS_TOLERATED:
        chosen = Interval(bounds.clamp(min(base, current * 2)), "the connection's interval")
        if chosen.seconds < base:
            chosen = chosen._replace(reason="quiet again: on the way back to the connection's interval")
    else:
        grown = min(max(current, base) * QUIET_GROWTH, base * QUIET_LIMIT)
        chosen = Interval(bounds.clamp(grown), f"nothing new in {quiet_runs} runs: polled less often")
    return _respecting(_sparing(bounds, chosen, quota_left), provider_wish)


def after_failure(bounds: Bounds, *, failures: int, retryable: bool, provider_wish: float | None = None) -> Interval:
    """Double with each failure in a row (this one is counted), from the shortest interval.

    What a person must mend starts from the connection's own interval: trying sooner cannot help.
    """
    first = bounds.minimum if retryable else bounds.clamp(bounds.base)
    seconds = bounds.clamp(first * 2.0 ** min(failures - 1, 16))
    times = "once" if failures == 1 else f"{failures} times in a row"
    return _respecting(Interval(seconds, f"failed {times}: {BACKING_OFF}"), provider_wish)


def with_jitter(seconds: float, *, at_least: float = 0.0) -> float:
    """Up to 10 % more or less, so that what started together does not stay together."""
    wish = min(at_least, LONGEST_WISH_SECONDS)
    return max(seconds * _random.uniform(1 - JITTER, 1 + JITTER), wish * _random.uniform(1, 1 + JITTER))


def spread(seconds: float) -> float:
    """A random moment between now and ``seconds``."""
    return _random.uniform(0, seconds)


def _sparing(bounds: Bounds, chosen: Interval, quota_left: float | None) -> Interval:
    growth = next((growth for share, growth in SCARCE if quota_left is not None and quota_left < share), None)
    if growth is None:
        return chosen
    seconds = bounds.clamp(max(chosen.seconds, bounds.base) * growth)
    return Interval(seconds, f"{max(quota_left or 0.0, 0.0):.0%} of the provider's quota is left: polled less often")


def _respecting(chosen: Interval, wish: float | None) -> Interval:
    if wish is None or wish <= chosen.seconds:
        return chosen
    wish = min(wish, LONGEST_WISH_SECONDS)
    return Interval(round(wish), f"the provider asked to wait {wish:.0f} s")
