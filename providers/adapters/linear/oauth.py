"""How Linear grants access: OAuth apps, which act as themselves.

Source: https://linear.app/developers/oauth-2-0-authentication and
https://linear.app/developers/oauth-actor-authorization
"""

from __future__ import annotations

from providers.oauth import OAuth2

OAUTH = OAuth2(
    authorize_url="https://linear.app/oauth/authorize",
    token_url="https://api.linear.app/oauth/token",
    default_origin="https://linear.app",
    default_base_url="https://api.linear.app",
    # As an app of its own name, which an administrator installs; it sees the teams it was given.
    authorize_parameters={"actor": "app", "prompt": "consent"},
    scopes=("read", "write"),
    scope_separator=",",
    client_credentials=True,
    credential_name="access_token",
    documentation="https://linear.app/developers/oauth-2-0-authentication",
)
