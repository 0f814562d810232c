"""The same happening has the same words whoever sent it: what a kind must say in every provider's goldens."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import orjson
import pytest

from tests.contract.subject import FIXTURES

# What the signals of a kind are about: resource and canonical keys, and fields a reader may count on.
KINDS: dict[str, tuple[set[str], set[str], set[str]]] = {
    # beginning of the signal type: (resource, canonical keys, fields)
    "pr_": ({"repository", "branch", "pr_id"}, {"pr_number", "repository_id"}, {"title", "url"}),
    "pr_commented": ({"repository", "pr_id"}, {"pr_number", "comment_id"}, {"body", "author", "comment_id", "url"}),
    "pr_approval_removed": ({"repository", "pr_id"}, {"pr_number"}, {"review_state"}),
    "issue_created": (set(), {"issue_key"}, {"title", "state", "state_category", "url"}),
    "issue_updated": (set(), {"issue_key"}, {"title", "state", "state_category", "url"}),
    "issue_closed": (set(), {"issue_key"}, {"title", "state", "state_category", "url"}),
    "issue_assigned": (set(), {"issue_key"}, {"title", "assignees", "url"}),
    "issue_labeled": (set(), {"issue_key"}, {"title", "label", "labels", "url"}),
    "issue_priority_changed": (set(), {"issue_key"}, {"title", "priority", "previous_priority", "url"}),
    "issue_comment": (set(), {"issue_key", "comment_id"}, {"body", "author", "comment_id", "url"}),
    "push": ({"repository", "branch", "commit"}, {"repository_id"}, {"title", "before", "commit_count"}),
    "branch_": ({"repository", "branch"}, {"repository_id"}, {"name"}),
    "tag_": ({"repository"}, {"repository_id"}, {"name"}),
    "commit_commented": ({"repository", "commit"}, {"repository_id", "comment_id"}, {"body", "author", "comment_id"}),
    "pipeline_": ({"commit"}, {"run_id"}, {"state", "url", "run_id"}),
    "check_": ({"commit"}, {"run_id"}, {"name", "state", "url", "run_id"}),
    "release_": (set(), {"release_id"}, {"title", "url"}),
    "repo_": ({"repository"}, {"repository_id"}, {"name"}),
    "chat_message": (set(), {"channel_id", "message_id"}, {"channel", "message_id"}),
    "chat_mention": (set(), {"channel_id", "message_id"}, {"channel", "message_id", "body"}),
    "channel_": (set(), {"channel_id"}, {"channel"}),
    "sprint_": (set(), {"sprint_id"}, {"sprint_id", "sprint"}),
}
# Providers that number these write the number as text, so that a reader need not ask whose it is.
TEXT_KEYS = ("comment_id", "release_id", "run_id", "job_id", "deployment_id", "message_id", "sprint_id")
# It teaches the shape of an adapter, not the reach of a real one.
TEACHING = "fake"


def _told() -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Signals in the goldens, by provider and signal type."""
    told: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(FIXTURES.glob("*/*.golden.json")):
        for event in orjson.loads(path.read_bytes()):
            if event["signal"] and path.parent.name != TEACHING:
                told[path.parent.name, event["signal_type"]].append(event["signal"])
    return told


@pytest.mark.parametrize("beginning", KINDS)
def test_a_kind_of_signal_says_the_same_whoever_sent_it(beginning: str) -> None:
    resource, keys, fields = KINDS[beginning]
    told = {who: signals for who, signals in _told().items() if who[1].startswith(beginning)}
    assert len({provider for provider, _ in told}) >= 2, "only one provider tells of it"
    silent = {}
    for who, signals in told.items():
        best = max(signals, key=lambda s: len(s["resource"]) + len(s["canonical_keys"]) + len(s["fields"]))
        missing = (
            resource - best["resource"].keys(),
            keys - best["canonical_keys"].keys(),
            fields - best["fields"].keys(),
        )
        if any(missing):
            silent[" ".join(who)] = [sorted(part) for part in missing]
    assert silent == {}


@pytest.mark.parametrize("key", TEXT_KEYS)
def test_an_id_is_text_whoever_sent_it(key: str) -> None:
    told = {(*who, key): signal["canonical_keys"].get(key) for who, signals in _told().items() for signal in signals}
    given = {who: value for who, value in told.items() if value is not None}
    assert len({provider for provider, *_ in given}) >= 2, "only one provider has it"
    assert {who: value for who, value in given.items() if not isinstance(value, str)} == {}
