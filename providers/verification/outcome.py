"""What a check comes to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


class SignatureRejected(Exception):
    """The request does not prove its sender. ``reason`` is one of a small closed set, for metrics and evidence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class KeysUnavailable(Exception):
    """The provider's published keys are not known here yet: our fault, so the sender should try again."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A proven request.

    ``secret_index``: which of the given secrets matched (0 is the current one).
    ``fingerprint``: SHA-256 of the signature where one covers this very request, else ``None``; the same
    fingerprint under another delivery id is a replay.
    ``signed_at``: the clock signed for this attempt, where the scheme has one.
    """

    secret_index: int
    fingerprint: bytes | None = None
    signed_at: datetime | None = None
