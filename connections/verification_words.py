"""The words of a verification: how a step went, what was found, and what a person can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

# What a person can do about a failure, by its category.
ADVICE = {
    "auth": "Check that the credential is complete, unexpired and has the scopes the provider's page lists.",
    "client": "Check the settings of the connection.",
    "rate_limit": "Wait and verify again.",
    "budget": "Wait and verify again.",
    "server": "The fault is the provider's; verify again later.",
    "network": "Check the base URL; if it is right, verify again later.",
    "config": "Correct the settings or the credential and verify again.",
}


class Outcome(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a step found. ``evidence`` holds no secret; ``advice`` is what to do, empty where there is nothing."""

    outcome: Outcome
    summary: str
    evidence: Mapping[str, str] = field(default_factory=dict)
    advice: str = ""
