"""How much one connection and one tenant may send, counted for all processes together in Redis.

A process takes its hits from Redis in blocks, so that a request seldom pays a round trip; a limit is exact to
one block a process. While Redis is away each process counts for itself.
"""

from __future__ import annotations

import math
import threading
import time
from functools import cache

import structlog
from cachetools import TTLCache
from django.conf import settings
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter

from connections.models import IntegrationConnection

log = structlog.get_logger(__name__)

REDIS_TIMEOUT_SECONDS = 0.25
REDIS_PAUSE_SECONDS = 5.0
_MAX_HOLDERS = 50_000


def wait_for(connection: IntegrationConnection) -> int | None:
    """Seconds until another delivery of this connection may be taken, or ``None`` if it may be taken now."""
    holders = (
        (_limit(settings.WEBHOOK_RATE_PER_CONNECTION), f"connection:{connection.pk.hex}"),
        (_limit(settings.WEBHOOK_RATE_PER_TENANT), f"tenant:{connection.tenant_id}"),
    )
    for limit, holder in holders:
        waited = _counter().spend(limit, holder)
        if waited is not None:
            return waited
    return None


class BlockCounter:
    """Spends a limit in blocks: one hit in Redis pays for many requests of this process."""

    def __init__(self, shared: FixedWindowRateLimiter, own: FixedWindowRateLimiter) -> None:
        self._shared = shared
        self._own = own
        self._resume_at = 0.0
        self._lock = threading.Lock()
        # Hits paid for and not yet spent, with the end of the window they belong to.
        self._paid: TTLCache[str, tuple[int, float]] = TTLCache(_MAX_HOLDERS, 3600)

    def spend(self, limit: RateLimitItem, holder: str) -> int | None:
        """Spend one hit; returns the seconds to wait if there is none."""
        key = f"{holder}:{limit}"
        with self._lock:
            left, ends_at = self._paid.get(key, (0, 0.0))
            if left > 0 and time.time() < ends_at:
                self._paid[key] = (left - 1, ends_at)
                return None
        block = max(1, limit.amount // 100)
        for cost in (block, 1) if block > 1 else (1,):
            taken, ends_at = self._take(limit, holder, cost)
            if taken:
                with self._lock:
                    self._paid[key] = (cost - 1, ends_at)
                return None
        return max(1, math.ceil(ends_at - time.time()))

    def _take(self, limit: RateLimitItem, holder: str, cost: int) -> tuple[bool, float]:
        if time.monotonic() >= self._resume_at:
            try:
                taken = self._shared.hit(limit, holder, cost=cost)
                return taken, float(self._shared.get_window_stats(limit, holder).reset_time)
            except StorageError as error:
                self._resume_at = time.monotonic() + REDIS_PAUSE_SECONDS
                log.warning("limits.storage_unavailable", error=type(error).__name__)
        taken = self._own.hit(limit, holder, cost=cost)
        return taken, float(self._own.get_window_stats(limit, holder).reset_time)


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
