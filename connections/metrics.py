"""Counters of what is done through connections."""

from prometheus_client import Counter

PROVIDER_CALLS = Counter(
    "integration_provider_calls_total",
    "Calls to providers by outcome: ok, or the category of the error.",
    ["provider", "tenant", "outcome"],
)
USAGE_NOT_RECORDED = Counter(
    "integration_budget_usage_lost_total",
    "Runs whose usage the budget service was not told of; cause is not_sent or not_taken.",
    ["tenant", "cause"],
)
QUOTA_PAUSES = Counter(
    "integration_quota_pauses_total",
    "Times a call waited a moment for a provider's quota instead of being refused; causes as for refusals.",
    ["provider", "traffic", "cause"],
)
QUOTA_REFUSALS = Counter(
    "integration_quota_refusals_total",
    "Calls not sent because of a provider's quota; cause is spent, busy, asked (by the provider) or refused (by it).",
    ["provider", "tenant", "traffic", "cause"],
)
INCIDENTS_RAISED = Counter(
    "integration_incidents_raised_total",
    "Incidents opened, or opened again, by cause (connections.incidents.Cause).",
    ["provider", "tenant", "cause"],
)
BREAKER_OPENS = Counter(
    "integration_breaker_opens_total",
    "Circuit breakers that opened after being closed; a trial call that failed is not counted anew.",
    ["provider", "tenant"],
)
RECEIPTS_SENT = Counter(
    "integration_receipts_sent_total",
    "Tries to send a receipt to the evidence service; outcome is sent, failed (tried again) or refused (for good).",
    ["tenant", "outcome"],
)
TOKEN_REFRESHES = Counter(
    "integration_token_refreshes_total",
    "Requests for a new access token; outcome is ok, failed (it is tried again), refused (a person must mend it), "
    "ended (the credential is refused for good) or late (somebody else had stored a newer one).",
    ["provider", "tenant", "outcome"],
)
