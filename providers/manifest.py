"""What a provider imposes on us, as data.

The runtime reads these values instead of knowing providers by name; ``providers.checks`` refuses a
manifest that contradicts the deployment's settings at boot. Where the runtime has no use for a value
(``ack_budget_seconds``, ``retry_schedule_seconds``, ``delivery_id_header``, ``ordering_key``,
``handshake``), it is there for the contract suite and for people.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from providers.quotas import Quota as Quota
from providers.quotas import RateLimitHeaders as RateLimitHeaders

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Limits, clocks and answers of one provider.

    ``ack_budget_seconds``: time the provider waits for our answer.
    ``body_limit_bytes``: largest body it may send; more is answered 413.
    ``retry_schedule_seconds``: its pauses between automatic redeliveries; empty if it never retries.
    ``redelivery_horizon``: how long after the first try the same delivery can still arrive.
    ``delivery_id_header``: header of the id that stays the same on redelivery; empty if there is none.
    ``timestamp_tolerance_seconds``: age allowed for a clock signed per attempt; ``None`` takes the default.
    ``ordering_key``: what one entity is whose events are delivered in order, in words; empty: no order given.
    Events carry its value (``ProviderEvent.ordering_key``).
    ``handshake``: name of the provider's way to prove an endpoint; empty: none.
    ``accepted_status`` … ``limited_status``: what to answer where the usual codes hurt.
    ``vendor_origins``: scheme and host of each address at which the provider itself answers, for one whose app has a
    shared door: what another address says of an account makes nobody's deliveries anybody's (``Identity.routes``).
    ``quotas``: what it counts of our calls (``providers.quotas``); none: only its refusals are obeyed.
    ``pause_seconds``: how long nobody calls after a refusal that names no time; it doubles with each, up to 15 minutes.
    ``rate_limit_headers``: those a refusal is read by; without them, those of the first quota that has any.
    ``documentation``: vendor page the values come from.
    """

    ack_budget_seconds: float
    redelivery_horizon: timedelta
    delivery_id_header: str
    documentation: str
    body_limit_bytes: int = 25 * MIB
    retry_schedule_seconds: tuple[int, ...] = ()
    timestamp_tolerance_seconds: int | None = None
    ordering_key: str = ""
    handshake: str = ""
    accepted_status: int = 202
    duplicate_status: int = 200
    rejected_status: int = 401
    fault_status: int = 503
    limited_status: int = 429
    vendor_origins: tuple[str, ...] = ()
    quotas: tuple[Quota, ...] = ()
    pause_seconds: float = 1.0
    rate_limit_headers: RateLimitHeaders = field(default_factory=RateLimitHeaders)

    def __post_init__(self) -> None:
        if self.rate_limit_headers == RateLimitHeaders():
            told = (quota.headers for quota in self.quotas if quota.headers != RateLimitHeaders())
            object.__setattr__(self, "rate_limit_headers", next(told, self.rate_limit_headers))
