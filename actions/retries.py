"""What a failure means for an action: whether it is tried again, and when.

| category   | what it was                            | tried again                                        |
|------------|----------------------------------------|----------------------------------------------------|
| auth       | 401, 403: the credential was refused   | no                                                 |
| client     | other 4xx: the request was refused     | no                                                 |
| config     | settings or credential cannot work     | no                                                 |
| rate_limit | 429, or what means it                  | yes, when the provider says; not before            |
| budget     | not sent: our quota or budget is spent | yes, when there is some                            |
| server     | 408, 5xx, an answer nobody can read    | yes, but first it is found out whether it was done |
| network    | no answer, or not in time              | yes, likewise if it was sent                       |

All tries together end at ``give_up_at``. Waits are due rows; nobody sleeps on them.
"""

from __future__ import annotations

import random

from providers.errors import ProviderError

FIRST_PAUSE_SECONDS = 2.0
PAUSE_LIMIT_SECONDS = 300.0


def leaves_doubt(error: ProviderError) -> bool:
    """Whether a write that ended so may have taken effect: the provider may have seen it, and did not refuse it."""
    return error.sent and error.category in ("server", "network")


def pause_seconds(attempts: int, error: ProviderError | None = None) -> float:
    """Until the next try: doubling with jitter, never sooner than the provider or the ledger asked for."""
    pause = min(PAUSE_LIMIT_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(max(attempts, 1) - 1, 16))
    jittered = pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
    asked = error.retry_after_seconds if error is not None else None
    return max(jittered, asked or 0.0)
