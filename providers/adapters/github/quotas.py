"""What GitHub counts, for each user or installation.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from __future__ import annotations

from typing import Final

from providers.quotas import Quota, RateLimitHeaders

_HEADERS: Final = RateLimitHeaders(
    limit="x-ratelimit-limit", remaining="x-ratelimit-remaining", reset="x-ratelimit-reset"
)
_RESOURCE: Final = "x-ratelimit-resource"

QUOTAS: Final = (
    Quota(
        name="requests",
        kind="fixed",
        units=5000,
        window_seconds=3600,
        path=r"^(?!(?:/api/v3)?/search/)",
        headers=_HEADERS,
        scope=(_RESOURCE, "core"),
        free_not_modified=True,
    ),
    Quota(
        name="searches",
        kind="fixed",
        units=30,
        window_seconds=60,
        path=r"^(?:/api/v3)?/search/",
        headers=_HEADERS,
        scope=(_RESOURCE, "search"),
    ),
    # The secondary limits. They have no headers; a refusal names the time, or a minute is waited and longer each time.
    Quota(name="points", units=900, read_cost=1, write_cost=5, concurrency=100, write_spacing_seconds=1),
    Quota(name="writes a minute", units=80, only="writes"),
    Quota(name="writes an hour", units=500, window_seconds=3600, only="writes"),
)
PAUSE_SECONDS: Final = 60
