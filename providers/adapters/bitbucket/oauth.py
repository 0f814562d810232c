"""How Bitbucket Cloud grants access: OAuth consumers of a workspace.

Source: https://support.atlassian.com/bitbucket-cloud/docs/use-oauth-on-bitbucket-cloud/
"""

from __future__ import annotations

from providers.oauth import OAuth2

OAUTH = OAuth2(
    authorize_url="https://bitbucket.org/site/oauth2/authorize",
    token_url="https://bitbucket.org/site/oauth2/access_token",
    default_origin="https://bitbucket.org",
    default_base_url="https://api.bitbucket.org/2.0",
    # Scopes are chosen on the consumer, once and for all; the address of the page names none.
    scopes=(),
    # Not documented, and so not sent.
    pkce=False,
    client_authentication="basic",
    client_credentials=True,
    documentation="https://support.atlassian.com/bitbucket-cloud/docs/use-oauth-on-bitbucket-cloud/",
)
