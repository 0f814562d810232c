"""The port to budgets: what is asked, what is answered, and what holds where nobody answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import structlog
from django.conf import settings
from prometheus_client import Counter

from providers.quotas import Traffic

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
UNREACHABLE_RETRY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer of the budget. ``reason`` is in words; ``retry_after_seconds`` matters if not allowed."""

    allowed: bool
    retry_after_seconds: float = 0.0
    reason: str = ""


class Budget(Protocol):
    """What a budget must offer. ``resource_type`` is ``integration.<provider>.<poll|action>``."""

    def ask(self, tenant_id: str, resource_type: str, resource_key: str, *, spare: bool = False) -> Decision:
        """Whether a run may begin, as one unit for a connection. Never raises.

        ``spare``: it is content with what others leave over, such as reading the past beside live polling.
        """

    def record(self, tenant_id: str, resource_type: str, resource_key: str, requests: int) -> None:
        """Tell how many requests a run has made. Never raises, and nobody waits for it."""


def resource_type(provider_id: str, traffic: Traffic) -> str:
    """What budgets call this traffic: whatever is read by ourselves is a poll."""
    return f"integration.{provider_id}.{'action' if traffic is Traffic.ACTION else 'poll'}"


def is_poll(resource_type: str) -> bool:
    return resource_type.endswith(".poll")


def refused(tenant_id: str, resource_type: str, reason: str, retry_after_seconds: float) -> Decision:
    """The budget says no. Counted."""
    REFUSALS.labels(resource_type, tenant_id, "limit").inc()
    return Decision(allowed=False, retry_after_seconds=retry_after_seconds, reason=reason)


def unreachable(tenant_id: str, resource_type: str, cause: str) -> Decision:
    """What ``BUDGET_FAIL_MODE`` makes of a budget that cannot be asked; ``cause`` is its error's name. Counted."""
    mode = settings.BUDGET_FAIL_MODE or ("closed" if is_poll(resource_type) else "open")
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
