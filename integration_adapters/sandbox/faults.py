"""Faults that can be switched on while the sandbox runs, for the sink and for each simulated provider."""

from __future__ import annotations

import random
import threading
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

SINK = "sink"
Verdict = Literal["answer", "drop", "fail", "throttle"]


class BadFault(ValueError):
    """The wanted fault is not one of the known ones."""


@dataclass(slots=True)
class Faults:
    """What is wrong with one service at the moment.

    ``down``: connections are closed without an answer. ``delay_seconds``: each answer waits.
    ``error_rate``, ``throttle_rate``: share of requests answered 500, or 429 with Retry-After.
    ``signal_error``: the sink answers each signal with this error_code. ``signal_error_rate``: how many of them.
    """

    down: bool = False
    delay_seconds: float = 0.0
    error_rate: float = 0.0
    throttle_rate: float = 0.0
    signal_error: str = ""
    signal_error_rate: float = 1.0


class Switchboard:
    """The faults of all services, by name."""

    def __init__(self, names: list[str]) -> None:
        self._lock = threading.Lock()
        self._faults = {name: Faults() for name in (SINK, *names)}

    def state(self) -> dict[str, dict[str, Any]]:
        with self._lock:
            return {name: asdict(faults) for name, faults in self._faults.items()}

    def change(self, wanted: Any) -> dict[str, dict[str, Any]]:
        """Set the given values, keep the others; an empty object mends a service. Raises ``BadFault``."""
        if not isinstance(wanted, dict):
            raise BadFault("an object of services is needed")
        kinds = {f.name: type(getattr(Faults(), f.name)) for f in fields(Faults)}
        with self._lock:
            changed = dict(self._faults)
            for service, values in wanted.items():
                if service not in changed or not isinstance(values, dict):
                    raise BadFault(f"{service!r} is not one of {', '.join(changed)}")
                current = asdict(changed[service]) if values else {}
                for name, value in values.items():
                    if name not in kinds:
                        raise BadFault(f"{name!r} is not one of {', '.join(kinds)}")
                    try:
                        current[name] = kinds[name](value)
                    except (TypeError, ValueError):
                        raise BadFault(f"{name} must be {kinds[name].__name__}") from None
                changed[service] = Faults(**current)
            self._faults = changed
        return self.state()

    def of(self, service: str) -> Faults:
        with self._lock:
            return self._faults[service]

    def verdict(self, service: str) -> Verdict:
        """How the next request to ``service`` ends."""
        faults = self.of(service)
        if faults.down:
            return "drop"
        chance = random.random()  # noqa: S311 (a demonstration, not a secret)
        if chance < faults.error_rate:
            return "fail"
        return "throttle" if chance < faults.error_rate + faults.throttle_rate else "answer"
