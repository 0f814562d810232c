"""What Azure DevOps counts, for each identity: units of load in the last five minutes.

https://learn.microsoft.com/azure/devops/integrate/concepts/rate-limits
"""

from __future__ import annotations

from typing import Final

from providers.quotas import Quota, RateLimitHeaders

QUOTAS: Final = (
    # What a call weighs is not told, and counters only near the limit. One unit is more than a small read costs.
    Quota(
        name="load",
        units=200,
        window_seconds=300,
        headers=RateLimitHeaders(
            limit="x-ratelimit-limit", remaining="x-ratelimit-remaining", reset="x-ratelimit-reset"
        ),
        delay_header="x-ratelimit-delay",
        concurrency=1,
    ),
)
