"""Replay protection: a signed clock must be fresh, and a signature counts once.

The database is the authority: it holds each signature once a connection for as long as events are kept, with the
event or, where the delivery told nothing new, by itself. Redis only spares it the question: a signature Redis has
never seen is most likely new, and the insert finds out. It is asked with a short time-out, and while it is away, or
after it was emptied, the insert still decides; nothing is let through and nothing lost.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import NamedTuple

from django.conf import settings

from events.services import is_known
from webhooks.signature_notes import note

FUTURE_TOLERANCE_SECONDS = 60


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
        name = f"ia:signature:{connection_id.hex}:{signature_hash.hex()}"
        # Asked and noted in one round trip. If this request then fails, the note is harmless: see below.
        if note(settings.REDIS_URL, name, self.signature_cache_ttl_seconds):
            return False
        # The cache alone must not refuse: only what was stored makes this one a repetition.
        return is_known(connection_id, signature_hash)
