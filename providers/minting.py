"""Credentials that are no access token themselves: who turns them into one, and how.

An adapter lists its ``token_minters``. A credential that one of them ``matches`` is never handed to
``client_config``; the access token is, under ``credential_name``. The runtime keeps it, shares it and makes a new one
in time.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Protocol

from providers.canonical import JSON
from providers.client import Response
from providers.errors import Misconfigured
from providers.oauth import OAuth2
from providers.token_requests import TokenRequest, TokenSet, granted, token_request

_PLACE: Final = re.compile(r"\{([a-z_]+)\}")
# What may stand in a URL for a part of the credential: a name or id, never a path.
_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,199}", re.ASCII)


# Parts of a credential that ``ClientCredentials`` understands, for an adapter's ``credential_schema``.
CLIENT_PARTS: Final[JSON] = {
    "client_id": {
        "type": "string",
        "pattern": "^[!-~]{1,300}$",
        "x-public": True,
        "description": "Instead of a token: client id of an app that acts for itself (client credentials).",
    },
    "client_secret": {
        "type": "string",
        "pattern": "^[!-~]{1,1000}$",
        "description": "Secret of that app.",
    },
}


class TokenMinter(ABC):
    """Turns one form of credential into access tokens."""

    @property
    def credential_name(self) -> str:
        """The name under which ``client_config`` expects the token."""
        return "token"

    @abstractmethod
    def audience(self, settings: Mapping[str, Any]) -> str:
        """Where tokens made with these settings are good; one that was made for elsewhere is not used."""

    @abstractmethod
    def matches(self, credential: Mapping[str, str]) -> bool:
        """Whether the credential is of this form."""

    @abstractmethod
    def request(self, settings: Mapping[str, Any], credential: Mapping[str, str], now: datetime) -> TokenRequest:
        """What to send for a token. Raises ``Misconfigured``."""

    @abstractmethod
    def read(self, answer: Response, now: datetime) -> TokenSet:
        """The token of a successful answer. Raises ``ProviderFault``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials(TokenMinter):
    """Client credentials (RFC 6749, section 4.4): ``client_id``, ``client_secret`` and, if wanted, ``scope``.

    The server's ``token_url`` may name parts of the credential, such as ``{directory}``. ``scope`` is asked for where
    the credential names none.
    """

    server: OAuth2
    scope: str = ""

    @property
    def credential_name(self) -> str:
        return self.server.credential_name

    def audience(self, settings: Mapping[str, Any]) -> str:
        server = self.server.token_url.replace("{origin}", self.server.origin_of(settings))
        return f"{server} {self.scope_for(settings)}"

    def matches(self, credential: Mapping[str, str]) -> bool:
        return bool(credential.get("client_id") and credential.get("client_secret"))

    def request(self, settings: Mapping[str, Any], credential: Mapping[str, str], now: datetime) -> TokenRequest:
        scope = credential.get("scope") or self.scope_for(settings)
        asked = token_request(
            self.server,
            origin=self.server.origin_of(settings),
            client_id=credential["client_id"],
            client_secret=credential["client_secret"],
            fields={"grant_type": "client_credentials", **({"scope": scope} if scope else {})},
        )
        return replace(asked, url=_PLACE.sub(lambda place: _part(credential, place[1]), asked.url))

    def scope_for(self, settings: Mapping[str, Any]) -> str:
        """What is asked for where the credential names nothing; empty: nothing is named."""
        return self.scope

    def read(self, answer: Response, now: datetime) -> TokenSet:
        return granted(answer)


class Mints(Protocol):
    """The part of an adapter that says how it comes to access tokens."""

    @property
    def token_minters(self) -> Sequence[TokenMinter]: ...

    @property
    def oauth(self) -> OAuth2 | None: ...


def minter_for(adapter: Mints, credential: Mapping[str, str]) -> TokenMinter | None:
    """Who makes tokens of this credential; ``None``: it is one already."""
    for minter in adapter.token_minters:
        if minter.matches(credential):
            return minter
    oauth = adapter.oauth
    if oauth is None or not oauth.client_credentials:
        return None
    own = ClientCredentials(server=oauth)
    return own if own.matches(credential) else None


def _part(credential: Mapping[str, str], name: str) -> str:
    part = credential.get(name) or ""
    if not _PART.fullmatch(part):
        raise Misconfigured(f"The credential has no usable {name}.")
    return part
