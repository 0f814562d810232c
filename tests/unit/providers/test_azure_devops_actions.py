"""What is asked of Azure DevOps: patches of work items, marks that stay, votes that are not taken back, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jsonschema_rs
import orjson
import pytest

from providers.actions import WriteRequest
from providers.adapters.azure_devops.adapter import AzureDevOpsAdapter
from providers.adapters.azure_devops.html_writing import html, mark_of, with_mark
from providers.adapters.azure_devops.simulator import RITA, Simulator
from providers.errors import AuthFailed, ProviderFault, Rejected
from providers.markdown import letters
from providers.simulation import SimulatedAnswer
from tests.acting import Acting, acting
from tests.contract.subject import FIXTURES

ITEM, NEW = {"issue_key": "1"}, {"title": "The export stops", "issue_type": "Bug"}
REPOSITORY = {"repository": "acme-shop/Web Shop/storefront"}
PULL = {**REPOSITORY, "pr_number": 16}
COMMIT = {**REPOSITORY, "commit": "7311d8a3c2ce6f447ed4d57b1e2feb89414c343c"}
BRANCHES = {"title": "Count from one", "source_branch": "dark-mode", "target_branch": "basket"}
MARK, OTHER_MARK = "0193a1de-0000-7000-8000-00000000c001", "0193a1de-0000-7000-8000-00000000c002"
NEW_ITEM = ("create_issue", {"project": "Web Shop"}, NEW)
COMMENT = ("comment_on_issue", ITEM, {"body": "Yes."})
THREAD = ("comment_on_pr", PULL, {"body": "Yes."})
OPEN = ("create_pr", REPOSITORY, BRANCHES)


@pytest.fixture
def azure() -> Iterator[Acting]:
    with acting(AzureDevOpsAdapter(), Simulator(seed=1, faults=False)) as there:
        yield there


def fields_of(azure: Acting, number: str) -> dict[str, Any]:
    found: dict[str, Any] = next(item["fields"] for item in azure.world.items if str(item["id"]) == number)
    return found


def test_work_item_is_made_with_all_that_was_asked(azure: Acting) -> None:
    payload = {
        **NEW,
        "body": "Since **Monday**.",
        "labels": ["export", "night shift"],
        "assignees": ["zoe@acme.example"],
        "priority": "2",
        "parent": "12",
    }
    done = azure.do("create_issue", {"project": "Web Shop"}, payload, MARK)
    made, fields = azure.world.items[-1], fields_of(azure, done.reference)
    assert done.url == f"https://dev.azure.example/acme-shop/_workitems/edit/{done.reference}"
    assert (fields["System.WorkItemType"], fields["System.Title"]) == ("Bug", "The export stops")
    assert fields["System.Description"] == "<p>Since <strong>Monday</strong>.</p>"
    assert fields["System.Tags"] == f"export; night shift; sig-{MARK}"
    assert (fields["System.AssignedTo"]["displayName"], fields["Microsoft.VSTS.Common.Priority"]) == ("Zoe", 2)
    above = f"{azure.settings['base_url']}/_apis/wit/workItems/12"
    assert made["relations"] == [{"rel": "System.LinkTypes.Hierarchy-Reverse", "url": above}]


@pytest.mark.parametrize(("action", "target", "payload"), [NEW_ITEM, COMMENT, THREAD, OPEN])
def test_effect_is_found_by_its_own_mark(
    azure: Acting, action: str, target: dict[str, Any], payload: dict[str, Any]
) -> None:
    assert azure.find(action, target, payload, MARK) is None
    done = azure.do(action, target, payload, MARK)
    assert azure.find(action, target, payload, MARK) == done
    assert len(azure.world.effects()) == 1


@pytest.mark.parametrize(("action", "target", "payload"), [NEW_ITEM, COMMENT, THREAD])
def test_same_words_under_another_mark_are_another_effect(
    azure: Acting, action: str, target: dict[str, Any], payload: dict[str, Any]
) -> None:
    azure.do(action, target, payload, OTHER_MARK)
    assert azure.find(action, target, payload, MARK) is None


def test_copy_of_a_work_item_that_copied_its_tags_is_not_the_effect(azure: Acting) -> None:
    done = azure.do(*NEW_ITEM, MARK)
    azure.world.new_item("Bug", {"System.Title": "A copy", "System.Tags": f"sig-{MARK}"})
    assert azure.find(*NEW_ITEM, MARK) == done


def test_work_item_with_a_tag_that_only_begins_like_the_mark_is_not_the_effect(azure: Acting) -> None:
    done = azure.do(*NEW_ITEM, MARK)
    fields_of(azure, done.reference)["System.Tags"] = f"sig-{MARK}-2"
    assert azure.find(*NEW_ITEM, MARK) is None


def test_query_that_does_not_show_it_yet_says_that_it_is_not_there(azure: Acting) -> None:
    done = azure.do(*NEW_ITEM, MARK)
    azure.world.writes.hidden.add(int(done.reference))
    assert azure.find(*NEW_ITEM, MARK) is None
    azure.world.writes.hidden.clear()
    assert azure.find(*NEW_ITEM, MARK) == done


def test_comment_is_found_behind_a_page_of_others(azure: Acting) -> None:
    done = azure.do(*COMMENT, MARK)
    for number in range(120):
        azure.world.writes.add_comment(1, f"<p>{number}</p>", azure.world.bot())
    assert azure.find(*COMMENT, MARK) == done


def test_comments_are_read_no_further_back_than_the_first_attempt(azure: Acting) -> None:
    azure.do(*COMMENT, MARK)
    later = replace(azure, since=azure.since + timedelta(hours=1))
    assert later.find(*COMMENT, MARK) is None


QUOTE = f"<blockquote>{with_mark(html('Yes.'), MARK)}</blockquote><p>Really?</p>"


def test_comment_that_quotes_ours_is_not_ours(azure: Acting) -> None:
    azure.world.writes.add_comment(1, with_mark(QUOTE, OTHER_MARK), azure.world.bot())
    azure.world.writes.pulls.add_thread(16, f"> {MARK}", azure.world._person("Zoe"), {})
    assert azure.find(*COMMENT, MARK) is None
    assert azure.find(*THREAD, MARK) is None


def test_our_mark_of_another_author_is_neither_ours_nor_absent(azure: Acting) -> None:
    zoe, writes = azure.world._person("Zoe"), azure.world.writes
    writes.add_comment(1, QUOTE, zoe)
    writes.pulls.add_thread(16, "Yes.", zoe, {"sig.key": {"$type": "System.String", "$value": MARK}})
    for asked in (COMMENT, THREAD):
        with pytest.raises(ProviderFault, match="another author"):
            azure.find(*asked, MARK)
        done = azure.do(*asked, MARK)
        assert azure.find(*asked, MARK) == done


def test_own_words_without_a_mark_are_never_taken_for_absence(azure: Acting) -> None:
    """Were marks dropped, this would be the comment that is looked for: nobody can tell."""
    azure.world.writes.add_comment(1, "<div>Yes.</div>", azure.world.bot())
    azure.world.writes.pulls.add_thread(16, "Yes.", azure.world.bot(), None)
    with pytest.raises(ProviderFault, match="has no mark"):
        azure.find(*COMMENT, MARK)
    with pytest.raises(ProviderFault, match="has no mark"):
        azure.find(*THREAD, MARK)
    # Of somebody else they are no matter.
    assert azure.find("comment_on_issue", {"issue_key": "12"}, {"body": "Yes."}, MARK) is None


def test_mark_that_is_a_text_and_no_object_is_read_as_well(azure: Acting) -> None:
    azure.world.writes.pulls.add_thread(16, "Yes.", azure.world.bot(), {"sig.key": MARK})
    assert azure.find(*THREAD, MARK) is not None


HOSTILE = (
    '<script>alert(1)</script> <a href="#" data-vss-mention="version:2.0,1">@all</a> [x](javascript:alert(1)) '
    "![p](data:image/png;base64,AA) <img src=x onerror=alert(1)>"
)


def test_hostile_text_stays_text(azure: Acting) -> None:
    azure.do("comment_on_issue", ITEM, {"body": HOSTILE})
    azure.do("update_issue", ITEM, {"body": HOSTILE})
    for shown in (azure.world.writes.comments[1][0]["text"], fields_of(azure, "1")["System.Description"]):
        assert "<script" not in shown
        assert "<a" not in shown
        assert "<img" not in shown
        assert "&lt;script&gt;" in shown


def test_text_that_shows_nothing_is_refused_before_it_is_sent(azure: Acting) -> None:
    with pytest.raises(Rejected, match="shows nothing"):
        azure.do("comment_on_issue", ITEM, {"body": "[a]: https://x.example"})
    assert azure.world.effects() == []


def test_mark_is_hidden_and_the_last_one_counts() -> None:
    shown = with_mark(with_mark(html("Well *done*."), OTHER_MARK), MARK)
    assert mark_of(shown) == MARK
    assert letters(shown) == letters("<div>Well done</div>")
    assert not any(character.isalnum() for character in with_mark("", MARK))
    assert mark_of("<p>no mark</p>") == ""


@pytest.mark.parametrize("state", ["Resolved", "resolved"])
def test_state_is_spelt_as_the_type_spells_it(azure: Acting, state: str) -> None:
    azure.do("transition_issue", ITEM, {"state": state})
    assert fields_of(azure, "1")["System.State"] == "Resolved"
    azure.do("transition_issue", ITEM, {"state": state})
    assert azure.world.effects() == ["System.State of 1"]


def test_tags_are_added_to_those_that_are_there(azure: Acting) -> None:
    long_tags = "; ".join(f"tag {number} {'x' * 60}" for number in range(80))
    fields_of(azure, "1")["System.Tags"] = long_tags
    azure.do("add_labels", ITEM, {"labels": ["TAG 1 " + "x" * 60, "export"]})
    assert fields_of(azure, "1")["System.Tags"] == f"{long_tags}; export"


@pytest.mark.parametrize(
    ("action", "payload"), [("add_labels", {"labels": ["export"]}), ("assign", {"assignees": ["ravi@acme.example"]})]
)
def test_change_of_what_changed_meanwhile_is_worked_out_anew(
    azure: Acting, action: str, payload: dict[str, Any]
) -> None:
    found, command = azure.command(action, ITEM, payload)
    request = found.request(azure.client, command)
    assert isinstance(request, WriteRequest)
    azure.world.change_item(azure.world.items[0], {"System.Tags": "urgent"})
    with pytest.raises(ProviderFault, match="at the same moment"):
        azure.write(found, command, request)
    assert azure.world.effects() == []
    azure.send(found, command)
    assert fields_of(azure, "1")["System.Tags"].startswith("urgent")


@pytest.mark.parametrize(("status", "kind"), [(409, ProviderFault), (412, ProviderFault), (400, Rejected)])
def test_conflict_is_known_by_either_status(azure: Acting, status: int, kind: type[Exception]) -> None:
    found, command = azure.command("update_issue", ITEM, {"title": "New"})
    request = found.request(azure.client, command)
    assert isinstance(request, WriteRequest)
    azure.server.answer = lambda *_: SimulatedAnswer(status, {"content-type": "application/json"}, b"[]")
    with pytest.raises(kind):
        azure.write(found, command, request)


def test_patches_say_that_they_are_patches(azure: Acting) -> None:
    found, command = azure.command("update_issue", ITEM, {"title": "New"})
    request = found.request(azure.client, command)
    assert isinstance(request, WriteRequest)
    assert request.json == [{"op": "add", "path": "/fields/System.Title", "value": "New"}]
    with pytest.raises(Rejected) as refused:
        azure.write(found, command, replace(request, headers={}))
    assert refused.value.status == 415


def test_vote_that_was_given_stays(azure: Acting) -> None:
    azure.do("request_review", PULL, {"reviewers": [RITA]})
    reviewers = azure.world.pulls[15]["reviewers"]
    reviewers[0]["vote"] = 10
    azure.do("request_review", PULL, {"reviewers": [RITA.upper()]})
    assert [one["vote"] for one in azure.world.pulls[15]["reviewers"]] == [10]
    assert len(azure.world.effects()) == 1


def test_pull_request_of_somebody_else_is_a_refusal(azure: Acting) -> None:
    with pytest.raises(Rejected) as refused:
        azure.do("create_pr", REPOSITORY, {**BRANCHES, "source_branch": "basket", "target_branch": "main"})
    assert refused.value.told.startswith("TF401179: An active pull request")
    assert (
        azure.find("create_pr", REPOSITORY, {**BRANCHES, "source_branch": "basket", "target_branch": "main"}, MARK)
        is None
    )


def test_pull_request_that_was_merged_at_once_is_found(azure: Acting) -> None:
    done = azure.do(*OPEN, MARK)
    assert done.url == f"https://dev.azure.example/acme-shop/Web%20Shop/_git/storefront/pullrequest/{done.reference}"
    azure.world.pulls[-1]["status"] = "completed"
    assert azure.find(*OPEN, MARK) == done
    later = replace(azure, since=azure.since + timedelta(hours=1))
    assert later.find(*OPEN, MARK) is None


def test_repository_may_be_named_in_three_ways(azure: Acting) -> None:
    own = azure.world.repository["id"]
    for named in ("acme-shop/Web Shop/storefront", "ACME-SHOP/Web Shop/storefront", "Web Shop/storefront", own):
        assert azure.do("set_commit_status", {**COMMIT, "repository": named}, {"status": "failure", "context": "ci"})
    assert len(azure.world.effects()) == 1
    with pytest.raises(Rejected, match="organisation acme-shop, not to other"):
        azure.do(
            "set_commit_status",
            {**COMMIT, "repository": "other/Web Shop/storefront"},
            {"status": "error", "context": "ci"},
        )


@pytest.mark.parametrize("repository", ["../storefront", "Web Shop/..", "acme-shop/./storefront"])
def test_name_leads_nowhere_else(azure: Acting, repository: str) -> None:
    with pytest.raises(Rejected, match="is no name"):
        azure.do("comment_on_pr", {**PULL, "repository": repository}, {"body": "Yes."})
    assert azure.server.asked == []


def test_pull_request_takes_one_label_a_command(azure: Acting) -> None:
    azure.do("add_labels", PULL, {"labels": ["export"]})
    with pytest.raises(Rejected, match="one new label at a time"):
        azure.do("add_labels", PULL, {"labels": ["a", "b"]})
    # One of these is there already.
    azure.do("add_labels", PULL, {"labels": ["Export", "night"]})
    azure.do("add_labels", PULL, {"labels": ["night"]})
    assert azure.world.effects() == ["label export on 16", "label night on 16"]


@pytest.mark.parametrize("target", [REPOSITORY, {**PULL, **ITEM}, {"pr_number": 16}])
def test_labels_need_one_thing_to_lie_on(azure: Acting, target: dict[str, Any]) -> None:
    with pytest.raises(Rejected, match="Name a work item"):
        azure.do("add_labels", target, {"labels": ["export"]})


@pytest.mark.parametrize(
    ("action", "target", "payload", "told"),
    [
        ("create_issue", {"project": "None"}, NEW, "TF200016: The project does not exist."),
        ("create_issue", {"project": "Web Shop"}, {**NEW, "issue_type": "Epic"}, "VS402323: Work item type Epic"),
        ("update_issue", {"issue_key": "999"}, {"title": "x"}, "TF401232: Work item 999 does not exist"),
        ("assign", ITEM, {"assignees": ["nobody@acme.example"]}, "'nobody@acme.example' is an unknown identity"),
        ("comment_on_pr", {**PULL, "pr_number": 999}, {"body": "Yes."}, "TF401180: The requested pull request 999"),
        ("set_commit_status", {**COMMIT, "commit": "a" * 40}, {"status": "error", "context": "ci"}, "TF401175"),
        ("create_pr", REPOSITORY, {**BRANCHES, "source_branch": "gone"}, "TF401398: The pull request cannot"),
    ],
)
def test_refusals_are_told_in_the_words_of_the_service(
    azure: Acting, action: str, target: dict[str, Any], payload: dict[str, Any], told: str
) -> None:
    with pytest.raises(Rejected) as refused:
        azure.do(action, target, payload)
    assert told in refused.value.told
    assert azure.world.effects() == []


def test_state_the_type_does_not_have_is_refused_with_those_it_has(azure: Acting) -> None:
    with pytest.raises(Rejected, match="has no state 'Done'; it has: New, Active, Resolved, Closed"):
        azure.do("transition_issue", ITEM, {"state": "Done"})


def test_token_that_may_only_read_is_told(azure: Acting) -> None:
    azure.world.writes.forbidden = True
    with pytest.raises(AuthFailed) as refused:
        azure.do(*COMMENT)
    assert (refused.value.status, refused.value.told[:8]) == (403, "TF401027")


@pytest.mark.parametrize("status", [203, 200])
def test_sign_in_page_is_no_success(azure: Acting, status: int) -> None:
    found, command = azure.command(*COMMENT)
    request = found.request(azure.client, command)
    assert isinstance(request, WriteRequest)
    page = SimulatedAnswer(status, {"content-type": "text/html"}, b"<html>Sign In</html>")
    azure.server.answer = lambda *_: page
    with pytest.raises(AuthFailed, match="sign-in page"):
        azure.write(found, command, request)


@pytest.mark.parametrize(
    ("action", "target", "payload"),
    [
        ("create_issue", {"project": "Web Shop"}, {"title": "No kind"}),
        ("create_issue", {"project": "Web Shop"}, {**NEW, "labels": ["a; b"]}),
        ("create_issue", {"project": "../other"}, NEW),
        ("update_issue", {"issue_key": "WEB-1"}, {"title": "x"}),
        ("update_issue", ITEM, {"priority": "high"}),
        ("assign", ITEM, {"assignees": ["zoe@acme.example", "ravi@acme.example"]}),
        ("assign", ITEM, {"assignees": [RITA]}),
        ("request_review", PULL, {"reviewers": ["zoe@acme.example"]}),
        ("request_review", PULL, {"reviewers": [RITA, "5f1b6c1e-0000-4000-8000-00000000a11b"]}),
        ("create_pr", {"repository": "storefront"}, BRANCHES),
        ("create_pr", REPOSITORY, {**BRANCHES, "body": "x" * 4001}),
        ("create_pr", REPOSITORY, {**BRANCHES, "source_branch": "refs/tags/v1"}),
        ("set_commit_status", {**COMMIT, "commit": "7311d8a"}, {"status": "error", "context": "ci"}),
    ],
)
def test_what_the_service_does_not_take_is_refused_before_it_is_asked(
    azure: Acting, action: str, target: dict[str, Any], payload: dict[str, Any]
) -> None:
    with pytest.raises(jsonschema_rs.ValidationError):
        azure.command(action, target, payload)


def test_every_write_names_its_version(azure: Acting) -> None:
    examples = orjson.loads((FIXTURES / "azure_devops" / "actions.json").read_bytes())
    for action, example in examples.items():
        azure.do(action, **example)
    writes = [path for method, path in azure.server.asked if method != "GET"]
    assert len(writes) == len(examples)
    assert {path.partition("?")[2] for path in writes} == {"api-version=7.1", "api-version=7.1-preview.4"}
