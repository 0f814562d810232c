"""Whose credential it is, how requests prove themselves, and what their bodies say."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from providers.adapters.confluence.adapter import ConfluenceAdapter
from providers.canonical import JSON, SignalType
from providers.client import ProviderClient
from providers.errors import AuthFailed, Misconfigured, ProviderFault, Rejected, UnreadablePayload
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from providers.spi import TEST_DELIVERY, Identity, ProviderEvent, WebhookRequest
from providers.verification import SignatureRejected, verify
from tests.contract.provider_server import serving

ADAPTER = ConfluenceAdapter()
PAGE = {"idAsString": "98400", "id": 98400, "title": "Harbour rules", "spaceKey": "PIER", "version": 7}


def verified(answer: JSON, status: int = 200, **credential: str) -> tuple[Identity, dict[str, str]]:
    """What verifying against this answer says, and the headers of the request."""
    sent: dict[str, str] = {}

    def reply(method: str, path: str, query: Any, headers: dict[str, str], body: bytes) -> SimulatedAnswer:
        assert (method, path) == ("GET", "/wiki/rest/api/user/current")
        sent.update(headers)
        return SimulatedAnswer(status, {}, orjson.dumps(answer))

    with serving(reply) as server:
        config = ADAPTER.client_config({"base_url": f"{server.url}/wiki"}, {"token": "secret-token", **credential}, "2")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            return ADAPTER.verify(client), sent


def test_account_is_named_by_one_call() -> None:
    who = {"type": "known", "accountId": "712020:aino", "displayName": "Aino", "timeZone": "Europe/Helsinki"}
    identity, sent = verified(who, email="aino@example.com")
    assert (identity.account, identity.details["time_zone"]) == ("712020:aino", "Europe/Helsinki")
    assert sent["authorization"] == "Basic " + base64.b64encode(b"aino@example.com:secret-token").decode()
    identity, sent = verified({"type": "known", "userKey": "4028e1", "username": "aino"})
    assert identity.account == "4028e1"
    assert sent["authorization"] == "Bearer secret-token"


def test_anonymous_user_is_a_refused_credential_though_the_answer_is_200() -> None:
    with pytest.raises(AuthFailed, match="anonymous"):
        verified({"type": "anonymous", "displayName": "Anonymous"})
    with pytest.raises(ProviderFault):
        verified({"type": "known"})


def test_wrong_address_is_told_as_such() -> None:
    with pytest.raises(Rejected, match="/wiki"):
        verified({"message": "not found"}, 404)


@pytest.mark.parametrize(
    ("settings", "credential"),
    [({}, {"token": "t"}), ({"base_url": "https://x.example/wiki"}, {"email": "a@x.example"})],
    ids=["no address", "no token"],
)
def test_what_is_missing_is_said_before_anybody_is_called(settings: JSON, credential: dict[str, str]) -> None:
    with pytest.raises(Misconfigured):
        ADAPTER.client_config(settings, credential, "2")


# https://confluence.atlassian.com/doc/managing-webhooks-1021225606.html; computed apart from this code.
BODY = (
    b'{"timestamp":1767225600000,"event":"page_created","userKey":"4028e1",'
    b'"page":{"id":98311,"title":"Runbook","spaceKey":"OPS","version":1}}'
)
SIGNATURE = "sha256=a15744fabfbf4517b87aaac9667f26e67edbc4cab6a415dfb320e2238a7c440a"


def proven(scheme: str, headers: dict[str, str], body: bytes, secret: bytes) -> None:
    verify(ADAPTER.webhook.schemes[scheme], headers=headers, body=body, secrets=[secret])


def test_signature_of_data_center_is_accepted_and_no_other() -> None:
    proven("hmac", {"x-hub-signature": SIGNATURE}, BODY, b"confluence-secret")
    for headers, body in (
        ({"x-hub-signature": SIGNATURE}, BODY + b" "),
        ({"x-hub-signature": SIGNATURE.removeprefix("sha256=")}, BODY),
        ({"x-webhook-secret": "confluence-secret"}, BODY),
    ):
        with pytest.raises(SignatureRejected):
            proven("hmac", headers, body, b"confluence-secret")


def test_header_of_a_rule_is_the_secret_itself() -> None:
    proven("automation", {"x-webhook-secret": "of-our-choosing"}, b"{}", b"of-our-choosing")
    with pytest.raises(SignatureRejected):
        proven("automation", {"x-webhook-secret": "another"}, b"{}", b"of-our-choosing")


def told(body: JSON, scheme: str = "hmac", **headers: str) -> ProviderEvent:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    [event] = ADAPTER.process_webhook(WebhookRequest(headers=given, body=orjson.dumps(body), scheme=scheme))
    return event


def signal(event: ProviderEvent) -> Any:
    assert event.signal_type
    return ADAPTER.normalise(event.signal_type, event.event_type, event.payload)


def test_same_version_is_the_same_event_whichever_hook_tells_it() -> None:
    first = told({"event": "page_updated", "page": PAGE}, x_atlassian_webhook_identifier="1")
    second = told({"event": "page_updated", "page": {**PAGE, "idAsString": None}}, x_atlassian_webhook_identifier="2")
    assert first.dedupe_key == second.dedupe_key == first.happening == "page:98400:updated:7"
    later = told({"event": "page_updated", "page": {**PAGE, "version": 8}})
    assert later.dedupe_key != first.dedupe_key


def test_event_without_a_version_is_known_by_its_delivery_or_its_bytes() -> None:
    moved = {"event": "page_moved", "page": PAGE}
    by_id = [told(moved, x_atlassian_webhook_identifier=name).dedupe_key for name in ("a", "a", "b")]
    assert (by_id[0] == by_id[1], by_id[1] == by_id[2]) == (True, False)
    by_bytes = [told({**moved, "timestamp": time}).dedupe_key for time in (1, 1, 2)]
    assert (by_bytes[0] == by_bytes[1], by_bytes[1] == by_bytes[2]) == (True, False)


def test_request_of_a_rule_has_to_tell_its_time() -> None:
    body = {"event": "page_updated", "page": {"id": "98400"}}
    with pytest.raises(UnreadablePayload, match="timestamp"):
        told(body, "automation")
    at = [told({**body, "timestamp": f"2026-01-01T09:3{minute}:00Z"}, "automation") for minute in (0, 0, 1)]
    assert (at[0].dedupe_key == at[1].dedupe_key, at[1].dedupe_key == at[2].dedupe_key) == (True, False)
    assert at[0].occurred_at == datetime(2026, 1, 1, 9, 30, tzinfo=UTC)


def test_rule_cannot_name_the_delivery_with_a_header() -> None:
    body = {"event": "page_moved", "page": PAGE, "timestamp": 1767225600000}
    event = told(body, "automation", x_atlassian_webhook_identifier="an-id-of-somebody-else")
    assert event.correlation_id == ""
    assert "somebody" not in event.dedupe_key


def test_trial_of_the_connection_is_no_event() -> None:
    assert told({"test": True}).ignored_reason == TEST_DELIVERY
    assert told({"test": True, "event": "page_updated", "page": PAGE}).signal_type is SignalType.PAGE_UPDATED


def test_page_of_a_reply_is_above_all_comments_or_in_its_address() -> None:
    above = {"id": 1, "contentType": "comment", "parent": {"id": 2, "contentType": "comment", "parent": PAGE}}
    reply = {"id": 3, "parent": above}
    assert signal(told({"event": "comment_created", "comment": reply})).canonical_keys["page_id"] == "98400"
    for address in (
        "https://x.example/pages/viewpage.action?pageId=77&focusedCommentId=3",
        "https://x.example/a/pages/77/T",
    ):
        found = signal(told({"event": "comment_created", "comment": {"id": 3, "self": address}}))
        assert (found.fields["page_id"], found.fields["url"]) == ("77", address)


def test_address_of_the_api_is_no_page_for_people() -> None:
    page = {**PAGE, "self": "https://x.example/rest/api/content/98400"}
    assert "url" not in signal(told({"event": "page_updated", "page": page})).fields


def test_event_that_says_what_others_say_is_ignored_with_the_reason() -> None:
    assert "events of their own" in told({"event": "content_updated", "content": {"id": 1}}).ignored_reason
    assert told({"event": "never_heard_of"}).ignored_reason
    with pytest.raises(UnreadablePayload):
        told({"page": PAGE})
