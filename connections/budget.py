"""The port to budgets: whether a call to a provider may be made now.

The embedded default counts in Redis with the ``limits`` library, for all processes together. Where the
budget cannot be asked, ``BUDGET_FAIL_MODE`` decides: ``closed`` refuses, ``open`` allows; unset, polling is
refused (it can wait) and everything else allowed. Every refusal is counted.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import redis
import structlog
from django.conf import settings
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from prometheus_client import Counter
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger(__name__)

REFUSALS = Counter(
    "integration_budget_refusals_total",
    "Calls not made because of the budget; cause is limit or unreachable.",
    ["resource_type", "tenant", "cause"],
)
UNREACHABLE = Counter(
    "integration_budget_unreachable_total",
    "Times the budget could not be asked; mode is what BUDGET_FAIL_MODE made of it: open or closed.",
    ["resource_type", "tenant", "mode"],
)
TIMEOUT_SECONDS = 1.0
UNREACHABLE_RETRY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer of the budget. ``reason`` is in words; ``retry_after_seconds`` matters if not allowed."""

    allowed: bool
    retry_after_seconds: float = 0.0
    reason: str = ""


class Budget(Protocol):
    """What a budget must offer."""

    def ask(self, tenant_id: str, resource_type: str, resource_key: str) -> Decision:
        """Spend one unit of ``integration.<provider>.<poll|action>`` for a connection. Never raises."""


class EmbeddedBudget:
    """``POLLS_PER_MINUTE`` for each connection, counted in Redis."""

    def ask(self, tenant_id: str, resource_type: str, resource_key: str) -> Decision:
        if not _is_poll(resource_type):
            return Decision(allowed=True)
        limit = RateLimitItemPerMinute(settings.POLLS_PER_MINUTE)
        key = ("budget", tenant_id, resource_type, resource_key)
        try:
            limiter = _limiter(settings.REDIS_URL)
            if limiter.hit(limit, *key):
                return Decision(allowed=True)
            wait = max(1.0, math.ceil(limiter.get_window_stats(limit, *key).reset_time - time.time()))
        except redis.RedisError as error:
            return _unreachable(tenant_id, resource_type, type(error).__name__)
        REFUSALS.labels(resource_type, tenant_id, "limit").inc()
        return Decision(
            allowed=False,
            retry_after_seconds=wait,
            reason=f"The connection has used its {settings.POLLS_PER_MINUTE} polls for a minute.",
        )


def budget() -> Budget:
    """The configured budget."""
    return EmbeddedBudget()


def _unreachable(tenant_id: str, resource_type: str, cause: str) -> Decision:
    mode = settings.BUDGET_FAIL_MODE or ("closed" if _is_poll(resource_type) else "open")
    UNREACHABLE.labels(resource_type, tenant_id, mode).inc()
    log.warning("budget_unreachable", tenant_id=tenant_id, resource_type=resource_type, cause=cause, mode=mode)
    if mode == "open":
        return Decision(allowed=True, reason="The budget cannot be asked; allowed by BUDGET_FAIL_MODE.")
    REFUSALS.labels(resource_type, tenant_id, "unreachable").inc()
    return Decision(
        allowed=False,
        retry_after_seconds=UNREACHABLE_RETRY_SECONDS,
        reason=f"The budget cannot be asked ({cause}).",
    )


def _is_poll(resource_type: str) -> bool:
    return resource_type.endswith(".poll")


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
