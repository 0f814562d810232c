"""How much one connection and one tenant may send, counted for all processes together in Redis.

A process takes its hits from Redis in blocks, so that a request seldom pays a round trip; a limit is exact to
one block a process. While Redis is away each process counts for itself.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from functools import cache

import structlog
from django.conf import settings
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter

from connections.models import IntegrationConnection

log = structlog.get_logger(__name__)

REDIS_TIMEOUT_SECONDS = 0.25
REDIS_PAUSE_SECONDS = 5.0
BLOCKS = 100
_MAX_HOLDERS = 50_000


def wait_for(connection: IntegrationConnection) -> int | None:
    """Seconds until another delivery of this connection may be taken, or ``None`` if it may be taken now."""
    counter = _counter()
    for limit, holder in _holders(connection):
        waited = counter.spend(limit, holder)
        if waited is not None:
            return waited
    return None


def charge(connection: IntegrationConnection, number: int) -> None:
    """Count ``number`` more for a delivery that was taken; the ones after it pay the debt off first."""
    for limit, holder in _holders(connection):
        _counter().change(limit, holder, -number)


def give_back(connection: IntegrationConnection, number: int = 1) -> None:
    """Undo a ``wait_for`` that let a delivery through, and what was charged for it besides."""
    for limit, holder in _holders(connection):
        _counter().change(limit, holder, number)


def wait_for_repetition(connection: IntegrationConnection) -> int | None:
    """As ``wait_for``, for a request that was taken before: as many of these, apart from the new ones."""
    return _counter().spend(settings.WEBHOOK_RATE_PER_CONNECTION, f"repetitions:{connection.pk}")


def _holders(connection: IntegrationConnection) -> tuple[tuple[str, str], ...]:
    return (
        (settings.WEBHOOK_RATE_PER_CONNECTION, f"connection:{connection.pk}"),
        (settings.WEBHOOK_RATE_PER_TENANT, f"tenant:{connection.tenant_id}"),
    )


@dataclass(slots=True)
class _Allowance:
    """Hits paid for and not yet spent, until the end of the window they belong to; refused: none are left there."""

    left: int = 0
    ends_at: float = 0.0  # monotonic: a clock that is set back must not shut a door
    refused: bool = False


class BlockCounter:
    """Spends a limit in blocks: one hit in Redis pays for many requests of this process.

    A block is a hundredth of the limit, so up to that much of a window may go unused a process.
    """

    def __init__(self, shared: FixedWindowRateLimiter, own: FixedWindowRateLimiter) -> None:
        self._shared = shared
        self._own = own
        self._resume_at = 0.0
        self._lock = threading.Lock()
        self._allowances: dict[tuple[str, str], _Allowance] = {}

    def spend(self, limit: str, holder: str) -> int | None:
        """Spend one hit of ``"<number>/<unit>"``; returns the seconds to wait if there is none."""
        now = time.monotonic()
        with self._lock:
            allowance = self._allowance((limit, holder))
            if now < allowance.ends_at:
                if allowance.refused:
                    # A flood of what is refused anyway asks nobody.
                    return max(1, math.ceil(allowance.ends_at - now))
                if allowance.left > 0:
                    allowance.left -= 1
                    return None
            owed = -min(0, allowance.left) if now < allowance.ends_at else 0
        item = _limit(limit)
        # A debt is paid at once, as far as a window goes: else each who owes would be let through for one block.
        cost = min(max(item.amount // BLOCKS, 1 + owed), item.amount)
        taken, ends_at = self._take(item, holder, cost)
        with self._lock:
            # Threads may have paid at the same time; what each of them paid for is kept.
            kept = allowance.left if allowance.ends_at > now else 0
            left = kept + cost if taken else kept
            passes = left > 0
            allowance.left = left - 1 if passes else left
            allowance.ends_at, allowance.refused = ends_at, not passes
        return None if passes else max(1, math.ceil(ends_at - time.monotonic()))

    def change(self, limit: str, holder: str, number: int) -> None:
        """Add to what is left of the block in hand, or with a negative number make a debt of it."""
        with self._lock:
            self._allowance((limit, holder)).left += number

    def _allowance(self, key: tuple[str, str]) -> _Allowance:
        allowance = self._allowances.get(key)
        if allowance is None:
            if len(self._allowances) >= _MAX_HOLDERS:
                # Blocks that were paid for are forgotten with their allowances; nobody gets more for that.
                self._allowances.clear()
            allowance = self._allowances[key] = _Allowance()
        return allowance

    def _take(self, limit: RateLimitItem, holder: str, cost: int) -> tuple[bool, float]:
        if time.monotonic() >= self._resume_at:
            try:
                return self._hit(self._shared, limit, holder, cost)
            except StorageError as error:
                self._resume_at = time.monotonic() + REDIS_PAUSE_SECONDS
                log.warning("limits.storage_unavailable", error=type(error).__name__)
        return self._hit(self._own, limit, holder, cost)

    @staticmethod
    def _hit(limiter: FixedWindowRateLimiter, limit: RateLimitItem, holder: str, cost: int) -> tuple[bool, float]:
        taken = limiter.hit(limit, holder, cost=cost)
        seconds = limiter.get_window_stats(limit, holder).reset_time - time.time()
        return taken, time.monotonic() + min(max(0.0, seconds), float(limit.get_expiry()))


@cache
def _limit(text: str) -> RateLimitItem:
    return parse(text)


@cache
def _counter() -> BlockCounter:
    shared = RedisStorage(
        settings.REDIS_URL,
        wrap_exceptions=True,
        key_prefix="ia:webhooks",
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
    )
    return BlockCounter(FixedWindowRateLimiter(shared), FixedWindowRateLimiter(MemoryStorage()))
