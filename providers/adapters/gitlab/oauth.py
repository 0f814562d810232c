"""How GitLab grants access: GitLab.com, Self-Managed and Dedicated alike.

Source: https://docs.gitlab.com/api/oauth2/ and https://docs.gitlab.com/integration/oauth_provider/
"""

from __future__ import annotations

from providers.oauth import OAuth2

OAUTH = OAuth2(
    authorize_url="{origin}/oauth/authorize",
    token_url="{origin}/oauth/token",
    default_origin="https://gitlab.com",
    default_base_url="https://gitlab.com/api/v4",
    api_path="/api/v4",
    # The only scope that writes: hooks, notes, statuses. ``read_api`` is enough for polling.
    scopes=("api",),
    documentation="https://docs.gitlab.com/api/oauth2/",
)
