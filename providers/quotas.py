"""Quotas a provider keeps, as data, and the classes of traffic that share them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class Traffic(StrEnum):
    """What a call is for, most urgent first: each class leaves a reserve to those before it."""

    ACTION = "action"
    REPAIR = "repair"
    POLL = "poll"
    BACKFILL = "backfill"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitHeaders:
    """Names of the response headers that tell the state of a quota (lower case, empty if not sent)."""

    limit: str = ""
    remaining: str = ""
    reset: str = ""
    reset_format: Literal["epoch_seconds", "epoch_milliseconds", "iso8601", "delta_seconds"] = "epoch_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """One thing the provider counts, for one credential at one origin.

    ``units``: how many there are in ``window_seconds``, until the provider's headers say something else; 0 counts
    nothing and leaves only ``concurrency`` and ``write_spacing_seconds``.
    ``kind``: ``fixed`` begins anew at the reset the headers tell (and is counted as rolling until they do);
    ``rolling`` looks back over the window at every moment; ``leaky`` refills evenly.
    ``read_cost``, ``write_cost``: units of a call by its method; GET, HEAD and OPTIONS read. ``costs`` names others, as
    pairs of a pattern searched in the path and units; the first that is found counts.
    ``only`` and ``path``: which calls it counts, by method and by a pattern searched in the path (without the query).
    Groups of the pattern split the quota: each combination of their texts has its own units.
    ``setting``: it holds only for connections whose settings have this one switched on.
    ``headers``: what is told with answers; by ``scope``, a header and its value, not by those that name another.
    ``cost_header``: names the units a call has cost, where that is known afterwards only.
    ``delay_header``: names the seconds by which the provider slowed a call down; the next waits as long.
    ``concurrency``: calls that may be under way at once; 0: no limit.
    ``write_spacing_seconds``: writes go one at a time, and so far apart.
    ``free_not_modified``: an answer 304 costs nothing.
    ``separate``: when the provider refuses for its limits, only what this quota counts is meant, not the credential.
    """

    name: str
    units: float = 0
    window_seconds: float = 60
    kind: Literal["fixed", "rolling", "leaky"] = "rolling"
    read_cost: float = 1
    write_cost: float = 1
    costs: tuple[tuple[str, float], ...] = ()
    only: Literal["", "reads", "writes"] = ""
    path: str = ""
    setting: str = ""
    headers: RateLimitHeaders = field(default_factory=RateLimitHeaders)
    scope: tuple[str, str] = ("", "")
    cost_header: str = ""
    delay_header: str = ""
    concurrency: int = 0
    write_spacing_seconds: float = 0
    free_not_modified: bool = False
    separate: bool = False
