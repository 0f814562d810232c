"""How GitHub grants access: OAuth apps and the user tokens of GitHub Apps.

Source: https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps and
https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from providers.oauth import OAuth2

# Data residency: the API of https://acme.ghe.com is https://api.acme.ghe.com.
_RESIDENT_API = re.compile(r"https://api\.([a-z0-9-]+\.ghe\.com)")


class GitHubOAuth(OAuth2):
    """A server for each deployment: github.com, a subdomain of GHE.com, an Enterprise Server."""

    def origin_of(self, settings: Mapping[str, Any]) -> str:
        origin = super().origin_of(settings)
        resident = _RESIDENT_API.fullmatch(origin)
        return f"https://{resident[1]}" if resident else origin


OAUTH = GitHubOAuth(
    authorize_url="{origin}/login/oauth/authorize",
    token_url="{origin}/login/oauth/access_token",
    default_origin="https://github.com",
    default_base_url="https://api.github.com",
    api_path="/api/v3",
    # Private repositories with their issues and pull requests; hooks made, changed and removed.
    scopes=("repo", "admin:repo_hook"),
    ended_errors=("bad_refresh_token",),
    documentation="https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps",
)
