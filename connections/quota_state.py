"""How a provider's quotas stand for a connection, for people to see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis
import structlog

from connections import quota_ledger
from connections.models import IntegrationConnection
from connections.quota import WHY, owner_of
from connections.quota_ledger import Charge
from connections.runtime import last_calling
from providers import registry
from providers.errors import ProviderError
from providers.quotas import Quota

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaState:
    """One quota of a connection's credential, all connections that share it together.

    ``limit`` and ``remaining`` are units, ``None`` where the quota counts none. ``resets_at`` is known only where the
    provider tells it. ``reason`` says in words why nobody calls until ``blocked_until``. ``in_flight`` are calls.
    """

    name: str
    limit: float | None
    remaining: float | None
    resets_at: datetime | None
    blocked_until: datetime | None
    reason: str
    in_flight: int


def quota_state(connection: IntegrationConnection) -> list[QuotaState]:
    """The quotas as the ledger has them now; empty where the connection cannot call or Redis does not answer.

    A quota that is counted apart for each method or thing is listed once, as the part used lately that has least left.
    Which part it is nobody is told: others may share the credential.
    """
    try:
        how = last_calling(connection)
    except (ProviderError, registry.UnknownProvider):
        return []
    owner = owner_of(connection, how.config, how.identity)
    quotas = {quota.name: quota for quota in quota_ledger.holding(how.adapter.manifest.quotas, connection.settings)}
    try:
        # Lua cannot tell an empty list from an empty object; both are empty to iterate.
        used = sorted(label.split("\n", 1) for label in quota_ledger.run(owner, [], "look", [])["groups"])
        counted = [Charge(quota, "", 0, False) for quota in quotas.values() if not quota_ledger.is_split(quota)]
        counted += [Charge(quotas[name], group, 0, False) for name, group in used if name in quotas]
        seen = quota_ledger.run(owner, counted, "look", [charge.stated() for charge in counted])
    except redis.RedisError as error:
        log.warning("quota_not_shown", cause=type(error).__name__)
        return []
    blocked = seen.get("block")
    if not counted:
        return [_state("all calls", {"under_way": 0}, blocked)] if blocked else []
    parts: dict[str, list[QuotaState]] = {}
    for charge, one in zip(counted, seen["quotas"], strict=True):
        parts.setdefault(charge.quota.name, []).append(_of(charge.quota, one, blocked))
    return [min(states, key=_room) for states in parts.values()]


def _of(quota: Quota, seen: dict[str, Any], blocked: dict[str, Any] | None) -> QuotaState:
    if not quota.units:
        seen = {"under_way": seen["under_way"], "block": seen.get("block")}
    return _state(quota.name, seen, blocked)


def _room(state: QuotaState) -> tuple[float, float]:
    """Less for what is closed for longer, then for what has less left."""
    return -state.blocked_until.timestamp() if state.blocked_until else 0.0, state.remaining or 0.0


def _state(name: str, seen: dict[str, Any], blocked: dict[str, Any] | None) -> QuotaState:
    own = seen.get("block")
    block = max((each for each in (own, blocked) if each), key=lambda each: each["ends"], default=None)
    return QuotaState(
        name=name,
        limit=seen.get("limit"),
        remaining=seen.get("remaining"),
        resets_at=_moment(seen.get("resets_at")),
        blocked_until=_moment(block["ends"]) if block else None,
        reason=f"{WHY[block['why']]}." if block else "",
        in_flight=int(seen["under_way"]),
    )


def _moment(seconds: float | None) -> datetime | None:
    """``None`` also for what no calendar has: it is shown, so it must not fail."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None
