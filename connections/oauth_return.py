"""What comes back from a provider's authorisation page, and the connection that comes of it.

The state is claimed once, in a transaction of its own, before the code is sent anywhere: of two tabs one goes on, and
a code is never sent twice. What fails after that leaves no connection behind, or the old one as it was; the person
begins again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from django.conf import settings as deployment
from django.db import transaction
from django.db.models.functions import Now

from connections import history, tokens
from connections.credentials import forget
from connections.errors import ServiceError
from connections.locking import present
from connections.metrics import PROVIDER_CALLS
from connections.models import (
    AuthorisationOutcome,
    ConnectionStatus,
    IntegrationConnection,
    OAuthAuthorisation,
    OAuthClient,
)
from connections.oauth import code_verifier, digest
from connections.oauth_clients import flow_of, secret_of
from connections.oauth_sites import settings_at_site
from connections.receipts import emit_credential_change
from connections.rotation import switch_to
from connections.secret_store import SecretUnavailable
from connections.services import create_connection
from connections.turns import deadline, turn
from connections.verification import verify_connection
from providers import registry
from providers.errors import GrantEnded, Misconfigured, ProviderError, Rejected
from providers.oauth import OAuth2
from providers.redaction import redact_text
from providers.spi import Adapter
from providers.token_requests import TokenSet, ask, granted, token_request

_STATE = re.compile(r"[A-Za-z0-9_-]{40,100}", re.ASCII)
_CODE = re.compile(r"[ -~]{1,4096}", re.ASCII)
_ERROR = re.compile(r"[A-Za-z0-9_.-]{1,60}", re.ASCII)
OPERATION = "authorised"
_AGAIN = "Start the authorisation again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The parameters that came back (RFC 6749, sections 4.1.2 and 4.1.2.1; RFC 9207). ``code`` is a secret."""

    state: str = field(repr=False)
    code: str = field(default="", repr=False)
    error: str = ""
    issuer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What came of an authorisation whose state was good: a connection, or why there is none.

    ``missing_scopes``: asked for and not granted.
    """

    authorisation: OAuthAuthorisation
    connection: IntegrationConnection | None = None
    error: ServiceError | None = None
    missing_scopes: Sequence[str] = ()

    @property
    def message(self) -> str:
        """What happened and what to do next, for a person."""
        if self.error is not None:
            return self.error.message
        assert self.connection is not None  # noqa: S101 - one of the two
        connection = self.connection
        told = f"{connection.display_name} of tenant {connection.tenant_id} is authorised"
        if connection.status == ConnectionStatus.ACTIVE:
            told += f" as {connection.account} and active."
        else:
            told += f", but not active. {connection.last_error or 'Verify it.'}"
        if self.missing_scopes:
            told += f" Not granted, though asked for: {', '.join(self.missing_scopes)}."
        return told


def finish(answer: Answer, *, browser: str = "") -> Finished:
    """Take the answer of an authorisation page, once. ``browser``: key of the session it came in.

    Raises ``ServiceError`` for a state that is unknown, used, expired or another browser's, and where there is no turn
    at calling providers (503); then nothing was claimed.
    """
    row = _found(answer.state)
    if row.browser_hash and bytes(row.browser_hash) != digest(browser):
        message = "This authorisation was started in another browser session. Start it again in this one."
        raise ServiceError("OAUTH_OTHER_BROWSER", message, status=403)
    with turn(deployment.PROVIDER_VERIFY_SECONDS):
        _claim(row)
        try:
            finished = _go_on(row, answer)
        except ServiceError as error:
            finished = Finished(authorisation=row, error=error)
        except ProviderError as error:
            finished = Finished(authorisation=row, error=_told(error))
    _keep_outcome(finished)
    return finished


def _found(state: str) -> OAuthAuthorisation:
    row: OAuthAuthorisation | None = None
    if _STATE.fullmatch(state):
        row = OAuthAuthorisation.objects.filter(state_hash=digest(state)).first()
    if row is None:
        message = f"This answer belongs to no authorisation that was started here. {_AGAIN}"
        raise ServiceError("OAUTH_STATE_UNKNOWN", message)
    return row


def _claim(row: OAuthAuthorisation) -> None:
    unused = OAuthAuthorisation.objects.filter(pk=row.pk, claimed_at=None, expires_at__gt=Now())
    if unused.update(claimed_at=Now(), updated_at=Now()):
        return
    row.refresh_from_db()
    if row.claimed_at is None:
        raise ServiceError("OAUTH_STATE_EXPIRED", f"This authorisation took longer than ten minutes. {_AGAIN}")
    message = "This authorisation was used already; it counts once. Look at the connection, or start again."
    raise ServiceError("OAUTH_STATE_USED", message, status=409)


def _go_on(row: OAuthAuthorisation, answer: Answer) -> Finished:
    """From a claimed state to a connection."""
    if row.provider_id not in registry.slugs() or row.client is None:
        raise ServiceError("OAUTH_CLIENT_MISSING", f"The app was removed meanwhile. {_AGAIN}", status=409)
    adapter = registry.get(row.provider_id)
    flow = flow_of(adapter)
    _check_answer(flow, row.client, answer, adapter.label)
    tokens_ = _exchange(flow, row, row.client, answer)
    asked = tuple(row.scopes)
    missing = [scope for scope in asked if tokens_.scopes is not None and scope not in tokens_.scopes]
    kept = replace(tokens_, scopes=tokens_.scopes or asked or None)
    connection = _renewed(row, adapter, kept) if row.renews else _made(row, adapter, kept)
    return Finished(authorisation=row, connection=connection, missing_scopes=missing)


def _check_answer(flow: OAuth2, client: OAuthClient, answer: Answer, label: str) -> None:
    if (answer.issuer or flow.issuer) and not _is_issuer(flow, client, answer.issuer):
        message = f"The answer came from another server than the one that was asked. Nothing was sent to it. {_AGAIN}"
        raise ServiceError("OAUTH_OTHER_SERVER", message)
    if answer.error == "access_denied":
        raise ServiceError("OAUTH_DENIED", f"Access was denied at {label}. Nothing was changed.")
    if answer.error:
        # Its description is text from outside, written by whoever made the link.
        name = answer.error if _ERROR.fullmatch(answer.error) else "an unnamed error"
        raise ServiceError("OAUTH_REFUSED", f"{label} refused the authorisation ({name}). {_AGAIN}")
    if not _CODE.fullmatch(answer.code):
        raise ServiceError("OAUTH_NO_CODE", f"The answer of {label} holds no usable code. {_AGAIN}")


def _is_issuer(flow: OAuth2, client: OAuthClient, issuer: str) -> bool:
    """RFC 9207, section 2.4; where the server's name is not known, it has to be at the address that was asked."""
    origin = client.origin or flow.default_origin
    if flow.issuer:
        return issuer == flow.issuer.replace("{origin}", origin)
    try:
        told, asked = urlsplit(issuer), urlsplit(flow.authorize_url.replace("{origin}", origin))
    except ValueError:
        return False
    return (told.scheme, told.netloc) == (asked.scheme, asked.netloc)


def _exchange(flow: OAuth2, row: OAuthAuthorisation, client: OAuthClient, answer: Answer) -> TokenSet:
    """The code for tokens (RFC 6749, section 4.1.3). Raises ``ProviderError`` or ``ServiceError``."""
    fields = {"grant_type": "authorization_code", "code": answer.code, "redirect_uri": row.redirect_uri}
    if flow.pkce:
        fields["code_verifier"] = code_verifier(answer.state)
    try:
        secret = secret_of(client)
    except SecretUnavailable:
        message = "The secret of the app cannot be read. An operator enters it again under OAuth clients."
        raise ServiceError("OAUTH_CLIENT_REFUSED", message, status=409) from None
    # What says that a refresh token is dead says something else of a code.
    asked = replace(flow, ended_errors=())
    request = token_request(
        asked, origin=client.origin, client_id=client.client_id, client_secret=secret, fields=fields
    )

    def count(outcome: str) -> None:
        PROVIDER_CALLS.labels(row.provider_id, row.tenant_id, outcome).inc()

    try:
        return granted(ask(request, deployment.OUTBOUND_POLICY, deadline=deadline(), observe=count))
    except GrantEnded:
        message = f"The provider does not accept the code: it was used, is too old, or was not given to us. {_AGAIN}"
        raise ServiceError("OAUTH_CODE_REFUSED", message) from None
    except Misconfigured as error:
        message = f"{redact_text(str(error))} An operator looks at the OAuth client."
        raise ServiceError("OAUTH_CLIENT_REFUSED", message, status=409) from None


def _made(row: OAuthAuthorisation, adapter: Adapter, granted_now: TokenSet) -> IntegrationConnection:
    """A new connection of what was granted, verified."""
    settings = settings_at_site(adapter, granted_now, dict(row.settings), wanted=row.site)
    client = _client_of(row)
    reference = tokens.keep_granted(row.tenant_id, row.provider_id, granted_now, client=client)
    try:
        with transaction.atomic():
            connection = create_connection(
                tenant_id=row.tenant_id,
                provider_id=row.provider_id,
                display_name=row.display_name,
                granted_ref=reference,
                settings=settings,
                actor=row.actor,
            )
            told = _granted_words(row, granted_now)
            history.record(connection, OPERATION, actor=row.actor, detail=told)
            emit_credential_change(connection, OPERATION, operation_id=row.pk, actor=row.actor, rationale=told)
    except BaseException:
        forget(row.tenant_id, reference)
        raise
    try:
        return verify_connection(connection, actor=row.actor)
    except ServiceError:
        # What was granted is kept all the same; a person verifies it later.
        return present(connection)


def _renewed(row: OAuthAuthorisation, adapter: Adapter, granted_now: TokenSet) -> IntegrationConnection:
    """The connection with what was granted now; it is proven first, and it has to be the same account's."""
    if row.connection is None:
        raise ServiceError("NOT_FOUND", "The connection does not exist any more.", status=404)
    seen = present(row.connection)
    settings = settings_at_site(adapter, granted_now, dict(seen.settings), wanted=row.site)
    reference = tokens.keep_granted(row.tenant_id, row.provider_id, granted_now, client=_client_of(row))
    candidate = copy(seen)
    candidate.auth_ref, candidate.settings, candidate.credential_expires_at = reference, settings, None
    try:
        return switch_to(
            seen,
            candidate,
            actor=row.actor,
            operation=OPERATION,
            other_account="Sign in at the provider with the other account, or make a new connection.",
            detail=_granted_words(row, granted_now),
        )
    except BaseException:
        forget(row.tenant_id, reference)
        raise


def _client_of(row: OAuthAuthorisation) -> OAuthClient:
    assert row.client is not None  # noqa: S101 - looked at before the exchange
    return row.client


def _granted_words(row: OAuthAuthorisation, granted_now: TokenSet) -> str:
    """For the history."""
    told = granted_now.scopes
    if told is None:
        return "The provider does not say which scopes it granted."
    missing = [scope for scope in row.scopes if scope not in told]
    lacking = f" Not granted, though asked for: {', '.join(missing)}." if missing else ""
    return f"Granted: {', '.join(told)}.{lacking}"


def _told(error: ProviderError) -> ServiceError:
    """A failed call in words for the person who waits."""
    code = "OAUTH_REFUSED" if isinstance(error, Rejected) else "PROVIDER_FAILED"
    return ServiceError(code, f"{redact_text(str(error))} {_AGAIN}", status=400 if code == "OAUTH_REFUSED" else 502)


def _keep_outcome(finished: Finished) -> None:
    row, connection = finished.authorisation, finished.connection
    row.outcome = AuthorisationOutcome.FAILED if connection is None else AuthorisationOutcome.CONNECTED
    row.detail = redact_text(finished.message, emails=deployment.REDACT_EMAILS)[:2000]
    if connection is not None:
        row.connection = connection
    row.save(update_fields=["outcome", "detail", "connection", "updated_at"])
