"""Teams' three roads: how each proves itself, the handshake, and what a notification or activity tells once."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from providers.adapters.msteams.adapter import TeamsAdapter
from providers.adapters.msteams.mapping import plain
from providers.adapters.msteams.webhook import TeamsWebhook
from providers.canonical import SignalType
from providers.errors import UnreadablePayload
from providers.redaction import redact
from providers.spi import ProviderEvent, WebhookRequest
from providers.verification import KeysUnavailable, SignatureRejected, verify

ADAPTER = TeamsAdapter()
WEBHOOK = TeamsWebhook()
SECRET = b"our-client-state"
CHANNEL = "19:harbor@thread.tacv2"
RESOURCE = f"teams('t1')/channels('{CHANNEL}')/messages('1767225600123')"

# The security token and the answer to it, made with the vendor's description of the header.
HMAC_TOKEN = b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
HMAC_BODY = '{"type":"message","id":"1767225600000","text":"<at>Bot</at> hello – ✅"}'.encode()
HMAC_PROOF = "HMAC Rd3i+uZc1Um0rQqVWVWgbgr6QbdRKykRc7QnceYsZck="


def request(body: Any, **query: str) -> WebhookRequest:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return WebhookRequest(headers={"content-type": "application/json"}, body=raw, query=query)


def note(change: str = "created", **more: Any) -> dict[str, Any]:
    data = {"id": "1767225600123", "@odata.type": "#Microsoft.Graph.chatMessage"}
    item = {"subscriptionId": "s1", "clientState": SECRET.decode(), "changeType": change, "resource": RESOURCE}
    return {**item, "resourceData": data, **more}


def notes(*items: Any) -> list[ProviderEvent]:
    return WEBHOOK.events(request({"value": list(items)}))


def activity(kind: str = "message", **more: Any) -> dict[str, Any]:
    where = {"id": CHANNEL, "conversationType": "channel"}
    body = {"type": kind, "id": "1767225600000", "timestamp": "2026-01-01T00:00:00Z", "conversation": where}
    return {**body, "from": {"aadObjectId": "zoe"}, "recipient": {"id": "28:bot"}, **more}


def told(**body: Any) -> list[ProviderEvent]:
    return WEBHOOK.events(request(activity(**body)))


def only(**body: Any) -> ProviderEvent:
    (event,) = told(**body)
    return event


# Proofs


def test_vector_of_an_outgoing_webhook_is_accepted() -> None:
    scheme = WEBHOOK.schemes["outgoing_webhook"]
    verified = verify(scheme, headers={"authorization": HMAC_PROOF}, body=HMAC_BODY, secrets=[HMAC_TOKEN])
    assert verified.fingerprint is not None


@pytest.mark.parametrize(
    ("proof", "secret"),
    [
        (HMAC_PROOF.removeprefix("HMAC "), HMAC_TOKEN),
        (HMAC_PROOF.replace("HMAC", "Bearer"), HMAC_TOKEN),
        (HMAC_PROOF.rstrip("="), HMAC_TOKEN),
        (HMAC_PROOF, HMAC_TOKEN[:-4]),
        (HMAC_PROOF, b"not base64!"),
    ],
)
def test_changed_vector_is_refused(proof: str, secret: bytes) -> None:
    with pytest.raises(SignatureRejected):
        verify(WEBHOOK.schemes["outgoing_webhook"], headers={"authorization": proof}, body=HMAC_BODY, secrets=[secret])


@pytest.mark.parametrize(
    "body",
    [
        {"value": [note(), note(clientState="another")]},
        {"value": [note(), note(clientState=None)]},
        {"value": [note(), {"changeType": "created"}]},
        {"value": []},
        {"value": {"clientState": SECRET.decode()}},
        {**activity(), "clientState": SECRET.decode()},
    ],
)
def test_every_notification_must_hold_our_secret(body: Any) -> None:
    scheme = WEBHOOK.schemes["graph"]
    good = orjson.dumps({"value": [note(), note("deleted")]})
    assert verify(scheme, headers={}, body=good, secrets=[SECRET]).secret_index == 0
    with pytest.raises(SignatureRejected):
        verify(scheme, headers={}, body=orjson.dumps(body), secrets=[SECRET])


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def check_bot(key: RSAPrivateKey, *, endorsements: list[str] | None = None, **claims: Any) -> None:
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    published = {
        "keys": [{**public, "kid": "k1", "endorsements": ["msteams"] if endorsements is None else endorsements}]
    }
    now = int(time.time())
    good = {"iss": "https://api.botframework.com", "aud": "app-1", "exp": now + 600, "nbf": now - 60}
    token = jwt.encode({**good, **claims}, key, algorithm="RS256", headers={"kid": "k1"})
    headers = {"authorization": f"Bearer {token}"}
    verify(WEBHOOK.schemes["bot"], headers=headers, body=b"{}", secrets=[b"app-1"], published_keys=published)


def test_bots_token_is_accepted_for_its_app_alone(key: RSAPrivateKey) -> None:
    check_bot(key)
    with pytest.raises(SignatureRejected):
        check_bot(key, aud="app-2")
    with pytest.raises(SignatureRejected):
        check_bot(key, iss="https://sts.windows.net/x/")
    with pytest.raises(SignatureRejected):
        check_bot(key, exp=int(time.time()) - 301)
    with pytest.raises(SignatureRejected):
        check_bot(key, endorsements=["webchat"])


def test_bots_token_is_no_refusal_while_keys_are_unknown(key: RSAPrivateKey) -> None:
    token = jwt.encode({}, key, algorithm="RS256", headers={"kid": "k2"})
    with pytest.raises(KeysUnavailable):
        verify(WEBHOOK.schemes["bot"], headers={"authorization": f"Bearer {token}"}, body=b"{}", secrets=[b"app-1"])


# Handshake and answers


def test_handshake_repeats_the_token_as_plain_text() -> None:
    token = "Validation: Testing <b>reachability</b> Request-Id: 7"
    reply = WEBHOOK.unsigned_handshake(replace(request(b"", validationToken=token), scheme="graph"))
    assert reply is not None
    assert (reply.status, reply.body) == (200, token.encode())
    assert reply.content_type.startswith("text/plain")


@pytest.mark.parametrize("query", [{}, {"validationToken": ""}, {"validationToken": "x" * 2001}, {"token": "x"}])
def test_nothing_else_is_a_handshake(query: dict[str, str]) -> None:
    assert WEBHOOK.unsigned_handshake(replace(request(b"", **query), scheme="graph")) is None


@pytest.mark.parametrize(("scheme", "body"), [("graph", b"{}"), ("bot", b""), ("outgoing_webhook", b"")])
def test_a_delivery_is_never_taken_for_a_handshake(scheme: str, body: bytes) -> None:
    asked = replace(request(body, validationToken="x"), scheme=scheme)
    assert WEBHOOK.unsigned_handshake(asked) is None


def test_outgoing_webhook_is_answered_with_a_message() -> None:
    reply = WEBHOOK.acknowledgement(WebhookRequest(headers={"authorization": HMAC_PROOF}, body=HMAC_BODY))
    assert reply is not None
    assert orjson.loads(reply.body)["type"] == "message"


def test_only_a_cards_button_of_a_bot_is_answered() -> None:
    reply = WEBHOOK.acknowledgement(request(activity("invoke", name="adaptiveCard/action")))
    assert reply is not None
    assert orjson.loads(reply.body)["statusCode"] == 200
    assert WEBHOOK.acknowledgement(request(activity(text="invoke"))) is None
    assert WEBHOOK.acknowledgement(request({"value": [note()]})) is None


# Notifications


def test_secret_and_ciphertext_are_not_kept() -> None:
    (event,) = notes(note(encryptedContent={"data": "x"}))
    stored = orjson.dumps(event.payload)
    assert SECRET not in stored
    assert b"encryptedContent" not in stored
    assert event.signal_type is SignalType.CHAT_MESSAGE


@pytest.mark.parametrize(
    ("resource", "channel", "message", "thread"),
    [
        (RESOURCE, CHANNEL, "1767225600123", None),
        (f"{RESOURCE}/replies('1767225600456')", CHANNEL, "1767225600456", "1767225600123"),
        ("chats('19:c@unq.gbl.spaces')/messages('7')", "19:c@unq.gbl.spaces", "7", None),
        ("/teams/t1/channels/19%3Aa%40thread.skype/messages/7", "19:a@thread.skype", "7", None),
        ("chats/19:a@thread.v2/messages", "19:a@thread.v2", "1767225600123", None),
        ("users('u1')", None, None, None),
    ],
)
def test_resource_names_the_place(resource: str, channel: str | None, message: str | None, thread: str | None) -> None:
    (event,) = notes(note(resource=resource))
    # As it is stored: chat ids look like addresses, and must survive what hides those.
    signal = ADAPTER.normalise(SignalType.CHAT_MESSAGE, event.event_type, redact(event.payload, emails=True))
    found = signal.fields
    assert (found.get("channel"), found.get("message_id"), found.get("thread_id")) == (channel, message, thread)


def test_new_message_is_as_old_as_its_id_says() -> None:
    created, deleted = notes(note(), note("deleted"))
    assert created.occurred_at is not None
    assert created.occurred_at.isoformat() == "2026-01-01T00:00:00.123000+00:00"
    assert deleted.occurred_at is None


def test_repetition_is_known_even_under_a_renewed_subscription() -> None:
    first, renewed = notes(note(), note(subscriptionExpirationDateTime="2026-01-06T00:00:00Z"))
    assert first.dedupe_key == renewed.dedupe_key
    other = notes(note(subscriptionId="s2"), note("deleted"), note(resource=RESOURCE.replace("123", "124")))
    assert len({first.dedupe_key, *(event.dedupe_key for event in other)}) == 4


def test_updates_are_told_apart_by_whatever_version_there_is() -> None:
    data = note()["resourceData"]
    versions = [note("updated", resourceData={**data, "lastModifiedDateTime": moment}) for moment in ("1", "2")]
    rich = [note("updated", encryptedContent={"data": data}) for data in ("1", "2")]
    plain_ones = [note("updated"), note("updated")]
    assert len({event.dedupe_key for event in notes(*versions, *rich, *plain_ones)}) == 5


def test_deleted_restored_and_deleted_again_is_two_deletions() -> None:
    later = note("deleted", subscriptionExpirationDateTime="2026-01-06T00:00:00Z")
    assert len({event.dedupe_key for event in notes(note("deleted"), note("deleted"), later)}) == 2


@pytest.mark.parametrize("word", ["reauthorizationRequired", "subscriptionRemoved", "missed"])
def test_lifecycle_says_what_to_do(word: str) -> None:
    (event,) = notes({"subscriptionId": "s1", "clientState": "x", "lifecycleEvent": word})
    assert (event.event_type, event.signal_type, event.credential_revoked) == (f"lifecycle.{word}", None, False)
    assert event.ignored_reason != "No canonical signal for this notification."


@pytest.mark.parametrize("items", [[7], [None], [note(), "x"], [{"changeType": "<b>"}], [{}]])
def test_what_is_no_notification_is_unreadable(items: list[Any]) -> None:
    with pytest.raises(UnreadablePayload):
        notes(*items)


# Activities

MENTION = {"type": "mention", "mentioned": {"id": "28:bot"}, "text": "<at>Bot</at>"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"text": "<at>Bot</at> hi", "entities": [MENTION]}, SignalType.CHAT_MENTION),
        ({"text": "<at>Bot</at> hi"}, SignalType.CHAT_MENTION),
        ({"text": "<at>Bot</at> hi", "recipient": None, "entities": [{"type": "clientInfo"}]}, SignalType.CHAT_MENTION),
        ({"text": "hi", "entities": [{"type": "clientInfo"}]}, SignalType.CHAT_MESSAGE),
        ({"text": "hi", "conversation": {"id": "a:1", "conversationType": "personal"}}, SignalType.CHAT_MESSAGE),
        ({"value": {"ship": "ferry"}}, SignalType.CHAT_ACTION),
    ],
)
def test_message_is_told_as_what_it_is(more: dict[str, Any], expected: SignalType) -> None:
    assert only(**more).signal_type is expected


def test_redelivered_message_is_known_and_each_edit_is_new() -> None:
    assert only(text="a").dedupe_key == only(text="a").dedupe_key
    edits = [only(kind="messageUpdate", text="b", timestamp=f"2026-01-01T00:00:0{n}Z") for n in (1, 2)]
    elsewhere = only(conversation={"id": "19:other@thread.tacv2"})
    assert len({event.dedupe_key for event in (only(text="a"), *edits, elsewhere)}) == 4


def test_each_reaction_and_member_becomes_an_event_with_only_itself() -> None:
    both = told(kind="messageReaction", reactionsAdded=[{"type": "heart"}], reactionsRemoved=[{"type": "like"}])
    assert [event.signal_type for event in both] == [SignalType.CHAT_REACTION_ADDED, SignalType.CHAT_REACTION_REMOVED]
    assert [("reactionsAdded" in e.payload, "reactionsRemoved" in e.payload) for e in both] == [
        (True, False),
        (False, True),
    ]
    people = told(kind="conversationUpdate", membersAdded=[{"id": "29:a"}, {"id": "28:bot"}, {"id": "29:b"}])
    assert [event.signal_type for event in people] == [
        *(SignalType.CHANNEL_MEMBER_JOINED, None, SignalType.CHANNEL_MEMBER_JOINED)
    ]
    assert len({event.dedupe_key for event in people}) == 3


def test_app_removed_from_one_team_ends_nothing() -> None:
    event = only(kind="conversationUpdate", membersRemoved=[{"id": "28:bot"}])
    assert (event.signal_type, event.credential_revoked) == (None, False)


@pytest.mark.parametrize("body", [{}, {"value": {}}, {"type": ""}, {"type": "<b>"}, {"type": {"a": 1}}])
def test_what_is_neither_is_unreadable(body: Any) -> None:
    with pytest.raises(UnreadablePayload):
        WEBHOOK.events(request(body))


@pytest.mark.parametrize(
    ("text", "addressed", "expected"),
    [
        ("<at>Bot</at>&nbsp;ask <at>Ann</at>", True, "ask Ann"),
        ("<at>Bot</at> <at>Bot</at> go", True, "go"),
        ("<at>Ann</at> lunch?", False, "Ann lunch?"),
        ("<at>Bot</at>", True, None),
        ("a < b", True, "a < b"),
        (None, True, None),
    ],
)
def test_text_loses_its_marks(text: str | None, addressed: bool, expected: str | None) -> None:
    assert plain(text, addressed=addressed) == expected
