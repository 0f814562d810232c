"""Requests of Bitbucket's webhooks, and how Bitbucket is called: the rules golden files cannot say."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest

from providers.adapters.bitbucket.adapter import BitbucketAdapter
from providers.adapters.bitbucket.mapping_rules import RULES, STOPPED
from providers.adapters.bitbucket.simulator import ACCESS_TOKEN, Simulator
from providers.canonical import SignalType
from providers.client import ProviderClient
from providers.errors import AuthFailed, Misconfigured, RateLimited, Rejected, UnreadablePayload
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from providers.spi import Identity, ProviderEvent, WebhookRequest
from providers.verification import SignatureRejected, verify
from tests.contract.provider_server import Answer, serving

ADAPTER = BitbucketAdapter()
SCHEME = ADAPTER.webhook.schemes["hmac"]
FIXTURES = Path(__file__).parents[2] / "contract" / "fixtures" / "bitbucket"
LOOPBACK = OutboundPolicy.parse(["127.0.0.1"])
UUID = "{01234567-89ab-cdef-0123-456789abcdef}"
PUSH = b'{"push":{"changes":[]},"repository":{"full_name":"acme/web"}}'
DIGEST = "dd0092c902f39d343529c2b35137a6b0c93c88caa692e1d9a4404b70fa9e949c"


def told(event_key: str, body: Any, **headers: str) -> list[ProviderEvent]:
    given = {"x-event-key": event_key, "x-request-uuid": "request-1"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return ADAPTER.process_webhook(WebhookRequest(headers=given, body=orjson.dumps(body)))


# Proof


@pytest.mark.parametrize(
    ("secret", "body", "digest"),
    [
        (b"bb-test-secret", PUSH, DIGEST),
        (
            b"It's a Secret to Everybody",
            b"Hello World!",
            "a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9",
        ),
    ],
)
def test_known_signatures_verify(secret: bytes, body: bytes, digest: str) -> None:
    """UT-IA-01."""
    headers = {"x-hub-signature": f"sha256={digest}"}
    assert verify(SCHEME, headers=headers, body=body, secrets=[b"other", secret]).secret_index == 1
    with pytest.raises(SignatureRejected, match="mismatch"):
        verify(SCHEME, headers=headers, body=body + b" ", secrets=[secret])


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "missing"),
        ({"x-hub-signature": f"sha1={DIGEST[:40]}"}, "malformed"),
        ({"x-hub-signature": DIGEST}, "malformed"),
        ({"x-hub-signature": f"sha256={DIGEST.upper()}"}, "mismatch"),
        ({"x-hub-signature": f"sha256=sha256={DIGEST}"}, "mismatch"),
        # The header another vendor uses proves nothing here.
        ({"x-hub-signature-256": f"sha256={DIGEST}"}, "missing"),
    ],
)
def test_other_algorithms_and_spellings_prove_nothing(headers: dict[str, str], reason: str) -> None:
    """UT-IA-01."""
    with pytest.raises(SignatureRejected, match=reason):
        verify(SCHEME, headers=headers, body=PUSH, secrets=[b"bb-test-secret"])


def test_limit_is_answered_so_that_bitbucket_tries_again() -> None:
    """A 4xx, and so 429, is final there."""
    assert ADAPTER.manifest.limited_status >= 500


# Events


def test_every_mapped_event_has_a_golden_file() -> None:
    """UT-IA-03: a rule that no fixture shows is a rule nobody has looked at."""
    goldens = [orjson.loads(path.read_bytes()) for path in FIXTURES.glob("*.golden.json")]
    assert set(RULES) <= {event["event_type"] for golden in goldens for event in golden}


def test_each_change_of_a_push_is_an_event_with_that_change_alone() -> None:
    changes = [{"new": {"type": "branch", "name": name}, "old": {"type": "branch"}} for name in ("main", "fix", "main")]
    events = told("repo:push", {"repository": {"uuid": "{r}"}, "push": {"changes": changes}})
    assert [event.payload["push"]["changes"] for event in events] == [[change] for change in changes]
    assert [event.dedupe_key for event in events] == [
        "delivery:request-1",
        *(f"delivery:request-1:{n}" for n in (1, 2)),
    ]
    assert [event.ordering_key for event in events] == [f"branch:{{r}}:{name}" for name in ("main", "fix", "main")]


@pytest.mark.parametrize("push", [None, {}, {"changes": None}, {"changes": {"new": 1}}, "x"])
def test_push_without_a_list_of_changes_is_unreadable(push: Any) -> None:
    with pytest.raises(UnreadablePayload, match="changes"):
        told("repo:push", {"push": push})


@pytest.mark.parametrize("event_key", ["", "repo push", "repo:push\n", "x" * 101])
def test_request_without_a_usable_event_key_is_unreadable(event_key: str) -> None:
    with pytest.raises(UnreadablePayload, match="X-Event-Key"):
        told(event_key, {})


@pytest.mark.parametrize(
    ("event_key", "words"),
    [
        ("pr:opened", "Data Center"),
        ("repo:refs_changed", "Data Center"),
        ("diagnostics:ping", "Data Center"),
        ("issue:comment_created", "issue tracker"),
        ("project:updated", "project"),
        ("repo:invented_in_2031", "unknown"),
        ("invented", "unknown"),
    ],
)
def test_events_that_become_no_signal_say_why(event_key: str, words: str) -> None:
    (event,) = told(event_key, {"repository": {"uuid": "{r}"}})
    assert event.signal_type is None
    assert words in event.ignored_reason


@pytest.mark.parametrize("request_id", ["", "x" * 101, "a b"])
def test_without_a_usable_request_id_the_body_is_the_key(request_id: str) -> None:
    first, again, other = (
        told("repo:deleted", {"actor": actor}, x_request_uuid=request_id)[0] for actor in ("zoe", "zoe", "mina")
    )
    assert first.dedupe_key == again.dedupe_key != other.dedupe_key
    assert first.dedupe_key.startswith("delivery:sha256:")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": {"old": "shop", "new": "web"}}, SignalType.REPO_RENAMED),
        ({"full_name": {"old": "acme/shop"}}, SignalType.REPO_RENAMED),
        ({"description": {"old": "a", "new": "b"}}, SignalType.REPO_UPDATED),
        ({"name": None}, SignalType.REPO_UPDATED),
        (None, SignalType.REPO_UPDATED),
    ],
)
def test_new_name_tells_a_rename_from_other_changes(changes: Any, expected: SignalType) -> None:
    (event,) = told("repo:updated", {"changes": changes})
    assert event.signal_type is expected


def test_long_names_keep_keys_within_their_length_and_apart() -> None:
    def key(name: str) -> str:
        change = {"new": {"type": "branch", "name": name}, "old": None}
        return told("repo:push", {"repository": {"uuid": "{r}"}, "push": {"changes": [change]}})[0].ordering_key

    assert len(key("x" * 300)) <= 200
    assert key("x" * 300) != key("x" * 301)


@pytest.mark.parametrize(
    ("event_key", "expected"),
    [
        ("pullrequest:approved", "pr:{r}:12"),
        ("pullrequest:comment_created", "pr:{r}:12"),
        ("repo:commit_comment_created", "commit:{r}:abc"),
        ("repo:commit_status_updated", "status:{r}:abc:ci"),
        ("repo:deleted", "repo:{r}"),
    ],
)
def test_order_is_kept_within_one_thing(event_key: str, expected: str) -> None:
    status = {"key": "ci", "state": "FAILED", "commit": {"hash": "abc"}}
    body = {"pullrequest": {"id": 12}, "commit": {"hash": "abc"}, "commit_status": status}
    (event,) = told(event_key, {**body, "repository": {"uuid": "{r}"}})
    assert event.ordering_key == expected
    assert told(event_key, body)[0].ordering_key == "", "numbers of two repositories would be one thing"


def test_commit_of_a_status_is_read_from_its_link_only_if_it_looks_like_one() -> None:
    def commit(link: str) -> str | None:
        payload = {"commit_status": {"state": "FAILED", "links": {"commit": {"href": link}}}}
        signal = ADAPTER.normalise(SignalType.CHECK_FAILED, "repo:commit_status_updated", payload)
        return signal.resource.commit

    assert commit("https://api.bitbucket.org/2.0/repositories/acme/web/commit/9fec847784ab") == "9fec847784ab"
    assert commit("https://api.bitbucket.org/2.0/repositories/acme/web") is None


# Calls


def verified(credential: dict[str, str], settings: dict[str, Any], answer: Answer | None = None) -> Identity:
    with serving(answer or Simulator(seed=1, faults=False).handle) as server:
        whole = {**Simulator.settings(server.url), "repositories": [], **settings}
        config = ADAPTER.client_config(whole, credential, "2.0")
        with ProviderClient(config, LOOPBACK) as client:
            identity = ADAPTER.verify(client)
        assert len(server.asked) == 1
        return identity


def test_api_token_is_proven_by_its_user() -> None:
    identity = verified(Simulator.credential, {"repositories": ["acme/web"]})
    assert identity.details == {"type": "user", "name": "Acme-Bot"}


def test_access_token_is_proven_by_its_repository_since_it_has_no_user() -> None:
    assert verified({"token": ACCESS_TOKEN}, {"repositories": ["acme/web"]}).account == "acme/web"
    with pytest.raises(AuthFailed, match="access token while the settings name"):
        verified({"token": ACCESS_TOKEN}, {})


def test_workspace_is_asked_where_the_settings_name_no_repository() -> None:
    reply = SimulatedAnswer(200, {}, b'{"type": "workspace", "slug": "acme", "name": "Acme"}')
    with serving(lambda *_: reply) as server:
        settings = {"base_url": f"{server.url}/2.0", "workspaces": ["acme"]}
        with ProviderClient(ADAPTER.client_config(settings, {"token": "t"}, ""), LOOPBACK) as client:
            assert ADAPTER.verify(client).account == "acme"
        assert server.asked == [("GET", "/2.0/workspaces/acme")]


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (SimulatedAnswer(401, {}, b""), AuthFailed, "e-mail address"),
        (SimulatedAnswer(403, {}, b"{}"), AuthFailed, "scope"),
        (SimulatedAnswer(403, {"retry-after": "9"}, b""), RateLimited, "limit"),
        (SimulatedAnswer(429, {"retry-after": "9"}, b""), RateLimited, "limit"),
        (SimulatedAnswer(404, {}, b"{}"), Misconfigured, "repositories/acme/web"),
        (SimulatedAnswer(410, {}, b"{}"), Rejected, "410"),
    ],
)
def test_refusals_say_what_to_look_at(answer: SimulatedAnswer, expected: type[Exception], words: str) -> None:
    with pytest.raises(expected, match=words) as caught:
        verified({"token": "t"}, {"repositories": ["acme/web"]}, lambda *_: answer)
    assert type(caught.value) is expected


def test_address_and_token_make_basic_a_lone_token_bearer() -> None:
    basic = ADAPTER.client_config({}, {"email": "zoe@acme.example", "token": "to"}, "")
    assert basic.headers["Authorization"] == "Basic " + base64.b64encode(b"zoe@acme.example:to").decode()
    assert ADAPTER.client_config({}, {"token": "to"}, "").headers["Authorization"] == "Bearer to"
    assert basic.base_url == "https://api.bitbucket.org/2.0"


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "ü"])
def test_token_that_cannot_stand_in_a_header_is_a_misconfiguration(token: str) -> None:
    with pytest.raises(Misconfigured):
        ADAPTER.client_config({}, {"token": token}, "")


@pytest.mark.parametrize(
    ("settings", "good"),
    [
        ({"repositories": ["acme/web", f"{UUID}/{UUID}"]}, True),
        ({"workspaces": ["acme", UUID]}, True),
        ({"repositories": ["acme"]}, False),
        ({"repositories": ["acme/.."]}, False),
        ({"repositories": ["acme/web/hooks"]}, False),
        ({"workspaces": ["acme/web"]}, False),
        ({"workspaces": [".."]}, False),
    ],
)
def test_names_in_the_settings_are_slugs_or_uuids(settings: dict[str, Any], *, good: bool) -> None:
    assert jsonschema_rs.Draft202012Validator(ADAPTER.settings_schema).is_valid(settings) is good


def test_simulated_deliveries_are_all_understood() -> None:
    world = Simulator(seed=5, faults=False)
    deliveries = [delivery for _ in range(60) for delivery in world.tick()]
    events = [
        event
        for delivery in deliveries
        for event in ADAPTER.process_webhook(WebhookRequest(headers=delivery.headers, body=delivery.body))
    ]
    assert {event.ignored_reason for event in events} == {"", STOPPED}
    assert len({event.dedupe_key for event in events}) == len(deliveries)


@pytest.mark.parametrize(
    ("event_key", "author"),
    [
        ("pullrequest:comment_created", "712001:zoe"),
        ("repo:commit_comment_created", "712001:zoe"),
        # Somebody else may have changed it.
        ("pullrequest:comment_updated", None),
    ],
)
def test_new_comment_without_an_author_is_by_who_did_it(event_key: str, author: str | None) -> None:
    (event,) = told(event_key, {"comment": {"id": 7}, "actor": {"account_id": "712001:zoe"}})
    assert event.signal_type is not None
    signal = ADAPTER.normalise(event.signal_type, event_key, event.payload)
    assert signal.fields.get("author") == author
    assert signal.canonical_keys["comment_id"] == "7"
