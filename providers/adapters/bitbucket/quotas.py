"""What Bitbucket counts, for each user: requests of the last hour, apart for each kind of thing.

https://support.atlassian.com/bitbucket-cloud/docs/api-request-limits/
"""

from __future__ import annotations

from typing import Final

from providers.quotas import Quota, RateLimitHeaders

_HOUR: Final = 3600

QUOTAS: Final = (
    # Neither a remainder nor a reset is sent, so we count; paid workspaces are told a higher limit.
    Quota(
        name="repositories",
        units=1000,
        window_seconds=_HOUR,
        path=r"/repositories(?:/|$)(?!.*/hooks(?:/|$))",
        headers=RateLimitHeaders(limit="x-ratelimit-limit"),
    ),
    Quota(name="webhooks", units=1000, window_seconds=_HOUR, path=r"/hooks(?:/|$)"),
    Quota(
        name="other",
        units=1000,
        window_seconds=_HOUR,
        path=r"^(?:/2\.0)?/(?!2\.0/|repositories(?:/|$))([^/]+)(?!.*/hooks(?:/|$))",
    ),
)
PAUSE_SECONDS: Final = 60
