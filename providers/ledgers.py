"""What a provider remembers of its own webhooks: the state of each hook, and a ledger of what it delivered.

Both are optional parts of the push road. With them a delivery that never arrived is noticed and repaired by the
runtime, which compares, decides, keeps the pace and records; an adapter only says what the provider says. Like every
other part it sees no tenant, no database and no clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar

from providers.canonical import JSON
from providers.client import ProviderClient
from providers.errors import Misconfigured


class HookCondition(StrEnum):
    """What a provider says of a hook."""

    ENABLED = "enabled"
    PAUSED = "paused"
    """Switched off by the provider for a while; it goes on by itself."""
    DISABLED = "disabled"
    """Switched off until somebody switches it on."""
    GONE = "gone"
    """There is no such hook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookState:
    """``url`` is where it posts to, as far as the provider tells; ``until`` is when a pause ends, ``expires_at`` when
    the hook itself does, unless it is renewed."""

    condition: HookCondition
    url: str = ""
    until: datetime | None = None
    expires_at: datetime | None = None


class HookWatcher(ABC):
    """Looks after hooks that a ``HookRegistrar`` made. A look at one that is there is one request."""

    pauses_after: ClassVar[int] = 0
    """So many failures in a row and the provider sends nothing for a while, nor notes it in its ledger; 0: never."""
    renew_before: ClassVar[timedelta] = timedelta(days=10)
    """A hook that ends is renewed when it has no longer than this to live."""

    @abstractmethod
    def state(self, client: ProviderClient, *, target: str, hook_id: str) -> HookState:
        """How the hook stands; one that is not there is ``GONE``. Raises ``ProviderError``.

        A refusal that leaves open whether it is there ("no access") is an error, as far as it can be told.
        """

    @abstractmethod
    def enable(
        self, client: ProviderClient, *, target: str, hook_id: str, url: str, secret: str, events: Sequence[str]
    ) -> str:
        """Make a hook deliver again that is paused or switched off, and return its id, which may be another one.

        May be called again after an unknown outcome; of two hooks with the same URL one must be left. Nothing may be
        sent that looks like a happening. Raises ``ProviderError``.
        """

    def renew(self, client: ProviderClient, *, target: str, hook_id: str) -> datetime | None:
        """Prolong the life of a hook and return its new end, if the provider tells. Raises ``ProviderError``."""
        raise Misconfigured("Hooks of this provider cannot be renewed.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRequest:
    """A delivery out of the ledger: headers with lower-case names, and a body that means what was sent."""

    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One attempt of the provider to deliver.

    ``delivery_id``: the id the webhook carries, the same for all attempts; events name it as ``correlation_id``.
    ``attempt_id``: what ``redeliver`` and ``fetch`` take.
    ``event_type``: the provider's words, as exact as the ledger is.
    ``delivered_at``: the provider's clock.
    ``ok``: whether the provider holds it for delivered; ``status``: what it was answered, 0 for nothing.
    ``dedupe_keys``: those the events of this delivery have, as far as the ledger shows; the first that is known
    shows that it came in.
    ``matters``: whether it may become a signal.
    ``request``: all of it, where the ledger hands it out with the entry.
    """

    delivery_id: str
    attempt_id: str
    event_type: str
    delivered_at: datetime
    ok: bool
    status: int
    dedupe_keys: Sequence[str]
    matters: bool
    request: LedgerRequest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPage:
    """Entries, newest first. ``position`` leads on while ``more`` is true, and must change then; that of the last page
    begins the next reading. Opaque to the runtime, JSON, small."""

    entries: Sequence[LedgerEntry]
    position: JSON
    more: bool


class DeliveryLedger(ABC):
    """The provider's record of what it tried to deliver. Each call is one logical request."""

    retention: ClassVar[timedelta]
    """How far back it goes."""
    overlap: ClassVar[timedelta] = timedelta(minutes=5)
    """Each reading goes so far behind the newest entry of the one before: entries may appear late, clocks differ."""
    redeliveries_a_minute: ClassVar[int] = 0
    """How many deliveries a minute may be asked for again with one credential; 0: none can."""
    fetches: ClassVar[bool] = True
    """Whether ``fetch`` gives what ``attempts`` did not; if not, what has no ``request`` can only be asked for."""

    @abstractmethod
    def attempts(
        self, client: ProviderClient, *, target: str, hook_id: str, position: JSON, since: datetime
    ) -> LedgerPage:
        """One page of the hook's attempts, newest first; nothing older than ``since`` is needed.

        ``position`` is ``{}``, or what the page before gave. Raises ``ProviderError``; an answer that cannot be read
        is ``ProviderFault``, never an empty page.
        """

    @abstractmethod
    def redeliver(self, client: ProviderClient, *, target: str, hook_id: str, attempt_id: str) -> None:
        """Have the provider send it again, under the same delivery id. Raises ``ProviderError``."""

    def fetch(self, client: ProviderClient, *, target: str, hook_id: str, attempt_id: str) -> LedgerRequest | None:
        """The delivery itself, or ``None`` where the ledger has it no more. Raises ``ProviderError``."""
        return None
