"""How Slack grants access: installing an app in a workspace gives its bot a token.

Source: https://docs.slack.dev/authentication/installing-with-oauth/ and
https://docs.slack.dev/authentication/using-token-rotation/
"""

from __future__ import annotations

from providers.oauth import OAuth2

OAUTH = OAuth2(
    authorize_url="{origin}/oauth/v2/authorize",
    token_url="{origin}/api/oauth.v2.access",
    default_origin="https://slack.com",
    default_base_url="https://slack.com/api",
    api_path="/api",
    # Of the bot; those of a person would be asked for under another name.
    scopes=(
        "app_mentions:read",
        "channels:history",
        "channels:read",
        "chat:write",
        "groups:history",
        "groups:read",
        "reactions:read",
        "reactions:write",
        "users:read",
    ),
    scope_separator=",",
    # Each app chooses it once and cannot go back; a server that keeps its secret does not need it.
    pkce=False,
    ended_errors=("invalid_refresh_token",),
    documentation="https://docs.slack.dev/authentication/installing-with-oauth/",
)
