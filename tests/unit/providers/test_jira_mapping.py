"""From Jira's bodies to signals: the rules behind the golden files."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from providers.adapters.jira.adf import plain_text
from providers.adapters.jira.mapping import to_signal
from providers.canonical import SignalType
from providers.redaction import redact


def changed(*items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"issue": {"id": "7", "key": "DEMO-7", "fields": fields}, "changelog": {"items": list(items)}}


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("https://acme.atlassian.net/rest/api/2/issue/7", "https://acme.atlassian.net/browse/DEMO-7"),
        (
            "http://jira.acme.example:8080/tracker/rest/api/2/issue/7",
            "http://jira.acme.example:8080/tracker/browse/DEMO-7",
        ),
        ("https://acme.example/a/b/rest/api/2/issue/7", "https://acme.example/a/b/browse/DEMO-7"),
        ("https://api.atlassian.com/ex/jira/0a1b/rest/api/3/issue/7", None),
        ("https://API.atlassian.com/ex/jira/0a1b/rest/api/3/issue/7", None),
        ("https://zoe:secret@acme.example/rest/api/2/issue/7", None),
        ("javascript:alert(1)//x/rest/api", None),
        ("not a link", None),
        (None, None),
    ],
)
def test_the_page_of_an_issue_is_on_the_site_and_never_on_the_gateway(link: str | None, url: str | None) -> None:
    signal = to_signal(SignalType.ISSUE_DELETED, {"issue": {"key": "DEMO-7", "self": link}})
    assert signal.fields.get("url") == url


def test_a_key_that_is_no_key_makes_no_link() -> None:
    issue = {"key": "../admin?x", "self": "https://acme.atlassian.net/rest/api/2/issue/7"}
    assert "url" not in to_signal(SignalType.ISSUE_DELETED, {"issue": issue}).fields


def test_a_given_site_wins_over_the_gateway() -> None:
    issue = {"key": "DEMO-7", "self": "https://api.atlassian.com/ex/jira/0a1b/rest/api/3/issue/7"}
    signal = to_signal(SignalType.ISSUE_UPDATED, {"issue": issue, "site": "https://acme.atlassian.net/"})
    assert signal.fields["url"] == "https://acme.atlassian.net/browse/DEMO-7"


@pytest.mark.parametrize(
    ("key", "category"),
    [("new", "new"), ("indeterminate", "in_progress"), ("done", "done"), ("undefined", None), (None, None)],
)
def test_state_category_is_provider_free(key: str | None, category: str | None) -> None:
    signal = to_signal(SignalType.ISSUE_CREATED, changed(status={"name": "X", "statusCategory": {"key": key}}))
    assert signal.fields.get("state_category") == category


@pytest.mark.parametrize(
    ("user", "actor"),
    [
        ({"accountId": "5b10", "key": "zoe", "name": "z"}, "5b10"),
        ({"key": "JIRAUSER10100", "name": "zoe"}, "JIRAUSER10100"),
        ({"name": "zoe", "emailAddress": "zoe@acme.example"}, "zoe"),
        ({"key": "zoe@acme.example", "name": "zoe"}, "zoe"),
        ({"key": "zoe@acme.example", "name": "zoe@acme.example", "displayName": "Zoe"}, "Zoe"),
        ({"key": "zoe@acme.example", "displayName": "zoe@acme.example"}, None),
        ({"emailAddress": "zoe@acme.example"}, None),
        (None, None),
    ],
)
def test_people_are_told_by_their_stable_id(user: Any, actor: str | None) -> None:
    stored = redact({"user": user}, emails=True)
    assert to_signal(SignalType.ISSUE_DELETED, stored).actor_id == actor


def test_an_assignee_whose_key_is_an_address_is_told_by_name() -> None:
    item = {"field": "assignee", "from": "ravi@acme.example", "fromString": "Ravi", "to": "zoe@acme.example"}
    stored = redact(changed({**item, "toString": "Zoe"}), emails=True)
    fields = to_signal(SignalType.ISSUE_ASSIGNED, stored).fields
    assert (fields["assignee"], fields["previous_assignee"]) == ("Zoe", "Ravi")


def test_a_priority_is_told_with_the_one_before() -> None:
    steps = [("Low", "Medium"), ("Medium", "High")]
    items = [{"field": "priority", "fromString": before, "toString": after} for before, after in steps]
    fields = to_signal(SignalType.ISSUE_PRIORITY_CHANGED, changed(*items)).fields
    assert (fields["priority"], fields["previous_priority"]) == ("High", "Low")


def test_the_signed_time_wins_over_the_objects_own() -> None:
    body = changed(updated="2026-01-01T09:00:00.000+0100")
    assert to_signal(SignalType.ISSUE_UPDATED, body).occurred_at == datetime(2026, 1, 1, 8, tzinfo=UTC)
    signed = to_signal(SignalType.ISSUE_UPDATED, {**body, "timestamp": 1767261600123})
    assert signed.occurred_at == datetime(2026, 1, 1, 10, 0, 0, 123000, tzinfo=UTC)


def test_several_moves_in_one_update_give_the_first_and_the_last_state() -> None:
    moves = (
        {"field": "status", "fromString": "To Do", "toString": "In Progress"},
        {"field": "status", "fromString": "In Progress", "toString": "In Review"},
    )
    fields = to_signal(SignalType.ISSUE_TRANSITIONED, changed(*moves)).fields
    assert (fields["previous_state"], fields["state"]) == ("to do", "in review")


def test_an_assignee_that_went_is_absent_and_the_one_before_is_told() -> None:
    item = {"field": "assignee", "from": "5b10", "fromString": "Zoe", "to": None, "toString": None}
    fields = to_signal(SignalType.ISSUE_UNASSIGNED, changed(item, assignee=None)).fields
    assert "assignee" not in fields
    assert fields["previous_assignee"] == "5b10"


def test_the_sprint_an_issue_is_in_now_is_the_last_of_its_list() -> None:
    item = {"field": "Sprint", "from": "11", "fromString": "S 11", "to": "11, 12", "toString": "S 11, S 12"}
    signal = to_signal(SignalType.ISSUE_SPRINT_CHANGED, changed(item))
    assert signal.canonical_keys["sprint_id"] == "12"
    assert signal.attributes["previous_sprint_ids"] == ["11"]


def test_a_long_list_of_changes_is_named_in_full_and_shown_in_part() -> None:
    items = [{"field": f"field {n}", "fromString": "a" * 5000, "toString": "b"} for n in range(50)]
    signal = to_signal(SignalType.ISSUE_UPDATED, changed(*items))
    assert len(signal.fields["changed_fields"]) == 50
    assert len(signal.attributes["changes"]) == 20
    assert len(signal.attributes["changes"][0]["from"]) == 200


def test_a_comment_without_its_issue_still_gives_the_issues_id() -> None:
    comment = {"id": "3", "self": "http://jira.acme.example/rest/api/2/issue/10013/comment/3"}
    keys = to_signal(SignalType.ISSUE_COMMENTED, {"comment": comment}).canonical_keys
    assert keys == {"comment_id": "3", "issue_id": "10013"}


def doc(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"type": "doc", "version": 1, "content": list(blocks)}


def block(kind: str, *content: dict[str, Any], **attrs: Any) -> dict[str, Any]:
    return {"type": kind, "content": list(content), "attrs": attrs}


def words(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def paragraph(*content: dict[str, Any]) -> dict[str, Any]:
    return block("paragraph", *content)


def row(*cells: str) -> dict[str, Any]:
    return block("tableRow", *(block("tableCell", paragraph(words(cell))) for cell in cells))


NEW_YEAR = block("date", timestamp="1767261600000")
TEXTS = [
    ("h1. *wiki* stays", "h1. *wiki* stays"),
    (doc(paragraph(words("a"), words("b")), paragraph(words("c"))), "ab\nc"),
    (doc(block("heading", words("Title"), level=2), block("codeBlock", words("x\ny"))), "Title\nx\ny"),
    (doc(paragraph(words("a"), {"type": "hardBreak"}, words("b"))), "a\nb"),
    (doc(paragraph(block("mention", id="5b10", text="@Zoe"), words(" on "), NEW_YEAR)), "@Zoe on 2026-01-01"),
    (doc(paragraph(block("inlineCard", url="https://acme.example"))), "https://acme.example"),
    (doc(paragraph(block("emoji", shortName=":tada:"))), ":tada:"),
    (doc(block("table", row("a", "b"), row("c", "d"))), "a b\nc d"),
    (doc(), None),
    ({"type": ["doc"], "content": "x"}, None),
    (7, None),
    ("", None),
    (None, None),
]


@pytest.mark.parametrize(("value", "text"), TEXTS)
def test_both_text_forms_become_plain_text(value: Any, text: str | None) -> None:
    assert plain_text(value) == text


def test_text_nested_without_end_is_cut_and_not_an_error() -> None:
    value: dict[str, Any] = words("deep")
    for _ in range(900):
        value = block("blockquote", value)
    assert plain_text(doc(block("paragraph", words("seen")), value)) == "seen"


def test_long_text_is_cut() -> None:
    assert len(plain_text("x" * 9000) or "") == 4000
