"""Rules of the mapping that golden files cannot say: completeness, and the odd cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from providers.adapters.github.adapter import GitHubAdapter
from providers.adapters.github.mapping_rules import MAPPED, classify
from providers.canonical import Severity, Signal, SignalType
from providers.document import Document

ADAPTER = GitHubAdapter()
FIXTURES = Path(__file__).parents[2] / "contract" / "fixtures" / "github"
ONLY_POLLED = {"issues.updated", "pull_request.updated"}


def signal(event_type: str, payload: dict[str, Any]) -> Signal:
    signal_type, reason = classify(event_type, Document(payload))
    assert signal_type is not None, reason
    return ADAPTER.normalise(signal_type, event_type, payload)


def test_every_mapped_action_has_a_golden_file() -> None:
    """UT-IA-03: a rule that no fixture shows is a rule nobody has looked at."""
    shown = {
        event["event_type"] for path in FIXTURES.glob("*.golden.json") for event in orjson.loads(path.read_bytes())
    }
    mapped = {
        f"{event}.{action}".rstrip(".")
        for event, actions in MAPPED.items()
        for action, rule in actions.items()
        if isinstance(rule, SignalType) or callable(rule)
    }
    assert mapped - shown == ONLY_POLLED


def test_review_state_counts_in_either_case() -> None:
    payload = {"action": "submitted", "review": {"state": "APPROVED"}}
    approved = signal("pull_request_review.submitted", payload)
    assert (approved.signal_type, approved.fields["review_state"]) == (SignalType.PR_APPROVED, "approved")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ({"repo": {"id": 1}}, False),
        ({"repo": {"id": 2}}, True),
        ({"repo": None}, True),
        ({}, None),
        (None, None),
    ],
)
def test_pull_request_from_a_fork_is_told_even_when_the_fork_is_gone(head: Any, expected: bool | None) -> None:
    payload = {"action": "opened", "pull_request": {"head": head, "base": {"repo": {"id": 1}}}}
    assert signal("pull_request.opened", payload).fields.get("from_fork") is expected


def test_actor_of_a_merge_is_who_merged_and_of_a_later_label_who_labelled() -> None:
    pull = {"merged": True, "merged_at": "2026-03-02T11:00:00Z", "merged_by": {"login": "mina"}}
    body = {"pull_request": pull, "sender": {"login": "acme-merge[bot]"}}
    assert signal("pull_request.closed", {**body, "action": "closed"}).actor_id == "mina"
    assert signal("pull_request.labeled", {**body, "action": "labeled"}).actor_id == "acme-merge[bot]"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"ref": "refs/heads/x", "before": "0" * 40}, SignalType.BRANCH_CREATED),
        ({"ref": "refs/heads/x", "after": "0" * 40}, SignalType.BRANCH_DELETED),
        ({"ref": "refs/tags/x", "before": "0" * 40}, SignalType.TAG_CREATED),
        ({"ref": "refs/tags/x", "deleted": True}, SignalType.TAG_DELETED),
        ({"ref": "refs/heads/x", "created": False, "deleted": False}, SignalType.PUSH),
    ],
)
def test_push_tells_of_refs_that_come_and_go(payload: dict[str, Any], expected: SignalType) -> None:
    assert signal("push", payload).signal_type is expected


def test_branch_name_with_slashes_stays_whole() -> None:
    assert signal("push", {"ref": "refs/heads/fix/refs/heads/odd"}).resource.branch == "fix/refs/heads/odd"


def test_time_of_a_created_branch_is_that_of_the_push_not_of_its_commit() -> None:
    payload = {
        "ref": "refs/heads/x",
        "created": True,
        "head_commit": {"timestamp": "2019-01-01T00:00:00Z"},
        "repository": {"pushed_at": 1772442935},
    }
    moment = signal("push", payload).occurred_at
    assert moment is not None
    assert moment.isoformat() == "2026-03-02T09:15:35+00:00"


@pytest.mark.parametrize(
    ("ref", "number"),
    [
        ("refs/heads/gh-readonly-queue/main/pr-12-abc", 12),
        ("refs/heads/gh-readonly-queue/release/pr-1/pr-9-abc", 9),
        ("refs/heads/gh-readonly-queue/main/pr-x-abc", None),
        ("refs/heads/main", None),
        (None, None),
    ],
)
def test_merge_group_names_its_pull_request(ref: str | None, number: int | None) -> None:
    payload = {"action": "checks_requested", "merge_group": {"head_ref": ref, "base_ref": "refs/heads/main"}}
    assert signal("merge_group.checks_requested", payload).resource.pr_id == number


@pytest.mark.parametrize(
    ("word", "severity"),
    [("low", Severity.INFO), ("medium", Severity.WARNING), ("high", Severity.ERROR), ("critical", Severity.CRITICAL)],
)
def test_open_alert_is_as_severe_as_github_says(word: str, severity: Severity) -> None:
    alert = {"state": "open", "security_advisory": {"severity": word}}
    assert signal("dependabot_alert.created", {"action": "created", "alert": alert}).severity is severity


def test_resolved_alert_is_not_severe_any_more() -> None:
    alert = {"state": "fixed", "security_advisory": {"severity": "critical"}}
    assert signal("dependabot_alert.fixed", {"action": "fixed", "alert": alert}).severity is None


def test_check_of_actions_is_left_to_the_job_and_other_checks_are_told() -> None:
    run = {"conclusion": "failure", "app": {"slug": "github-actions"}}
    assert classify("check_run.completed", Document({"check_run": run}))[0] is None
    run["app"] = {"slug": "buildbarn"}
    assert classify("check_run.completed", Document({"check_run": run}))[0] is SignalType.CHECK_FAILED


def test_deployment_of_a_commit_names_no_branch() -> None:
    deployment = {"ref": "abc", "sha": "abc"}
    payload = {"action": "created", "deployment_status": {"state": "success"}, "deployment": deployment}
    assert signal("deployment_status.created", payload).resource.branch is None


@pytest.mark.parametrize(
    ("given", "branch", "commit"),
    [
        ({"ref": "refs/heads/main", "commit_oid": "a" * 40}, "main", "a" * 40),
        ({"ref": "", "commit_oid": ""}, "basket", "b" * 40),
        ({}, "basket", "b" * 40),
    ],
)
def test_alert_of_code_scanning_is_where_it_was_seen_last(given: dict[str, str], branch: str, commit: str) -> None:
    seen = {"ref": "refs/heads/basket", "commit_sha": "b" * 40}
    payload = {"action": "created", "alert": {"state": "open", "most_recent_instance": seen}, **given}
    resource = signal("code_scanning_alert.created", payload).resource
    assert (resource.branch, resource.commit) == (branch, commit)
