"""One canonical happening, as an adapter tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from providers.canonical.signal_types import Severity, SignalType


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What the signal is about, in the ingestion service's own keys."""

    repository: str | None = None
    branch: str | None = None
    commit: str | None = None
    pr_id: int | None = None
    file_path: str | None = None
    module: str | None = None
    service_name: str | None = None
    environment: str | None = None
    deployment_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One canonical happening as an adapter tells it: no tenant, no connection, no ids of ours.

    ``occurred_at`` is the provider's clock (timezone-aware) or ``None`` where the provider gives no
    time; the time of receipt is used then. ``fields`` may hold only what ``signal_type.fields`` lists.
    """

    signal_type: SignalType
    occurred_at: datetime | None = None
    actor_id: str | None = None
    resource: Resource = field(default_factory=Resource)
    canonical_keys: Mapping[str, str | int] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity | None = None
