"""How Confluence Cloud grants access: OAuth 2.0 (3LO), and client credentials of service accounts.

Source: https://developer.atlassian.com/cloud/confluence/oauth-2-3lo-apps/ and
https://developer.atlassian.com/cloud/confluence/scopes-for-oauth-2-3LO-and-forge-apps/
"""

from __future__ import annotations

from providers.oauth import OAuth2, SiteList

OAUTH = OAuth2(
    authorize_url="https://auth.atlassian.com/authorize",
    token_url="https://auth.atlassian.com/oauth/token",
    default_origin="https://auth.atlassian.com",
    authorize_parameters={"audience": "api.atlassian.com", "prompt": "consent"},
    # Search and the user are asked of v1 (classic scopes), all else of v2 (granular ones). Without ``offline_access``
    # there is no refresh token, and access ends after an hour.
    scopes=(
        "search:confluence",
        "read:confluence-user",
        "read:page:confluence",
        "read:space:confluence",
        "read:comment:confluence",
        "write:page:confluence",
        "write:comment:confluence",
        "offline_access",
    ),
    # Not documented, and so not sent.
    pkce=False,
    token_format="json",
    client_credentials=True,
    ended_errors=("unauthorized_client",),
    sites=SiteList(
        url="https://api.atlassian.com/oauth/token/accessible-resources",
        product="confluence",
        base_url="https://api.atlassian.com/ex/confluence/{id}/wiki",
        site_url="{url}/wiki",
    ),
    documentation="https://developer.atlassian.com/cloud/confluence/oauth-2-3lo-apps/",
)
