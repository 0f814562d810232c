"""What Confluence Cloud counts. https://developer.atlassian.com/cloud/confluence/rate-limiting/

Points an hour for apps with OAuth: one for a call and one for each object that is read. API tokens have limits for
bursts alone, which are not published; they are obeyed as they are told.
"""

from __future__ import annotations

from typing import Final

from providers.quotas import Quota

QUOTAS: Final = (
    # A page of the search has up to 50 objects, one of the lists up to 250.
    Quota(
        name="points",
        units=65_000,
        window_seconds=3600,
        costs=(
            *((r"/rest/api/search$", 51), (r"/api/v2/(?:pages|blogposts|spaces)$", 251)),
            (r"/[0-9]+/(?:versions|footer-comments|children)$", 51),
        ),
    ),
)
