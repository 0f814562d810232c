"""What a simulated provider is: the far side of an adapter, for development and tests.

A simulator is sans-I/O. Whoever hosts it (the sandbox, a test) owns the socket, signs the deliveries with
the registration's secret and posts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class SimulatedAnswer:
    """An HTTP answer of the simulated API."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class SimulatedDelivery:
    """One webhook to be sent, not signed yet."""

    headers: Mapping[str, str]
    body: bytes


class Simulator(Protocol):
    """One provider's world. With ``faults`` it fails now and then, as the real one does."""

    credential: ClassVar[Mapping[str, str]]
    """The credential its API accepts."""
    webhook_scheme: ClassVar[str]
    """Signature scheme of the adapter its deliveries are signed with."""

    def __init__(self, *, seed: int, faults: bool) -> None: ...

    @classmethod
    def settings(cls, base_url: str) -> dict[str, Any]:
        """Settings of a connection to this simulator served at ``base_url``."""
        ...

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        """Answer one API request. ``headers`` has lower-case names."""
        ...

    def tick(self) -> list[SimulatedDelivery]:
        """Let one thing happen and return the webhooks that tell of it."""
        ...


@runtime_checkable
class HookKeeper(Protocol):
    """A simulator whose API makes hooks; the contract suite needs it where the adapter has a registrar."""

    def kept_hooks(self) -> list[tuple[str, str]]:
        """Address and secret of each hook there is, in every place."""
        ...


@dataclass(frozen=True, slots=True)
class SimulatedAttempt:
    """A delivery on its way to one hook; whoever hosts the world signs it with the secret and posts it."""

    hook: str
    url: str
    secret: str
    delivery: SimulatedDelivery


@runtime_checkable
class LedgerKeeper(Protocol):
    """A simulator with a ledger of deliveries; the contract suite needs it where the adapter reads one."""

    def attempts_of(self, delivery: SimulatedDelivery) -> list[SimulatedAttempt]:
        """Where this delivery goes now: to the hooks that are told of it and switched on."""
        ...

    def attempted(self, attempt: SimulatedAttempt, status: int) -> None:
        """It was answered so; 0 stands for no answer. Goes into the ledger."""
        ...

    def asked_again(self) -> list[SimulatedAttempt]:
        """What was asked for again through the API since the last call."""
        ...


@runtime_checkable
class SwitchedHooks(Protocol):
    """A simulator whose hooks can be switched off; the contract suite needs it where the adapter looks after hooks."""

    def switch_hooks(self, *, on: bool) -> None:
        """Switch all hooks on or off, as somebody could."""
        ...


@runtime_checkable
class EffectKeeper(Protocol):
    """A simulator whose API takes actions; the contract suite needs it where the adapter has any."""

    def effects(self) -> list[str]:
        """A line for each thing a write made or changed, oldest first: ``comment 12 on acme/web#3``.

        A write that was refused, or that changed nothing, leaves none.
        """
        ...
