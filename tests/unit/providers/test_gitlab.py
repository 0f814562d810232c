"""GitLab: what the contract suite cannot know of its proofs, its bodies and its tokens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import orjson
import pytest

from providers.adapters.gitlab.adapter import GitLabAdapter
from providers.adapters.gitlab.mapping import time
from providers.canonical import SignalType
from providers.client import ProviderClient
from providers.document import Document
from providers.errors import AuthFailed, Misconfigured, ProviderFault, UnreadablePayload
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from providers.spi import TEST_DELIVERY, Identity, ProviderEvent, WebhookRequest
from providers.verification import SignatureRejected, sign, verify
from tests.contract.provider_server import serving

ADAPTER = GitLabAdapter()
SIGNED, TOKEN = ADAPTER.webhook.schemes["signing_token"], ADAPTER.webhook.schemes["token"]

# Computed with the standardwebhooks library; the key is the bytes 0 to 31.
SECRET = b"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
BODY = '{"object_kind":"push","ref":"refs/heads/main","user_username":"zoë"}'.encode()
HEADERS = {
    "webhook-id": "f5e5f430-f57b-4e6e-9fac-d9128cd7232f",
    "webhook-timestamp": "1795392000",
    "webhook-signature": "v1,wihx5DoXF6OarGrrWIdOh0M/2e9dW8NBfcbA2nTeicA=",
}
BASE = {"content-type": "application/json", "webhook-id": "id-1"}


def told(body: Any, **headers: str) -> list[ProviderEvent]:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    given = {**BASE, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return ADAPTER.process_webhook(WebhookRequest(headers=given, body=raw))


def merge_request(action: str | None, changes: dict[str, Any] | None = None, **attributes: Any) -> dict[str, Any]:
    given = {"iid": 12, "target_project_id": 4101, **attributes, **({"action": action} if action else {})}
    return {"object_kind": "merge_request", "object_attributes": given, "changes": changes or {}}


def types(body: dict[str, Any]) -> list[str | None]:
    return [event.signal_type and str(event.signal_type) for event in told(body)]


# Proof


def test_published_signature_verifies_and_its_clock_is_told() -> None:
    """UT-IA-01."""
    verified = verify(SIGNED, headers=HEADERS, body=BODY, secrets=[SECRET])
    assert verified.signed_at == datetime(2026, 11, 23, tzinfo=UTC)
    assert verified.fingerprint


def test_one_good_entry_of_a_list_is_enough_and_other_versions_are_passed_over() -> None:
    """UT-IA-01."""
    good = HEADERS["webhook-signature"]
    for value in (f"v1,{'A' * 43}= {good}", f"v1a,{'A' * 86}== {good}"):
        assert verify(SIGNED, headers={**HEADERS, "webhook-signature": value}, body=BODY, secrets=[SECRET])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"webhook-id": "f5e5f430-f57b-4e6e-9fac-d9128cd7232e"}, "signature_mismatch"),
        ({"webhook-timestamp": "1795392001"}, "signature_mismatch"),
        ({"webhook-timestamp": "soon"}, "timestamp_malformed"),
        ({"webhook-timestamp": ""}, "timestamp_missing"),
        ({"webhook-id": ""}, "id_missing"),
        ({"webhook-signature": "v2,wihx5DoXF6OarGrrWIdOh0M/2e9dW8NBfcbA2nTeicA="}, "signature_malformed"),
        ({"webhook-signature": ""}, "signature_missing"),
    ],
)
def test_every_signed_part_counts(change: dict[str, str], reason: str) -> None:
    """UT-IA-01."""
    with pytest.raises(SignatureRejected, match=reason):
        verify(SIGNED, headers={**HEADERS, **change}, body=BODY, secrets=[SECRET])


def test_shared_token_does_not_open_a_door_that_asks_for_a_signature() -> None:
    """UT-IA-01: an older GitLab, or somebody who knows the secret's text, cannot choose the weaker proof."""
    with pytest.raises(SignatureRejected, match="signature_missing"):
        verify(SIGNED, headers={"x-gitlab-token": SECRET.decode()}, body=BODY, secrets=[SECRET])


def test_token_is_compared_whole_and_proves_no_body() -> None:
    """UT-IA-01."""
    verified = verify(TOKEN, headers={"x-gitlab-token": "shared"}, body=BODY, secrets=[b"shared"])
    assert (verified.fingerprint, verified.signed_at) == (None, None)
    for given in ("share", "shared ", "Shared", "sharedé"):
        with pytest.raises(SignatureRejected, match="mismatch"):
            verify(TOKEN, headers={"x-gitlab-token": given}, body=BODY, secrets=[b"shared"])


def test_delivery_made_with_our_own_headers_passes_its_door() -> None:
    headers = dict(ADAPTER.webhook.delivery_headers("merge_request.open", "delivery-7"))
    proof = sign(SIGNED, body=BODY, secret=SECRET, identifier="delivery-7")
    assert verify(SIGNED, headers=headers | proof, body=BODY, secrets=[SECRET]).secret_index == 0
    (event,) = ADAPTER.process_webhook(WebhookRequest(headers=headers | proof, body=BODY))
    assert (headers["x-gitlab-event"], event.correlation_id) == ("Merge Request Hook", "delivery-7")


# Names of deliveries


def test_signed_id_comes_before_the_unsigned_one() -> None:
    (event,) = told(merge_request("open"), idempotency_key="another")
    assert (event.dedupe_key, event.correlation_id) == ("id-1:pr_opened", "id-1")
    (event,) = told(merge_request("open"), idempotency_key="key-1", webhook_id="")
    assert event.dedupe_key == "key-1:pr_opened"


def test_without_an_id_body_and_event_are_the_key() -> None:
    """Before 17.4. Events set off by one another share the UUID, so it alone would hide the second."""
    nameless = {"webhook_id": "", "x_gitlab_event_uuid": "event-1"}
    (first,), (again,) = (told(merge_request("open"), **nameless) for _ in range(2))
    (other,) = told(merge_request("open", title="x"), **nameless)
    (later,) = told(merge_request("open"), webhook_id="", x_gitlab_event_uuid="event-2")
    assert first.dedupe_key == again.dedupe_key
    assert len({first.dedupe_key, other.dedupe_key, later.dedupe_key}) == 3


def test_body_that_does_not_say_what_it_is_is_kept_and_ignored() -> None:
    (event,) = told({"text": "made by a template"}, x_gitlab_event="Merge Request Hook")
    assert (event.event_type, event.signal_type) == ("merge_request", None)
    assert "template" in event.ignored_reason


@pytest.mark.parametrize("header", ["", "two\nlines", "x" * 80])
def test_body_without_any_name_is_unreadable(header: str) -> None:
    with pytest.raises(UnreadablePayload):
        told({"text": "made by a template"}, x_gitlab_event=header)


# Meanings


def test_one_update_with_several_meanings_is_several_events_with_keys_of_their_own() -> None:
    changes = {
        "labels": {"previous": [{"title": "bug"}], "current": [{"title": "urgent"}]},
        "assignees": {"previous": [], "current": [{"username": "zoe"}]},
        "title": {"previous": "a", "current": "b"},
        "updated_at": {"previous": "a", "current": "b"},
    }
    events = told(merge_request("update", changes, oldrev="a" * 40))
    assert [str(event.signal_type) for event in events] == [
        *("pr_synchronized", "pr_labeled", "pr_assigned", "pr_updated")
    ]
    assert len({event.dedupe_key for event in events}) == len(events)
    assert {event.ordering_key for event in events} == {"pr:4101:12"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [None]),
        ({"updated_at": {"previous": "a", "current": "b"}, "merge_status": {"current": "unchecked"}}, [None]),
        ({"draft": {"previous": True, "current": False}}, ["pr_ready_for_review"]),
        ({"draft": {"previous": False, "current": True}, "title": {}}, ["pr_converted_to_draft"]),
        # Before 14.0 a draft was called work in progress.
        ({"work_in_progress": {"previous": True, "current": False}}, ["pr_ready_for_review"]),
        ({"draft": {"current": True}}, [None]),
        ({"milestone_id": {"previous": None, "current": 4}}, ["pr_updated"]),
    ],
)
def test_updates_of_a_merge_request(changes: dict[str, Any], expected: list[str | None]) -> None:
    assert types(merge_request("update", changes)) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([], [{"username": "mina"}], ["pr_review_requested"]),
        ([{"username": "mina"}], [], ["pr_review_request_removed"]),
        (
            [{"username": "mina"}],
            [{"username": "olaf"}],
            ["pr_review_requested", "pr_review_request_removed"],
        ),
        (
            [{"username": "mina", "state": "reviewed"}],
            [{"username": "mina", "state": "unreviewed", "re_requested": True}],
            ["pr_review_requested"],
        ),
        (
            [{"username": "mina", "state": "review_started"}],
            [{"username": "mina", "state": "requested_changes"}],
            ["pr_changes_requested"],
        ),
        (
            [{"username": "mina", "state": "unreviewed"}],
            [{"username": "mina", "state": "reviewed"}],
            ["pr_review_submitted"],
        ),
        # Approvals have a delivery of their own; a state that only went on is no news.
        ([{"username": "mina", "state": "unreviewed"}], [{"username": "mina", "state": "approved"}], [None]),
        (
            [{"username": "mina", "state": "requested_changes"}, {"username": "olaf"}],
            [{"username": "mina", "state": "requested_changes"}, {"username": "olaf"}],
            [None],
        ),
    ],
)
def test_reviewers_before_and_after(before: list[Any], after: list[Any], expected: list[str | None]) -> None:
    assert types(merge_request("update", {"reviewers": {"previous": before, "current": after}})) == expected


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("approval", "pr_approved"),
        ("approved", "pr_approved"),
        ("unapproval", "pr_approval_removed"),
        ("unapproved", "pr_approval_removed"),
    ],
)
def test_one_click_is_one_review_whether_or_not_it_was_the_last_one_needed(action: str, expected: str) -> None:
    assert types(merge_request(action)) == [expected]


def test_approvals_reset_by_a_push_name_no_reviewer() -> None:
    body = merge_request("unapproved", system=True, system_action="approvals_reset_on_push")
    body["user"] = {"username": "zoe"}
    (event,) = told(body)
    signal = ADAPTER.normalise(SignalType.PR_APPROVAL_REMOVED, event.event_type, body)
    assert "reviewer" not in signal.fields
    assert (signal.actor_id, signal.attributes["system_action"]) == ("zoe", "approvals_reset_on_push")


@pytest.mark.parametrize("kind", ["merge_request", "issue", "work_item"])
def test_object_without_an_action_is_a_test_delivery(kind: str) -> None:
    body = {"object_kind": kind, "object_attributes": {"iid": 1}}
    (event,) = told(body)
    assert (event.signal_type, event.ignored_reason) == (None, TEST_DELIVERY)


def test_token_that_expires_soon_is_no_end_of_the_credential() -> None:
    (event,) = told({"object_kind": "access_token", "event_name": "expiring_access_token", "object_attributes": {}})
    assert event.signal_type is None
    assert "expires soon" in event.ignored_reason
    assert not event.credential_revoked


def test_note_and_merge_request_are_ordered_together_and_ids_are_not_mixed_up_with_numbers() -> None:
    about = {"id": 9901, "iid": 12, "target_project_id": 4101}
    note = {"object_kind": "note", "object_attributes": {"noteable_type": "MergeRequest"}, "merge_request": about}
    (said,), (opened,) = told(note), told(merge_request("open", id=9901))
    assert said.ordering_key == opened.ordering_key == "pr:4101:12"


def test_jobs_are_ordered_with_their_pipeline() -> None:
    (job,) = told({"object_kind": "build", "build_id": 5501, "pipeline_id": 3001, "build_status": "failed"})
    (run,) = told({"object_kind": "pipeline", "object_attributes": {"id": 3001, "status": "failed"}})
    assert job.ordering_key == run.ordering_key == "pipeline:3001"


# Times


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2013-12-03T17:23:34Z", datetime(2013, 12, 3, 17, 23, 34, tzinfo=UTC)),
        ("2017-12-10 17:08:07 UTC", datetime(2017, 12, 10, 17, 8, 7, tzinfo=UTC)),
        ("2021-04-28 21:50:00 +0200", datetime(2021, 4, 28, 19, 50, tzinfo=UTC)),
        ("2023-02-20T19:43:43.306Z", datetime(2023, 2, 20, 19, 43, 43, 306000, tzinfo=UTC)),
        ("2026-03-31", None),
        ("soon UTC", None),
        (None, None),
    ],
)
def test_all_three_ways_gitlab_writes_a_time_are_read(text: str | None, moment: datetime | None) -> None:
    assert time(Document({"at": text}), "/at") == moment


def test_time_of_a_push_is_that_of_its_head_wherever_the_list_has_it() -> None:
    commits = [
        {"id": "a" * 40, "timestamp": "2026-03-02T09:15:30Z"},
        {"id": "b" * 40, "timestamp": "2020-01-01T00:00:00Z"},
    ]
    for listed in (commits, commits[::-1]):
        (event,) = told({"object_kind": "push", "before": "c" * 40, "after": "a" * 40, "commits": listed})
        assert event.occurred_at == datetime(2026, 3, 2, 9, 15, 30, tzinfo=UTC)


# Credential and settings


def verified(answer: SimulatedAnswer) -> tuple[Identity, list[tuple[str, str]]]:
    reply: Callable[..., SimulatedAnswer] = lambda *_: answer  # noqa: E731
    with serving(reply) as server:
        config = ADAPTER.client_config({"base_url": f"{server.url}/api/v4"}, {"token": "t"}, "")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            return ADAPTER.verify(client), server.asked


def test_a_token_is_proven_by_whose_it_is_and_asked_what_it_may() -> None:
    identity, asked = verified(SimulatedAnswer(200, {}, b'{"username":"project_41_bot","bot":true,"state":"active"}'))
    assert (identity.account, identity.details) == ("project_41_bot", {"type": "bot", "state": "active"})
    assert (identity.scopes, identity.expires_at) == (None, None)
    assert asked == [("GET", "/api/v4/user"), ("GET", "/api/v4/personal_access_tokens/self")]


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (SimulatedAnswer(401, {}, b'{"message":"401 Unauthorized"}'), AuthFailed, "401"),
        (SimulatedAnswer(403, {}, b'{"error":"insufficient_scope"}'), AuthFailed, "read_user"),
        (SimulatedAnswer(404, {}, b"<html>"), Misconfigured, "/api/v4"),
        (SimulatedAnswer(200, {}, b'{"username":null}'), ProviderFault, "whose token"),
    ],
)
def test_token_that_is_not_proven_says_what_to_look_at(
    answer: SimulatedAnswer, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        verified(answer)


def test_every_kind_of_token_is_sent_as_a_bearer() -> None:
    config = ADAPTER.client_config({}, {"token": "glpat-x"}, "")
    assert config.base_url == "https://gitlab.com/api/v4"
    assert config.headers == {"Authorization": "Bearer glpat-x"}
    assert "glpat-x" not in repr(config)


@pytest.mark.parametrize(
    ("project", "good"),
    [
        ("acme/web", True),
        ("acme/shop/web.v2", True),
        ("4101", True),
        ("acme/", False),
        ("/web", False),
        ("acme/..", False),
        ("acme web", False),
    ],
)
def test_projects_are_paths_or_numbers(project: str, *, good: bool) -> None:
    validator = jsonschema_rs.Draft202012Validator(ADAPTER.settings_schema)
    assert validator.is_valid({"projects": [project]}) is good
