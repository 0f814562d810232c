"""The ledger of quotas on the real Valkey, with a clock the test sets: nothing sleeps, no timing is asserted."""

from __future__ import annotations

import email.utils
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import settings

from connections import quota, quota_ledger
from connections.models import IntegrationConnection
from providers.client import Passage
from providers.errors import QuotaSpent
from providers.manifest import Manifest
from providers.quotas import Quota, RateLimitHeaders, Traffic
from tests.factories import ACME

TOKEN = "a-token-nobody-may-read"
ORIGIN = "https://api.example.test"
HEADERS = RateLimitHeaders(limit="x-limit", remaining="x-remaining", reset="x-reset")
_CLOCK = "redis.call('TIME')"
_NOW = "test:now"


def manifest(*quotas: Quota, **values: Any) -> Manifest:
    return Manifest(
        ack_budget_seconds=1,
        redelivery_horizon=timedelta(days=1),
        delivery_id_header="",
        documentation="https://api.example.test/limits",
        quotas=quotas,
        **values,
    )


@dataclass
class Rig:
    """Redis' clock, and calls of one credential. Nobody waits unless the test says so."""

    store: redis.Redis
    patience: dict[Traffic, float]
    now: float = 1_800_000_000.0
    provider_ahead: float = 0.0

    def set(self, now: float) -> None:
        self.now = now
        self.store.set(_NOW, repr(now))

    def advance(self, seconds: float) -> None:
        self.set(self.now + seconds)

    def be_patient(self, traffic: Traffic, seconds: float) -> None:
        self.patience[traffic] = seconds

    def forget(self) -> None:
        """Redis was flushed."""
        self.store.flushdb()
        self.set(self.now)

    def gate(self, *quotas: Quota, traffic: Traffic = Traffic.ACTION, **how: Any) -> quota.QuotaGate:
        """A gate of the credential ``token``, through the connection of a ``tenant``."""
        owner = quota_ledger.identity("metered", how.pop("origin", ORIGIN), {"token": how.pop("token", TOKEN)})
        connection = IntegrationConnection(
            tenant_id=how.pop("tenant", ACME), provider_id="metered", settings=how.pop("settings", {})
        )
        return quota.QuotaGate(owner, manifest(*quotas, **how), connection, traffic)

    def told(self, limit: int, remaining: int, resets_in: float, **more: str) -> dict[str, str]:
        """Headers of an answer that is written now, by the provider's own clock."""
        there = self.now + self.provider_ahead
        return {
            "date": email.utils.formatdate(int(there), usegmt=True),
            "x-limit": str(limit),
            "x-remaining": str(remaining),
            "x-reset": str(round(there + resets_in)),
            **more,
        }


@contextmanager
def running_rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    store: redis.Redis = redis.Redis.from_url(settings.REDIS_URL)
    assert quota_ledger.SCRIPT.count(_CLOCK) == 1
    set_by_test = (
        f"(function() local t = tonumber(redis.call('GET', '{_NOW}'));"
        " return { math.floor(t), (t % 1) * 1000000 } end)()"
    )
    script = store.register_script(quota_ledger.SCRIPT.replace(_CLOCK, set_by_test))
    rig = Rig(store, dict.fromkeys(Traffic, 0.0))
    rig.set(rig.now)
    monkeypatch.setattr(quota, "PATIENCE_SECONDS", rig.patience)
    monkeypatch.setattr(quota_ledger, "_script", lambda _url: script)
    monkeypatch.setattr(quota.time, "sleep", rig.advance)
    yield rig
    store.close()


def call(gate: quota.QuotaGate, headers: Mapping[str, str] | None = None, method: str = "GET", **how: Any) -> None:
    """One whole call. Raises ``QuotaSpent``."""
    passage = gate.enter(method, how.pop("path", "/items"))
    passage.answered(how.pop("status", 200), headers or {}, limited=how.pop("limited", False))


def entered(gate: quota.QuotaGate, times: int = 1, method: str = "GET", path: str = "/items") -> list[Passage]:
    """Calls that are under way."""
    return [gate.enter(method, path) for _ in range(times)]


def refused(gate: quota.QuotaGate, method: str = "GET", path: str = "/items") -> QuotaSpent:
    with pytest.raises(QuotaSpent) as caught:
        gate.enter(method, path)
    return caught.value


def spent_by(gate: quota.QuotaGate, headers: Mapping[str, str] | None = None, path: str = "/items") -> int:
    """Calls that pass one after the other until one is refused."""
    for count in range(100_000):
        try:
            call(gate, headers, path=path)
        except QuotaSpent:
            return count
    raise AssertionError("nothing is ever refused")
