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
