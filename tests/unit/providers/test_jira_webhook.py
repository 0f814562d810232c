"""Jira's webhooks: both signature families, and one request to one or more events."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import time_machine

from providers.adapters.jira.webhook import JiraWebhook
from providers.errors import UnreadablePayload
from providers.spi import ProviderEvent, WebhookRequest
from providers.verification import SignatureRejected, verify

HMAC = JiraWebhook.schemes["hmac"]
JWT = JiraWebhook.schemes["jwt"]

SECRET = b"jira-webhook-secret"
CREATED = b'{"timestamp":1767225600000,"webhookEvent":"jira:issue_created","issue":{"id":"10001","key":"DEMO-1"}}'
UMLAUTS = (
    '{"timestamp":1767225600000,"webhookEvent":"jira:issue_updated",'
    '"issue":{"key":"DEMO-1","fields":{"summary":"Üñï – ✅"}}}'
).encode()

JWT_SECRET = b"app-client-secret-0123456789abcdef"
JWT_TOKEN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
    ".eyJpc3MiOiJjbGllbnQtaWQtMTIzIiwiaWF0IjoxNzY3MjI1NjAwLCJleHAiOjE3NjcyMjU3ODB9"
    ".xGAe41e3jpNNbT-4wCNmmzQv0SUiTdZQDuIQwQF5JyM"
)
WHILE_VALID = 1767225700

VECTORS = [
    pytest.param(
        b"It's a Secret to Everybody",
        b"Hello World!",
        "a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9",
        id="vendor",
    ),
    pytest.param(SECRET, CREATED, "591ec559b1299931b09ccd7e1834be02e66877a6ae847603307b5b814aec1c8d", id="ascii"),
    pytest.param(SECRET, UMLAUTS, "3e1b936a919ddd1d455507a179dbaac572158b83a57ed6f32c1f101129b775d4", id="utf-8"),
]


@pytest.mark.parametrize(("secret", "body", "digest"), VECTORS)
def test_published_signatures_are_accepted(secret: bytes, body: bytes, digest: str) -> None:
    """UT-IA-01"""
    verified = verify(HMAC, headers={"x-hub-signature": f"sha256={digest}"}, body=body, secrets=[secret])
    assert verified.secret_index == 0
    assert verified.fingerprint
    assert verified.signed_at is None


@pytest.mark.parametrize(("secret", "body", "digest"), VECTORS)
def test_published_signatures_do_not_fit_another_body(secret: bytes, body: bytes, digest: str) -> None:
    """UT-IA-01"""
    with pytest.raises(SignatureRejected):
        verify(HMAC, headers={"x-hub-signature": f"sha256={digest}"}, body=body + b" ", secrets=[secret])


def test_another_hash_method_is_refused() -> None:
    digest = "591ec559b1299931b09ccd7e1834be02e66877a6ae847603307b5b814aec1c8d"
    with pytest.raises(SignatureRejected, match="signature_malformed"):
        verify(HMAC, headers={"x-hub-signature": f"sha1={digest}"}, body=CREATED, secrets=[SECRET])


def test_the_published_token_is_accepted_while_it_is_valid() -> None:
    """UT-IA-01"""
    with time_machine.travel(WHILE_VALID, tick=False):
        verified = verify(JWT, headers={"authorization": f"Bearer {JWT_TOKEN}"}, body=CREATED, secrets=[JWT_SECRET])
    # The token does not cover the body, so an equal one is no replay.
    assert verified.fingerprint is None


@pytest.mark.parametrize(
    ("moment", "token", "secret"),
    [
        pytest.param(WHILE_VALID + 3600, JWT_TOKEN, JWT_SECRET, id="expired"),
        pytest.param(WHILE_VALID, JWT_TOKEN, b"another-client-secret-0123456789abcdef", id="other-secret"),
        pytest.param(WHILE_VALID, "eyJhbGciOiJub25lIn0.eyJleHAiOjE3NjcyMjU3ODB9.", JWT_SECRET, id="no-algorithm"),
    ],
)
def test_other_tokens_are_refused(moment: int, token: str, secret: bytes) -> None:
    with time_machine.travel(moment, tick=False), pytest.raises(SignatureRejected):
        verify(JWT, headers={"authorization": f"Bearer {token}"}, body=CREATED, secrets=[secret])


def test_a_token_does_not_open_a_registration_that_expects_a_signature() -> None:
    with time_machine.travel(WHILE_VALID, tick=False), pytest.raises(SignatureRejected, match="signature_missing"):
        verify(HMAC, headers={"authorization": f"Bearer {JWT_TOKEN}"}, body=CREATED, secrets=[JWT_SECRET])


def told(body: dict[str, Any], identifier: str | None = "0f1e") -> list[ProviderEvent]:
    headers = {"x-atlassian-webhook-identifier": identifier} if identifier else {}
    return JiraWebhook().events(WebhookRequest(headers=headers, body=orjson.dumps(body)))


def updated(*fields: str, **more: Any) -> dict[str, Any]:
    items = [{"field": field, "from": "1", "to": "2", "fromString": "a", "toString": "b"} for field in fields]
    issue = {"id": "7", "key": "DEMO-7", "fields": {"updated": "2026-01-01T10:00:00.250+0000"}}
    return {"webhookEvent": "jira:issue_updated", "issue": issue, "changelog": {"items": items}, **more}


def test_one_update_tells_one_event_for_each_meaning() -> None:
    events = told(updated("status", "assignee", "labels", "Sprint", "Link", "summary", "priority"))
    assert [str(event.signal_type) for event in events] == [
        "issue_transitioned",
        "issue_assigned",
        "issue_labeled",
        "issue_sprint_changed",
        "issue_linked",
        "issue_updated",
        "issue_priority_changed",
    ]
    assert len({event.dedupe_key for event in events}) == len(events)
    assert events[0].dedupe_key == "0f1e:issue_transitioned"


def test_field_names_count_in_any_case() -> None:
    """Cloud writes ``Status`` in some bodies and ``status`` in others."""
    assert [str(event.signal_type) for event in told(updated("STATUS"))] == ["issue_transitioned"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(updated("Comment"), id="comment-item"),
        pytest.param(
            {"webhookEvent": "jira:issue_updated", "issue_event_type_name": "issue_commented", "issue": {"id": "7"}},
            id="comment-hint",
        ),
    ],
)
def test_an_update_that_is_only_a_comment_is_ignored(body: dict[str, Any]) -> None:
    (event,) = told(body)
    assert event.signal_type is None
    assert "comment" in event.ignored_reason.lower()


def test_a_comment_beside_a_change_leaves_the_change() -> None:
    assert [str(event.signal_type) for event in told(updated("Comment", "status"))] == ["issue_transitioned"]


def test_an_unknown_event_is_ignored_under_its_own_name() -> None:
    (event,) = told({"webhookEvent": "filter_created", "filter": {"id": 1}})
    assert (event.event_type, event.signal_type) == ("filter_created", None)
    assert event.ignored_reason


@pytest.mark.parametrize("identifier", [None, "x" * 5000])
def test_without_a_usable_identifier_the_body_is_the_identity(identifier: str | None) -> None:
    first, again, other = (told(body, identifier) for body in (updated("status"), updated("status"), updated("Link")))
    assert first[0].dedupe_key == again[0].dedupe_key
    assert first[0].dedupe_key.partition(":issue")[0] != other[0].dedupe_key.partition(":issue")[0]
    assert len(first[0].dedupe_key) <= 200
    assert first[0].correlation_id == ""


@pytest.mark.parametrize(
    ("body", "event_type", "signal_type"),
    [
        ({"issue_event_type_name": "issue_created", "issue": {"id": "7"}}, "jira:issue_created", "issue_created"),
        ({"issue_event_type_name": "issue_deleted", "issue": {"id": "7"}}, "jira:issue_deleted", "issue_deleted"),
        ({"issue_event_type_name": "issue_moved", "issue": {"id": "7"}}, "jira:issue_updated", "issue_updated"),
        ({"issue": {"id": "7"}}, "jira:issue_updated", "issue_updated"),
        ({"comment": {"id": "3"}}, "comment_created", "issue_commented"),
        ({}, "unknown", "None"),
        ({"webhookEvent": "", "issue_event_type_name": "nobody_knows"}, "nobody_knows", "None"),
    ],
)
def test_a_body_without_event_name_tells_what_it_can(body: dict[str, Any], event_type: str, signal_type: str) -> None:
    (event,) = told(body)
    assert (event.event_type, str(event.signal_type)) == (event_type, signal_type)


def test_old_servers_comment_is_one_event_under_both_its_names() -> None:
    as_update = old_comment("2026-01-01T11:00:00.000+0000")
    as_comment = {"webhookEvent": "comment_updated", "comment": as_update["comment"]}
    (first,), (second,) = told(as_update, "identifier-1"), told(as_comment, "identifier-2")
    assert first.dedupe_key == second.dedupe_key
    (later,) = told(old_comment("2026-01-01T12:00:00.000+0000"))
    assert later.dedupe_key != first.dedupe_key


def test_an_edit_and_the_deletion_after_it_are_two_events() -> None:
    comment = old_comment("2026-01-01T11:00:00.000+0000")["comment"]
    edited, deleted = (told({"webhookEvent": f"comment_{what}", "comment": comment}) for what in ("updated", "deleted"))
    assert edited[0].dedupe_key != deleted[0].dedupe_key


def old_comment(updated: str) -> dict[str, Any]:
    comment = {"id": "3", "created": "2026-01-01T10:00:00.000+0000", "updated": updated}
    issue = {"id": "7", "fields": {"updated": "2026-01-01T09:00:00.000+0000"}}
    return {"webhookEvent": "jira:issue_updated", "issue": issue, "comment": comment}


@pytest.mark.parametrize(
    ("updated_at", "signal_type"),
    [
        ("2026-01-01T10:00:00.000+0000", "issue_commented"),
        ("2026-01-01T11:00:00.000+0000", "issue_comment_updated"),
    ],
)
def test_old_servers_comment_is_told_as_a_comment_and_not_as_the_version_before_it(
    updated_at: str, signal_type: str
) -> None:
    (event,) = told(old_comment(updated_at))
    assert str(event.signal_type) == signal_type
    assert event.happening == ""


def test_a_comment_beside_an_update_that_has_a_name_is_not_what_it_tells() -> None:
    body = {**old_comment("2026-01-01T10:00:00.000+0000"), "issue_event_type_name": "issue_updated"}
    (event,) = told(body)
    assert str(event.signal_type) == "issue_updated"
    assert event.happening


def test_all_events_of_an_update_name_the_version_polling_sees() -> None:
    assert {event.happening for event in told(updated("status", "summary"))} == {"issue:7:updated:1767261600250"}


def test_the_making_of_an_issue_has_one_name_whatever_its_time() -> None:
    (event,) = told({"webhookEvent": "jira:issue_created", "issue": {"id": 7}})
    assert event.happening == "issue:7:created"


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"text"', b'{"webhookEvent"', b"\xff"])
def test_a_body_that_is_no_object_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadablePayload):
        JiraWebhook().events(WebhookRequest(headers={}, body=body))
