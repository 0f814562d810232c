"""Counters of the push road."""

from prometheus_client import Counter

WEBHOOKS = Counter(
    "integration_webhooks_total",
    "Webhook requests by what became of them: accepted, duplicate, handshake, quarantined, or the reason of a refusal.",
    ["provider", "tenant", "outcome"],
)
