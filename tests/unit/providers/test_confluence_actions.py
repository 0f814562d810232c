"""What goes out to Confluence: pages and comments once, found again by their marks, refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema_rs
import orjson
import pytest

from providers.actions import WriteRequest
from providers.adapters.confluence.adapter import ConfluenceAdapter
from providers.adapters.confluence.simulator import Simulator
from providers.errors import AuthFailed, ProviderFault, Rejected
from providers.simulation import SimulatedAnswer
from tests.acting import Acting, acting

EXAMPLES: dict[str, Any] = orjson.loads(
    (Path(__file__).parents[2] / "contract" / "fixtures" / "confluence" / "actions.json").read_bytes()
)
PAGE = {"page_id": "98001"}


@pytest.fixture
def confluence() -> Iterator[Acting]:
    with acting(ConfluenceAdapter(), Simulator(seed=1, faults=False)) as there:
        yield there


def content(there: Acting, own: str) -> Any:
    return there.world._wiki.contents[own]


@pytest.mark.parametrize("action", sorted(EXAMPLES))
def test_a_command_has_one_effect_found_by_its_mark_and_by_no_other(confluence: Acting, action: str) -> None:
    mark = str(uuid4())
    assert confluence.find(action, **EXAMPLES[action], mark=mark) is None
    done = confluence.do(action, **EXAMPLES[action], mark=mark)
    assert len(confluence.world.effects()) == 1
    assert done.reference in done.url
    assert done.url.startswith(f"{confluence.server.url}/wiki/spaces/ENG/pages/")
    assert confluence.find(action, **EXAMPLES[action], mark=mark) == done
    assert confluence.find(action, **EXAMPLES[action], mark=str(uuid4())) is None


def test_a_page_is_linked_to_on_its_site_where_only_the_gateway_is_known(confluence: Acting) -> None:
    action, command = confluence.command("create_page", **EXAMPLES["create_page"])
    wanted: Any = action.request(confluence.client, command)
    answer = confluence.client.write(wanted.method, wanted.path, json=wanted.json)
    gateway = {"base_url": "https://api.atlassian.com/ex/confluence/0a1b/wiki"}
    command = type(command)(
        target=command.target, payload=command.payload, mark="", since=command.since, settings=gateway
    )
    assert action.done(command, answer).url.startswith("https://sim.atlassian.example/wiki/spaces/ENG/pages/")


def test_a_page_sent_twice_is_one_page_and_is_known_for_ours(confluence: Acting) -> None:
    action, command = confluence.command("create_page", **EXAMPLES["create_page"])
    done = confluence.send(action, command)
    with pytest.raises(Rejected) as refused:
        confluence.send(action, command)
    assert refused.value.told.startswith("A page with this title already exists")
    assert action.settled_by(command, refused.value) is None
    assert action.find(confluence.client, command) == done
    assert len(confluence.world.effects()) == 1


def test_a_page_of_that_title_by_somebody_else_is_not_ours(confluence: Acting) -> None:
    wanted = {"title": content(confluence, "98001")["title"]}
    with pytest.raises(Rejected):
        confluence.do("create_page", {"project": "ENG"}, wanted)
    assert confluence.find("create_page", {"project": "ENG"}, wanted, str(uuid4())) is None


def test_a_page_arrives_with_its_space_parent_and_text(confluence: Acting) -> None:
    page = content(confluence, confluence.do("create_page", **EXAMPLES["create_page"]).reference)
    assert (page["title"], page["space"]) == ("Release 1.2", "ENG")
    assert "<h2>What is new</h2>" in page["body"]
    assert '<a href="https://ci.example/1">the log</a>' in page["body"]


def test_a_page_that_was_renamed_meanwhile_is_found(confluence: Acting) -> None:
    mark = str(uuid4())
    done = confluence.do("create_page", **EXAMPLES["create_page"], mark=mark)
    for _ in range(12):
        confluence.do("create_page", {"project": "ENG"}, {"title": f"Other {uuid4()}"})
    content(confluence, done.reference)["title"] = "Renamed"
    found = confluence.find("create_page", **EXAMPLES["create_page"], mark=mark)
    assert found is not None
    assert found.reference == done.reference


def test_an_empty_page_of_another_title_is_not_taken_for_ours(confluence: Acting) -> None:
    made = confluence.do("create_page", {"project": "ENG"}, {"title": "Empty"})
    content(confluence, made.reference)["body"] = ""
    assert confluence.find("create_page", {"project": "ENG"}, {"title": "Also empty"}, str(uuid4())) is None


def test_a_space_may_be_named_by_its_id(confluence: Acting) -> None:
    done = confluence.do("create_page", {"project": "102"}, {"title": "By id"})
    assert content(confluence, done.reference)["space"] == "OPS"


def test_what_is_not_given_stays(confluence: Acting) -> None:
    before = dict(content(confluence, "98001"))
    confluence.do("update_page", PAGE, {"title": "Another title"})
    after = content(confluence, "98001")
    assert (after["title"], after["body"], after["version"]) == ("Another title", before["body"], before["version"] + 1)
    confluence.do("update_page", PAGE, {"body": "Another text"})
    assert content(confluence, "98001")["title"] == "Another title"
    assert "<p>Another text</p>" in content(confluence, "98001")["body"]


def test_the_same_change_sent_twice_is_one_version(confluence: Acting) -> None:
    action, command = confluence.command("update_page", **EXAMPLES["update_page"])
    wanted: Any = action.request(confluence.client, command)
    assert isinstance(wanted, WriteRequest)
    done = confluence.write(action, command, wanted)
    # It may be refused for what an earlier attempt did, so it leaves doubt.
    with pytest.raises(ProviderFault, match="at the same moment") as stale:
        confluence.write(action, command, wanted)
    assert stale.value.status == 409
    assert stale.value.told.startswith("Version must be incremented")
    assert action.find(confluence.client, command) == done
    assert len(confluence.world.effects()) == 1


def test_a_change_is_found_below_later_ones_of_others(confluence: Acting) -> None:
    mark = str(uuid4())
    confluence.do("update_page", **EXAMPLES["update_page"], mark=mark)
    for _ in range(12):
        confluence.world._wiki.change(content(confluence, "98001"), "712020:bram", confluence.world._now())
    assert confluence.find("update_page", **EXAMPLES["update_page"], mark=mark) is not None


def test_a_page_in_the_trash_is_not_brought_back(confluence: Acting) -> None:
    content(confluence, "98001")["status"] = "trashed"
    with pytest.raises(Rejected, match="not current but trashed"):
        confluence.do("update_page", **EXAMPLES["update_page"])


def test_an_answer_goes_below_its_comment_and_is_found_there(confluence: Acting) -> None:
    mark, target = str(uuid4()), {**PAGE, "comment_id": "98002"}
    done = confluence.do("comment_on_page", target, {"body": "Agreed."}, mark)
    assert content(confluence, done.reference)["parent"] == "98002"
    assert confluence.find("comment_on_page", target, {"body": "Agreed."}, mark) == done
    assert confluence.find("comment_on_page", PAGE, {"body": "Agreed."}, mark) is None


def test_a_comment_is_found_below_many_later_ones(confluence: Acting) -> None:
    mark = str(uuid4())
    done = confluence.do("comment_on_page", **EXAMPLES["comment_on_page"], mark=mark)
    for _ in range(12):
        confluence.do("comment_on_page", **EXAMPLES["comment_on_page"])
    assert confluence.find("comment_on_page", **EXAMPLES["comment_on_page"], mark=mark) == done


def test_neither_a_quote_of_the_mark_nor_a_later_copy_is_taken_for_ours(confluence: Acting) -> None:
    mark = str(uuid4())
    confluence.do("comment_on_page", PAGE, {"body": f'integration-adapters-{mark} <ac:parameter ac:name="">{mark}'})
    assert confluence.find("comment_on_page", PAGE, {"body": "x"}, mark) is None
    ours = confluence.do("comment_on_page", PAGE, {"body": "x"}, mark)
    copy = confluence.world._wiki.add("comment", "Re", "ENG", "712020:bram", confluence.world._now(), "98001")
    copy["body"] = content(confluence, ours.reference)["body"]
    assert confluence.find("comment_on_page", PAGE, {"body": "x"}, mark) == ours


@pytest.mark.parametrize("action", ["comment_on_page", "create_page"])
def test_an_effect_that_lost_its_anchor_is_neither_ours_nor_absent(confluence: Acting, action: str) -> None:
    mark = str(uuid4())
    made = content(confluence, confluence.do(action, **EXAMPLES[action], mark=mark).reference)
    made["body"] = made["body"].rpartition("<p><ac:structured-macro")[0]
    with pytest.raises(ProviderFault, match="carries no mark"):
        confluence.find(action, **EXAMPLES[action], mark=mark)


@pytest.mark.parametrize("action", ["comment_on_page", "update_page"])
def test_what_a_visitor_does_not_see_is_not_told_as_absent(confluence: Acting, action: str) -> None:
    real = confluence.world.handle

    def visited(method: str, path: str, *rest: Any) -> SimulatedAnswer:
        visitor = path.endswith("/user/current")
        return SimulatedAnswer(200, {}, b'{"type": "anonymous"}') if visitor else real(method, path, *rest)

    confluence.server.answer = visited
    with pytest.raises(AuthFailed, match="anonymous"):
        confluence.find(action, **EXAMPLES[action], mark=str(uuid4()))


def test_a_comment_shown_without_its_text_is_not_taken_for_another(confluence: Acting) -> None:
    confluence.do("comment_on_page", PAGE, {"body": "x"})
    newest = list(confluence.world._wiki.contents.values())[-1]
    newest["body"] = None
    with pytest.raises(ProviderFault, match="without its text"):
        confluence.find("comment_on_page", PAGE, {"body": "x"}, str(uuid4()))


@pytest.mark.parametrize(
    ("action", "target", "payload", "told"),
    [
        ("create_page", {"project": "ENG"}, {"title": "New", "parent": "1"}, "Cannot find content <1>"),
        ("update_page", {"page_id": "5"}, {"title": "New"}, "Cannot find content <5>"),
        ("comment_on_page", {"page_id": "5"}, {"body": "x"}, "Cannot find content <5>"),
    ],
)
def test_a_refusal_says_why_in_confluences_words(
    confluence: Acting, action: str, target: dict[str, Any], payload: dict[str, Any], told: str
) -> None:
    with pytest.raises(Rejected) as refused:
        confluence.do(action, target, payload)
    assert refused.value.told == told
    assert confluence.world.effects() == []


def test_a_space_that_is_not_there_is_named(confluence: Acting) -> None:
    with pytest.raises(Rejected, match="no space 'NOPE'"):
        confluence.do("create_page", {"project": "NOPE"}, {"title": "New"})


@pytest.mark.parametrize(
    ("action", "part", "value"),
    [
        ("create_page", "target", {"project": "a,b"}),
        ("create_page", "payload", {"title": "New", "parent": "x/../y"}),
        ("create_page", "payload", {"body": "no title"}),
        ("update_page", "target", {"page_id": "98001/versions"}),
        ("update_page", "payload", {}),
        ("comment_on_page", "target", {**PAGE, "comment_id": "c-1"}),
    ],
)
def test_what_confluence_cannot_take_is_refused_before_it_is_sent(
    action: str, part: str, value: dict[str, Any]
) -> None:
    found = ConfluenceAdapter().action(action)
    schema = found.target_schema if part == "target" else found.payload_schema
    assert not jsonschema_rs.is_valid(schema, value)
