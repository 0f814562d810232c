"""Counters of the push road."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import Counter

WEBHOOKS = Counter(
    "integration_webhooks_total",
    "Webhook requests by what became of them: accepted, duplicate, handshake, quarantined, unrouted, or the reason of "
    "a refusal.",
    ["provider", "tenant", "outcome"],
)


def count_webhook(provider: str, tenant: str, outcome: str) -> None:
    """One request more."""
    _child(provider, tenant, outcome).inc()


@lru_cache(maxsize=4096)
def _child(*labels: str) -> Counter:
    # Finding it anew takes longer than counting.
    return WEBHOOKS.labels(*labels)
