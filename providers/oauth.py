"""How a provider grants access tokens, as data: OAuth 2.0 (RFC 6749), PKCE (RFC 7636) and app keys.

The runtime keeps, refreshes and rotates what is granted; an adapter only says where to ask and how. An adapter sees
one access token, handed to its ``client_config`` under ``OAuth2.credential_name``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteList:
    """Where a server tells which sites a grant reaches; a connection leads to one of them.

    ``url`` is asked with the access token and answers a JSON array of objects with ``id``, ``name``, ``url`` and
    ``scopes``. A site is listed once a product; an entry is of ``product`` where one of its scopes names it.
    ``base_url`` and ``site_url`` are the settings that follow, with ``{id}`` and ``{url}`` of the site.
    """

    url: str
    product: str
    base_url: str
    site_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2:
    """One provider's authorisation server.

    ``authorize_url`` and ``token_url`` may hold ``{origin}``: scheme and host of a self-managed server, for which
    ``default_origin`` stands where the connection names none.
    ``scopes`` are asked for unless the operator's client says otherwise; joined with ``scope_separator``.
    ``pkce``: the server takes a code challenge (S256). The state is sent and checked everywhere.
    ``client_authentication``: how the client's secret is sent (RFC 6749, section 2.3.1).
    ``token_format``: how the token request is encoded.
    ``authorize_parameters``: more that the authorisation page needs.
    ``rotates``: a refresh token is used up by its use, so refreshing is never repeated lightly.
    ``client_credentials``: the server also grants tokens to the client itself (RFC 6749, section 4.4).
    ``ended_errors``: names besides ``invalid_grant`` with which the server refuses a refresh token that is dead.
    ``credential_name``: the name under which the adapter's ``client_config`` expects the access token.
    ``issuer``: what the server calls itself in each of its answers (RFC 9207), where it does; may hold ``{origin}``.
    ``default_base_url``: the API address that goes with ``default_origin``; ``api_path``: what follows a self-managed
    server's address in ``base_url``.
    ``sites``: where to learn ``base_url`` once access is granted, if no setting can say it before.
    ``documentation``: vendor page the values come from.
    """

    authorize_url: str
    token_url: str
    documentation: str
    default_origin: str = ""
    scopes: tuple[str, ...] = ()
    scope_separator: str = " "
    pkce: bool = True
    client_authentication: Literal["body", "basic"] = "body"
    token_format: Literal["form", "json"] = "form"
    authorize_parameters: Mapping[str, str] = field(default_factory=dict)
    rotates: bool = True
    client_credentials: bool = False
    ended_errors: tuple[str, ...] = ()
    credential_name: str = "token"
    issuer: str = ""
    default_base_url: str = ""
    api_path: str = ""
    sites: SiteList | None = None

    def origin_of(self, settings: Mapping[str, Any]) -> str:
        """Address of the server whose tokens may be sent to the API address of these settings.

        An address nobody knows is a server of its own, so it never gets what another one granted.
        """
        base_url = _plain(str(settings.get("base_url") or ""))
        if self.sites is not None:
            before, _, after = self.sites.base_url.partition("{id}")
            if base_url.startswith(before) and base_url.endswith(after):
                base_url = ""
        if base_url in ("", self.default_base_url):
            return self.default_origin
        return base_url.removesuffix(self.api_path)


def _plain(url: str) -> str:
    """The address with scheme and host in lower case and nothing after its path."""
    parts = urlsplit(url.rstrip("/"))
    return f"{parts.scheme}://{parts.netloc}".lower() + parts.path if parts.netloc else ""
