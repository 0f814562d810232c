"""Which events of Jira belong to one entity."""

from __future__ import annotations

from typing import Any

import pytest

from providers.adapters.jira.adapter import JiraAdapter
from providers.adapters.jira.ordering import issue_key, ordering_key
from providers.document import Document
from tests.contract.subject import Subject

ADAPTER = JiraAdapter()


def key(**body: Any) -> str:
    return ordering_key(Document(body))


def test_everything_about_one_issue_has_one_key_and_a_move_does_not_change_it() -> None:
    link = "https://acme.example/rest/api/2/issue/10001/comment/20001"
    keys = {
        key(issue={"id": "10001", "key": "DEMO-1"}),
        key(issue={"id": "10001", "key": "OPS-9"}, comment={"id": "20001"}),
        key(comment={"self": link}),
        key(worklog={"issueId": "10001"}),
        key(issueLink={"sourceIssueId": 10001, "destinationIssueId": 10002}),
    }
    assert keys == {"issue:10001"} == {issue_key("10001")}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"sprint": {"id": 5, "originBoardId": 1}}, "sprint:5"),
        ({"version": {"id": "7", "projectId": 1}}, "version:7"),
        ({"board": {"id": 1}}, "board:1"),
        ({"configuration": {"id": 1}}, "board:1"),
        ({"project": {"key": "DEMO"}}, "project:DEMO"),
        ({"attachment": {"id": "3"}}, "attachment:3"),
        ({"project": {"key": "D" * 400}}, ""),
        ({"user": {"accountId": "5b10zoe"}}, ""),
        ({}, ""),
    ],
)
def test_other_entities_are_named_by_their_id(body: dict[str, Any], expected: str) -> None:
    assert key(**body) == expected


def test_every_signal_has_a_key_but_those_of_bodies_that_name_nothing() -> None:
    told = [event for fixture in Subject.of(ADAPTER).fixtures() for event in ADAPTER.process_webhook(fixture.request())]
    assert not [event.event_type for event in told if event.signal_type and not event.ordering_key]


def test_secret_of_the_tokens_comes_from_the_vendor() -> None:
    assert ADAPTER.webhook.secret_from_provider == {"jwt"}
