"""Which events of GitHub belong to one entity."""

from __future__ import annotations

from typing import Any

import pytest

from providers.adapters.github.adapter import GitHubAdapter
from providers.adapters.github.ordering import ordering_key
from providers.adapters.github.polling import IssueCommentStream, IssueStream
from providers.document import Document
from tests.contract.subject import Subject

ADAPTER = GitHubAdapter()
REPOSITORY = {"id": 5001, "full_name": "Acme/Web"}


def key(event_type: str, **body: Any) -> str:
    return ordering_key(event_type, Document({"repository": REPOSITORY, **body}))


def test_everything_about_one_pull_request_has_one_key() -> None:
    pull = {"number": 12}
    keys = {
        key("pull_request.opened", number=12, pull_request=pull),
        key("pull_request_review.submitted", pull_request=pull, review={"id": 1}),
        key("pull_request_review_comment.created", pull_request=pull, comment={"id": 2}),
        key("issue_comment.created", issue={"number": 12, "pull_request": {}}, comment={"id": 3}),
    }
    assert keys == {"item:acme/web:12"}


def test_jobs_belong_to_their_run() -> None:
    assert key("workflow_run.completed", workflow_run={"id": 3001}) == "run:acme/web:3001"
    assert key("workflow_job.completed", workflow_job={"id": 9, "run_id": 3001}) == "run:acme/web:3001"


def test_branches_are_ordered_apart() -> None:
    main, other = (key("push", ref=f"refs/heads/{name}") for name in ("main", "other"))
    assert (main, other) == ("ref:acme/web:refs/heads/main", "ref:acme/web:refs/heads/other")


def test_renamed_repository_stays_one_entity() -> None:
    before = ordering_key("repository.edited", Document({"repository": {"id": 5001, "full_name": "acme/web"}}))
    after = ordering_key("repository.renamed", Document({"repository": {"id": 5001, "full_name": "acme/shop"}}))
    assert before == after == "repository:5001"


@pytest.mark.parametrize(
    ("event_type", "body"),
    [
        ("push", {}),
        ("push", {"ref": "refs/heads/" + "x" * 200}),
        ("pull_request.opened", {"pull_request": None}),
        ("status", {"sha": "a" * 40}),
        ("commit_comment.created", {"comment": {"id": 1}}),
        ("invented_in_2031", {"number": 1}),
        ("issues.opened", {"issue": {"number": 7}, "repository": None}),
        ("repository.edited", {"repository": {"full_name": "acme/web"}}),
    ],
)
def test_body_that_names_no_entity_has_no_key(event_type: str, body: dict[str, Any]) -> None:
    assert key(event_type, **body) == ""


def test_polled_items_have_the_key_of_the_webhook() -> None:
    item = Document({"number": 12, "repository_url": "https://api.github.com/repos/acme/web", "pull_request": {}})
    repository = {"repository": {"full_name": "acme/web"}}
    polled = IssueStream().payload(item, "pull_request.updated") | repository
    assert ordering_key("pull_request.updated", Document(polled)) == "item:acme/web:12"
    comment = Document({"issue_url": "https://api.github.com/repos/acme/web/issues/12"})
    polled = IssueCommentStream().payload(comment, "issue_comment.created") | repository
    assert ordering_key("issue_comment.created", Document(polled)) == "item:acme/web:12"


def test_every_signal_but_those_without_an_entity_has_a_key() -> None:
    whole = [fixture for fixture in Subject.of(ADAPTER).fixtures() if "thin" not in fixture.name]
    told = [event for fixture in whole for event in ADAPTER.process_webhook(fixture.request())]
    without = {event.event_type for event in told if event.signal_type and not event.ordering_key}
    assert without == {"commit_comment.created", "merge_group.checks_requested"}
