"""What goes out to Jira: each command once, found again by its mark, refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema_rs
import orjson
import pytest

from providers.actions import REPEATABLE
from providers.adapters.jira import lookup
from providers.adapters.jira.adapter import JiraAdapter
from providers.adapters.jira.simulator import Simulator
from providers.errors import AuthFailed, ProviderFault, Rejected
from providers.simulation import SimulatedAnswer
from tests.acting import Acting, acting

EXAMPLES: dict[str, Any] = orjson.loads(
    (Path(__file__).parents[2] / "contract" / "fixtures" / "jira" / "actions.json").read_bytes()
)
ISSUE = {"issue_key": "DEMO-1"}
NEW = {"title": "The export stops", "issue_type": "Bug"}


@pytest.fixture
def jira() -> Iterator[Acting]:
    with acting(JiraAdapter(), Simulator(seed=1, faults=False)) as there:
        yield there


def issue_of(jira: Acting, key: str) -> Any:
    return next(issue for issue in jira.world._issues if issue.key == key)


@pytest.mark.parametrize("action", sorted(EXAMPLES))
def test_a_command_has_one_effect_and_says_where_to_look(jira: Acting, action: str) -> None:
    done = jira.do(action, **EXAMPLES[action])
    assert len(jira.world.effects()) == 1
    assert done.reference
    assert done.url.startswith(f"{jira.server.url}/browse/")


@pytest.mark.parametrize("action", sorted(a.type for a in JiraAdapter.actions if a.one_effect in REPEATABLE))
def test_asking_for_a_state_again_changes_nothing(jira: Acting, action: str) -> None:
    mark = str(uuid4())
    first, second = (jira.do(action, **EXAMPLES[action], mark=mark) for _ in range(2))
    assert first == second
    assert len(jira.world.effects()) == 1


@pytest.mark.parametrize("action", ["create_issue", "comment_on_issue"])
def test_what_was_made_is_found_by_its_mark_and_by_no_other(jira: Acting, action: str) -> None:
    mark = str(uuid4())
    assert jira.find(action, **EXAMPLES[action], mark=mark) is None
    done = jira.do(action, **EXAMPLES[action], mark=mark)
    jira.do(action, **EXAMPLES[action])
    assert jira.find(action, **EXAMPLES[action], mark=mark) == done
    assert jira.find(action, **EXAMPLES[action], mark=str(uuid4())) is None


def test_all_that_was_given_arrives(jira: Acting) -> None:
    made = issue_of(jira, jira.do("create_issue", **EXAMPLES["create_issue"]).reference)
    assert (made.summary, made.kind, made.priority) == ("The export stops", "Bug", "High")
    assert (made.labels, made.assignee, made.parent) == (["export"], "5b10zoe", "DEMO-1")
    linked = {"type": "link", "attrs": {"href": "https://ci.example/1"}}
    assert {"type": "text", "text": "the log", "marks": [linked]} in made.document["content"][0]["content"]


def test_an_issue_is_found_only_when_the_search_shows_it(jira: Acting) -> None:
    jira.world.writes.index_lag = timedelta(hours=1)
    mark = str(uuid4())
    jira.do("create_issue", {"project": "DEMO"}, NEW, mark)
    assert jira.find("create_issue", {"project": "DEMO"}, NEW, mark) is None
    assert jira.adapter.action("create_issue").visible_within_seconds >= 60


def test_an_issue_is_found_on_a_later_page(jira: Acting) -> None:
    for number in range(51):
        jira.do("create_issue", {"project": "OPS"}, {**NEW, "title": f"Number {number}"})
    mark = str(uuid4())
    done = jira.do("create_issue", {"project": "DEMO"}, NEW, mark)
    assert jira.find("create_issue", {"project": "DEMO"}, NEW, mark) == done


def test_a_comment_is_found_behind_a_hundred_others(jira: Acting) -> None:
    mark = str(uuid4())
    done = jira.do("comment_on_issue", ISSUE, {"body": "first"}, mark)
    for _ in range(101):
        issue_of(jira, "DEMO-1").comments.append({**issue_of(jira, "DEMO-1").comments[0], "id": "9", "properties": []})
    assert jira.find("comment_on_issue", ISSUE, {"body": "first"}, mark) == done


def test_what_a_visitor_does_not_see_is_not_told_as_absent(jira: Acting) -> None:
    real = jira.world.handle

    def visited(method: str, path: str, *rest: Any) -> SimulatedAnswer:
        refused = SimulatedAnswer(401, {}, b"{}")
        return refused if path.endswith("/myself") else real(method, path, *rest)

    jira.server.answer = visited
    with pytest.raises(AuthFailed):
        jira.find("create_issue", {"project": "DEMO"}, NEW, str(uuid4()))


def test_a_list_that_does_not_end_is_not_taken_for_not_there(jira: Acting) -> None:
    jira.do("comment_on_issue", ISSUE, {"body": "first"})
    issue = issue_of(jira, "DEMO-1")
    issue.comments *= 2001
    with pytest.raises(ProviderFault, match="goes on"):
        jira.find("comment_on_issue", ISSUE, {"body": "first"}, str(uuid4()))


def test_the_search_for_a_comment_ends_where_the_attempt_began(jira: Acting) -> None:
    jira.do("comment_on_issue", ISSUE, {"body": "long ago"})
    old = issue_of(jira, "DEMO-1").comments[0]
    issue_of(jira, "DEMO-1").comments[:] = [{**old, "created": "2026-01-01T00:00:00.000+0000"}] * 2001
    assert jira.find("comment_on_issue", ISSUE, {"body": "x"}, str(uuid4())) is None
    assert len([path for _, path in jira.server.asked if "/comment?" in path]) == 1


def test_a_comment_by_a_clock_behind_ours_is_found(jira: Acting) -> None:
    mark = str(uuid4())
    done = jira.do("comment_on_issue", ISSUE, {"body": "x"}, mark)
    issue_of(jira, "DEMO-1").comments[0]["created"] = (jira.since - timedelta(minutes=4)).isoformat()
    assert jira.find("comment_on_issue", ISSUE, {"body": "x"}, mark) == done


def test_a_mark_that_somebody_quotes_is_not_taken_for_ours(jira: Acting) -> None:
    mark = str(uuid4())
    jira.do("comment_on_issue", ISSUE, {"body": f"integration-adapters {mark}"})
    assert jira.find("comment_on_issue", ISSUE, {"body": "x"}, mark) is None


def test_a_comment_without_its_properties_is_not_taken_for_another(jira: Acting) -> None:
    jira.do("comment_on_issue", ISSUE, {"body": "x"})
    del issue_of(jira, "DEMO-1").comments[0]["properties"]
    with pytest.raises(ProviderFault, match="properties"):
        jira.find("comment_on_issue", ISSUE, {"body": "x"}, str(uuid4()))


def test_an_issue_goes_to_a_status_by_its_name_in_any_case(jira: Acting) -> None:
    jira.do("transition_issue", ISSUE, {"state": "in PROGRESS"})
    assert issue_of(jira, "DEMO-1").status == "In Progress"


def test_an_issue_that_is_there_already_is_left_alone(jira: Acting) -> None:
    done = jira.do("transition_issue", ISSUE, {"state": "to do"})
    assert done.reference == "DEMO-1"
    assert jira.world.effects() == []
    assert {method for method, _ in jira.server.asked} == {"GET"}


def test_an_issue_that_arrived_is_known_to_be_there(jira: Acting) -> None:
    payload, mark = {"state": "Done"}, str(uuid4())
    action, command = jira.command("transition_issue", ISSUE, payload, mark)
    wanted: Any = action.request(jira.client, command)
    jira.write(action, command, wanted)
    with pytest.raises(Rejected):
        jira.write(action, command, wanted)
    assert jira.find("transition_issue", ISSUE, payload, mark) is not None
    assert len(jira.world.effects()) == 1


def test_a_status_out_of_reach_is_refused_with_those_in_reach(jira: Acting) -> None:
    jira.do("transition_issue", ISSUE, {"state": "Done"})
    with pytest.raises(Rejected, match=r"'In Progress' in one step; it can to: To Do\."):
        jira.do("transition_issue", ISSUE, {"state": "In Progress"})


@pytest.mark.parametrize("who", ["nobody@acme.example", "@acme.example"])
def test_who_is_nobody_or_several_is_refused(jira: Acting, who: str) -> None:
    with pytest.raises(Rejected, match="can be assigned in DEMO"):
        jira.do("assign", ISSUE, {"assignees": [who]})
    assert jira.world.effects() == []


def test_somebody_is_assigned_by_address(jira: Acting) -> None:
    jira.do("assign", ISSUE, {"assignees": ["zoe@acme.example"]})
    assert issue_of(jira, "DEMO-1").assignee == "5b10zoe"


def test_an_address_that_is_shown_and_is_anothers_does_not_count(jira: Acting, monkeypatch: pytest.MonkeyPatch) -> None:
    person = {"accountId": "1", "emailAddress": "zoey@acme.example"}
    monkeypatch.setattr(type(jira.world.writes), "_assignable", staticmethod(lambda _query: (200, [person])))
    with pytest.raises(Rejected, match="Nobody"):
        jira.do("assign", ISSUE, {"assignees": ["zoe@acme.example"]})


@pytest.mark.parametrize(
    ("action", "target", "payload", "told"),
    [
        ("create_issue", {"project": "NOPE"}, NEW, "project: Specify a valid project ID or key"),
        ("create_issue", {"project": "DEMO"}, {**NEW, "issue_type": "Tale"}, "issuetype: Specify a valid issue type"),
        ("update_issue", {"issue_key": "DEMO-9999"}, {"title": "x"}, "Issue does not exist or you do not have"),
        ("assign", ISSUE, {"assignees": ["5b10nobody"]}, "cannot be assigned issues"),
        ("transition_issue", ISSUE, {"state": "In Progress", "state_reason": "Done"}, "resolution: Field"),
    ],
)
def test_a_refusal_says_why_in_jiras_words(
    jira: Acting, action: str, target: dict[str, Any], payload: dict[str, Any], told: str
) -> None:
    with pytest.raises(Rejected) as refused:
        jira.do(action, target, payload)
    assert told in refused.value.told
    assert jira.world.effects() == []


@pytest.mark.parametrize(
    ("action", "part", "value"),
    [
        ("create_issue", "payload", {"title": "No kind"}),
        ("create_issue", "payload", {**NEW, "labels": ["two words"]}),
        ("create_issue", "payload", {**NEW, "assignees": ["a", "b"]}),
        ("create_issue", "target", {"project": 'X" OR 1'}),
        ("update_issue", "target", {"issue_key": "DEMO-1/comment"}),
        ("update_issue", "target", {"issue_key": "acme/web#12"}),
        ("update_issue", "payload", {}),
        ("comment_on_issue", "payload", {"body": "x" * 32_768}),
        ("comment_on_issue", "target", {**ISSUE, "comment_id": "5"}),
        ("assign", "target", {"repository": "acme/web", "pr_number": 3}),
    ],
)
def test_what_jira_cannot_take_is_refused_before_it_is_sent(action: str, part: str, value: dict[str, Any]) -> None:
    found = JiraAdapter().action(action)
    schema = found.target_schema if part == "target" else found.payload_schema
    assert not jsonschema_rs.is_valid(schema, value)


def test_an_issue_behind_the_gateway_is_linked_to_on_the_site() -> None:
    gateway = "https://api.atlassian.com/ex/jira/0a1b"
    assert lookup.browse({"base_url": gateway}, "DEMO-1") == ""
    site = {"base_url": gateway, "site_url": "https://acme.atlassian.net/"}
    assert lookup.browse(site, "DEMO-1") == "https://acme.atlassian.net/browse/DEMO-1"
