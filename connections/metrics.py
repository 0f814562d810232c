"""Counters of what is done through connections."""

from prometheus_client import Counter

PROVIDER_CALLS = Counter(
    "integration_provider_calls_total",
    "Calls to providers by outcome: ok, or the category of the error.",
    ["provider", "tenant", "outcome"],
)
