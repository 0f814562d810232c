"""The identity service's published keys (RFC 7517), kept so that its outage is not ours."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import jwt
from django.conf import settings
from jwt.exceptions import PyJWKClientConnectionError, PyJWTError

FRESH_SECONDS = 300
# An unknown key id asks again, but not more often than this: anybody can make one up.
ASKED_AGAIN_SECONDS = 30
# After a failure. Whoever asks holds up the others for a time-out, so it is not each request that does.
RESTS_SECONDS = 10
# How long keys are trusted that could not be read again; one that was withdrawn meanwhile counts as long.
KEPT_SECONDS = 3600


class PublishedKeys(jwt.PyJWKClient):
    """Keys are read again after five minutes, and used for an hour where that fails."""

    def __init__(self, url: str) -> None:
        super().__init__(
            url,
            lifespan=FRESH_SECONDS,
            timeout=settings.IAM_TIMEOUT_SECONDS,
            cooldown_duration=ASKED_AGAIN_SECONDS,
        )
        self._kept: jwt.PyJWKSet | None = None
        self._kept_since = 0.0
        self._rests_until = 0.0

    def fetch_data(self) -> Any:
        """Raises ``PyJWKClientConnectionError`` for whatever is no set of usable keys."""
        if time.monotonic() < self._rests_until:
            raise PyJWKClientConnectionError("The last attempt failed a moment ago.")
        try:
            data = super().fetch_data()
            self._kept = jwt.PyJWKSet.from_dict(data)
        except (PyJWTError, OSError, ValueError, RecursionError) as error:
            self._rests_until = time.monotonic() + RESTS_SECONDS
            raise PyJWKClientConnectionError(type(error).__name__) from None
        self._kept_since = time.monotonic()
        return data

    def get_jwk_set(self, refresh: bool = False) -> jwt.PyJWKSet:
        """With ``refresh`` somebody looks for a key that is not among those kept."""
        try:
            return super().get_jwk_set(refresh)
        except PyJWKClientConnectionError:
            if refresh or self._kept is None or time.monotonic() - self._kept_since > KEPT_SECONDS:
                raise
            return self._kept


@cache
def published_keys(url: str) -> PublishedKeys:
    """Those of this address, kept by the process."""
    return PublishedKeys(url)
