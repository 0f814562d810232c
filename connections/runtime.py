"""The one place where a row meets the SPI."""

from __future__ import annotations

from django.conf import settings

from connections.metrics import PROVIDER_CALLS
from connections.models import IntegrationConnection
from connections.secret_store import SecretUnavailable, get_credential
from connections.turns import deadline
from providers import registry
from providers.client import ProviderClient
from providers.errors import Misconfigured
from providers.spi import Adapter


def adapter_for(connection: IntegrationConnection) -> Adapter:
    """The adapter of the connection's provider. Raises ``registry.UnknownProvider``."""
    return registry.get(connection.provider_id)


def client_for(connection: IntegrationConnection) -> ProviderClient:
    """A client that calls the provider as this connection, for as long as there is time (``connections.turns``).

    Raises ``Misconfigured``.
    """
    try:
        credential = get_credential(connection.tenant_id, connection.auth_ref)
    except SecretUnavailable as error:
        raise Misconfigured(f"The credential cannot be used: {error}") from None
    config = adapter_for(connection).client_config(connection.settings, credential, connection.api_version)

    def count(outcome: str) -> None:
        PROVIDER_CALLS.labels(connection.provider_id, connection.tenant_id, outcome).inc()

    return ProviderClient(config, settings.OUTBOUND_POLICY, count, deadline())
