"""How Jira Cloud grants access: OAuth 2.0 (3LO), and client credentials of service accounts.

Source: https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps/ and
https://developer.atlassian.com/cloud/jira/platform/scopes-for-oauth-2-3LO-and-forge-apps/
"""

from __future__ import annotations

from providers.oauth import OAuth2, SiteList

OAUTH = OAuth2(
    authorize_url="https://auth.atlassian.com/authorize",
    token_url="https://auth.atlassian.com/oauth/token",
    default_origin="https://auth.atlassian.com",
    authorize_parameters={"audience": "api.atlassian.com", "prompt": "consent"},
    # Without ``offline_access`` there is no refresh token, and access ends after an hour.
    scopes=("read:jira-work", "read:jira-user", "write:jira-work", "offline_access"),
    # Not documented, and so not sent.
    pkce=False,
    token_format="json",
    client_credentials=True,
    ended_errors=("unauthorized_client",),
    sites=SiteList(
        url="https://api.atlassian.com/oauth/token/accessible-resources",
        product="jira",
        base_url="https://api.atlassian.com/ex/jira/{id}",
        site_url="{url}",
    ),
    documentation="https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps/",
)
