"""Requests of GitHub's webhooks: proof, names, keys."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from providers.adapters.github.adapter import GitHubAdapter
from providers.canonical import SignalType
from providers.errors import UnreadablePayload
from providers.spi import TEST_DELIVERY, ProviderEvent, WebhookRequest
from providers.verification import SignatureRejected, verify

ADAPTER = GitHubAdapter()
SCHEME = ADAPTER.webhook.schemes["hmac"]
HEADERS = {"content-type": "application/json", "x-github-event": "issues", "x-github-delivery": "guid-1"}


def told(body: Any, **headers: str) -> ProviderEvent:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    given = {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    (event,) = ADAPTER.process_webhook(WebhookRequest(headers=given, body=raw))
    return event


# The first pair is published by GitHub; the second shows that bytes beyond ASCII are signed as they come.
VECTORS = [
    (
        "It's a Secret to Everybody",
        b"Hello, World!",
        "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    ),
    (
        "gh-test-secret",
        '{"action":"opened","number":7,"repository":{"full_name":"acme/web"},"sender":{"login":"zoë"}}'.encode(),
        "6135918482e25dfd9be35dab7d1a5a02afc8870ee814d84625ee8e369deb78ee",
    ),
]


@pytest.mark.parametrize(("secret", "body", "digest"), VECTORS)
def test_published_signatures_verify(secret: str, body: bytes, digest: str) -> None:
    """UT-IA-01."""
    headers = {"x-hub-signature-256": f"sha256={digest}"}
    verified = verify(SCHEME, headers=headers, body=body, secrets=[secret.encode()])
    assert verified.secret_index == 0
    with pytest.raises(SignatureRejected, match="mismatch"):
        verify(SCHEME, headers=headers, body=body + b" ", secrets=[secret.encode()])


def test_the_older_sha1_signature_proves_nothing() -> None:
    """UT-IA-01."""
    headers = {"x-hub-signature": "sha1=" + "0" * 40}
    with pytest.raises(SignatureRejected, match="missing"):
        verify(SCHEME, headers=headers, body=b"{}", secrets=[b"secret"])
    headers = {"x-hub-signature-256": "sha1=" + "0" * 40}
    with pytest.raises(SignatureRejected, match="malformed"):
        verify(SCHEME, headers=headers, body=b"{}", secrets=[b"secret"])


@pytest.mark.parametrize("event", ["", "two words", "issues\n", "x" * 61])
def test_request_without_a_usable_event_name_is_unreadable(event: str) -> None:
    with pytest.raises(UnreadablePayload, match="X-GitHub-Event"):
        told({"action": "opened"}, x_github_event=event)


def test_delivery_id_is_the_dedupe_key_and_the_correlation_id() -> None:
    event = told({"action": "opened"})
    assert (event.dedupe_key, event.correlation_id) == ("delivery:guid-1", "guid-1")


@pytest.mark.parametrize("delivery", ["", "x" * 101, "a b"])
def test_without_a_usable_delivery_id_the_body_is_the_key(delivery: str) -> None:
    first, again = (told({"action": "opened"}, x_github_delivery=delivery) for _ in range(2))
    other = told({"action": "closed"}, x_github_delivery=delivery)
    assert first.dedupe_key == again.dedupe_key
    assert first.dedupe_key.startswith("delivery:sha256:")
    assert first.dedupe_key != other.dedupe_key


def test_form_post_is_read_from_its_payload_field() -> None:
    body = urlencode({"payload": '{"action":"opened","issue":{"number":7}}'}).encode()
    event = told(body, content_type="application/x-www-form-urlencoded")
    assert (event.event_type, event.payload["issue"]["number"]) == ("issues.opened", 7)


def test_form_post_without_the_field_is_unreadable() -> None:
    with pytest.raises(UnreadablePayload, match="payload"):
        told(b"something=else", content_type="application/x-www-form-urlencoded")


@pytest.mark.parametrize("action", [None, 7, ["opened"], "", "two words", "x" * 61, "nul\x00"])
def test_odd_action_leaves_the_event_type_alone_and_is_ignored(action: Any) -> None:
    event = told({"action": action})
    assert event.event_type == ("issues.7" if action == 7 else "issues")
    assert (event.signal_type, event.ignored_reason) == (None, "unknown action of a known event")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ping", TEST_DELIVERY),
        ("meta", "tells of the connection, not of the work"),
        ("installation_repositories", "tells of the connection, not of the work"),
        ("create", "the push event tells of it"),
        ("delete", "the push event tells of it"),
        ("check_suite", "workflow_run or check_run tells of it"),
        ("deployment", "deployment_status tells of it"),
        ("invented_in_2031", "unknown event type"),
    ],
)
def test_events_that_become_no_signal_say_why(name: str, reason: str) -> None:
    event = told({"action": "created"}, x_github_event=name)
    assert (event.signal_type, event.ignored_reason, event.happening) == (None, reason, "")


def test_start_of_a_run_told_in_two_steps_is_one_event() -> None:
    def key(action: str, attempt: int, delivery: str) -> str:
        body = {"action": action, "workflow_run": {"id": 3001, "run_attempt": attempt}}
        event = told(body, x_github_event="workflow_run", x_github_delivery=delivery)
        assert event.signal_type is SignalType.PIPELINE_STARTED
        return event.dedupe_key

    assert key("requested", 1, "a") == key("in_progress", 1, "b")
    assert key("requested", 1, "a") != key("requested", 2, "c")


def test_end_of_a_run_is_keyed_by_its_delivery() -> None:
    body = {"action": "completed", "workflow_run": {"id": 3001, "conclusion": "success"}}
    assert told(body, x_github_event="workflow_run").dedupe_key == "delivery:guid-1"


def test_happening_is_empty_where_a_name_would_be_longer_than_any_repository() -> None:
    issue = {"number": 7, "created_at": "2026-03-01T14:00:00Z"}
    assert told({"action": "opened", "issue": issue, "repository": {"full_name": "a/b"}}).happening
    assert not told({"action": "opened", "issue": issue, "repository": {"full_name": "a/" + "b" * 200}}).happening
