"""How long a provider asks to wait: ``Retry-After`` and the reset of a quota, in the forms they are sent in."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping

from providers.document import moment_of
from providers.quotas import RateLimitHeaders

MAX_WAIT_SECONDS = 24 * 3600.0
# The end of the year 9999. A later reset was told in another unit than the declared one.
_LAST_MOMENT = 253_402_300_799.0


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: Retry-After in either form (RFC 9110, 10.2.3); ``None`` where it gives no hint."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return as_wait(float(value))
    until = http_date(value)
    return None if until is None else as_wait(until - (sent_at(headers) or time.time()))


def until_reset(names: RateLimitHeaders, headers: Mapping[str, str]) -> float | None:
    """Seconds until the quota is whole again; ``None`` where the answer does not say."""
    told = reset_told(names, headers)
    if told is None:
        return None
    return as_wait(told if names.reset_format == "delta_seconds" else told - time.time())


def reset_told(names: RateLimitHeaders, headers: Mapping[str, str]) -> float | None:
    """The reset as it is told: seconds from now for ``delta_seconds``, else seconds of the epoch.

    It may still be absurdly far off; ``None`` where it is not told, or is no moment at all.
    """
    reset = headers.get(names.reset, "").strip()
    if names.reset_format == "iso8601":
        moment = moment_of(reset)
        return moment.timestamp() if moment else None
    if not (reset.isascii() and reset.isdigit() and len(reset) <= 15):
        return None
    seconds = float(reset) / 1000 if names.reset_format == "epoch_milliseconds" else float(reset)
    return seconds if seconds <= _LAST_MOMENT else None


def share_left(names: RateLimitHeaders, headers: Mapping[str, str]) -> float | None:
    """The share of the quota that is left, from 0 to 1; ``None`` where the answer does not say."""
    limit, left = headers.get(names.limit, ""), headers.get(names.remaining, "")
    if not (limit.isascii() and limit.isdigit() and int(limit) and left.isascii() and left.isdigit()):
        return None
    return min(int(left) / int(limit), 1.0)


def sent_at(headers: Mapping[str, str]) -> float | None:
    """The provider's clock when it answered, in whole seconds of the epoch."""
    return http_date(headers.get("date", ""))


def as_wait(seconds: float | None) -> float | None:
    """Zero or a past time is no hint, not an invitation to try at once."""
    return min(seconds, MAX_WAIT_SECONDS) if seconds and seconds > 0 else None


def http_date(value: str) -> float | None:
    """Seconds of the epoch of an HTTP date."""
    try:
        parsed = email.utils.parsedate_tz(value) if value else None
        return float(email.utils.mktime_tz(parsed)) if parsed else None
    except (ValueError, OverflowError):
        return None
