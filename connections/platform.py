"""Calls to the neighbouring services: as which tenant, with which token."""

from __future__ import annotations

from django.conf import settings

from connections.secret_store import SecretUnavailable, secret_store


def platform_headers(tenant_id: str, service: str) -> dict[str, str]:
    """Headers of every call to a neighbour on behalf of one tenant.

    The token is the secret named ``platform/<service>`` of that tenant, else ``PLATFORM_TOKEN``; with
    neither, the call goes out without one and the neighbour says 401. Raises ``SecretsUnreachable``.
    """
    try:
        token = secret_store().get(tenant_id, f"platform/{service}")
    except SecretUnavailable:
        token = settings.PLATFORM_TOKEN
    headers = {"X-Tenant-ID": tenant_id}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return headers
