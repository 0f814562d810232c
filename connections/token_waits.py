"""Coming to a usable access token: the stored one, one's own refresh, or the result of somebody else's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from connections.models import AccessToken, IntegrationConnection
from connections.token_refresh import claim, refresh
from connections.token_sources import TokenSource
from connections.turns import deadline
from providers.errors import (
    AuthFailed,
    CredentialAway,
    Misconfigured,
    ProviderError,
    ProviderFault,
    RateLimited,
    Rejected,
)

# How long others wait for the one who asks; not longer than a request and its storing take.
PATIENCE_SECONDS: Final = 20.0
FIRST_LOOK_SECONDS: Final = 0.05
LOOK_LIMIT_SECONDS: Final = 0.5
# With less time than this nothing is begun whose answer must not be lost.
SHORTEST_SECONDS: Final = 2.0
# A token that ends while the request is on its way is of no use.
USABLE_FOR_SECONDS: Final = 5.0


def state_of(connection: IntegrationConnection) -> AccessToken | None:
    """The row of a connection's credential as it is now."""
    row: AccessToken | None = AccessToken.objects.of(connection).seen().first()
    return row


def current(row: AccessToken, source: TokenSource) -> AccessToken:
    """The row with a good token, refreshed where it is due. Raises ``ProviderError`` where none is to be had."""
    for seen in _looks(row):
        _require_alive(seen)
        lease = claim(seen) if seen.is_due(seen.now) and _time_left() > SHORTEST_SECONDS else None
        if lease is not None:
            try:
                refresh(seen, lease, source)
            except ProviderError:
                after = _again(seen)
                if not after.is_good_for(USABLE_FOR_SECONDS, after.now):
                    raise
                return after
            return _again(seen)
        if seen.is_good_for(USABLE_FOR_SECONDS, seen.now):
            return seen
        if (pause := seen.paused_for(seen.now)) > 0:
            raise _paused(seen, pause)
    raise _busy()


def after_refusal(row: AccessToken, source: TokenSource) -> AccessToken | None:
    """The row with a token after that of ``row``, which the provider refused; ``None``: it would not be better."""
    for seen in _looks(_again(row)):
        if seen.generation != row.generation:
            return current(seen, source)
        if (lease := claim(seen, refused=True)) is not None:
            refresh(seen, lease, source)
            return _again(seen)
        # What stood in the way may have come after the row was read.
        seen = _again(seen)
        if seen.generation != row.generation:
            return current(seen, source)
        if (pause := seen.paused_for(seen.now)) > 0:
            raise _paused(seen, pause)
        if seen.lease_token is None:
            return None
    raise _busy()


def _looks(row: AccessToken) -> Iterator[AccessToken]:
    """The row, and the row again after growing pauses, for as long as there is time to wait."""
    ends_at, pause = time.monotonic() + PATIENCE_SECONDS, FIRST_LOOK_SECONDS
    while True:
        yield row
        left = min(ends_at - time.monotonic(), _time_left())
        if left <= pause:
            return
        time.sleep(pause)
        pause = min(pause * 1.5, LOOK_LIMIT_SECONDS)
        row = _again(row)


def _again(row: AccessToken) -> AccessToken:
    """Raises ``Misconfigured`` where it is gone."""
    seen: AccessToken | None = AccessToken.objects.seen().filter(pk=row.pk).first()
    if seen is None:
        raise Misconfigured("The credential was removed.")
    _require_alive(seen)
    return seen


def _require_alive(row: AccessToken) -> None:
    if row.ended_at is not None:
        raise AuthFailed(row.last_error)


def _paused(row: AccessToken, seconds: float) -> ProviderError:
    """Nothing is asked after a failure for so long: what was wrong then still is."""
    if row.last_category in (Misconfigured.category, Rejected.category):
        return Misconfigured(row.last_error)
    if row.last_category == RateLimited.category:
        return RateLimited(row.last_error, retry_after_seconds=seconds)
    if row.last_category == CredentialAway.category:
        return CredentialAway(row.last_error, retry_after_seconds=seconds)
    if not row.last_error:
        return CredentialAway("The request for an access token was interrupted.", retry_after_seconds=seconds)
    return ProviderFault(f"There is no access token: {row.last_error}", retry_after_seconds=seconds)


def _busy() -> ProviderError:
    return CredentialAway("The access token is being renewed, which takes long.", retry_after_seconds=5.0)


def _time_left() -> float:
    whole = deadline()
    return PATIENCE_SECONDS if whole is None else whole.left()
