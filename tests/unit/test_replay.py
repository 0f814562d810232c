"""The clock rule and the signature cache."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings

from events.models import Source
from events.services import record
from providers.canonical import SignalType
from providers.spi import ProviderEvent
from tests.factories import make_connection
from webhooks.replay import WebhookReplayProtection

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
SIGNATURE = hashlib.sha256(b"signature").digest()


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [
        (0, None),
        (-300, None),
        (-301, "timestamp_stale"),
        (60, None),
        (61, "timestamp_future"),
        (-(10**8), "timestamp_stale"),
    ],
)
def test_a_signed_clock_must_be_fresh(seconds: int, reason: str | None) -> None:
    """UT-IA-02: replay ignored (the clock)."""
    protection = WebhookReplayProtection(timestamp_tolerance_seconds=300)
    verdict = protection.validate_webhook(uuid.uuid4(), signed_at=NOW + timedelta(seconds=seconds), now=NOW)
    assert tuple(verdict) == (reason is None, reason)


def _stored(signature: bytes) -> uuid.UUID:
    connection = make_connection()
    event = ProviderEvent(event_type="t", dedupe_key="k", payload={}, signal_type=SignalType.PUSH)
    record(connection, [event], Source.WEBHOOK, signature_hash=signature)
    return connection.pk


@pytest.mark.django_db
@pytest.mark.parametrize("cache", ["warm", "emptied", "away"])
def test_a_signature_seen_before_is_a_replay_with_or_without_the_cache(cache: str, settings: Any) -> None:
    """UT-IA-02: replay ignored (the signature)."""
    connection_id = _stored(SIGNATURE)
    protection = WebhookReplayProtection()
    if cache == "warm":
        # The first request asks, and notes what it asked for.
        protection.validate_webhook(connection_id, signature_hash=SIGNATURE)
    if cache == "away":
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
    verdict = protection.validate_webhook(connection_id, signature_hash=SIGNATURE)
    # An emptied cache lets the request go on to the insert, where the unique constraint decides.
    assert verdict.valid is (cache == "emptied")
    event = ProviderEvent(event_type="t", dedupe_key="another", payload={}, signal_type=SignalType.PUSH)
    connection = make_connection()
    connection.pk = connection_id
    assert record(connection, [event], Source.WEBHOOK, signature_hash=SIGNATURE).new == 0


@pytest.mark.django_db
def test_the_cache_alone_refuses_nothing() -> None:
    """A signature remembered for an event that was never stored must not swallow the provider's retry."""
    connection_id = uuid.uuid4()
    protection = WebhookReplayProtection()
    assert protection.validate_webhook(connection_id, signature_hash=SIGNATURE).valid
    assert protection.validate_webhook(connection_id, signature_hash=SIGNATURE).valid


@pytest.mark.django_db
def test_another_connection_may_send_the_same_signature() -> None:
    _stored(SIGNATURE)
    assert WebhookReplayProtection().validate_webhook(uuid.uuid4(), signature_hash=SIGNATURE).valid


def test_the_cache_forgets_after_its_time() -> None:
    connection_id = uuid.uuid4()
    protection = WebhookReplayProtection(signature_cache_ttl_seconds=77)
    protection.validate_webhook(connection_id, signature_hash=SIGNATURE)
    client = redis.Redis.from_url(django_settings.REDIS_URL)
    (key,) = client.scan_iter(match=f"*{connection_id.hex}*")
    assert 70 <= client.ttl(key) <= 77
