"""What GitHub refuses, what it does not say, and what is refused before it is asked."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import orjson
import pytest

from providers.actions import Command
from providers.client import Response
from providers.errors import AuthFailed, ProviderFault, RateLimited, Rejected
from providers.simulation import SimulatedAnswer
from tests.unit.providers.commanded import asked
from tests.unit.providers.github_commands import (
    ADAPTER,
    BRANCHES,
    COMMIT,
    EXAMPLES,
    HEAD,
    ISSUE,
    MADE,
    PULL,
    WEB,
    github,
)


def answer(body: Any, status: int = 200) -> Response:
    return Response(status=status, headers={}, content=orjson.dumps(body))


@pytest.mark.parametrize("kind", [*MADE, "set_commit_status"])
@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (200, {"message": "no list"}, {}),
        (200, [1], {}),
        (500, {}, {}),
        (404, {"message": "Not Found"}, {}),
        (200, [{"created_at": "2999-01-01T00:00:00Z"}], {"link": '</again>; rel="next"'}),
    ],
)
def test_what_could_not_be_looked_for_is_never_not_there(
    kind: str, status: int, body: Any, headers: dict[str, str]
) -> None:
    command = asked(EXAMPLES[kind]["target"], EXAMPLES[kind]["payload"])
    with github() as repository:
        repository.server.answer = lambda *_: SimulatedAnswer(status, headers, orjson.dumps(body))
        with pytest.raises((ProviderFault, Rejected)):
            repository.find(kind, command)


@pytest.mark.parametrize(
    ("kind", "target", "payload"),
    [
        ("create_issue", {"repository": "acme"}, {"title": "x"}),
        ("create_issue", {"repository": "acme/.."}, {"title": "x"}),
        ("create_issue", {"repository": WEB}, {"title": "x", "assignees": ["zoe@acme.example"]}),
        ("create_issue", {"repository": WEB}, {"title": "x", "priority": "high"}),
        ("create_issue", {"project": WEB}, {"title": "x"}),
        ("comment_on_issue", {"issue_key": "WEB-12"}, {"body": "x"}),
        ("comment_on_issue", {"issue_key": "acme/web#0"}, {"body": "x"}),
        ("comment_on_issue", {**ISSUE, "comment_id": "1"}, {"body": "x"}),
        ("comment_on_pr", {**PULL, "comment_id": "../../1"}, {"body": "x"}),
        ("transition_issue", ISSUE, {"state": "done"}),
        ("update_issue", ISSUE, {}),
        ("update_pr", PULL, {"state": "merged"}),
        ("create_pr", {"repository": WEB}, {"title": "x", **BRANCHES, "reviewers": ["zoe"]}),
        ("assign", ISSUE, {"assignees": [f"p{n}" for n in range(11)]}),
        ("request_review", PULL, {"reviewers": ["a/b/c"]}),
        ("set_commit_status", COMMIT | {"commit": "2e83ad6"}, {"status": "success", "context": "x"}),
        (
            "set_commit_status",
            {"repository": WEB, "commit": HEAD},
            {"status": "success", "context": "x", "branch": "m"},
        ),
    ],
)
def test_what_github_has_no_place_for_does_not_pass_the_schemas(
    kind: str, target: dict[str, Any], payload: dict[str, Any]
) -> None:
    action = ADAPTER.action(kind)
    fits = [
        jsonschema_rs.Draft202012Validator(schema).is_valid(given)
        for schema, given in ((action.target_schema, target), (action.payload_schema, payload))
    ]
    assert not all(fits)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {
                "message": "Validation Failed",
                "errors": [{"field": "title", "code": "missing_field"}],
            },
            "Validation Failed: title is missing",
        ),
        (
            {"message": "Validation Failed", "errors": [{"code": "custom", "message": "body is too long"}, "and more"]},
            "Validation Failed: body is too long; and more",
        ),
        ({"message": "Validation Failed", "errors": [{"resource": "Label", "code": "new_word"}]}, "Label new_word"),
        ({"message": "Gone", "errors": "plain text"}, "Gone: plain text"),
        ({"message": "Issues are disabled for this repo"}, "Issues are disabled for this repo"),
        ({"message": "Bad", "errors": [None, 3, [], {}]}, "Bad"),
        ([], ""),
    ],
)
def test_a_refusal_is_told_in_githubs_words(body: Any, words: str) -> None:
    with github() as repository:
        repository.server.answer = lambda *_: SimulatedAnswer(422, {}, orjson.dumps(body))
        with pytest.raises(Rejected) as caught:
            repository.send(ADAPTER.action("comment_on_issue"), asked(ISSUE, {"body": "x"}))
    assert words in caught.value.told
    assert bool(words) == bool(caught.value.told)


def test_a_refusal_that_is_a_page_says_nothing() -> None:
    with github() as repository:
        repository.server.answer = lambda *_: SimulatedAnswer(422, {}, b"<html>")
        with pytest.raises(Rejected) as caught:
            repository.send(ADAPTER.action("comment_on_issue"), asked(ISSUE, {"body": "x"}))
    assert caught.value.told == ""


NO_ANSWERS = ({}, [], None, {"id": None, "number": None}, "text", 3)


# Of labels, a list without ours does say what came of it.
@pytest.mark.parametrize(
    ("kind", "body"), [(kind, body) for kind in EXAMPLES for body in NO_ANSWERS if (kind, body) != ("add_labels", [])]
)
def test_an_answer_that_does_not_say_what_came_of_it_leaves_it_open(kind: str, body: Any) -> None:
    command: Command = asked(EXAMPLES[kind]["target"], EXAMPLES[kind]["payload"])
    with pytest.raises(ProviderFault):
        ADAPTER.action(kind).done(command, answer(body))


@pytest.mark.parametrize(
    ("method", "place", "body", "status"),
    [
        ("PATCH", "issues/999", {"title": "x"}, 404),
        ("POST", "issues", {"title": ""}, 422),
        ("POST", "issues", {"title": 7}, 422),
        ("POST", "issues", {"title": "x", "colour": "red"}, 422),
        ("POST", "issues", {"title": "x", "body": "x" * 65_537}, 422),
        ("PUT", "issues", {"title": "x"}, 404),
        ("POST", "pulls", {"title": "x", "head": "nowhere", "base": "main"}, 422),
        ("POST", f"statuses/{'0' * 40}", {"state": "success"}, 422),
        ("POST", "issues/5/comments", [], 400),
    ],
)
def test_the_simulator_refuses_as_github_does(method: Any, place: str, body: Any, status: int) -> None:
    with github() as repository:
        with pytest.raises(Rejected) as caught:
            repository.client.write(method, f"/repos/{WEB}/{place}", json=body)
        assert repository.effects == []
    assert caught.value.status == status


def test_a_secondary_limit_that_only_the_message_tells_is_waited_for() -> None:
    headers = {"x-ratelimit-remaining": "4711", "x-ratelimit-reset": "4102444800"}
    refusals = {
        RateLimited: "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        AuthFailed: "Resource not accessible by personal access token",
    }
    for kind, message in refusals.items():
        body = orjson.dumps({"message": message})
        with github() as repository:
            repository.server.answer = lambda *_, body=body: SimulatedAnswer(403, headers, body)
            with pytest.raises(kind) as caught:
                repository.perform("comment_on_issue", ISSUE, {"body": "x"})
        assert caught.value.retry_after_seconds == (60 if kind is RateLimited else None)
