"""Access tokens of a service principal: client credentials of an app that is a user of the organisation.

Source: https://learn.microsoft.com/azure/devops/integrate/get-started/authentication/service-principal-managed-identity
and https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from __future__ import annotations

from providers.canonical import JSON
from providers.minting import CLIENT_PARTS, ClientCredentials
from providers.oauth import OAuth2

PARTS: JSON = {
    **CLIENT_PARTS,
    "directory": {
        "type": "string",
        "pattern": "^[A-Za-z0-9][A-Za-z0-9.-]{0,199}$",
        "x-public": True,
        "description": "Directory (tenant) of that app in Microsoft Entra ID: its id or domain.",
    },
}

SERVICE_PRINCIPAL = ClientCredentials(
    server=OAuth2(
        authorize_url="",
        token_url="https://login.microsoftonline.com/{directory}/oauth2/v2.0/token",
        credential_name="access_token",
        documentation="https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow",
    ),
    # The resource id of Azure DevOps, the same everywhere.
    scope="499b84ac-1321-427f-aa17-267ca6975798/.default",
)
