"""One request for a new access token at a time, over all processes: claim, commit, network, commit.

The claim is the intent: it is committed before anything is sent. A result is stored only where the generation is
still the one it began with, so a process that wakes late overwrites nothing newer. What was granted is stored at once,
beside the set before it, which is kept until a call has succeeded with the new one; where a result was lost between
answer and commit, the kept refresh token is sent again, as the vendors' grace periods are meant to be used.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db import connection as database
from django.db.models import F, Q
from django.db.models.functions import Now

from connections.incidents import from_now
from connections.metrics import PROVIDER_CALLS, TOKEN_REFRESHES
from connections.models import AccessToken
from connections.secret_port import COME_BACK_SECONDS, SecretsUnreachable, SecretUnavailable
from connections.secret_store import EmbeddedSecretStore, secret_store
from connections.token_endings import ended, failing
from connections.token_sources import HeldTokens, TokenSource, held_tokens
from connections.turns import deadline
from providers.deadline import Deadline
from providers.errors import AuthFailed, CredentialAway, GrantEnded, Misconfigured, OutOfTime, ProviderError, Rejected
from providers.token_requests import TokenSet, ask

log = structlog.get_logger(__name__)

# One request is over in this time; the lease outlasts it with what is stored before and after.
REQUEST_SECONDS: Final = 20.0
LEASE_SECONDS: Final = 60
STORE_PAUSES_SECONDS: Final = (0.2, 1.0, 3.0, 10.0)
# How long before its end a token is replaced: a tenth of its life, within these limits, spread upwards by half.
MARGIN_SECONDS: Final = (60.0, 600.0)
FIRST_PAUSE_SECONDS: Final = 5.0
PAUSE_LIMIT_SECONDS: Final = 300.0
# What only a person can mend is looked at again more rarely.
REFUSED_PAUSE_SECONDS: Final = 900.0
WISH_LIMIT_SECONDS: Final = 3600.0
# A token this young is not replaced because a call was refused: it is not its age.
REFUSED_EARLY_SECONDS: Final = 60.0

# The columns of a row nobody asks a token for.
AT_REST: Final[dict[str, Any]] = {"lease_token": None, "lease_until": None, "refresh_started_at": None}


def life(tokens: TokenSet, *, renewable: bool) -> dict[str, Any]:
    """The columns that say how long a token lasts, counted from now by the database's clock."""
    if tokens.expires_in is None:
        return {"expires_at": None, "refresh_at": None, "renewable": renewable}
    shortest, longest = MARGIN_SECONDS
    margin = min(max(tokens.expires_in / 10, shortest), longest) * random.uniform(1.0, 1.5)  # noqa: S311 - spreads load
    until_due = max(tokens.expires_in - margin, tokens.expires_in / 2)
    return {
        "expires_at": from_now(timedelta(seconds=tokens.expires_in)),
        "refresh_at": from_now(timedelta(seconds=until_due)),
        "renewable": renewable,
    }


def claim(row: AccessToken, *, refused: bool = False) -> uuid.UUID | None:
    """The right to ask for the token after this one, for ``LEASE_SECONDS``; ``None``: not now, or not any more.

    ``refused``: the provider does not take the current token, so it is not waited for until it is due.
    """
    lease = uuid.uuid4()
    due = Q(refresh_at__lte=Now()) | Q(token_ref="")
    if refused:
        young = Q(last_refreshed_at__gt=Now() - timedelta(seconds=REFUSED_EARLY_SECONDS))
        due = due | (~young & (Q(attempts=0) | Q(refresh_at=None)))
    free = Q(lease_token=None) | Q(lease_until__lte=Now())
    paused = Q(attempts__gt=0, refresh_at__gt=Now())
    taken = AccessToken.objects.filter(free, due, ~paused, pk=row.pk, generation=row.generation, ended_at=None).update(
        lease_token=lease,
        lease_until=from_now(timedelta(seconds=LEASE_SECONDS)),
        refresh_started_at=Now(),
        # Whoever dies with the claim leaves a token that is due.
        refresh_at=Now(),
        attempts=F("attempts") + 1,
        updated_at=Now(),
    )
    return lease if taken else None


def refresh(row: AccessToken, lease: uuid.UUID, source: TokenSource) -> None:
    """Ask for a new token and store the outcome, whatever it is. Raises ``ProviderError`` where there is none.

    No transaction may be open.
    """
    try:
        held, tokens = _ask(row, source, _held(row, source))
    except ProviderError as error:
        final = isinstance(error, AuthFailed) or (source.refusal_ends and isinstance(error, Misconfigured | Rejected))
        _settle_failure(row, lease, error, ends=source.way_out if final else "")
        # Of the call this was for nothing was sent.
        error.sent = False
        raise
    except BaseException:
        _give_back(row, lease)
        raise
    _keep_surely(row, held, tokens)


def _held(row: AccessToken, source: TokenSource) -> HeldTokens:
    """The current set, empty where none is needed. Raises ``CredentialAway`` or ``Misconfigured``."""
    if not row.token_ref or not source.needs_tokens:
        return HeldTokens()
    try:
        return held_tokens(row.tenant_id, row.token_ref)
    except SecretsUnreachable as error:
        raise CredentialAway(error.message, retry_after_seconds=COME_BACK_SECONDS) from None
    except SecretUnavailable as error:
        # A key that was lost here says nothing of the grant.
        raise Misconfigured(f"The refresh token cannot be used: {error}") from None


def _ask(row: AccessToken, source: TokenSource, held: HeldTokens) -> tuple[HeldTokens, TokenSet]:
    """What was asked with, and what was granted."""
    try:
        return held, _exchange(row, source, held)
    except GrantEnded:
        # The answer that brought the current set may have been undone over there: the one before it is still kept.
        before = _before(row)
        if before is None or before.refresh_token in ("", held.refresh_token):
            raise
        return before, _exchange(row, source, before)


def _before(row: AccessToken) -> HeldTokens | None:
    try:
        return held_tokens(row.tenant_id, row.previous_ref) if row.previous_ref else None
    except (SecretUnavailable, SecretsUnreachable):
        return None


def _exchange(row: AccessToken, source: TokenSource, held: HeldTokens) -> TokenSet:
    def count(outcome: str) -> None:
        PROVIDER_CALLS.labels(row.provider_id, row.tenant_id, outcome).inc()

    request = source.request(held, row.now)
    whole, own = deadline(), Deadline(REQUEST_SECONDS)
    within = whole if whole is not None and whole.left() < own.left() else own
    return source.read(ask(request, settings.OUTBOUND_POLICY, deadline=within, observe=count), row.now)


def _keep_surely(row: AccessToken, held: HeldTokens, tokens: TokenSet) -> None:
    """What was granted exists nowhere else, so it is offered again to a database that stumbles."""
    for pause in STORE_PAUSES_SECONDS:
        try:
            return _keep(row, held, tokens)
        except (OperationalError, InterfaceError) as error:
            log.warning("token_not_stored_yet", error=type(error).__name__, **_names(row))
            database.close()
            time.sleep(pause)
    return _keep(row, held, tokens)


def _keep(row: AccessToken, held: HeldTokens, tokens: TokenSet) -> None:
    """Store what was granted, unless somebody else has stored a newer set meanwhile."""
    kept = HeldTokens(tokens.access_token, tokens.refresh_token or held.refresh_token)
    with one_transaction():
        reference = _put(row, kept)
        with transaction.atomic():
            stored = AccessToken.objects.filter(pk=row.pk, generation=row.generation).update(
                token_ref=reference,
                previous_ref=row.token_ref,
                generation=F("generation") + 1,
                scopes=list(tokens.scopes) if tokens.scopes is not None else F("scopes"),
                last_refreshed_at=Now(),
                **AT_REST,
                attempts=0,
                last_error="",
                last_category="",
                ended_at=None,
                **life(tokens, renewable=bool(kept.refresh_token)),
            )
            # The set before the last was only kept until this one's predecessor was proven, which it now is.
            unused = row.previous_ref if stored else reference
            if unused:
                secret_store().delete(row.tenant_id, unused)
    _tell(row, "ok" if stored else "late")


@contextmanager
def one_transaction() -> Iterator[None]:
    """Secrets in our own database are stored with the row that points to them; elsewhere they come before it."""
    if settings.KMS_SERVICE_URL:
        yield
    else:
        with transaction.atomic():
            yield


def _put(row: AccessToken, kept: HeldTokens) -> str:
    try:
        return secret_store().put(row.tenant_id, kept.stored())
    except SecretsUnreachable:
        # A rotated refresh token exists nowhere else. The next set goes to key management again.
        log.warning("token_kept_in_database", **_names(row))
        return EmbeddedSecretStore().put(row.tenant_id, kept.stored())


def _settle_failure(row: AccessToken, lease: uuid.UUID, error: ProviderError, *, ends: str) -> None:
    """What passes is tried again; what ``ends`` the credential does so, unless it was replaced meanwhile."""
    if ends:
        outcome = "ended" if ended(row, lease, error, ends) else "late"
    else:
        stays = isinstance(error, Misconfigured | Rejected)
        changed = AccessToken.objects.filter(pk=row.pk, lease_token=lease, generation=row.generation).update(
            last_error=str(error)[:500],
            last_category=error.category,
            refresh_at=from_now(timedelta(seconds=_pause(row.attempts + 1, error, stays=stays))),
            updated_at=Now(),
            **AT_REST,
        )
        outcome = ("refused" if stays else "failed") if changed else "late"
        if changed and row.attempts == 0 and not isinstance(error, OutOfTime):
            failing(row, error)
    _tell(row, outcome, error)


def _give_back(row: AccessToken, lease: uuid.UUID) -> None:
    """Something of our own broke, or the process is told to stop: it is tried again shortly."""
    shortly = from_now(timedelta(seconds=FIRST_PAUSE_SECONDS))
    AccessToken.objects.filter(pk=row.pk, lease_token=lease).update(**AT_REST, refresh_at=shortly, updated_at=Now())


def _pause(attempts: int, error: ProviderError, *, stays: bool) -> float:
    """Seconds until the next request: doubling with jitter, never before the server asked for."""
    first, limit = FIRST_PAUSE_SECONDS, REFUSED_PAUSE_SECONDS if stays else PAUSE_LIMIT_SECONDS
    pause = min(limit, (60.0 if stays else first) * 2.0 ** min(attempts - 1, 20))
    jittered = pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
    return max(jittered, min(error.retry_after_seconds or 0.0, WISH_LIMIT_SECONDS))


def _tell(row: AccessToken, outcome: str, error: ProviderError | None = None) -> None:
    TOKEN_REFRESHES.labels(row.provider_id, row.tenant_id, outcome).inc()
    if error is None:
        log.info("token_refreshed", outcome=outcome, **_names(row))
    else:
        log.warning("token_not_refreshed", outcome=outcome, error=str(error), attempts=row.attempts + 1, **_names(row))


def _names(row: AccessToken) -> dict[str, str]:
    return {"tenant_id": row.tenant_id, "provider_id": row.provider_id, "token_id": str(row.pk)}
