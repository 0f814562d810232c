"""The gate every request to a provider passes: one ledger for each of its quotas, shared by all processes.

A class of traffic may spend a quota only down to what is reserved for the classes above it; the reserve shrinks with
the time that is left in the window (``quota_script/enter.lua`` has the shares). A refusal is ``QuotaSpent`` and says
when to ask again. What the provider tells with its answers corrects the ledger, and what it refuses closes it for
everybody.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import redis
import structlog

from connections import quota_headers, quota_ledger
from connections.budget_port import resource_type, unreachable
from connections.metrics import QUOTA_PAUSES, QUOTA_REFUSALS
from connections.models import IntegrationConnection
from connections.quota_ledger import Charge
from connections.turns import deadline
from providers.client import ClientConfig, Passage
from providers.errors import OutOfTime, QuotaSpent
from providers.manifest import Manifest
from providers.quotas import Traffic
from providers.waits import sent_at

log = structlog.get_logger(__name__)

# How long a call may pause for a slot or a unit that is about to come free, instead of being refused.
PATIENCE_SECONDS: Final = {Traffic.ACTION: 3.0, Traffic.REPAIR: 1.0, Traffic.POLL: 1.0, Traffic.BACKFILL: 0.5}
WHY: Final = {
    "spent": "What is left of the provider's quota is kept for more urgent calls, or nothing is left",
    "busy": "As many calls are under way as the provider allows at once",
    "asked": "The provider asked to wait",
    "refused": "The provider refused calls for its rate limit",
}


class QuotaGate:
    """The gate for calls of one class, made as one connection."""

    def __init__(self, owner: str, manifest: Manifest, connection: IntegrationConnection, traffic: Traffic) -> None:
        self._owner, self._connection, self._traffic = owner, connection, traffic
        self._quotas = quota_ledger.holding(manifest.quotas, connection.settings)
        self._pause = manifest.pause_seconds

    def enter(self, method: str, path: str) -> Passage:
        """One round trip to Redis, more only where a short pause helps.

        Raises ``QuotaSpent``, or ``OutOfTime`` if the pause would outlast the time there is (``connections.turns``).
        """
        counted = quota_ledger.charges(self._quotas, method, path)
        stated = [charge.stated() for charge in counted]
        ticket, patience = secrets.token_hex(8), PATIENCE_SECONDS[self._traffic]
        while True:
            try:
                answer = quota_ledger.run(self._owner, counted, "enter", stated, ticket=ticket, traffic=self._traffic)
            except redis.RedisError as error:
                return self._without_ledger(error)
            wait = float(answer["wait"])
            if wait <= 0:
                return _Entered(self._owner, self._pause, counted, ticket, answer["entered"])
            if wait > patience:
                raise self._refused(wait, answer["why"], answer["quota"])
            within = deadline()
            if within is not None and wait > within.left():
                raise OutOfTime("The time for this was over before the provider's quota allowed it.")
            patience -= wait
            QUOTA_PAUSES.labels(self._connection.provider_id, self._traffic, answer["why"]).inc()
            time.sleep(wait)

    def _refused(self, wait: float, why: str, quota: str) -> QuotaSpent:
        connection = self._connection
        QUOTA_REFUSALS.labels(connection.provider_id, connection.tenant_id, self._traffic, why).inc()
        named = f" ({quota})" if quota else ""
        return QuotaSpent(f"{WHY[why]}{named}.", retry_after_seconds=wait)

    def _without_ledger(self, error: redis.RedisError) -> Passage:
        connection = self._connection
        kind = resource_type(connection.provider_id, self._traffic)
        decision = unreachable(connection.tenant_id, kind, type(error).__name__)
        if not decision.allowed:
            raise QuotaSpent(decision.reason, retry_after_seconds=decision.retry_after_seconds)
        return _Uncounted()


@dataclass(frozen=True, slots=True)
class _Entered:
    """A call with its slots and units; one round trip gives them back or spends them."""

    owner: str
    pause: float
    counted: Sequence[Charge]
    ticket: str
    entered: float

    def answered(self, status: int, headers: Mapping[str, str], *, limited: bool) -> None:
        stated = [
            charge.stated(
                told=quota_headers.told(charge.quota, headers),
                actual=quota_headers.cost(charge.quota, status, headers),
            )
            for charge in self.counted
        ]
        self._settle(
            stated,
            sent=True,
            date=sent_at(headers),
            limited=limited,
            succeeded=status < 400 and not limited,
            wait=quota_headers.wait_asked([charge.quota for charge in self.counted], headers),
        )

    def unanswered(self, *, sent: bool) -> None:
        self._settle([charge.stated() for charge in self.counted], sent=sent)

    def _settle(self, stated: Sequence[dict[str, Any]], **told: Any) -> None:
        try:
            quota_ledger.run(
                self.owner,
                self.counted,
                "settle",
                stated,
                ticket=self.ticket,
                entered=self.entered,
                pause=self.pause,
                **told,
            )
        except redis.RedisError as error:
            # The slot ends by itself, and its units count as spent then.
            log.warning("quota_not_settled", cause=str(error)[:200])


class _Uncounted:
    """A call let through although the ledger could not be asked."""

    def answered(self, status: int, headers: Mapping[str, str], *, limited: bool) -> None:
        return None

    def unanswered(self, *, sent: bool) -> None:
        return None


def owner_of(connection: IntegrationConnection, config: ClientConfig, credential: Mapping[str, str]) -> str:
    """Whose quotas the calls of a connection are: the same for all that use the credential at this origin."""
    parts = urlsplit(config.base_url)
    return quota_ledger.identity(connection.provider_id, f"{parts.scheme}://{parts.netloc}".lower(), dict(credential))
