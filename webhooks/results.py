"""What became of one webhook request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from providers.spi import WebhookReply


@dataclass(frozen=True, slots=True)
class WebhookResult:
    """Unpacks to ``success, error``; the rest is for the HTTP answer and for metrics.

    ``outcome`` is from a closed set: accepted, duplicate, handshake, quarantined, unrouted, or the reason of a refusal.
    ``error`` is a message for the sender and gives no hint which check failed.
    ``retry_after_seconds`` goes with a refusal that is over by then.
    """

    success: bool
    error: str | None
    status: int
    outcome: str
    code: str = ""
    events: int = 0
    reply: WebhookReply | None = None
    retry_after_seconds: int | None = None

    def __iter__(self) -> Iterator[bool | str | None]:
        yield self.success
        yield self.error
