"""Linear: what the contract suite cannot know."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import time_machine

from providers.adapters.linear.adapter import LinearAdapter
from providers.adapters.linear.simulator import Simulator
from providers.canonical import Signal
from providers.client import ProviderClient
from providers.errors import AuthFailed, LacksAccess, Misconfigured, ProviderError, ProviderFault, RateLimited, Rejected
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from providers.spi import ProviderEvent, WebhookRequest
from providers.verification import SignatureRejected, verify
from tests.contract.provider_server import serving

ADAPTER = LinearAdapter()
HMAC = ADAPTER.webhook.schemes["hmac"]
SECRET = b"lin_wh_test_secret"
BODY = (
    b'{"action":"create","type":"Issue","data":{"id":"2174add1-f7c8-44e3-bbf3-2d60b5ea8bc9","identifier":"ENG-1",'
    b'"title":"Demo"},"organizationId":"9c9f0b1e-0000-4000-8000-000000000001","webhookTimestamp":1767225600000,'
    b'"webhookId":"000042e3-d123-4980-b49f-8e140eef9329"}'
)
DIGEST = "f9999de19d7de65ea5a79491d38a2a4934d4e93d8beba4b738698f322f2841b2"


# --- proofs ---


def test_the_published_signature_is_accepted_and_its_clock_not_judged() -> None:
    """UT-IA-01: a retry comes hours later, perhaps with the time of the first attempt."""
    assert len(BODY) == 263
    with time_machine.travel(1767225600 + 7 * 3600, tick=False):
        verified = verify(HMAC, headers={"linear-signature": DIGEST}, body=BODY, secrets=[SECRET])
    assert verified.fingerprint
    assert verified.signed_at is None


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        (DIGEST, BODY.replace(b"Demo", b"Demp")),
        (DIGEST, BODY + b"\n"),
        (DIGEST.upper(), BODY),
        (f"sha256={DIGEST}", BODY),
        (DIGEST[:-1], BODY),
        ("", BODY),
    ],
    ids=["title", "newline", "capitals", "prefix", "short", "missing"],
)
def test_anything_else_is_refused(signature: str, body: bytes) -> None:
    """UT-IA-01"""
    with pytest.raises(SignatureRejected):
        verify(HMAC, headers={"linear-signature": signature}, body=body, secrets=[SECRET])


def test_only_200_is_an_answer_linear_takes_for_success() -> None:
    assert ADAPTER.manifest.accepted_status == ADAPTER.manifest.duplicate_status == 200


# --- events ---


def told(kind: str, action: str, data: Any = None, old: Any = None, **more: Any) -> list[ProviderEvent]:
    body = {"type": kind, "action": action, "data": data, "createdAt": "2026-03-02T09:30:00Z", **more}
    if old is not None:
        body["updatedFrom"] = old
    headers = {"linear-delivery": "d-1", "linear-event": "Comment"}
    return ADAPTER.process_webhook(WebhookRequest(headers=headers, body=orjson.dumps(body)))


def types(events: list[ProviderEvent]) -> list[str]:
    return [str(event.signal_type) for event in events]


def signal(event: ProviderEvent) -> Signal:
    assert event.signal_type is not None
    return ADAPTER.normalise(event.signal_type, event.event_type, event.payload)


def test_the_unsigned_header_does_not_say_what_an_event_is() -> None:
    (event,) = told("Issue", "create", {"id": "i-1"})
    assert (event.event_type, str(event.signal_type)) == ("Issue.create", "issue_created")


@pytest.mark.parametrize("delivery", ["", "x" * 101, "a b", "d\u00e9"])
def test_without_a_usable_delivery_id_the_body_is_the_identity(delivery: str) -> None:
    first, again, other = (
        ADAPTER.process_webhook(WebhookRequest(headers={"linear-delivery": delivery}, body=body))[0]
        for body in (BODY, BODY, BODY.replace(b"Demo", b"Demp"))
    )
    assert first.dedupe_key == again.dedupe_key != other.dedupe_key
    assert first.correlation_id == ""


@pytest.mark.parametrize(
    ("old", "data", "expected"),
    [
        ({"stateId": "s"}, {}, ["issue_transitioned"]),
        ({"assigneeId": None}, {"assigneeId": "zoe"}, ["issue_assigned"]),
        ({"assigneeId": "zoe"}, {"assigneeId": None}, ["issue_unassigned"]),
        ({"labelIds": ["a"]}, {"labelIds": ["a", "b"]}, ["issue_labeled"]),
        ({"labelIds": ["a"]}, {"labelIds": ["b"]}, ["issue_labeled"]),
        ({"labelIds": ["a", "b"]}, {"labelIds": ["b"]}, ["issue_unlabeled"]),
        ({"priority": 0}, {"priority": 1}, ["issue_priority_changed"]),
        ({"cycleId": None}, {"cycleId": "c"}, ["issue_sprint_changed"]),
        ({"teamId": "t", "number": 7}, {"teamId": "u"}, ["issue_transferred"]),
        ({"archivedAt": None}, {"archivedAt": "2026-03-02T09:30:00Z"}, ["issue_archived"]),
        ({"archivedAt": "2026-03-02T09:30:00Z"}, {"archivedAt": None}, ["issue_restored"]),
        (
            {"trashed": None, "archivedAt": None},
            {"trashed": True, "archivedAt": "2026-03-02T09:30:00Z"},
            ["issue_deleted"],
        ),
        ({"trashed": True, "archivedAt": "2026-03-02T09:30:00Z"}, {}, ["issue_restored"]),
        ({"dueDate": None}, {"dueDate": "2026-04-01"}, ["issue_updated"]),
        ({"updatedAt": "2026-03-02T09:30:00Z"}, {}, ["issue_updated"]),
        ({}, {}, ["issue_updated"]),
        ("nonsense", {}, ["issue_updated"]),
        ({"completedAt": None}, {"completedAt": "2026-03-02T09:30:00Z"}, ["issue_closed"]),
        ({"canceledAt": None}, {"canceledAt": "2026-03-02T09:30:00Z"}, ["issue_closed"]),
        ({"completedAt": "2026-03-02T09:30:00Z"}, {"completedAt": None}, ["issue_reopened"]),
        ({"completedAt": "2026-03-01T09:00:00Z"}, {"completedAt": "2026-03-02T09:30:00Z"}, ["issue_updated"]),
        (
            {"completedAt": "2026-03-01T09:00:00Z", "canceledAt": None},
            {"completedAt": None, "canceledAt": "2026-03-02T09:30:00Z"},
            ["issue_updated"],
        ),
        (
            {"stateId": "s", "completedAt": None, "title": "a", "assigneeId": None},
            {"completedAt": "2026-03-02T09:30:00Z", "assigneeId": "zoe"},
            ["issue_transitioned", "issue_assigned", "issue_closed", "issue_updated"],
        ),
    ],
)
def test_the_keys_of_what_was_before_tell_what_changed(old: Any, data: Any, expected: list[str]) -> None:
    events = told("Issue", "update", {"id": "i-1", "updatedAt": "2026-03-02T09:30:00Z", **data}, old)
    assert types(events) == expected
    assert len({event.dedupe_key for event in events}) == len(events)
    # What the issue keeps the time of is named by that, everything else by the version.
    kept = {"issue_closed": "closed", "issue_archived": "archived", "issue_deleted": "deleted"}
    for event in events:
        assert event.happening == f"issue:i-1:{kept.get(str(event.signal_type), 'updated')}:1772443800000"


def test_throwing_away_is_told_once_though_it_comes_as_update_and_as_removal() -> None:
    trash = {"id": "i-1", "trashed": True, "archivedAt": "2026-03-02T09:30:00.250Z"}
    (update,) = told("Issue", "update", trash, {"trashed": None, "archivedAt": None})
    (removal,) = told("Issue", "remove", trash)
    (later,) = told("Issue", "remove", {**trash, "archivedAt": "2026-05-02T09:30:00.250Z"})
    assert types([update, removal]) == ["issue_deleted", "issue_deleted"]
    assert update.dedupe_key == removal.dedupe_key != later.dedupe_key


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"issueId": "i-1"}, "issue_commented"),
        ({"issue": {"id": "i-1"}}, "issue_commented"),
        ({"documentContentId": "c-1"}, "page_commented"),
        ({"projectUpdateId": "p-1"}, "project_commented"),
        ({"projectId": "p-1"}, "project_commented"),
        ({"initiativeUpdateId": "n-1"}, "None"),
    ],
)
def test_a_comment_is_told_by_what_it_is_on(data: Any, expected: str) -> None:
    assert types(told("Comment", "create", data)) == [expected]


@pytest.mark.parametrize(
    ("issue", "url", "expected"),
    [
        ({"identifier": "ENG-7"}, "https://linear.app/acme/issue/OPS-1/x", "ENG-7"),
        ({"number": 7, "team": {"key": "ENG"}}, "", "ENG-7"),
        ({}, "https://linear.app/acme/issue/ENG-7/title#comment-1", "ENG-7"),
        ({}, "https://linear.app/issue/ENG-7", "ENG-7"),
        ({}, "https://linear.app/acme/project/basket-7", None),
        ({"identifier": "not a key"}, "", None),
    ],
)
def test_an_issue_is_known_by_its_key(issue: Any, url: str, expected: str | None) -> None:
    (event,) = told("Comment", "create", {"issueId": "i-1", "issue": issue}, url=url)
    assert signal(event).canonical_keys.get("issue_key") == expected


def test_a_removed_app_ends_the_authorisation() -> None:
    (event,) = told("OAuthApp", "revoked", oauthClientId="c-1")
    assert (event.signal_type, event.credential_revoked) == (None, True)
    (other,) = told("OAuthApp", "installed", oauthClientId="c-1")
    assert not other.credential_revoked


def test_an_automatic_change_has_nobody_who_did_it() -> None:
    (event,) = told("Issue", "update", {"id": "i-1", "creatorId": "zoe"}, {"archivedAt": None}, actor=None)
    assert signal(event).actor_id is None


# --- the API ---


def test_only_an_oauth_token_is_a_bearer_token() -> None:
    assert ADAPTER.client_config({}, {"token": "lin_api_1"}, "graphql").headers == {"Authorization": "lin_api_1"}
    oauth = ADAPTER.client_config({}, {"access_token": "x1"}, "graphql")
    assert oauth.headers == {"Authorization": "Bearer x1"}
    assert oauth.base_url == "https://api.linear.app"
    for bad in ({}, {"token": "two words"}):
        with pytest.raises(Misconfigured):
            ADAPTER.client_config({}, bad, "graphql")


def verified(status: int, body: Any, **headers: str) -> Any:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    with serving(lambda *_: SimulatedAnswer(status, given, orjson.dumps(body))) as server:
        config = ADAPTER.client_config({"base_url": server.url}, {"token": "lin_api_1"}, "graphql")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            identity = ADAPTER.verify(client)
    assert server.asked == [("POST", "/graphql")]
    return identity


def test_a_proven_credential_names_its_account_and_workspace() -> None:
    data = {"viewer": {"id": "v-1", "name": "Zoe"}, "organization": {"id": "o-1", "name": "Acme", "urlKey": "acme"}}
    identity = verified(200, {"data": data})
    assert identity.account == "v-1"
    assert identity.details == {"name": "Zoe", "organization": "acme", "organization_id": "o-1"}


def errors(code: str = "", kind: str = "", message: str = "secret detail") -> dict[str, Any]:
    extensions = {"code": code, "type": kind, "userPresentableMessage": message}
    return {"data": {"viewer": {"id": "partial"}}, "errors": [{"message": message, "extensions": extensions}]}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        pytest.param(401, errors("AUTHENTICATION_ERROR", "authentication error"), AuthFailed, id="bad-key"),
        pytest.param(400, errors("AUTHENTICATION_ERROR"), AuthFailed, id="bad-key-with-400"),
        pytest.param(200, errors(kind="authentication error"), AuthFailed, id="bad-key-with-200"),
        pytest.param(200, errors("FORBIDDEN", "forbidden"), LacksAccess, id="forbidden"),
        pytest.param(400, errors("RATELIMITED", "ratelimited"), RateLimited, id="limit-with-400"),
        pytest.param(200, errors(kind="ratelimited"), RateLimited, id="limit-with-200"),
        pytest.param(200, errors("INTERNAL_SERVER_ERROR", "internal error"), ProviderFault, id="internal"),
        pytest.param(200, errors(kind="lock timeout"), ProviderFault, id="lock"),
        pytest.param(502, errors(kind="invalid input"), ProviderFault, id="502"),
        pytest.param(200, errors(kind="invalid input"), Rejected, id="input"),
        pytest.param(200, errors(kind="usage limit exceeded"), Rejected, id="plan"),
        pytest.param(200, errors("NEW_WORD", "new word"), Rejected, id="unknown-word"),
        pytest.param(400, {"message": "no errors here"}, Rejected, id="400-without-errors"),
        pytest.param(200, {"data": None}, ProviderFault, id="no-data"),
        pytest.param(200, {"data": {"viewer": None}}, ProviderFault, id="nobody"),
        pytest.param(200, {"data": {"viewer": {"id": "v"}}, "errors": ["odd"]}, Rejected, id="odd-errors"),
    ],
)
def test_an_error_is_known_by_its_words_and_not_by_its_status(
    status: int, body: Any, error: type[ProviderError]
) -> None:
    with pytest.raises(error) as caught:
        verified(status, body)
    assert type(caught.value) is error
    assert "secret detail" not in str(caught.value)


def test_a_rate_limit_says_how_long_to_wait() -> None:
    with time_machine.travel(1767225600, tick=False), pytest.raises(RateLimited) as caught:
        verified(400, errors("RATELIMITED"), x_ratelimit_requests_reset="1767225690000")
    assert caught.value.retry_after_seconds == 90.0


def test_the_simulated_workspace_tells_only_what_is_understood() -> None:
    world = Simulator(seed=7, faults=True)
    deliveries = [delivery for _ in range(200) for delivery in world.tick()]
    events = [
        event
        for delivery in deliveries
        for event in ADAPTER.process_webhook(WebhookRequest(headers=delivery.headers, body=delivery.body))
    ]
    assert len(deliveries) > 200, "no delivery was repeated"
    assert {str(event.signal_type) for event in events} >= {
        *("issue_created", "issue_transitioned", "issue_closed", "issue_reopened"),
        *("issue_assigned", "issue_unassigned", "issue_commented"),
    }
    assert all(event.signal_type for event in events)
