"""Apps registered at providers, with which their users authorise connections.

Only operators enter them. An app's secret goes to the server it was entered for and to no other, whatever a tenant
writes into the settings of a connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as deployment
from django.db import transaction

from connections.errors import ServiceError
from connections.models import OAuthClient
from connections.secret_store import keeping, secret_store
from connections.tenancy import SHARED_TENANT
from connections.validation import invalid, problem
from providers import registry
from providers.models import IntegrationProvider
from providers.oauth import OAuth2
from providers.spi import Adapter

CALLBACK_PATH = "/v1/integrations/oauth/callback"
MAX_SCOPES = 60
MAX_SECRET_LENGTH = 4096
# RFC 6749, appendix A.1 and A.4; a comma separates scopes at some providers and stands in none.
_CLIENT_ID = re.compile(r"[!-~]{1,300}", re.ASCII)
_SCOPE = re.compile(r"[!#-+\--\[\]-~]{1,200}", re.ASCII)


def redirect_uri() -> str:
    """The address to register at every provider."""
    return f"{deployment.PUBLIC_BASE_URL}{CALLBACK_PATH}"


def flow_of(adapter: Adapter) -> OAuth2:
    """How the provider grants access. Raises ``ServiceError`` (409) where it does not by a page of its own."""
    if adapter.oauth is None:
        message = f"{adapter.label} is not connected by authorisation; make a connection with a credential."
        raise ServiceError("OAUTH_NOT_OFFERED", message, status=409)
    return adapter.oauth


def client_for_settings(adapter: Adapter, tenant_id: str, settings: Mapping[str, Any]) -> OAuthClient:
    """The app a tenant's connection with these settings is authorised with; the tenant's own before a shared one.

    Raises ``ServiceError`` (409) where no app is registered for that server.
    """
    flow = flow_of(adapter)
    origin = flow.default_origin if flow.sites is not None else flow.origin_of(settings)
    stored = "" if origin == flow.default_origin else origin
    apps = OAuthClient.objects.filter(tenant_id__in=(tenant_id, SHARED_TENANT), provider_id=adapter.slug, origin=stored)
    found: list[OAuthClient] = sorted(apps, key=lambda app: app.tenant_id == SHARED_TENANT)
    if not found:
        where = f" at {origin}" if stored else ""
        message = f"No app is registered for {adapter.label}{where}. An operator enters it under OAuth clients."
        raise ServiceError("OAUTH_CLIENT_MISSING", message, {"redirect_uri": redirect_uri()}, status=409)
    return found[0]


def put_client(
    *,
    provider_id: str,
    client_id: str,
    client_secret: str = "",
    tenant_id: str = SHARED_TENANT,
    origin: str = "",
    scopes: Iterable[str] = (),
) -> OAuthClient:
    """Enter an app, or change the one of this tenant, provider and server; without a secret the old one stays.

    Raises ``ServiceError`` with what cannot be accepted.
    """
    provider, adapter = _provider(provider_id)
    flow = flow_of(adapter)
    origin = _checked_origin(flow, origin.strip().rstrip("/"))
    if not _CLIENT_ID.fullmatch(client_id):
        raise invalid(problem("/client_id", "must be 1 to 300 visible characters"))
    if not 1 <= len(tenant_id) <= 100:
        raise invalid(problem("/tenant_id", "must have 1 to 100 characters"))
    if len(client_secret) > MAX_SECRET_LENGTH or not client_secret.isascii() or not client_secret.isprintable():
        raise invalid(problem("/client_secret", f"must be at most {MAX_SECRET_LENGTH} visible characters"))
    wanted = checked_scopes(scopes)
    with keeping(tenant_id, client_secret) as (reference,), transaction.atomic():
        row: OAuthClient | None = (
            OAuthClient.objects.select_for_update()
            .filter(tenant_id=tenant_id, provider=provider, origin=origin)
            .first()
        )
        if row is None:
            row = OAuthClient(tenant_id=tenant_id, provider=provider, origin=origin)
        if not reference and not row.secret_ref and not flow.pkce:
            raise invalid(problem("/client_secret", f"is needed: {adapter.label} proves an app by its secret alone"))
        outdated = row.secret_ref if reference else ""
        row.client_id, row.scopes, row.secret_ref = client_id, wanted, reference or row.secret_ref
        row.save()
        if outdated:
            secret_store().delete(tenant_id, outdated)
    return row


def remove_client(row: OAuthClient) -> None:
    """What was granted to it cannot be refreshed any more, until the same app is entered again."""
    reference = row.secret_ref
    with transaction.atomic():
        row.delete()
        if reference:
            secret_store().delete(row.tenant_id, reference)


def secret_of(row: OAuthClient) -> str:
    """The app's secret; empty for an app that has none. Raises ``SecretUnavailable``."""
    return secret_store().get(row.tenant_id, row.secret_ref) if row.secret_ref else ""


def checked_scopes(scopes: Iterable[str], *, pointer: str = "/scopes") -> list[str]:
    """Scopes as they may stand in a request, each once, in their order."""
    wanted = list(dict.fromkeys(scopes))
    if len(wanted) > MAX_SCOPES or not all(isinstance(scope, str) and _SCOPE.fullmatch(scope) for scope in wanted):
        raise invalid(problem(pointer, f"must be at most {MAX_SCOPES} names without spaces and commas"))
    return wanted


def split_scopes(text: str) -> Sequence[str]:
    """Names separated by spaces or commas."""
    return [name for name in re.split(r"[\s,]+", text) if name]


def _provider(provider_id: str) -> tuple[IntegrationProvider, Adapter]:
    row = IntegrationProvider.objects.filter(provider_id=provider_id, registered=True).first()
    if row is None or provider_id not in registry.slugs():
        raise invalid(problem("/provider_id", "is not a known provider"))
    return row, registry.get(provider_id)


def _checked_origin(flow: OAuth2, origin: str) -> str:
    """Empty for the provider's own server; else as ``OAuth2.origin_of`` writes it."""
    if not origin:
        return ""
    reason = ""
    try:
        parts = urlsplit(origin)
        _ = parts.port
    except ValueError:
        raise invalid(problem("/origin", "is not an address")) from None
    if "{origin}" not in flow.token_url:
        reason = "must be empty: this provider has one server only"
    elif not parts.hostname or parts.username is not None or parts.query or parts.fragment or len(origin) > 300:
        reason = "must be an address such as https://host, without user name, query and fragment"
    elif parts.scheme != "https" and not deployment.OUTBOUND_POLICY.admits(origin):
        reason = "must be https"
    if reason:
        raise invalid(problem("/origin", reason))
    plain = flow.origin_of({"base_url": origin + flow.api_path})
    return "" if plain == flow.default_origin else plain
