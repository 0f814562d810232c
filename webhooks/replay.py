"""Replay protection: a signed clock must be fresh, and a signature counts once.

The database is the authority: ``adapter_events`` holds each signature once a connection for as long as the
event is kept. Redis only spares it the question: a signature Redis has never seen is most likely new, and
the insert finds out. It is asked with a short time-out, and while it is away, or after it was emptied, the
unique constraint still decides; nothing is let through and nothing lost.
"""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple

import redis
import structlog
from django.conf import settings

from events.models import AdapterEvent

log = structlog.get_logger(__name__)

FUTURE_TOLERANCE_SECONDS = 60
REDIS_TIMEOUT_SECONDS = 0.25
REDIS_PAUSE_SECONDS = 5.0


class ReplayVerdict(NamedTuple):
    """``valid`` and, if not, why: ``timestamp_stale``, ``timestamp_future`` or ``signature_replayed``."""

    valid: bool
    reason: str | None


class WebhookReplayProtection:
    """The clock rule and the signature cache, with the tolerances of one provider."""

    def __init__(
        self,
        timestamp_tolerance_seconds: int | None = None,
        signature_cache_ttl_seconds: int | None = None,
    ) -> None:
        self.timestamp_tolerance_seconds = (
            settings.WEBHOOK_TIMESTAMP_TOLERANCE_SECONDS
            if timestamp_tolerance_seconds is None
            else timestamp_tolerance_seconds
        )
        self.signature_cache_ttl_seconds = (
            settings.WEBHOOK_SIGNATURE_CACHE_TTL_SECONDS
            if signature_cache_ttl_seconds is None
            else signature_cache_ttl_seconds
        )

    def validate_webhook(
        self,
        connection_id: uuid.UUID | None,
        *,
        signature_hash: bytes | None = None,
        signed_at: datetime | None = None,
        now: datetime | None = None,
    ) -> ReplayVerdict:
        """Judge one verified request.

        ``signed_at`` is the time signed for this attempt; ``signature_hash`` the SHA-256 of a signature
        that covers the body. Leave out what the scheme does not have.
        """
        reason = self._check_timestamp(signed_at, now or datetime.now(UTC))
        if reason is None and connection_id and signature_hash and self._seen(connection_id, signature_hash):
            reason = "signature_replayed"
        return ReplayVerdict(reason is None, reason)

    def _check_timestamp(self, signed_at: datetime | None, now: datetime) -> str | None:
        if signed_at is None:
            return None
        age = (now - signed_at).total_seconds()
        if age > self.timestamp_tolerance_seconds:
            return "timestamp_stale"
        return "timestamp_future" if age < -FUTURE_TOLERANCE_SECONDS else None

    def _seen(self, connection_id: uuid.UUID, signature_hash: bytes) -> bool:
        client = _shared_cache()
        if client is not None:
            name = _name(connection_id, signature_hash)
            try:
                # Asked and noted in one round trip. If this request then fails, the note is harmless: see below.
                if client.set(name, 1, nx=True, ex=self.signature_cache_ttl_seconds):
                    return False
            except redis.RedisError as error:
                _pause_cache(error)
        # The cache alone must not refuse: only a stored event makes this one a repetition.
        return AdapterEvent.objects.filter(connection_id=connection_id, signature_hash=signature_hash).exists()


_resume_at: dict[str, float] = {}


def _shared_cache() -> redis.Redis | None:
    """The client, or ``None`` for a few seconds after a failure, so that an outage costs one time-out."""
    url: str = settings.REDIS_URL
    return None if time.monotonic() < _resume_at.get(url, 0.0) else _client(url)


@cache
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_connect_timeout=REDIS_TIMEOUT_SECONDS, socket_timeout=REDIS_TIMEOUT_SECONDS)


def _pause_cache(error: redis.RedisError) -> None:
    _resume_at[settings.REDIS_URL] = time.monotonic() + REDIS_PAUSE_SECONDS
    log.warning("replay.cache_unavailable", error=type(error).__name__)


def _name(connection_id: uuid.UUID, signature_hash: bytes) -> str:
    return f"ia:signature:{connection_id.hex}:{signature_hash.hex()}"
