"""Counters of what was missed. How old the oldest open gap is, is read from the rows at scrape time."""

from __future__ import annotations

from prometheus_client import Counter

GAPS = Counter(
    "integration_gaps_total",
    "Windows in which deliveries were missed, by cause and by what became of them: noticed, filled or lost.",
    ["provider", "tenant", "cause", "outcome"],
)
MISSED = Counter(
    "integration_missed_deliveries_total",
    "Deliveries a provider's ledger shows that did not come in, by what went wrong.",
    ["provider", "tenant", "cause"],
)
REPAIRED = Counter(
    "integration_repaired_deliveries_total",
    "Missed deliveries and events that are here now; how is arrived, fetched or polled.",
    ["provider", "tenant", "cause", "how"],
)
LOST = Counter(
    "integration_lost_deliveries_total",
    "Missed deliveries that can be had neither from the ledger nor by polling.",
    ["provider", "tenant", "cause"],
)
