"""The fake adapter for a tracker that forgets to answer: quick to show what was done, counts no calls."""

from __future__ import annotations

import dataclasses

from providers.adapters.fake.actions import ACTIONS, CreateIssue
from providers.adapters.fake.adapter import FakeAdapter

# In seconds. New issues show after a delay below the promise.
SHOWS_AFTER = 1.0
PROMISED = 2.0


class QuickCreateIssue(CreateIssue):
    visible_within_seconds = PROMISED


class ChaoticAdapter(FakeAdapter):
    slug = "chaotic"
    label = "Chaotic"
    manifest = dataclasses.replace(FakeAdapter.manifest, quotas=())
    actions = tuple(QuickCreateIssue() if isinstance(action, CreateIssue) else action for action in ACTIONS)
