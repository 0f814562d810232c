"""Access tokens that stay alive: what a connection calls its provider with, when its credential is no token itself.

The row of a credential (``AccessToken``) is the truth for all processes; the tokens are in the secret store. A token
is replaced before it ends, by whoever first needs it then or by beat, and once where the provider refuses it early.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.db import transaction
from django.db.models.functions import Now

from connections import token_refresh, token_waits
from connections.models import AccessToken, IntegrationConnection, OAuthClient
from connections.secret_port import COME_BACK_SECONDS, SecretsUnreachable, SecretUnavailable
from connections.secret_store import credential_text, is_generated, keeping, secret_store
from connections.token_sources import GRANT, HeldTokens, TokenSource, held_tokens, source_of
from providers.errors import CredentialAway, Misconfigured
from providers.spi import Adapter
from providers.token_requests import TokenSet


@dataclass(frozen=True, slots=True)
class Usable:
    """A credential an adapter can call with. ``repr`` shows nothing of it.

    ``identity`` stays the same over refreshes: whose quota it is. ``source`` is what it is made from. ``unproven``: no
    call has succeeded with it yet.
    """

    row: AccessToken
    credential: Mapping[str, str] = field(repr=False)
    identity: Mapping[str, str] = field(repr=False)
    source: Mapping[str, str] = field(repr=False)
    unproven: bool = False


def keep_granted(tenant_id: str, provider_id: str, tokens: TokenSet, *, client: OAuthClient) -> str:
    """Keep what a person granted and return the reference for the ``auth_ref`` of connections that use it.

    ``client`` is the one the code was exchanged with. From here on the tokens are renewed; a reference that no
    connection uses in the end is given to ``forget``. A renewed authorisation is kept under a new reference: the old
    one is forgotten once the connection has moved. Nothing is sent to anybody but the secret store.
    """
    held = HeldTokens(tokens.access_token, tokens.refresh_token)
    grant = {"grant": GRANT, "client": str(client.pk), "client_id": client.client_id, "origin": client.origin}
    kept_texts = held.stored(), credential_text(grant)
    with token_refresh.one_transaction(), keeping(tenant_id, *kept_texts) as (token_ref, auth_ref):
        AccessToken.objects.create(
            tenant_id=tenant_id,
            provider_id=provider_id,
            auth_ref=auth_ref,
            source_digest=_digest(grant, ""),
            token_ref=token_ref,
            generation=1,
            scopes=list(tokens.scopes or ()),
            last_refreshed_at=Now(),
            **token_refresh.life(tokens, renewable=bool(tokens.refresh_token)),
        )
    return auth_ref


def forget(tenant_id: str, auth_ref: str) -> None:
    """Remove what is kept for a reference no connection uses any more; an operator's own secret stays."""
    store = secret_store()
    with transaction.atomic():
        for row in AccessToken.objects.filter(tenant_id=tenant_id, auth_ref=auth_ref).select_for_update():
            row.delete()
            for reference in filter(None, (row.token_ref, row.previous_ref)):
                store.delete(tenant_id, reference)
        if is_generated(auth_ref):
            store.delete(tenant_id, auth_ref)


def usable(connection: IntegrationConnection, adapter: Adapter, credential: Mapping[str, str]) -> Usable | None:
    """What to call with now; ``None`` where the credential is used as it is.

    Refreshes where it is due; no transaction may be open. Raises ``AuthFailed`` at once where the provider has refused
    the credential for good, another ``ProviderError`` where there is no token for the moment.
    """
    source = source_of(adapter, connection.tenant_id, connection.settings, credential)
    if source is None:
        return None
    row = token_waits.current(_row(connection, source, credential), source)
    return _read(row, source, credential)


def kept(connection: IntegrationConnection, adapter: Adapter, credential: Mapping[str, str]) -> Usable | None:
    """As ``usable``, with what is there now, good or not; nobody is asked. Raises ``Misconfigured`` without one."""
    source = source_of(adapter, connection.tenant_id, connection.settings, credential)
    if source is None:
        return None
    row = token_waits.state_of(connection)
    if row is None or not row.token_ref:
        raise Misconfigured("There is no access token yet.")
    return _read(row, source, credential)


def renewed(connection: IntegrationConnection, adapter: Adapter, used: Usable) -> Usable | None:
    """What to call with after the provider refused the token that was ``used``; ``None``: there is nothing better.

    Raises as ``usable`` does.
    """
    source = source_of(adapter, connection.tenant_id, connection.settings, used.source)
    row = token_waits.after_refusal(used.row, source) if source is not None else None
    return _read(row, source, used.source) if row is not None and source is not None else None


def renewed_elsewhere(connection: IntegrationConnection, used: Mapping[str, str]) -> Mapping[str, str]:
    """What key management makes of a credential of its own that the provider refused; empty: nothing better.

    Raises ``CredentialAway`` where it cannot be asked now.
    """
    if not connection.auth_ref or is_generated(connection.auth_ref):
        return {}
    tenant_id, reference = connection.tenant_id, connection.auth_ref
    try:
        newest = orjson.loads(secret_store().get(tenant_id, reference, fresh=True))
        if newest == dict(used):
            newest = orjson.loads(secret_store().refresh(tenant_id, reference) or "{}")
        return newest if isinstance(newest, dict) and newest != dict(used) else {}
    except SecretsUnreachable as error:
        raise CredentialAway(error.message, retry_after_seconds=COME_BACK_SECONDS) from None
    except (SecretUnavailable, orjson.JSONDecodeError):
        return {}


def proven(used: Usable) -> None:
    """A call succeeded with it: the set before it is dropped."""
    row = used.row
    with transaction.atomic():
        proof = AccessToken.objects.filter(pk=row.pk, generation=row.generation, previous_ref=row.previous_ref)
        if proof.update(previous_ref="", updated_at=Now()):
            secret_store().delete(row.tenant_id, row.previous_ref)


def try_again(connection: IntegrationConnection) -> None:
    """A person wants to know: pauses are over, and so is the end of a credential that can be mended at the provider.

    A grant that the provider has ended stays so: only a new authorisation helps.
    """
    rows = AccessToken.objects.of(connection).filter(lease_token=None, attempts__gt=0)
    rows.exclude(renewable=True, ended_at__isnull=False).update(
        ended_at=None, attempts=0, refresh_at=Now(), updated_at=Now()
    )


def _row(connection: IntegrationConnection, source: TokenSource, credential: Mapping[str, str]) -> AccessToken:
    """The row of a connection's credential, made with the first call, and anew where the credential was changed."""
    row = token_waits.state_of(connection)
    digest = _digest(credential, source.audience)
    if row is not None and row.source_digest == digest:
        return row
    fresh: dict[str, Any] = {
        **token_refresh.AT_REST,
        "source_digest": digest,
        "token_ref": "",
        "previous_ref": "",
        "renewable": False,
        "expires_at": None,
        "refresh_at": Now(),
        "attempts": 0,
        "last_error": "",
        "last_category": "",
        "ended_at": None,
    }
    with transaction.atomic():
        if row is None:
            new = AccessToken(
                tenant_id=connection.tenant_id,
                provider_id=connection.provider_id,
                auth_ref=connection.auth_ref,
                **fresh,
            )
            AccessToken.objects.bulk_create([new], ignore_conflicts=True)
        else:
            same = AccessToken.objects.filter(pk=row.pk, source_digest=row.source_digest, generation=row.generation)
            if same.update(**fresh, generation=row.generation + 1, updated_at=Now()):
                for reference in filter(None, (row.token_ref, row.previous_ref)):
                    secret_store().delete(connection.tenant_id, reference)
    made = token_waits.state_of(connection)
    if made is None:
        raise Misconfigured("The credential was removed.")
    return made


def _read(row: AccessToken, source: TokenSource, credential: Mapping[str, str]) -> Usable:
    if row.source_digest != _digest(credential, source.audience):
        # Somebody else's call has begun anew meanwhile: what is there now is not of this credential, or not for here.
        raise CredentialAway("The credential was changed meanwhile.", retry_after_seconds=COME_BACK_SECONDS)
    try:
        token = held_tokens(row.tenant_id, row.token_ref).access_token
    except SecretsUnreachable as error:
        raise CredentialAway(error.message, retry_after_seconds=COME_BACK_SECONDS) from None
    except SecretUnavailable as error:
        raise Misconfigured(f"The access token cannot be used: {error}") from None
    return Usable(
        row, {source.credential_name: token}, _identity(row, credential), credential, unproven=bool(row.previous_ref)
    )


def _identity(row: AccessToken, credential: Mapping[str, str]) -> Mapping[str, str]:
    """Minted tokens share the quota of what they are made from; a grant is one of its own."""
    return {"grant": f"{row.tenant_id}\n{row.auth_ref}"} if credential.get("grant") == GRANT else credential


def _digest(credential: Mapping[str, str], audience: str) -> str:
    return hashlib.sha256(orjson.dumps(dict(credential), option=orjson.OPT_SORT_KEYS) + audience.encode()).hexdigest()
