"""Counters of what goes out."""

from prometheus_client import Counter, Histogram

ACTIONS = Counter(
    "integration_actions_total",
    "Actions that are over: completed, failed or needs_review.",
    ["provider", "tenant", "type", "status"],
)
ACTIONS_RETRIED = Counter(
    "integration_action_retries_total",
    "Times an action was put off; cause is the category of the error, or doubt.",
    ["provider", "tenant", "cause"],
)
ACTIONS_FOUND = Counter(
    "integration_actions_found_total",
    "Actions whose answer was lost and whose effect was found at the provider.",
    ["provider", "tenant"],
)
ACTION_SECONDS = Histogram(
    "integration_action_seconds",
    "Seconds of one attempt at an action, the provider's time included.",
    ["provider"],
)
