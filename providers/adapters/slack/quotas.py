"""What Slack counts: calls a minute of each method, for an app in a workspace. It tells nothing but 429.

https://docs.slack.dev/apis/web-api/rate-limits; the tier of a method is on its page.
"""

from __future__ import annotations

from typing import Final

from providers.quotas import Quota

_HISTORY: Final = r"/(conversations\.(?:history|replies))$"
_TIER_3: Final = r"conversations\.(?:history|replies|info)|chat\.(?:update|delete)|reactions\.add|bots\.info"
_TIER_4: Final = r"users\.info"
_SPECIAL: Final = r"auth\.test|chat\.getPermalink"

QUOTAS: Final = (
    # https://docs.slack.dev/changelog/2025/05/29/rate-limit-changes-for-non-marketplace-apps
    Quota(name="history of a limited app", units=1, path=_HISTORY, setting="limited", separate=True),
    Quota(name="tier 3", units=50, path=rf"/({_TIER_3})$", separate=True),
    Quota(name="tier 4", units=100, path=rf"/({_TIER_4})$", separate=True),
    Quota(name="special", units=100, path=rf"/({_SPECIAL})$", separate=True),
    # One a second for each channel, which is the lane of the write, and "several hundred" a minute in a workspace.
    Quota(name="messages to a channel", write_spacing_seconds=1, path=r"/chat\.postMessage#(.+)$", separate=True),
    Quota(name="messages", units=200, path=r"/(chat\.postMessage)(?:#|$)", separate=True),
    # Tier 2 and whatever is not named above.
    Quota(
        name="tier 2",
        units=20,
        path=rf"/(?!(?:{_TIER_3}|{_TIER_4}|{_SPECIAL}|chat\.postMessage)$)([A-Za-z]+\.[A-Za-z.]+)$",
        separate=True,
    ),
)
