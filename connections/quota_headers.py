"""What an answer tells of a quota, as the ledger's script takes it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from providers.quotas import Quota
from providers.waits import as_wait, reset_told, retry_after

_MOST = 1e12


def told(quota: Quota, headers: Mapping[str, str]) -> dict[str, Any] | None:
    """Limit, remainder and reset as far as they are told of this quota; ``None`` if nothing is."""
    header, value = quota.scope
    if header and headers.get(header, value).lower() != value:
        return None
    names = quota.headers
    found = {
        "limit": number(headers.get(names.limit)),
        "remaining": number(headers.get(names.remaining)),
        "reset": reset_told(names, headers),
    }
    known = {name: value for name, value in found.items() if value is not None}
    return {**known, "delta": names.reset_format == "delta_seconds"} if known else None


def cost(quota: Quota, status: int, headers: Mapping[str, str]) -> float | None:
    """Units the answered call has cost; ``None``: as many as were set aside for it."""
    if quota.free_not_modified and status == 304:
        return 0.0
    return number(headers.get(quota.cost_header))


def wait_asked(quotas: Sequence[Quota], headers: Mapping[str, str]) -> float | None:
    """Seconds for which the provider asks not to be called, whatever it answered."""
    delays = (number(headers.get(quota.delay_header)) for quota in quotas if quota.delay_header)
    return retry_after(headers) or as_wait(max((delay for delay in delays if delay), default=None))


def number(text: str | None) -> float | None:
    """A count as headers write it; a negative one is zero."""
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return None
    return min(max(value, 0.0), _MOST) if math.isfinite(value) else None
