"""What goes out to Bitbucket: each command once, found again by its mark, refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema_rs
import orjson
import pytest
from markdown_it import MarkdownIt

from providers.actions import REPEATABLE, WriteRequest
from providers.adapters.bitbucket.adapter import BitbucketAdapter
from providers.adapters.bitbucket.marking import has_mark, marked
from providers.adapters.bitbucket.simulated_people import person_of
from providers.adapters.bitbucket.simulator import Simulator
from providers.errors import AuthFailed, ProviderFault, Rejected
from providers.simulation import SimulatedAnswer
from tests.acting import Acting, acting

EXAMPLES: dict[str, Any] = orjson.loads(
    (Path(__file__).parents[2] / "contract" / "fixtures" / "bitbucket" / "actions.json").read_bytes()
)
WEB = {"repository": "acme/web"}
PULL = {**WEB, "pr_number": 11}
BRANCHES = {"source_branch": "mend", "target_branch": "main"}
MINA, OLAF, RAVI = map(person_of, ("mina", "olaf", "ravi"))


@pytest.fixture
def bitbucket() -> Iterator[Acting]:
    with acting(BitbucketAdapter(), Simulator(seed=1, faults=False)) as there:
        yield there


def pull(there: Acting, number: int | str = 11) -> Any:
    return next(row for row in there.world.lists.rows["acme/web"]["pullrequests"] if row["id"] == int(number))


@pytest.mark.parametrize("action", sorted(a.type for a in BitbucketAdapter.actions if a.one_effect in REPEATABLE))
def test_asking_for_a_state_again_changes_nothing(bitbucket: Acting, action: str) -> None:
    first, second = (bitbucket.do(action, **EXAMPLES[action]) for _ in range(2))
    assert first == second
    assert len(bitbucket.world.effects()) == 1


def test_a_pull_request_arrives_with_all_that_was_given(bitbucket: Acting) -> None:
    done = bitbucket.do("create_pr", **EXAMPLES["create_pr"])
    made = pull(bitbucket, done.reference)
    assert (made["title"], made["draft"], made["reviewers"]) == ("Mend the export", True, [MINA])
    assert made["description"].startswith("It stopped at *midnight*.\n\n[//]: # (")
    assert done.url == f"https://bitbucket.org/acme/web/pull-requests/{done.reference}"


def test_a_repository_may_be_named_by_ids_in_braces(bitbucket: Acting) -> None:
    name = f"{{{uuid4()}}}/{{{uuid4()}}}"
    with pytest.raises(Rejected):
        bitbucket.do("comment_on_pr", {"repository": name, "pr_number": 1}, {"body": "x"})
    assert bitbucket.server.asked[-1][1].startswith("/2.0/repositories/%7B")


def test_no_second_pull_request_is_opened_between_the_same_branches(bitbucket: Acting) -> None:
    mark = str(uuid4())
    done = bitbucket.do("create_pr", WEB, {"title": "One", **BRANCHES}, mark)
    assert bitbucket.do("create_pr", WEB, {"title": "One", **BRANCHES}, mark) == done
    with pytest.raises(Rejected, match=f"Pull request {done.reference} from mend to main is open already"):
        bitbucket.do("create_pr", WEB, {"title": "Two", **BRANCHES})
    bitbucket.do("create_pr", WEB, {"title": "Elsewhere", **BRANCHES, "target_branch": "next"})
    assert len(bitbucket.world.effects()) == 2


def test_a_pull_request_out_of_a_fork_does_not_bar_one_of_our_own(bitbucket: Acting) -> None:
    fork = pull(bitbucket, bitbucket.do("create_pr", WEB, {"title": "Theirs", **BRANCHES}).reference)
    for repository in ({"full_name": "zoe/web", "uuid": "{0}"}, None):
        fork["source"]["repository"] = repository
        done = bitbucket.do("create_pr", WEB, {"title": "Ours", **BRANCHES})
        bitbucket.do("update_pr", {**WEB, "pr_number": int(done.reference)}, {"state": "declined"})


def test_a_pull_request_that_goes_elsewhere_meanwhile_is_found(bitbucket: Acting) -> None:
    mark, payload = str(uuid4()), {"title": "One", **BRANCHES}
    done = bitbucket.do("create_pr", WEB, payload, mark)
    bitbucket.do("update_pr", {**WEB, "pr_number": int(done.reference)}, {"target_branch": "next"})
    assert bitbucket.find("create_pr", WEB, payload, mark) == done


def test_looking_for_a_pull_request_does_not_read_those_of_former_times(bitbucket: Acting) -> None:
    done = bitbucket.do("create_pr", WEB, {"title": "Old", **BRANCHES})
    old = {**pull(bitbucket, done.reference), "state": "MERGED", "updated_on": "2026-01-01T00:00:00.000000+00:00"}
    bitbucket.world.lists.rows["acme/web"]["pullrequests"][:] = [{**old, "id": n} for n in range(1100)]
    assert bitbucket.find("create_pr", WEB, {"title": "New", **BRANCHES}, str(uuid4())) is None
    bitbucket.do("create_pr", WEB, {"title": "New", **BRANCHES})


def test_a_pull_request_that_was_declined_at_once_is_found_and_does_not_bar_another(bitbucket: Acting) -> None:
    mark, payload = str(uuid4()), {"title": "One", **BRANCHES}
    done = bitbucket.do("create_pr", WEB, payload, mark)
    bitbucket.do("update_pr", {**WEB, "pr_number": int(done.reference)}, {"state": "declined"})
    assert bitbucket.find("create_pr", WEB, payload, mark) == done
    assert bitbucket.do("create_pr", WEB, payload) != done


def test_a_pull_request_is_found_on_a_later_page(bitbucket: Acting) -> None:
    mark, payload = str(uuid4()), {"title": "One", **BRANCHES}
    done = bitbucket.do("create_pr", WEB, payload, mark)
    older = [
        {**pull(bitbucket, done.reference), "id": n, "description": "", "created_on": "2026", "state": "MERGED"}
        for n in range(60)
    ]
    bitbucket.world.lists.rows["acme/web"]["pullrequests"] += older
    assert bitbucket.find("create_pr", WEB, payload, mark) == done


def test_what_a_change_leaves_out_stays(bitbucket: Acting) -> None:
    bitbucket.do("request_review", PULL, {"reviewers": [MINA["uuid"]]})
    before = dict(pull(bitbucket))
    bitbucket.do("update_pr", PULL, {"title": "Another title"})
    after = pull(bitbucket)
    assert (after["title"], after["description"]) == ("Another title", before["description"])
    assert (after["reviewers"], after["destination"]) == ([MINA], before["destination"])
    bitbucket.do("update_pr", PULL, {"body": "Another text", "target_branch": "next"})
    after = pull(bitbucket)
    assert (after["description"], after["destination"]["branch"]["name"]) == ("Another text", "next")


def test_a_pull_request_is_declined_once(bitbucket: Acting) -> None:
    action, command = bitbucket.command("update_pr", PULL, {"state": "closed"})
    wanted: Any = action.request(bitbucket.client, command)
    assert isinstance(wanted, WriteRequest)
    assert action.find(bitbucket.client, command) is None
    done = bitbucket.write(action, command, wanted)
    with pytest.raises(Rejected, match="refused"):
        bitbucket.write(action, command, wanted)
    assert action.find(bitbucket.client, command) == bitbucket.send(action, command) == done
    assert bitbucket.world.effects() == ["declined pull request 11 in acme/web"]


def test_two_requests_are_not_made_of_one_command(bitbucket: Acting) -> None:
    with pytest.raises(Rejected, match="ask for the state alone"):
        bitbucket.do("update_pr", PULL, {"state": "closed", "title": "x"})


def test_who_is_asked_to_review_joins_those_who_do(bitbucket: Acting) -> None:
    bitbucket.do("request_review", PULL, {"reviewers": [MINA["account_id"]]})
    bitbucket.do("request_review", PULL, {"reviewers": [OLAF["uuid"], MINA["uuid"]]})
    assert pull(bitbucket)["reviewers"] == [MINA, OLAF]
    asked = len(bitbucket.server.asked)
    bitbucket.do("request_review", PULL, {"reviewers": [OLAF["account_id"]]})
    assert {method for method, _ in bitbucket.server.asked[asked:]} == {"GET"}


def test_an_account_that_is_not_there_is_named(bitbucket: Acting) -> None:
    with pytest.raises(Rejected, match="no account 'nobody'"):
        bitbucket.do("request_review", PULL, {"reviewers": ["nobody"]})


def test_an_answer_goes_below_its_comment(bitbucket: Acting) -> None:
    first = bitbucket.do("comment_on_pr", PULL, {"body": "One"})
    bitbucket.do("comment_on_pr", {**PULL, "comment_id": first.reference}, {"body": "Two"})
    assert bitbucket.world.writes.comments[11][1]["parent"] == {"id": int(first.reference)}


def test_a_comment_is_found_on_a_later_page_and_not_by_a_quote_or_copy(bitbucket: Acting) -> None:
    mark = str(uuid4())
    bitbucket.do("comment_on_pr", PULL, {"body": f"> [//]: # (integration-adapters:{mark})"})
    for _ in range(60):
        bitbucket.do("comment_on_pr", PULL, {"body": "x"})
    assert bitbucket.find("comment_on_pr", PULL, {"body": "ours"}, mark) is None
    ours = bitbucket.do("comment_on_pr", PULL, {"body": "ours"}, mark)
    comments = bitbucket.world.writes.comments[11]
    comments.append({**comments[-1], "id": 99_999})
    assert bitbucket.find("comment_on_pr", PULL, {"body": "ours"}, mark) == ours


def test_a_comment_taken_away_is_still_the_effect_and_one_without_text_is_nobodys(bitbucket: Acting) -> None:
    mark = str(uuid4())
    ours = bitbucket.do("comment_on_pr", PULL, {"body": "ours"}, mark)
    comments = bitbucket.world.writes.comments[11]
    comments[0]["deleted"] = True
    comments.insert(0, {**comments[0], "content": {"raw": ""}, "id": 1})
    assert bitbucket.find("comment_on_pr", PULL, {"body": "ours"}, mark) == ours
    comments[0]["deleted"], comments[0]["content"] = False, {}
    with pytest.raises(ProviderFault, match="without its text"):
        bitbucket.find("comment_on_pr", PULL, {"body": "ours"}, mark)


@pytest.mark.parametrize(
    ("status", "state"),
    [("pending", "INPROGRESS"), ("success", "SUCCESSFUL"), ("failure", "FAILED"), ("error", "FAILED")],
)
def test_a_status_has_bitbuckets_word(bitbucket: Acting, status: str, state: str) -> None:
    target = EXAMPLES["set_commit_status"]["target"]
    bitbucket.do("set_commit_status", target, {"status": status, "context": "c", "url": "https://x.example"})
    assert bitbucket.world.effects() == [f"status c {state} on {target['commit']}"]


def test_a_long_name_of_a_check_has_one_key(bitbucket: Acting) -> None:
    target, payload = EXAMPLES["set_commit_status"]["target"], {"status": "pending", "url": "https://x.example"}
    keys = {
        bitbucket.do("set_commit_status", target, {**payload, "context": "c" * 60 + end}).reference for end in "aab"
    }
    assert len(keys) == 2
    assert {len(key) for key in keys} == {40}


@pytest.mark.parametrize(
    ("action", "target", "payload", "told"),
    [
        ("comment_on_pr", {**WEB, "pr_number": 9999}, {"body": "x"}, "Resource not found"),
        ("comment_on_pr", {**PULL, "comment_id": "5"}, {"body": "x"}, "Bad request; parent: There is no such comment."),
        (
            "request_review",
            PULL,
            {"reviewers": [RAVI["uuid"]]},
            "Bad request; reviewers: The author cannot be included as a reviewer.",
        ),
    ],
)
def test_a_refusal_says_why_in_bitbuckets_words(
    bitbucket: Acting, action: str, target: dict[str, Any], payload: dict[str, Any], told: str
) -> None:
    with pytest.raises(Rejected) as refused:
        bitbucket.do(action, target, payload)
    assert refused.value.told == told
    assert bitbucket.world.effects() == []


def test_a_lack_of_scopes_names_them(bitbucket: Acting) -> None:
    detail = {"required": ["pullrequest:write"], "granted": ["pullrequest"]}
    body = {"type": "error", "error": {"message": "Your credentials lack scopes.", "detail": detail}}
    bitbucket.server.answer = lambda *_: SimulatedAnswer(403, {}, orjson.dumps(body))
    with pytest.raises(AuthFailed) as refused:
        bitbucket.do("comment_on_pr", PULL, {"body": "x"})
    assert refused.value.told == "Your credentials lack scopes.; required: pullrequest:write"


@pytest.mark.parametrize(
    ("action", "part", "value"),
    [
        ("create_pr", "payload", {"title": "x", "source_branch": 'a" OR 1', "target_branch": "main"}),
        ("create_pr", "payload", {"title": "x", **BRANCHES, "reviewers": ["zoe@acme.example"]}),
        ("create_pr", "target", {"repository": "acme/web/hooks"}),
        ("create_pr", "target", {"repository": "acme/.."}),
        ("update_pr", "payload", {"state": "merged"}),
        ("comment_on_pr", "target", {**PULL, "comment_id": "x"}),
        ("set_commit_status", "payload", {"status": "success", "context": "c"}),
    ],
)
def test_what_bitbucket_cannot_take_is_refused_before_it_is_sent(action: str, part: str, value: dict[str, Any]) -> None:
    found = BitbucketAdapter().action(action)
    schema = found.target_schema if part == "target" else found.payload_schema
    assert not jsonschema_rs.is_valid(schema, value)


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "",
        "- item",
        "```\nleft open",
        "> quote",
        "<pre>left open",
        "<!-- left open",
        "    code",
        "a | b\n-|-",
        "# h",
    ],
)
def test_the_mark_is_there_and_not_shown(text: str) -> None:
    made = marked(text, "m-1")
    assert has_mark(made, "m-1")
    assert not has_mark(made, "m-2")
    for html in (True, False):
        assert "m-1" not in MarkdownIt("commonmark", {"html": html}).enable("table").render(made)
