"""The one place where a row meets the SPI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from connections.budget import budget
from connections.budget_port import resource_type
from connections.metrics import PROVIDER_CALLS
from connections.models import IntegrationConnection
from connections.quota import QuotaGate, owner_of
from connections.secret_store import SecretUnavailable, get_credential
from connections.turns import deadline
from providers import registry
from providers.client import ClientConfig, ProviderClient
from providers.errors import Misconfigured
from providers.quotas import Traffic
from providers.spi import Adapter


def adapter_for(connection: IntegrationConnection) -> Adapter:
    """The adapter of the connection's provider. Raises ``registry.UnknownProvider``."""
    return registry.get(connection.provider_id)


@dataclass(frozen=True, slots=True)
class Calling:
    """How a connection calls its provider. ``repr`` leaves out what is secret."""

    adapter: Adapter
    config: ClientConfig
    credential: Mapping[str, str] = field(repr=False)


def calling(connection: IntegrationConnection) -> Calling:
    """Raises ``Misconfigured``, or ``registry.UnknownProvider``."""
    try:
        credential = get_credential(connection.tenant_id, connection.auth_ref)
    except SecretUnavailable as error:
        raise Misconfigured(f"The credential cannot be used: {error}") from None
    adapter = adapter_for(connection)
    config = adapter.client_config(connection.settings, credential, connection.api_version)
    return Calling(adapter, config, credential)


def client_for(connection: IntegrationConnection, traffic: Traffic = Traffic.ACTION) -> ProviderClient:
    """A client that calls the provider as this connection, for as long as there is time (``connections.turns``).

    Each request passes the ledger of the provider's quotas as ``traffic`` and may raise ``QuotaSpent``.
    Raises ``Misconfigured``.
    """
    how = calling(connection)
    gate = QuotaGate(owner_of(connection, how.config, how.credential), how.adapter.manifest, connection, traffic)
    kind = resource_type(connection.provider_id, traffic)

    def count(outcome: str) -> None:
        PROVIDER_CALLS.labels(connection.provider_id, connection.tenant_id, outcome).inc()

    def used(requests: int) -> None:
        budget().record(connection.tenant_id, kind, str(connection.pk), requests)

    return _MeteredClient(used, how.config, settings.OUTBOUND_POLICY, count, deadline(), gate)


class _MeteredClient(ProviderClient):
    """Tells at the end how many requests were made."""

    def __init__(self, used: Callable[[int], None], *args: Any) -> None:
        super().__init__(*args)
        self._used = used

    def __exit__(self, *exc_info: object) -> None:
        super().__exit__(*exc_info)
        if self.requests_made:
            self._used(self.requests_made)
