"""What access tokens are made from: a grant a person gave, or a credential an adapter's minter knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import orjson
from django.db.models import Q

from connections.models import OAuthClient
from connections.secret_port import COME_BACK_SECONDS, SecretsUnreachable, SecretUnavailable
from connections.secret_store import get_credential, secret_store
from connections.tenancy import SHARED_TENANT
from providers.client import Response
from providers.errors import CredentialAway, GrantEnded, Misconfigured
from providers.minting import TokenMinter, minter_for
from providers.oauth import OAuth2
from providers.spi import Adapter
from providers.token_requests import TokenRequest, TokenSet, granted, token_request

# The form of credential a person's authorisation leaves in the secret store.
GRANT = "authorization_code"


@dataclass(frozen=True, slots=True)
class HeldTokens:
    """A token set as the secret store keeps it. ``repr`` shows nothing of it."""

    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)

    def stored(self) -> str:
        return orjson.dumps({"access_token": self.access_token, "refresh_token": self.refresh_token}).decode()


class TokenSource(Protocol):
    """Where the tokens of one credential come from."""

    @property
    def credential_name(self) -> str:
        """The name under which the adapter expects the access token."""

    @property
    def audience(self) -> str:
        """Where its tokens are good beside what the credential says; empty: the credential says it all."""

    @property
    def needs_tokens(self) -> bool:
        """Whether the next token is asked for with the current set."""

    @property
    def refusal_ends(self) -> bool:
        """Whether any refusal is one of the credential; else only a refused grant is, and the rest may be mended."""

    @property
    def way_out(self) -> str:
        """What a person can do when the credential is refused for good."""

    def request(self, held: HeldTokens, now: datetime) -> TokenRequest:
        """What to send for the next token; ``now`` is the database's clock.

        Raises ``GrantEnded`` where there is nothing left to ask with, ``Misconfigured``, or ``CredentialAway``.
        """

    def read(self, answer: Response, now: datetime) -> TokenSet:
        """Raises ``ProviderFault``."""


@dataclass(frozen=True, slots=True)
class GrantSource:
    """A person's authorisation, renewed with its refresh token (RFC 6749, section 6)."""

    oauth: OAuth2
    tenant_id: str
    provider_id: str
    client_key: str
    client_id: str
    origin: str

    @property
    def credential_name(self) -> str:
        return self.oauth.credential_name

    @property
    def audience(self) -> str:
        return ""

    @property
    def needs_tokens(self) -> bool:
        return True

    @property
    def refusal_ends(self) -> bool:
        # The client belongs to the operator, who can mend it under the grant.
        return False

    @property
    def way_out(self) -> str:
        return "Authorise again."

    def request(self, held: HeldTokens, now: datetime) -> TokenRequest:
        if not held.refresh_token:
            raise GrantEnded("The access token has ended, and the provider gave none to renew it with.")
        client = self._client()
        return token_request(
            self.oauth,
            origin=client.origin,
            client_id=client.client_id,
            client_secret=_client_secret(client),
            fields={"grant_type": "refresh_token", "refresh_token": held.refresh_token},
        )

    def read(self, answer: Response, now: datetime) -> TokenSet:
        return granted(answer)

    def _client(self) -> OAuthClient:
        """The app it was granted to, also where it was entered anew: to another the server would say it has ended."""
        usable = OAuthClient.objects.filter(provider_id=self.provider_id, tenant_id__in=(self.tenant_id, SHARED_TENANT))
        wanted = Q(pk=self.client_key)
        if self.client_id:
            wanted = Q(client_id=self.client_id, origin=self.origin)
        found: list[OAuthClient] = sorted(usable.filter(wanted), key=lambda app: str(app.pk) != self.client_key)
        if not found:
            named = f" ({self.client_id})" if self.client_id else ""
            message = f"The OAuth client{named} of this authorisation was removed. Enter it again, or authorise again."
            raise Misconfigured(message)
        return found[0]


@dataclass(frozen=True, slots=True)
class MintedSource:
    """A credential that does not change, of which an adapter's minter makes tokens."""

    minter: TokenMinter
    settings: Mapping[str, Any]
    credential: Mapping[str, str] = field(repr=False)

    @property
    def credential_name(self) -> str:
        return self.minter.credential_name

    @property
    def audience(self) -> str:
        return self.minter.audience(self.settings)

    @property
    def needs_tokens(self) -> bool:
        return False

    @property
    def refusal_ends(self) -> bool:
        return True

    @property
    def way_out(self) -> str:
        return "Look at the app in the provider's settings, or replace the credential; then verify."

    def request(self, held: HeldTokens, now: datetime) -> TokenRequest:
        return self.minter.request(self.settings, self.credential, now)

    def read(self, answer: Response, now: datetime) -> TokenSet:
        return self.minter.read(answer, now)


def source_of(
    adapter: Adapter, tenant_id: str, settings: Mapping[str, Any], credential: Mapping[str, str]
) -> GrantSource | MintedSource | None:
    """Where access tokens of this credential come from; ``None``: it is one itself. Raises ``Misconfigured``."""
    if credential.get("grant") == GRANT:
        if adapter.oauth is None:
            raise Misconfigured("The credential is an authorisation, which this provider has not.")
        if (credential.get("origin") or adapter.oauth.default_origin) != adapter.oauth.origin_of(settings):
            raise Misconfigured("The credential was granted by another server than base_url belongs to.")
        client_id, origin = credential.get("client_id", ""), credential.get("origin", "")
        return GrantSource(adapter.oauth, tenant_id, adapter.slug, credential.get("client", ""), client_id, origin)
    minter = minter_for(adapter, credential)
    return MintedSource(minter, settings, credential) if minter is not None else None


def held_tokens(tenant_id: str, reference: str) -> HeldTokens:
    """The token set behind a reference. Raises ``SecretUnavailable``."""
    kept = get_credential(tenant_id, reference)
    return HeldTokens(str(kept.get("access_token") or ""), str(kept.get("refresh_token") or ""))


def _client_secret(client: OAuthClient) -> str:
    if not client.secret_ref:
        return ""
    try:
        return secret_store().get(client.tenant_id, client.secret_ref)
    except SecretsUnreachable as error:
        raise CredentialAway(error.message, retry_after_seconds=COME_BACK_SECONDS) from None
    except SecretUnavailable as error:
        raise Misconfigured(f"The secret of the OAuth client cannot be used: {error}") from None
