"""What GitLab refuses, what it does not say, and what is refused before it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import orjson
import pytest

from providers.adapters.gitlab.simulator import Simulator
from providers.client import Response
from providers.errors import ProviderFault, Rejected
from providers.simulation import SimulatedAnswer
from tests.unit.providers.commanded import Commanded, asked
from tests.unit.providers.gitlab_commands import ADAPTER, BRANCHES, EXAMPLES, ISSUE, MADE, WEB, gitlab


@pytest.fixture(scope="module")
def one_world() -> Iterator[Commanded[Simulator]]:
    with gitlab() as project:
        yield project


@pytest.fixture
def unchanged(one_world: Commanded[Simulator]) -> Iterator[Commanded[Simulator]]:
    """For tests that leave the world as it is: to make one takes longer than most of them."""
    answer = one_world.server.answer
    yield one_world
    one_world.server.answer = answer
    assert one_world.effects == []


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize(
    ("status", "body"), [(200, {"message": "x"}), (200, [1]), (200, [{"id": 1}]), (500, {}), (404, {"message": "404"})]
)
def test_what_could_not_be_looked_for_is_never_not_there(
    unchanged: Commanded[Simulator], kind: str, status: int, body: Any
) -> None:
    unchanged.server.answer = lambda *_: SimulatedAnswer(status, {}, orjson.dumps(body))
    with pytest.raises((ProviderFault, Rejected)):
        unchanged.find(kind, unchanged.command(EXAMPLES[kind]["target"], EXAMPLES[kind]["payload"]))


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("body", [{}, [], None, {"id": None, "iid": None}, "text", 3])
def test_an_answer_that_does_not_say_what_came_of_it_leaves_it_open(kind: str, body: Any) -> None:
    command = asked(EXAMPLES[kind]["target"], EXAMPLES[kind]["payload"])
    with pytest.raises(ProviderFault):
        ADAPTER.action(kind).done(command, Response(status=200, headers={}, content=orjson.dumps(body)))


@pytest.mark.parametrize(
    ("kind", "target", "payload"),
    [
        ("create_issue", {"repository": "acme/../web"}, {"title": "x"}),
        ("create_issue", {"repository": "acme//web"}, {"title": "x"}),
        ("create_issue", {"repository": WEB}, {"title": "x", "labels": ["a,b"]}),
        ("create_issue", {"repository": WEB}, {"title": "x", "assignees": ["zoe@acme.example"]}),
        ("create_issue", {"repository": WEB}, {"title": "x", "parent": "1"}),
        ("comment_on_issue", {"issue_key": "acme/web!12"}, {"body": "x"}),
        ("comment_on_issue", {**ISSUE, "comment_id": "1"}, {"body": "x"}),
        ("transition_issue", ISSUE, {"state": "merged"}),
        ("transition_issue", ISSUE, {"state": "closed", "state_reason": "completed"}),
        ("create_pr", {"repository": WEB}, {"title": "x", **BRANCHES, "reviewers": ["zoe"]}),
        ("assign", ISSUE, {"assignees": [f"p{n}" for n in range(11)]}),
        ("set_commit_status", {"repository": WEB, "commit": "55c50e4"}, {"status": "success", "context": "x"}),
    ],
)
def test_what_gitlab_has_no_place_for_does_not_pass_the_schemas(
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
        (b'{"message": {"title": ["can\'t be blank", "is too short"]}}', "title can't be blank; title is too short"),
        (b'{"message": ["One", "Two", "One"]}', "One; Two"),
        (b'{"message": "404 Project Not Found"}', "404 Project Not Found"),
        (b'{"error": "title is missing"}', "title is missing"),
        (b'{"error": "insufficient_scope", "error_description": "needs api", "scope": "api"}', "needs api"),
        (b'{"message": {"base": ["No more than one"]}}', "No more than one"),
        (b'{"message": {"a": {"b": ["deep"]}}}', ""),
        (b'{"message": 7}', ""),
        (b"Retry later", ""),
        (b"[]", ""),
    ],
)
def test_a_refusal_is_told_in_gitlabs_words(unchanged: Commanded[Simulator], body: bytes, words: str) -> None:
    unchanged.server.answer = lambda *_: SimulatedAnswer(400, {}, body)
    with pytest.raises(Rejected) as caught:
        unchanged.send(ADAPTER.action("comment_on_issue"), unchanged.command(ISSUE, {"body": "x"}))
    assert caught.value.told == words


@pytest.mark.parametrize(
    ("method", "place", "body", "status"),
    [
        ("PUT", "issues/999", {"title": "x"}, 404),
        ("PUT", "issues/72", {}, 400),
        ("POST", "issues", {"title": " "}, 400),
        ("POST", "issues", {"title": 7}, 400),
        ("POST", "issues", {"title": "x", "colour": "red"}, 400),
        ("POST", "issues", {}, 400),
        ("PATCH", "issues/72", {"title": "x"}, 404),
        ("POST", "merge_requests", {"title": "x", "source_branch": "nowhere", "target_branch": "main"}, 409),
        ("POST", f"statuses/{'0' * 40}", {"state": "success"}, 404),
        ("POST", "issues/72/notes", [], 400),
    ],
)
def test_the_simulator_refuses_as_gitlab_does(
    unchanged: Commanded[Simulator], method: Any, place: str, body: Any, status: int
) -> None:
    with pytest.raises(Rejected) as caught:
        unchanged.client.write(method, f"projects/acme%2Fweb/{place}", json=body)
    assert caught.value.status == status


@pytest.mark.parametrize(("users", "error"), [([{"id": 1, "username": "zoe2"}], Rejected), ({"id": 1}, ProviderFault)])
def test_somebody_of_another_name_is_nobody(
    unchanged: Commanded[Simulator], users: Any, error: type[Exception]
) -> None:
    unchanged.server.answer = lambda *_: SimulatedAnswer(200, {}, orjson.dumps(users))
    with pytest.raises(error):
        unchanged.perform("create_issue", {"repository": WEB}, {"title": "x", "assignees": ["zoe"]})
