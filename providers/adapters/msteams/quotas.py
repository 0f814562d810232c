"""What Graph counts for Teams, for an app in a tenant.

https://learn.microsoft.com/en-us/graph/throttling-limits#microsoft-teams-service-limits
"""

from __future__ import annotations

from typing import Final

from providers.quotas import Quota

QUOTAS: Final = (
    # The lowest of the limits of reading and of posting to chats; no counters are sent.
    Quota(name="requests", units=20, window_seconds=1),
    Quota(name="a team", units=4, window_seconds=1, path=r"/teams/([^/]+)/"),
    Quota(name="a channel or chat", units=1, window_seconds=1, path=r"/(?:channels|chats)/([^/]+)/"),
)
