"""What is asked of Linear: ids of our choice, names looked up, refusals that come with 200, one effect each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import jsonschema_rs
import orjson
import pytest

from providers.actions import WriteRequest
from providers.adapters.linear.actions import chosen_id
from providers.adapters.linear.adapter import LinearAdapter
from providers.adapters.linear.simulator import Simulator
from providers.errors import AuthFailed, LacksAccess, ProviderError, ProviderFault, RateLimited, Rejected
from providers.simulation import SimulatedAnswer
from providers.spi import Window
from tests.acting import Acting, acting

ISSUE = {"issue_key": "ENG-1"}
NEW = {"title": "The export stops"}
MARK, OTHER_MARK = "0193a1de-0000-7000-8000-00000000b001", "0193a1de-0000-7000-8000-00000000b002"


@pytest.fixture
def linear() -> Iterator[Acting]:
    with acting(LinearAdapter(), Simulator(seed=1, faults=False)) as there:
        yield there


def issue_of(linear: Acting, key: str) -> dict[str, Any]:
    found: dict[str, Any] = next(issue for issue in linear.world.issues if issue["identifier"] == key)
    return found


def id_of(linear: Acting, name: str) -> str:
    named = linear.world.directory
    return str(next(one["id"] for one in (*named.people, *named.labels, *named.states) if one["name"] == name))


def answering(linear: Acting, mutation: str, body: Any, status: int = 200) -> None:
    """From now on this mutation is answered so and nothing is done."""
    world = linear.world.handle

    def handle(method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], sent: bytes) -> Any:
        if mutation.encode() in sent:
            return SimulatedAnswer(status, {"content-type": "application/json"}, orjson.dumps(body))
        return world(method, path, query, headers, sent)

    linear.server.answer = handle


def test_mark_becomes_an_id_linear_takes() -> None:
    first, second = UUID(chosen_id(MARK)), UUID(chosen_id(OTHER_MARK))
    assert (first.version, second.version) == (4, 4)
    assert first != second
    assert str(first) == chosen_id(MARK)


def test_issue_is_made_with_all_that_was_asked(linear: Acting) -> None:
    payload = {
        **NEW,
        "body": "Since **Monday**.",
        "labels": ["BUG", "idea"],
        "assignees": ["ZOE@acme.example"],
        "priority": "Urgent",
        "parent": "ENG-1",
    }
    done = linear.do("create_issue", {"project": "ENG"}, payload, MARK)
    made = issue_of(linear, done.reference)
    assert done.reference.startswith("ENG-")
    assert done.url == f"https://linear.app/acme/issue/{done.reference}"
    assert made["id"] == chosen_id(MARK)
    assert made["labelIds"] == [id_of(linear, "bug"), id_of(linear, "idea")]
    assert (made["assigneeId"], made["priority"], made["priorityLabel"]) == (id_of(linear, "Zoe"), 1, "Urgent")
    assert (made["description"], made["parentId"]) == ("Since **Monday**.", issue_of(linear, "ENG-1")["id"])


def test_team_may_be_named_by_the_id_signals_carry(linear: Acting) -> None:
    team = linear.world.directory.team("OPS")["id"]
    assert linear.do("create_issue", {"project": team}, NEW).reference.startswith("OPS-")


@pytest.mark.parametrize(
    ("action", "target", "payload"),
    [("create_issue", {"project": "ENG"}, NEW), ("comment_on_issue", ISSUE, {"body": "Yes."})],
)
def test_second_of_the_same_id_is_refused_and_the_first_is_found(
    linear: Acting, action: str, target: dict[str, Any], payload: dict[str, Any]
) -> None:
    done = linear.do(action, target, payload, MARK)
    with pytest.raises(Rejected) as refused:
        linear.do(action, target, payload, MARK)
    assert refused.value.told == "Entity with this id already exists"
    assert linear.find(action, target, payload, MARK) == done
    assert linear.find(action, target, payload, OTHER_MARK) is None
    assert len(linear.world.effects()) == 1


def test_quoted_mark_is_not_the_comment(linear: Acting) -> None:
    linear.do("comment_on_issue", ISSUE, {"body": f"See {chosen_id(MARK)} and {MARK}."}, OTHER_MARK)
    assert linear.find("comment_on_issue", ISSUE, {"body": "Yes."}, MARK) is None


def test_answer_to_an_answer_goes_to_the_head_of_the_thread(linear: Acting) -> None:
    head = linear.do("comment_on_issue", ISSUE, {"body": "It stops."}).reference
    first = linear.do("comment_on_issue", {**ISSUE, "comment_id": head}, {"body": "Where?"}).reference
    second = linear.do("comment_on_issue", {**ISSUE, "comment_id": first}, {"body": "At noon."}).reference
    parents = {one["id"]: one.get("parentId") for one in linear.world.comments if one["id"] in (head, first, second)}
    assert parents == {head: None, first: head, second: head}


def test_text_goes_out_as_it_is(linear: Acting) -> None:
    """Markdown on both sides; no word that calls everybody is documented."""
    text = "<script>alert(1)</script> @channel <!here> **bold** [x](javascript:alert(1))"
    done = linear.do("comment_on_issue", ISSUE, {"body": text})
    assert next(one["body"] for one in linear.world.comments if one["id"] == done.reference) == text


@pytest.mark.parametrize("state", ["In Progress", "in progress", "IN PROGRESS "])
def test_state_is_known_by_its_name_in_any_case(linear: Acting, state: str) -> None:
    assert linear.do("transition_issue", ISSUE, {"state": state}).reference == "ENG-1"
    assert issue_of(linear, "ENG-1")["state"]["name"] == "In Progress"
    assert len(linear.server.asked) == 2
    # It is in that state now: it is only looked at.
    linear.do("transition_issue", ISSUE, {"state": state})
    assert len(linear.server.asked) == 3
    assert linear.world.effects() == ["stateId of ENG-1"]


@pytest.mark.parametrize(
    ("action", "target", "payload", "told"),
    [
        ("transition_issue", ISSUE, {"state": "Shipped"}, "no state 'Shipped'; it has: Todo, In Progress, Done"),
        ("add_labels", ISSUE, {"labels": ["bug", "pager"]}, "no label 'pager' for this team"),
        ("assign", ISSUE, {"assignees": ["nobody@acme.example"]}, "Nobody at Linear is known as"),
        ("assign", ISSUE, {"assignees": ["Nobody"]}, "Nobody at Linear is known as"),
        ("create_issue", {"project": "NONE"}, NEW, "There is no team NONE at Linear"),
        ("transition_issue", {"issue_key": "ENG-999"}, {"state": "Done"}, "There is no such thing at Linear"),
        ("update_issue", {"issue_key": "ENG-999"}, NEW, "There is no such thing at Linear"),
    ],
)
def test_what_is_not_there_is_said_and_nothing_is_done(
    linear: Acting, action: str, target: dict[str, Any], payload: dict[str, Any], told: str
) -> None:
    with pytest.raises(Rejected, match=told):
        linear.do(action, target, payload)
    assert linear.world.effects() == []


def test_two_people_of_one_name_are_nobody(linear: Acting) -> None:
    people = linear.world.directory.people
    people[1]["displayName"] = people[0]["displayName"]
    with pytest.raises(Rejected, match="More than one person at Linear is known as 'zoe'"):
        linear.do("assign", ISSUE, {"assignees": ["zoe"]})
    assert linear.do("assign", ISSUE, {"assignees": [people[0]["id"]]}).reference == "ENG-1"


def test_label_of_the_team_comes_before_one_of_the_workspace(linear: Acting) -> None:
    named = linear.world.directory
    named.labels.insert(0, {"id": "of-the-team", "name": "Bug", "team": named.team("ENG")})
    linear.do("add_labels", {"issue_key": "ENG-2"}, {"labels": ["bug"]})
    assert issue_of(linear, "ENG-2")["labelIds"][-1] == "of-the-team"


def test_labels_are_added_to_those_that_are_there(linear: Acting) -> None:
    before = list(issue_of(linear, "OPS-4")["labelIds"])
    linear.do("add_labels", {"issue_key": "OPS-4"}, {"labels": ["pager"]})
    assert issue_of(linear, "OPS-4")["labelIds"] == [*before, id_of(linear, "pager")]


@pytest.mark.parametrize(
    ("action", "target", "payload"),
    [
        ("assign", ISSUE, {"assignees": ["zoe", "ravi"]}),
        ("create_issue", {"project": "ENG"}, {**NEW, "issue_type": "bug"}),
        ("create_issue", {"repository": "acme/web"}, NEW),
        ("update_issue", ISSUE, {}),
        ("update_issue", ISSUE, {"priority": "P1"}),
        ("update_issue", {"issue_key": "acme/web#12"}, NEW),
        ("transition_issue", ISSUE, {"state": "Done", "state_reason": "completed"}),
        ("comment_on_issue", {**ISSUE, "comment_id": "12"}, {"body": "Yes."}),
    ],
)
def test_what_linear_does_not_take_is_refused_before_it_is_asked(
    linear: Acting, action: str, target: dict[str, Any], payload: dict[str, Any]
) -> None:
    with pytest.raises(jsonschema_rs.ValidationError):
        linear.command(action, target, payload)


def test_commands_are_one_request_that_changes(linear: Acting) -> None:
    linear.do("add_labels", ISSUE, {"labels": ["chore"]})
    assert [path for _, path in linear.server.asked] == ["/graphql"] * 3
    action, command = linear.command("add_labels", ISSUE, {"labels": ["chore"]})
    request = action.request(linear.client, command)
    assert isinstance(request, WriteRequest)
    assert request.json["operationName"] == "UpdateIssue"


def error(message: str, kind: str, code: str = "") -> dict[str, Any]:
    told = {"type": kind, "code": code, "userPresentableMessage": message}
    return {"message": "Argument Validation Error", "extensions": told}


@pytest.mark.parametrize(
    ("body", "status", "kind", "told"),
    [
        ({"data": {"commentCreate": {"success": False}}}, 200, Rejected, ""),
        (
            {"data": None, "errors": [error("body is too long", "invalid input"), error("id is odd", "invalid input")]},
            200,
            Rejected,
            "body is too long; id is odd",
        ),
        ({"errors": [{"message": "Unknown argument"}]}, 400, Rejected, "Unknown argument"),
        ({"errors": [error("Slow down", "ratelimited", "RATELIMITED")]}, 400, RateLimited, "Slow down"),
        ({"errors": [error("Scope missing", "forbidden")]}, 200, LacksAccess, "Scope missing"),
        ({"errors": [error("Try later", "lock timeout")]}, 200, ProviderFault, "Try later"),
        # It was done, and the rest of the answer failed: never a refusal.
        (
            {"data": {"commentCreate": {"success": True, "comment": None}}, "errors": [error("No", "invalid input")]},
            200,
            ProviderFault,
            "No",
        ),
        ({"data": {"commentCreate": None}}, 200, ProviderFault, ""),
        ({"data": {"commentCreate": {"success": True, "comment": {}}}}, 200, ProviderFault, ""),
    ],
)
def test_refusals_are_known_whatever_their_status(
    linear: Acting, body: Any, status: int, kind: type[ProviderError], told: str
) -> None:
    answering(linear, "commentCreate", body, status)
    with pytest.raises(kind) as caught:
        linear.do("comment_on_issue", ISSUE, {"body": "Yes."})
    assert type(caught.value) is kind
    assert caught.value.told == told


def test_credential_that_may_only_read_is_told(linear: Acting) -> None:
    linear.world.writes.forbidden = True
    with pytest.raises(AuthFailed) as caught:
        linear.do("comment_on_issue", ISSUE, {"body": "Yes."})
    assert caught.value.told == "Invalid scope: `write` required"
    assert linear.world.effects() == []


def test_made_and_changed_things_show_in_the_lists_that_are_polled(linear: Acting) -> None:
    done = linear.do("create_issue", {"project": "ENG"}, NEW)
    linear.do("comment_on_issue", {"issue_key": done.reference}, {"body": "Yes."})
    told = [
        event
        for stream in ("issues", "comments")
        for event in linear.adapter.stream(stream)
        .page(linear.client, partition="", settings=linear.settings, position={}, window=Window(since=linear.since))
        .events
    ]
    assert {str(event.signal_type) for event in told} >= {"issue_created", "issue_commented"}
