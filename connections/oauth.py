"""Authorising a connection at its provider's page: OAuth 2.0 with the authorization code (RFC 6749, section 4.1).

``begin`` makes the address of that page, ``finish`` takes what comes back from it. What ties the two together is a
state of 256 random bits (RFC 6749, section 10.12; RFC 9700, sections 2.1 and 4.7): known here by its hash, good for ten
minutes and one use, and bound to tenant, actor, provider, app and redirect address. An authorisation begun by staff
is also bound to the browser session it was begun in. One begun through the API cannot be: its client is no browser.
There the page says at the end for whom it was, and nobody can bring a code of their own without the state.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings as deployment
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac

from connections import validation
from connections.errors import ServiceError
from connections.models import ConnectionStatus, IntegrationConnection, OAuthAuthorisation, OAuthClient
from connections.oauth_clients import checked_scopes, client_for_settings, flow_of, redirect_uri
from connections.validation import invalid, problem
from providers import registry
from providers.models import IntegrationProvider, ProviderStatus
from providers.oauth import OAuth2
from providers.spi import Adapter

STATE_SECONDS = 600
KEPT = timedelta(days=30)
MAX_RETURN_URL = 2000
_STATE_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """``authorize_url`` holds the state, so ``repr`` leaves it out."""

    authorize_url: str = field(repr=False)
    authorisation: OAuthAuthorisation


def begin(
    *,
    tenant_id: str,
    provider_id: str,
    actor: str,
    display_name: str = "",
    connection: IntegrationConnection | None = None,
    settings: Mapping[str, Any] | None = None,
    scopes: Sequence[str] = (),
    site: str = "",
    return_url: str = "",
    browser: str = "",
) -> Begun:
    """Start an authorisation for a new connection, or for ``connection`` again.

    ``scopes`` are asked for instead of the app's. ``site``: name, id or address of the site that is wanted where an
    account reaches several. ``browser``: key of the session that has to come back. Raises ``ServiceError``.
    """
    provider, adapter = _offered(provider_id, new=connection is None)
    flow = flow_of(adapter)
    if connection is None:
        settings = dict(settings or {})
        display_name = validation.checked_name(display_name)
        validation.check_settings(adapter, _completed(flow, settings))
    else:
        _require_renewable(connection, settings)
        settings, display_name = connection.settings, connection.display_name
    _check_return_url(return_url)
    if len(site) > 300:
        raise invalid(problem("/site", "must have at most 300 characters"))
    client = client_for_settings(adapter, tenant_id, settings)
    wanted = checked_scopes(scopes) or client.scopes or list(flow.scopes)
    state = secrets.token_urlsafe(_STATE_BYTES)
    OAuthAuthorisation.objects.filter(expires_at__lt=Now() - KEPT).delete()
    row = OAuthAuthorisation.objects.create(
        tenant_id=tenant_id,
        provider=provider,
        client=client,
        connection=connection,
        renews=connection is not None,
        state_hash=digest(state),
        browser_hash=digest(browser) if browser else b"",
        display_name=display_name,
        settings=settings,
        site=site,
        scopes=wanted,
        redirect_uri=redirect_uri(),
        return_url=return_url,
        actor=actor[:200],
        expires_at=Now() + timedelta(seconds=STATE_SECONDS),
    )
    return Begun(authorize_url=_authorize_url(flow, client, row, state), authorisation=row)


def digest(value: str) -> bytes:
    """How states and sessions are remembered."""
    return hashlib.sha256(value.encode()).digest()


def code_verifier(state: str) -> str:
    """The verifier (RFC 7636, section 4.1) that belongs to a state: only this deployment can derive it."""
    keyed = salted_hmac("connections.oauth.code_verifier", state, algorithm="sha256")
    return _base64url(keyed.digest())


def _authorize_url(flow: OAuth2, client: OAuthClient, row: OAuthAuthorisation, state: str) -> str:
    parameters = {
        **flow.authorize_parameters,
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": row.redirect_uri,
        "state": state,
    }
    if row.scopes:
        parameters["scope"] = flow.scope_separator.join(row.scopes)
    if flow.pkce:
        parameters["code_challenge"] = _base64url(hashlib.sha256(code_verifier(state).encode()).digest())
        parameters["code_challenge_method"] = "S256"
    page = flow.authorize_url.replace("{origin}", client.origin or flow.default_origin)
    return f"{page}?{urlencode(parameters)}"


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _offered(provider_id: str, *, new: bool) -> tuple[IntegrationProvider, Adapter]:
    row = IntegrationProvider.objects.filter(provider_id=provider_id, registered=True).first()
    if row is None or provider_id not in registry.slugs():
        raise ServiceError("NOT_FOUND", "There is no such provider.", status=404)
    if new and row.status == ProviderStatus.DEPRECATED:
        raise ServiceError("PROVIDER_DEPRECATED", f"{row.name} takes no new connections.", status=409)
    return row, registry.get(provider_id)


def _completed(flow: OAuth2, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with an address that is known only later, for the schema's sake."""
    if flow.sites is None or "base_url" in settings:
        return dict(settings)
    return {**settings, "base_url": flow.sites.base_url.replace("{id}", "0")}


def _require_renewable(connection: IntegrationConnection, settings: Mapping[str, Any] | None) -> None:
    if settings is not None:
        reason = "cannot be changed while authorising again; change the connection first"
        raise invalid(problem("/settings", reason))
    if not connection.auth_ref:
        message = "The connection only receives webhooks; make a new one to call the provider."
        raise ServiceError("NOTHING_TO_ROTATE", message, status=409)
    if connection.status == ConnectionStatus.SUSPENDED:
        raise ServiceError("INVALID_STATUS_CHANGE", "The connection is suspended; resume it first.", status=409)


def _check_return_url(url: str) -> None:
    """Only to pages of this deployment, or of those the operator lists: no open redirect (RFC 9700, section 4.11)."""
    if not url:
        return
    # Browsers read a backslash as a slash, and drop tabs and line ends.
    plain = url.isascii() and url.isprintable() and not set(url) & set(" \\") and len(url) <= MAX_RETURN_URL
    try:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}".lower()
    except ValueError:
        plain, origin = False, ""
    allowed = {_origin(base) for base in (deployment.PUBLIC_BASE_URL, *deployment.OAUTH_RETURN_ORIGINS)}
    if not plain or origin not in allowed:
        reason = "must be an address of this service, or of an origin in OAUTH_RETURN_ORIGINS"
        raise invalid(problem("/return_url", reason))


def _origin(base: str) -> str:
    parts = urlsplit(base)
    return f"{parts.scheme}://{parts.netloc}".lower()
