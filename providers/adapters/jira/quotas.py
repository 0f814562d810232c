"""What Jira Cloud counts. https://developer.atlassian.com/cloud/jira/platform/rate-limiting/

Counters are documented for refusals only, and are of whichever limit refused; ``Retry-After`` comes with them.
"""

from __future__ import annotations

from typing import Final

from providers.quotas import Quota

_WRITTEN: Final = r"/rest/api/\d+/issue/([^/]+)"

QUOTAS: Final = (
    # One for the call and one for each object that is read; a page of the search has up to 100. The hour is that of
    # the clock, which nothing tells, so any hour is taken. API tokens have limits of their own that are not published.
    Quota(
        name="points",
        units=65_000,
        window_seconds=3600,
        costs=((r"/search(?:/|$)", 101), (r"/changelog(?:/|$)", 101)),
    ),
    # For each endpoint and method; all of them together are held below the lowest.
    Quota(name="reads a second", units=100, window_seconds=1, only="reads"),
    Quota(name="writes a second", units=50, window_seconds=1, only="writes"),
    Quota(name="writes to an issue in 2 seconds", units=20, window_seconds=2, path=_WRITTEN, only="writes"),
    Quota(name="writes to an issue in 30 seconds", units=100, window_seconds=30, path=_WRITTEN, only="writes"),
)
