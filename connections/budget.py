"""The budget a run asks first: the platform's where ``BUDGET_SERVICE_URL`` is set, else one of our own.

Our own counts in Redis with the ``limits`` library, for all processes together. Where the budget cannot be asked,
``BUDGET_FAIL_MODE`` decides: ``closed`` refuses, ``open`` allows; unset, polling is refused (it can wait) and
everything else allowed. Every refusal is counted. What a provider allows is another matter (``connections.quota``).
"""

from __future__ import annotations

import math
import time
from functools import cache

import redis
from django.conf import settings
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis.backoff import NoBackoff
from redis.retry import Retry

from connections.budget_platform import PlatformBudget
from connections.budget_port import Budget, is_poll, refused, unreachable
from connections.budget_port import Decision as Decision

TIMEOUT_SECONDS = 1.0


class EmbeddedBudget:
    """``POLLS_PER_MINUTE`` for each connection, counted in Redis; half of them are never spent by what is spare."""

    def ask(self, tenant_id: str, resource_type: str, resource_key: str, *, spare: bool = False) -> Decision:
        if not is_poll(resource_type):
            return Decision(allowed=True)
        limit = RateLimitItemPerMinute(settings.POLLS_PER_MINUTE)
        key = ("budget", tenant_id, resource_type, resource_key)
        kept = limit.amount // 2 if spare else 0
        try:
            limiter = _limiter(settings.REDIS_URL)
            if (not kept or limiter.test(limit, *key, cost=1 + kept)) and limiter.hit(limit, *key):
                return Decision(allowed=True)
            wait = max(1.0, math.ceil(limiter.get_window_stats(limit, *key).reset_time - time.time()))
        except redis.RedisError as error:
            return unreachable(tenant_id, resource_type, type(error).__name__)
        reason = f"The connection has used its {limit.amount} polls for a minute."
        if kept:
            reason = f"The last {kept} polls of a minute are kept for live polling."
        return refused(tenant_id, resource_type, reason, wait)

    def record(self, tenant_id: str, resource_type: str, resource_key: str, requests: int) -> None:
        """Requests are counted where they are made (``integration_provider_calls_total``)."""


def budget() -> Budget:
    """The configured budget."""
    if settings.BUDGET_SERVICE_URL:
        return _platform(settings.BUDGET_SERVICE_URL, settings.BUDGET_TIMEOUT_SECONDS)
    return EmbeddedBudget()


@cache
def _platform(url: str, timeout_seconds: float) -> PlatformBudget:
    return PlatformBudget(url, timeout_seconds)


@cache
def _limiter(url: str) -> SlidingWindowCounterRateLimiter:
    storage = RedisStorage(
        url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        # The library would try again for seconds; a refusal is cheaper.
        retry=Retry(NoBackoff(), 0),  # type: ignore[arg-type]
    )
    return SlidingWindowCounterRateLimiter(storage)
