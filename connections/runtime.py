"""The one place where a row meets the SPI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.conf import settings

from connections import tokens
from connections.budget import budget
from connections.budget_port import resource_type
from connections.metrics import PROVIDER_CALLS
from connections.models import IntegrationConnection
from connections.quota import QuotaGate, owner_of
from connections.secret_port import COME_BACK_SECONDS, SecretsUnreachable, SecretUnavailable
from connections.secret_store import get_credential
from connections.tokens import Usable
from connections.turns import deadline
from providers import registry
from providers.client import ClientConfig, ProviderClient
from providers.errors import CredentialAway, Misconfigured
from providers.quotas import Traffic
from providers.spi import Adapter


def adapter_for(connection: IntegrationConnection) -> Adapter:
    """The adapter of the connection's provider. Raises ``registry.UnknownProvider``."""
    return registry.get(connection.provider_id)


@dataclass(frozen=True, slots=True)
class Calling:
    """How a connection calls its provider. ``repr`` leaves out what is secret.

    ``identity`` is whose quotas the calls are; a ``token`` is what the credential was turned into, if it is none.
    """

    adapter: Adapter
    config: ClientConfig
    identity: Mapping[str, str] = field(repr=False)
    token: Usable | None = None


def calling(connection: IntegrationConnection) -> Calling:
    """As the connection calls now; an access token that is due is renewed first, so no transaction may be open.

    Raises ``ProviderError`` (``Misconfigured``, ``AuthFailed`` where the provider has ended the authorisation, others
    where a token is not to be had now), or ``registry.UnknownProvider``.
    """
    return _calling(connection, tokens.usable)


def last_calling(connection: IntegrationConnection) -> Calling:
    """As the connection called last, for looking at; nobody is asked. Raises ``Misconfigured``, or as ``calling``."""
    return _calling(connection, tokens.kept)


def _calling(
    connection: IntegrationConnection,
    token_of: Callable[[IntegrationConnection, Adapter, Mapping[str, str]], Usable | None],
) -> Calling:
    try:
        credential = get_credential(connection.tenant_id, connection.auth_ref)
    except SecretUnavailable as error:
        raise Misconfigured(f"The credential cannot be used: {error}") from None
    except SecretsUnreachable as error:
        raise CredentialAway(error.message, retry_after_seconds=COME_BACK_SECONDS) from None
    adapter = adapter_for(connection)
    token = token_of(connection, adapter, credential)
    return _with(connection, adapter, token, credential)


def _with(
    connection: IntegrationConnection, adapter: Adapter, token: Usable | None, credential: Mapping[str, str]
) -> Calling:
    usable, identity = (token.credential, token.identity) if token is not None else (credential, credential)
    return Calling(adapter, adapter.client_config(connection.settings, usable, connection.api_version), identity, token)


def client_for(connection: IntegrationConnection, traffic: Traffic = Traffic.ACTION) -> ProviderClient:
    """A client that calls the provider as this connection, for as long as there is time (``connections.turns``).

    Each request passes the ledger of the provider's quotas as ``traffic`` and may raise ``QuotaSpent``. An access token
    the provider refuses before its time is renewed once. Raises as ``calling`` does.
    """
    access = _Access(connection)
    how = access.how
    gate = QuotaGate(owner_of(connection, how.config, how.identity), how.adapter.manifest, connection, traffic)
    kind = resource_type(connection.provider_id, traffic)

    def observe(outcome: str) -> None:
        PROVIDER_CALLS.labels(connection.provider_id, connection.tenant_id, outcome).inc()
        if outcome == "ok":
            access.worked()

    def used(requests: int) -> None:
        budget().record(connection.tenant_id, kind, str(connection.pk), requests)

    return _MeteredClient(used, how.config, settings.OUTBOUND_POLICY, observe, deadline(), gate, access.renew)


class _Access:
    """What a connection calls with, over the life of one client."""

    def __init__(self, connection: IntegrationConnection) -> None:
        self._connection = connection
        self.how = calling(connection)

    def renew(self) -> Mapping[str, str] | None:
        """The headers of a newer credential than the one that was refused, if there is one."""
        how = self.how
        if how.token is not None:
            newer = tokens.renewed(self._connection, how.adapter, how.token)
            credential = how.token.source
        else:
            newer, credential = None, tokens.renewed_elsewhere(self._connection, how.identity)
        if newer is None and (how.token is not None or not credential):
            return None
        self.how = _with(self._connection, how.adapter, newer, credential)
        return self.how.config.headers

    def worked(self) -> None:
        if self.how.token is not None and self.how.token.unproven:
            tokens.proven(self.how.token)
            self.how = replace(self.how, token=replace(self.how.token, unproven=False))


class _MeteredClient(ProviderClient):
    """Tells at the end how many requests were made."""

    def __init__(self, used: Callable[[int], None], *args: Any) -> None:
        super().__init__(*args)
        self._used = used

    def __exit__(self, *exc_info: object) -> None:
        super().__exit__(*exc_info)
        if self.requests_made:
            self._used(self.requests_made)
