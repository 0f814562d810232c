"""Counters of the pull road."""

from prometheus_client import Counter

POLLS = Counter(
    "integration_polls_total",
    "Runs of a cursor or backfill by outcome; the outcomes are those of polling.models.PollOutcome.",
    ["provider", "tenant", "kind", "outcome"],
)
