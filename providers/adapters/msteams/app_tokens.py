"""Access tokens of an app for Microsoft Graph: client credentials at the sign-in server of the cloud Graph is in.

Source: https://learn.microsoft.com/graph/auth-v2-service and https://learn.microsoft.com/graph/deployments
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from providers.canonical import JSON
from providers.minting import CLIENT_PARTS, ClientCredentials
from providers.oauth import OAuth2

_WORLDWIDE: Final = "https://graph.microsoft.com"
_SIGN_IN: Final = {
    _WORLDWIDE: "https://login.microsoftonline.com",
    "https://graph.microsoft.us": "https://login.microsoftonline.us",
    "https://dod-graph.microsoft.us": "https://login.microsoftonline.us",
    "https://microsoftgraph.chinacloudapi.cn": "https://login.chinacloudapi.cn",
}

PARTS: JSON = {
    **CLIENT_PARTS,
    "directory": {
        "type": "string",
        "pattern": "^[A-Za-z0-9][A-Za-z0-9.-]{0,199}$",
        "x-public": True,
        "description": "Directory (tenant) the app was consented to in: its id or domain.",
    },
}


class _SignIn(OAuth2):
    def origin_of(self, settings: Mapping[str, Any]) -> str:
        """The sign-in server of that cloud; of an address that is none of Microsoft's, the address itself."""
        graph = _graph(settings)
        return _SIGN_IN.get(graph, graph)


class AppTokens(ClientCredentials):
    def scope_for(self, settings: Mapping[str, Any]) -> str:
        """What an administrator has consented to for Graph."""
        return f"{_graph(settings)}/.default"


APP_TOKENS = AppTokens(
    server=_SignIn(
        authorize_url="",
        token_url="{origin}/{directory}/oauth2/v2.0/token",
        documentation="https://learn.microsoft.com/graph/auth-v2-service",
    )
)


def _graph(settings: Mapping[str, Any]) -> str:
    parts = urlsplit(str(settings.get("base_url") or _WORLDWIDE))
    return f"{parts.scheme}://{parts.netloc}".lower()
