"""What Linear counts, for each user: requests and the complexity of queries. Both refill evenly.

https://linear.app/developers/rate-limiting; the numbers changed more than once, so the headers decide.
"""

from __future__ import annotations

from typing import Final

from providers.quotas import Quota, RateLimitHeaders

_HOUR: Final = 3600
# One query may cost no more; what it did cost is told with its answer.
_DEAREST_QUERY: Final = 10_000

QUOTAS: Final = (
    Quota(
        name="requests",
        kind="leaky",
        units=2500,
        window_seconds=_HOUR,
        headers=RateLimitHeaders(
            limit="x-ratelimit-requests-limit",
            remaining="x-ratelimit-requests-remaining",
            reset="x-ratelimit-requests-reset",
            reset_format="epoch_milliseconds",
        ),
    ),
    Quota(
        name="complexity",
        kind="leaky",
        units=2_000_000,
        window_seconds=_HOUR,
        read_cost=_DEAREST_QUERY,
        write_cost=_DEAREST_QUERY,
        cost_header="x-complexity",
        headers=RateLimitHeaders(
            limit="x-ratelimit-complexity-limit",
            remaining="x-ratelimit-complexity-remaining",
            reset="x-ratelimit-complexity-reset",
            reset_format="epoch_milliseconds",
        ),
    ),
)
