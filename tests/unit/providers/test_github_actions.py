"""Commands to GitHub, against its simulator on loopback: what is sent, what came of it, and how it is found again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from providers.actions import REPEATABLE
from providers.adapters.github.simulator import Simulator
from providers.errors import ProviderFault, Rejected
from tests.unit.providers.commanded import Commanded, asked
from tests.unit.providers.github_commands import (
    ADAPTER,
    BRANCHES,
    COMMIT,
    EXAMPLES,
    ISSUE,
    MADE,
    PULL,
    WEB,
    github,
)


def last_comment(repository: Commanded[Simulator]) -> dict[str, Any]:
    return repository.world.records.comments[WEB][-1]


def test_there_is_an_example_of_every_command() -> None:
    assert set(EXAMPLES) == {str(action.type) for action in ADAPTER.actions}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_command_is_one_write_with_one_effect(kind: str) -> None:
    action, example = ADAPTER.action(kind), EXAMPLES[kind]
    command = asked(example["target"], example["payload"])
    with github() as repository:
        done = action.done(command, repository.send(action, command))
        assert [method for method, _ in repository.server.asked if method != "GET"] == [repository.server.asked[-1][0]]
        assert len(repository.effects) == 1
        assert done.reference
        assert done.url.startswith("https://") or kind == "add_labels"


@pytest.mark.parametrize("kind", [kind for kind in EXAMPLES if ADAPTER.action(kind).one_effect in REPEATABLE])
def test_what_is_a_state_can_be_asked_for_twice(kind: str) -> None:
    action, example = ADAPTER.action(kind), EXAMPLES[kind]
    command = asked(example["target"], example["payload"])
    with github() as repository:
        first = action.done(command, repository.send(action, command))
        if kind == "create_pr":
            with pytest.raises(Rejected, match="422"):
                repository.send(action, command)
            assert action.find(repository.client, command) == first
        else:
            action.done(command, repository.send(action, command))
        assert len(repository.effects) == 1


@pytest.mark.parametrize("kind", MADE)
def test_what_was_made_is_found_by_its_own_mark_only(kind: str) -> None:
    action, example = ADAPTER.action(kind), EXAMPLES[kind]
    command, other = (asked(example["target"], example["payload"]) for _ in range(2))
    with github() as repository:
        assert action.find(repository.client, command) is None
        done = action.done(command, repository.send(action, command))
        assert action.find(repository.client, command) == done
        assert action.find(repository.client, other) is None


def test_issue_says_what_was_asked_and_is_named_as_signals_name_it() -> None:
    with github() as repository:
        example = EXAMPLES["create_issue"]
        done = repository.perform("create_issue", example["target"], example["payload"])
        made = repository.world.records.items[WEB][25]
    assert done.reference == "acme/web#25"
    assert done.url == "https://github.com/acme/web/issues/25"
    assert made["title"] == "The export loses rows"
    assert made["body"].endswith("-->\n\nSeen **twice** today.")
    assert [label["name"] for label in made["labels"]] == ["bug"]
    assert [person["login"] for person in made["assignees"]] == ["zoe"]
    assert made["type"]["name"] == "Bug"


def test_what_it_answers_can_be_asked_about_next() -> None:
    with github() as repository:
        issue = repository.perform("create_issue", {"repository": WEB}, {"title": "One"})
        repository.perform("comment_on_issue", {"issue_key": issue.reference}, {"body": "Two"})
        pull = repository.perform("create_pr", {"repository": WEB}, {"title": "Three", **BRANCHES})
        repository.perform("comment_on_pr", {"repository": WEB, "pr_number": int(pull.reference)}, {"body": "Four"})
        assert repository.effects[-1].endswith("on acme/web#26")


HOSTILE = [
    "<script>alert(1)</script>",
    "```\nnever closed",
    "<!-- never closed",
    "<!-- sig:11111111-1111-4111-8111-111111111111 -->\n\nforged",
    "> <!-- sig:11111111-1111-4111-8111-111111111111 -->\n> quoted",
    "@acme/security @zoe \\ ` ' \" \x00 \u202e",
    "é" * 30_000,
    "x" * 60_000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_arrives_as_it_is_behind_a_mark_that_is_found(text: str) -> None:
    command = asked(ISSUE, {"body": text})
    forged = asked(ISSUE, {"body": "x"}, mark="11111111-1111-4111-8111-111111111111")
    with github() as repository:
        repository.send(ADAPTER.action("comment_on_issue"), command)
        assert last_comment(repository)["body"] == f"<!-- sig:{command.mark} -->\n\n{text}"
        assert repository.find("comment_on_issue", command)
        assert repository.find("comment_on_issue", forged) is None


def test_a_quotation_of_what_we_made_is_not_what_we_made() -> None:
    command = asked(ISSUE, {"body": "The first"})
    with github() as repository:
        repository.send(ADAPTER.action("comment_on_issue"), command)
        body = last_comment(repository)["body"]
        quotation = "\n".join(f"> {line}" for line in body.splitlines())
        repository.world.records.comments[WEB].pop()
        repository.perform("comment_on_issue", ISSUE, {"body": f"{quotation}\n\nSeen."})
        by_a_person = json.dumps({"body": f"{quotation}\n\nSeen."}).encode()
        repository.world.writes.handle("POST", f"/repos/{WEB}/issues/5/comments", {}, by_a_person)
        repository.perform("comment_on_issue", ISSUE, {"body": f"{body}\n\nhanded on"})
        assert repository.find("comment_on_issue", command) is None


def test_a_mark_stays_ours_when_a_person_writes_before_it() -> None:
    command = asked(ISSUE, {"body": "The first"})
    with github() as repository:
        repository.send(ADAPTER.action("comment_on_issue"), command)
        made = last_comment(repository)
        made["body"] = f"Edited:\r\n{made['body']}".replace("-->\n", "-->\r\n")
        found = repository.find("comment_on_issue", command)
    assert found is not None
    assert found.reference == str(made["id"])


@pytest.mark.parametrize(("kind", "target"), [("comment_on_issue", ISSUE), ("comment_on_pr", PULL)])
def test_a_comment_is_found_on_a_later_page(kind: str, target: dict[str, Any]) -> None:
    action, command = ADAPTER.action(kind), asked(target, {"body": "Mine"})
    with github() as repository:
        for number in range(101):
            # Straight to the world: hundreds of requests would only take time.
            body = json.dumps({"body": f"Not mine {number}"}).encode()
            place = "issues/5" if kind == "comment_on_issue" else "issues/2"
            repository.world.writes.handle("POST", f"/repos/{WEB}/{place}/comments", {}, body)
        done = action.done(command, repository.send(action, command))
        asked_before = len(repository.server.asked)
        assert action.find(repository.client, command) == done
        assert len(repository.server.asked) - asked_before == 2


def test_an_issue_is_found_on_a_later_page_and_a_pull_request_with_its_mark_is_none() -> None:
    command = asked({"repository": WEB}, {"title": "Mine"})
    with github() as repository:
        pull = replace(command, payload={"title": "Not an issue", **BRANCHES})
        repository.send(ADAPTER.action("create_pr"), pull)
        assert repository.find("create_issue", command) is None
        for number in range(101):
            body = json.dumps({"title": f"Not mine {number}"}).encode()
            repository.world.writes.handle("POST", f"/repos/{WEB}/issues", {}, body)
        repository.send(ADAPTER.action("create_issue"), command)
        found = repository.find("create_issue", command)
    assert found is not None
    assert found.reference == "acme/web#127"


def test_a_list_that_shows_late_is_not_yet_a_no() -> None:
    command = asked(ISSUE, {"body": "Mine"})
    action = ADAPTER.action("comment_on_issue")
    with github() as repository:
        repository.world.records.lag = timedelta(seconds=action.visible_within_seconds - 1)
        repository.send(action, command)
        assert repository.find("comment_on_issue", command) is None
        repository.world.records.lag = timedelta()
        assert repository.find("comment_on_issue", command)


def test_a_pull_request_of_somebody_else_is_a_refusal_that_says_so() -> None:
    command = asked({"repository": WEB}, {"title": "Mine", **BRANCHES})
    with github() as repository:
        repository.perform("create_pr", {"repository": WEB}, {"title": "Theirs", **BRANCHES})
        with pytest.raises(Rejected) as caught:
            repository.send(ADAPTER.action("create_pr"), command)
        assert repository.find("create_pr", command) is None
    assert caught.value.told == "Validation Failed: A pull request already exists for acme:topic."


@pytest.mark.parametrize("change", [{"state": "closed"}, {"target_branch": "topic-2"}])
def test_a_pull_request_that_was_changed_meanwhile_is_found_and_not_opened_again(change: dict[str, Any]) -> None:
    command = asked({"repository": WEB}, {"title": "Mine", **BRANCHES})
    with github() as repository:
        action = ADAPTER.action("create_pr")
        done = action.done(command, repository.send(action, command))
        number = int(done.reference)
        repository.perform("update_pr", {"repository": WEB, "pr_number": number}, change)
        assert repository.find("create_pr", command) == done


def test_a_reply_goes_below_the_comment_of_a_review() -> None:
    with github() as repository:
        (review,) = repository.world.lists.rows(WEB, "pulls/comments")
        target = {"repository": WEB, "pr_number": 8, "comment_id": str(review["id"])}
        command, action = asked(target, {"body": "Done."}), ADAPTER.action("comment_on_pr")
        done = action.done(command, repository.send(action, command))
        assert repository.server.asked[-1] == ("POST", f"/repos/acme/web/pulls/8/comments/{review['id']}/replies")
        assert repository.world.lists.rows(WEB, "pulls/comments")[-1]["in_reply_to_id"] == review["id"]
        assert action.find(repository.client, command) == done
        conversation = {"repository": WEB, "pr_number": 8}
        assert action.find(repository.client, replace(command, target=conversation)) is None


def test_a_pull_request_is_labelled_and_assigned_by_its_number() -> None:
    with github() as repository:
        repository.perform("add_labels", PULL, {"labels": ["bug"]})
        repository.perform("assign", PULL, {"assignees": ["Zoe".lower()]})
        item = repository.world.records.items[WEB][2]
    assert ([x["name"] for x in item["labels"]], [x["login"] for x in item["assignees"]]) == (["bug"], ["zoe"])


@pytest.mark.parametrize(
    "target", [{**ISSUE, **PULL}, {"repository": WEB}, {"pr_number": 2}, {**ISSUE, "pr_number": 2}]
)
def test_labels_need_one_place(target: dict[str, Any]) -> None:
    with github() as repository, pytest.raises(Rejected, match="either an issue by its key"):
        repository.send(ADAPTER.action("add_labels"), asked(target, {"labels": ["bug"]}))


def test_people_github_passes_over_are_a_failure_only_if_nobody_is_left() -> None:
    with github() as repository:
        assert repository.perform("assign", ISSUE, {"assignees": ["zoe", "stranger"]}).reference == "acme/web#5"
        with pytest.raises(Rejected, match="assigned nobody of them"):
            repository.perform("assign", {"issue_key": "acme/web#6"}, {"assignees": ["stranger"]})


def test_without_push_access_what_is_dropped_silently_is_told() -> None:
    with github() as repository:
        repository.world.writes.can_push = False
        for kind, payload in (
            ("add_labels", {"labels": ["bug"]}),
            ("assign", {"assignees": ["zoe"]}),
            ("update_issue", {"issue_type": "Bug"}),
        ):
            with pytest.raises(Rejected):
                repository.perform(kind, ISSUE, payload)
        assert repository.effects == []


def test_review_is_asked_of_people_and_of_teams() -> None:
    with github() as repository:
        repository.perform("request_review", PULL, {"reviewers": ["zoe", "acme/web"]})
        assert repository.world.records.reviewers[WEB, 2] == (["zoe"], ["web"])


@pytest.mark.parametrize(
    ("reviewers", "words"), [(["olaf"], "pull request author"), (["stranger"], "not a collaborator")]
)
def test_reviewers_github_will_not_ask_are_refused_in_its_words(reviewers: list[str], words: str) -> None:
    with github() as repository, pytest.raises(Rejected) as caught:
        repository.perform("request_review", PULL, {"reviewers": reviewers})
    assert words in caught.value.told


def test_a_status_that_was_replaced_since_is_found_and_not_set_over_the_newer_one() -> None:
    pending = asked(COMMIT, {"status": "pending", "context": "pm3"})
    action = ADAPTER.action("set_commit_status")
    with github() as repository:
        first = action.done(pending, repository.send(action, pending))
        repository.perform("set_commit_status", COMMIT, {"status": "success", "context": "pm3"})
        assert action.find(repository.client, pending) == first
        assert action.find(repository.client, asked(COMMIT, {"status": "pending", "context": "other"})) is None
        just_after = replace(pending, since=pending.since + timedelta(minutes=2))
        with pytest.raises(ProviderFault, match="cannot be told"):
            action.find(repository.client, just_after)
        later = replace(pending, since=pending.since + timedelta(minutes=6))
        assert action.find(repository.client, later) is None


@pytest.mark.parametrize(("state", "reason"), [("open", "completed"), ("closed", "reopened"), ("open", "not_planned")])
def test_a_reason_that_does_not_fit_its_state_is_refused_unsent(state: str, reason: str) -> None:
    with github() as repository:
        with pytest.raises(Rejected, match="cannot have the reason"):
            repository.send(ADAPTER.action("transition_issue"), asked(ISSUE, {"state": state, "state_reason": reason}))
        assert repository.server.asked == []
