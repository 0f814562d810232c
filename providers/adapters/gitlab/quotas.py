"""What GitLab.com counts, for each user; an instance of one's own has limits of its own, or none.

https://docs.gitlab.com/user/gitlab_com/rate_limits/
"""

from __future__ import annotations

from typing import Final

from providers.quotas import Quota, RateLimitHeaders

QUOTAS: Final = (
    # 2,000 a minute today; 100 is the burst of the plans that are announced, and headers tell which one holds.
    Quota(
        name="requests",
        kind="fixed",
        units=100,
        headers=RateLimitHeaders(limit="ratelimit-limit", remaining="ratelimit-remaining", reset="ratelimit-reset"),
    ),
    Quota(name="one project", units=400, path=r"/projects/[^/]+$", only="reads"),
    Quota(name="notes", units=60, path=r"/(?:notes|discussions)(?:/|$)", only="writes"),
    Quota(name="new issues", units=200, path=r"/issues$", only="writes"),
    Quota(name="new pipelines", units=25, path=r"/projects/([^/]+)/pipeline$", only="writes"),
    # https://docs.gitlab.com/api/project_webhooks/#resend-a-project-webhook-event
    Quota(name="resent webhooks", units=5, path=r"/hooks/[0-9]+/events/[0-9]+/resend$", only="writes", separate=True),
)
