"""Commands to GitLab, against its simulator on loopback: what is sent, what came of it, and how it is found again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest

from providers.actions import Done
from providers.adapters.gitlab.simulator import Simulator
from providers.adapters.gitlab.texts import harmless
from providers.client import Response
from providers.errors import ProviderFault, Rejected
from tests.unit.providers.commanded import Commanded, asked
from tests.unit.providers.gitlab_commands import ADAPTER, BRANCHES, COMMIT, EXAMPLES, ISSUE, MADE, REQUEST, WEB, gitlab


def write(project: Commanded[Simulator], method: str, place: str, body: Any) -> None:
    """Straight to the world: hundreds of requests would only take time."""
    given = project.world.writes.handle(method, f"/projects/acme%2Fweb/{place}", {}, json.dumps(body).encode())
    assert given is not None
    assert given.status < 300, given.body


def item(project: Commanded[Simulator], kind: str, number: int) -> dict[str, Any]:
    return project.world.lists.rows[kind][number - 1]


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_command_is_one_write_with_one_effect(kind: str) -> None:
    action, example = ADAPTER.action(kind), EXAMPLES[kind]
    with gitlab() as project:
        command = project.command(example["target"], example["payload"])
        done = action.done(command, project.send(action, command))
        writes = [method for method, _ in project.server.asked if method != "GET"]
        assert (len(writes), len(project.effects)) == (1, 1)
        assert done.reference
        assert done.url


def test_issue_says_what_was_asked_and_is_named_as_signals_name_it() -> None:
    with gitlab() as project:
        example = EXAMPLES["create_issue"]
        done = project.perform("create_issue", example["target"], example["payload"])
        made = item(project, "issues", 81)
    assert done == Done(reference="acme/web#81", url="https://gitlab.example.com/acme/web/-/issues/81")
    assert made["description"].endswith("-->\n\nSeen **twice** today.")
    assert (made["labels"], made["issue_type"]) == (["bug", "export"], "incident")
    assert [person["username"] for person in made["assignees"]] == ["ravi"]


def test_project_named_by_its_number_gets_an_issue_named_by_its_path() -> None:
    with gitlab() as project:
        done = project.perform("create_issue", {"repository": "4101"}, {"title": "x"})
        assert project.server.asked[-1][1].endswith("/projects/4101/issues")
    assert done.reference == "acme/web#81"


def test_what_it_answers_can_be_asked_about_next() -> None:
    with gitlab() as project:
        issue = project.perform("create_issue", {"repository": WEB}, {"title": "One"})
        project.perform("comment_on_issue", {"issue_key": issue.reference}, {"body": "Two"})
        request = project.perform("create_pr", {"repository": WEB}, {"title": "Three", **BRANCHES})
        project.perform("comment_on_pr", {"repository": WEB, "pr_number": int(request.reference)}, {"body": "Four"})
        assert project.effects[-1].endswith("on merge_requests 81")


@pytest.mark.parametrize("kind", MADE)
def test_what_was_made_is_found_by_its_own_mark_only(kind: str) -> None:
    action, example = ADAPTER.action(kind), EXAMPLES[kind]
    with gitlab() as project:
        command, other = (project.command(example["target"], example["payload"]) for _ in range(2))
        assert action.find(project.client, command) is None
        done = action.done(command, project.send(action, command))
        assert action.find(project.client, command) == done
        assert action.find(project.client, other) is None
        later = replace(command, since=command.since + timedelta(minutes=6))
        assert action.find(project.client, later) is None, "looked further back than it had to"


@pytest.mark.parametrize(("kind", "place"), [("comment_on_issue", "issues/72"), ("comment_on_pr", "merge_requests/75")])
def test_a_comment_is_found_on_a_later_page(kind: str, place: str) -> None:
    action = ADAPTER.action(kind)
    with gitlab() as project:
        command = project.command(ISSUE if kind == "comment_on_issue" else REQUEST, {"body": "Mine"})
        done = action.done(command, project.send(action, command))
        for number in range(90):
            write(project, "POST", f"{place}/notes", {"body": f"Not mine {number}"})
        before = len(project.server.asked)
        assert action.find(project.client, command) == done
        assert len(project.server.asked) - before == 3


def test_an_issue_is_found_on_a_later_page() -> None:
    with gitlab() as project:
        command = project.command({"repository": WEB}, {"title": "Mine"})
        project.send(ADAPTER.action("create_issue"), command)
        for number in range(90):
            write(project, "POST", "issues", {"title": f"Not mine {number}"})
        found = project.find("create_issue", command)
    assert found is not None
    assert found.reference == "acme/web#81"


def test_a_quotation_of_what_we_made_is_not_what_we_made() -> None:
    with gitlab() as project:
        command = project.command(ISSUE, {"body": "The first"})
        project.send(ADAPTER.action("comment_on_issue"), command)
        body = project.world.writes.notes["issues", 72].pop()["body"]
        quotation = "\n".join(f"> {line}" for line in body.splitlines())
        project.perform("comment_on_issue", ISSUE, {"body": f"{quotation}\n\nSeen."})
        write(project, "POST", "issues/72/notes", {"body": f"{quotation}\n\nSeen by a person."})
        project.perform("comment_on_issue", ISSUE, {"body": f"{body}\n\nhanded on"})
        assert project.find("comment_on_issue", command) is None


HOSTILE = [
    "/close",
    "Done.\n/close\n/label ~bug\n",
    "Done.\r\n/merge\r\n",
    "Done.\n\r/assign @zoe",
    "```\n/close\n```",
    "<div>\n/close\n</div>",
    "> quote\n/CLOSE  ",
    "```\nnever closed",
    "<!-- never closed\n/close",
    "<script>alert(1)</script>",
    "<!-- sig:11111111-1111-4111-8111-111111111111 -->\n\nforged",
    "x" * 60_000,
]


@pytest.mark.parametrize("kind", ["comment_on_issue", "create_issue", "update_issue"])
def test_no_text_commands_anything_or_hides_its_mark(kind: str) -> None:
    action, target = ADAPTER.action(kind), {"repository": WEB} if kind == "create_issue" else ISSUE
    with gitlab() as project:
        for text in HOSTILE:
            command = project.command(target, {"body": text, **({"title": "x"} if kind == "create_issue" else {})})
            forged = replace(command, mark="11111111-1111-4111-8111-111111111111")
            action.done(command, project.send(action, command))
            if kind != "update_issue":
                assert action.find(project.client, command), text
                assert action.find(project.client, forged) is None, text
        assert len(project.effects) == len(HOSTILE)
        assert not [effect for effect in project.effects if "commands" in effect]
        assert item(project, "issues", 72)["state"] == "opened"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/close", "\\/close"),
        ("a\n/label ~bug", "a\n\\/label ~bug"),
        ("/usr/bin/python\n/ alone\n//\n a /close", "/usr/bin/python\n/ alone\n//\n a /close"),
        ("@all and @ALL.", "@\u200ball and @\u200bALL."),
        ("Done.@all é@all @allé", "Done.@\u200ball é@\u200ball @\u200ballé"),
        ("_@all_ __@all__ @all-", "_@\u200ball_ __@\u200ball__ @\u200ball-"),
        ("&#64;all &commat;&#x41;ll @&#097;&#X6C;l", "@\u200ball @\u200b&#x41;ll @\u200b&#097;&#X6C;l"),
        ("@zoe @allan @all-hands @all_2 me@all.example", "@zoe @allan @all-hands @all_2 me@all.example"),
        ("a\r\nb\rc", "a\nbc"),
    ],
)
def test_only_what_has_power_is_changed_in_a_text(text: str, shown: str) -> None:
    assert harmless(text) == shown


def test_a_text_that_is_all_commands_to_gitlab_is_told_as_refused() -> None:
    body = orjson.dumps({"commands_changes": {"state_event": "close"}, "summary": ["Closed."]})
    action = ADAPTER.action("comment_on_issue")
    with pytest.raises(Rejected, match="commands"):
        action.done(asked(ISSUE, {"body": "x"}), Response(status=202, headers={}, content=body))


def test_a_comment_leads_to_its_place_on_the_page() -> None:
    action, answer = ADAPTER.action("comment_on_pr"), Response(status=201, headers={}, content=b'{"id": 9}')
    settings = {"base_url": "https://git.acme.example/below/api/v4"}
    address = "https://git.acme.example/below/acme/web/-/merge_requests/75#note_9"
    assert action.done(asked(REQUEST, {"body": "x"}, settings=settings), answer).url == address
    assert action.done(asked(REQUEST, {"body": "x"}), answer).url.startswith("https://gitlab.com/acme/web/-/")
    assert action.done(asked({"repository": "4101", "pr_number": 75}, {"body": "x"}), answer).url == ""


def test_people_are_looked_up_by_name_and_join_those_who_are_there() -> None:
    with gitlab() as project:
        project.perform("assign", ISSUE, {"assignees": ["zoe"]})
        project.perform("assign", ISSUE, {"assignees": ["Ravi"]})
        assert [person["username"] for person in item(project, "issues", 72)["assignees"]] == ["ravi", "zoe"]
        project.perform("request_review", REQUEST, {"reviewers": ["mina"]})
        project.perform("request_review", REQUEST, {"reviewers": ["olaf"]})
        assert [person["username"] for person in item(project, "merge_requests", 75)["reviewers"]] == ["olaf", "mina"]


@pytest.mark.parametrize(
    ("kind", "target", "payload"),
    [
        ("create_issue", {"repository": WEB}, {"title": "x", "assignees": ["stranger"]}),
        ("assign", ISSUE, {"assignees": ["zoe", "stranger"]}),
        ("request_review", REQUEST, {"reviewers": ["stranger"]}),
    ],
)
def test_a_name_nobody_has_is_refused_before_anything_is_written(
    kind: str, target: dict[str, Any], payload: dict[str, Any]
) -> None:
    with gitlab() as project:
        with pytest.raises(Rejected, match="GitLab knows no user stranger"):
            project.perform(kind, target, payload)
        assert project.effects == []


@pytest.mark.parametrize(
    ("kind", "target", "payload"),
    [
        ("assign", ISSUE, {"assignees": ["zoe"]}),
        ("request_review", REQUEST, {"reviewers": ["zoe"]}),
        ("transition_issue", ISSUE, {"state": "closed"}),
        ("update_pr", REQUEST, {"state": "closed"}),
    ],
)
def test_what_is_so_already_is_not_asked_for_again(kind: str, target: dict[str, Any], payload: dict[str, Any]) -> None:
    with gitlab() as project:
        first = project.perform(kind, target, payload)
        command = project.command(target, payload)
        assert ADAPTER.action(kind).request(project.client, command) == first
        assert len(project.effects) == 1


def test_without_a_paid_plan_the_new_one_is_kept() -> None:
    with gitlab() as project:
        project.perform("assign", ISSUE, {"assignees": ["zoe"]})
        project.world.writes.keeps_one = True
        project.perform("assign", ISSUE, {"assignees": ["ravi"]})
        assert [person["username"] for person in item(project, "issues", 72)["assignees"]] == ["ravi"]


def test_an_answer_without_the_people_asked_for_is_told() -> None:
    nobody = Response(status=200, headers={}, content=b'{"iid": 72, "assignees": [], "reviewers": []}')
    for kind, target, payload in (
        ("assign", ISSUE, {"assignees": ["zoe"]}),
        ("request_review", REQUEST, {"reviewers": ["zoe"]}),
    ):
        with pytest.raises(Rejected, match=r"(none|nobody) of them"):
            ADAPTER.action(kind).done(asked(target, payload), nobody)


@pytest.mark.parametrize(("state", "event"), [("open", "reopen"), ("opened", "reopen"), ("closed", "close")])
def test_states_are_asked_for_as_events(state: str, event: str) -> None:
    with gitlab() as project:
        item(project, "issues", 72)["state"] = "closed" if event == "reopen" else "opened"
        request = ADAPTER.action("transition_issue").request(project.client, project.command(ISSUE, {"state": state}))
    assert not isinstance(request, Done)
    assert request.json == {"state_event": event}


def test_draft_is_told_by_the_title() -> None:
    with gitlab() as project:
        project.perform("create_pr", {"repository": WEB}, {"title": "x", **BRANCHES, "draft": True})
        project.perform(
            "create_pr", {"repository": WEB}, {"title": "y", "source_branch": "topic-2", "target_branch": "main"}
        )
        assert [item(project, "merge_requests", number)["draft"] for number in (81, 82)] == [True, False]


def test_a_merge_request_of_somebody_else_is_a_refusal_that_says_so() -> None:
    with gitlab() as project:
        project.perform("create_pr", {"repository": WEB}, {"title": "Theirs", **BRANCHES})
        command = project.command({"repository": WEB}, {"title": "Mine", **BRANCHES})
        with pytest.raises(Rejected) as caught:
            project.send(ADAPTER.action("create_pr"), command)
        assert project.find("create_pr", command) is None
    assert caught.value.told == "Another open merge request already exists for this source branch: !81"


@pytest.mark.parametrize("change", [{"state": "closed"}, {"target_branch": "topic-2"}])
def test_a_merge_request_that_was_changed_meanwhile_is_found(change: dict[str, Any]) -> None:
    with gitlab() as project:
        action, command = ADAPTER.action("create_pr"), project.command({"repository": WEB}, {"title": "x", **BRANCHES})
        done = action.done(command, project.send(action, command))
        project.perform("update_pr", {"repository": WEB, "pr_number": 81}, change)
        assert action.find(project.client, command) == done


def test_a_status_that_waits_already_is_settled_by_its_refusal() -> None:
    action = ADAPTER.action("set_commit_status")
    with gitlab() as project:
        command = project.command(COMMIT, {"status": "pending", "context": "pm3"})
        done = action.done(command, project.send(action, command))
        with pytest.raises(Rejected) as caught:
            project.send(action, command)
        assert action.settled_by(command, caught.value) == done
        other = replace(command, payload={"status": "success", "context": "pm3"})
        assert action.settled_by(other, caught.value) is None
        assert action.settled_by(command, Rejected("refused", status=400)) is None


def test_a_status_is_so_by_the_newest_of_its_name_or_was_since() -> None:
    action = ADAPTER.action("set_commit_status")
    with gitlab() as project:
        pending = project.command(COMMIT, {"status": "pending", "context": "pm3"})
        assert action.find(project.client, pending) is None
        first = project.perform("set_commit_status", COMMIT, {"status": "success", "context": "pm3"})
        project.perform("set_commit_status", COMMIT, {"status": "pending", "context": "pm3"})
        success = project.command(COMMIT, {"status": "success", "context": "pm3"})
        assert action.find(project.client, success) == first
        just_after = replace(success, since=success.since + timedelta(minutes=2))
        with pytest.raises(ProviderFault, match="cannot be told"):
            action.find(project.client, just_after)
        later = replace(success, since=success.since + timedelta(minutes=6))
        assert action.find(project.client, later) is None
        assert action.find(project.client, replace(later, payload=pending.payload)) == first
        assert action.find(project.client, replace(pending, payload={**pending.payload, "context": "other"})) is None
        worded = replace(pending, payload={**pending.payload, "description": "waiting for the lock"})
        assert action.find(project.client, worded) is None
