"""Boot-time checks of the settings for actions: time limits that contradict each other."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from providers import registry


@register()
def check_action_times(**_: Any) -> list[CheckMessage]:
    """actions.E001 an attempt may outlast its lease; E002 a caller waits longer than an attempt may take; E003 doubt
    outlasts the time for an action."""
    problems: list[CheckMessage] = []
    attempt, lease = settings.ACTION_ATTEMPT_SECONDS, settings.ACTION_LEASE_SECONDS
    # Connecting may take a few seconds more than the deadline of the calls.
    if not 1 <= attempt <= lease / 2:
        problems.append(
            Error(
                "ACTION_ATTEMPT_SECONDS must be 1 at least, and ACTION_LEASE_SECONDS twice as long.", id="actions.E001"
            )
        )
    if not 0 < settings.ACTION_SYNC_SECONDS <= attempt:
        problems.append(
            Error("ACTION_SYNC_SECONDS must be above 0 and at most ACTION_ATTEMPT_SECONDS.", id="actions.E002")
        )
    slowest = max(
        (action.visible_within_seconds for slug in registry.slugs() for action in registry.get(slug).actions),
        default=0.0,
    )
    if 2 * (lease + slowest) > settings.ACTION_GIVE_UP_SECONDS:
        problems.append(
            Error(
                f"ACTION_GIVE_UP_SECONDS must be at least {2 * (lease + slowest):.0f}: twice a lease and the time the "
                "slowest provider takes to show what was done.",
                id="actions.E003",
            )
        )
    return problems
