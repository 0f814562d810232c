"""Slack's webhooks: the vendor's signature, forms, mentions told twice, and whose a delivery is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from providers.adapters.slack.mrkdwn import plain
from providers.adapters.slack.webhook import SlackWebhook
from providers.canonical import SignalType
from providers.document import Document
from providers.errors import UnreadablePayload
from providers.spi import TEST_DELIVERY, ProviderEvent, WebhookRequest
from providers.verification import SignatureRejected, sign, verify

WEBHOOK = SlackWebhook()
SCHEME = WEBHOOK.schemes["signing_secret"]
FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}
BOT = {"team_id": "T1HARBOR", "user_id": "U1BOT", "is_bot": True, "is_enterprise_install": False}

# The example of the vendor's page on verifying requests, and one made with its own library.
COMMAND = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
MESSAGE = (
    b'{"type":"event_callback","team_id":"T0001","api_app_id":"A0001","event":{"type":"message","channel":"C0001",'
    b'"user":"U0001","text":"hello","ts":"1767225600.000100"},"event_id":"Ev0001","event_time":1767225600}'
)
VECTORS = [
    pytest.param(
        b"8f742231b10e8888abcd99yyyzzz85a5",
        "1531420618",
        COMMAND,
        "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        id="command",
    ),
    pytest.param(
        b"slack-signing-secret",
        "1767225600",
        MESSAGE,
        "v0=cb01ce84985cd15f083b60c4e873467e424a5421746e2a7f0029dde5439087dc",
        id="event",
    ),
]


@pytest.mark.parametrize(("secret", "stamp", "body", "signature"), VECTORS)
def test_vectors_are_accepted_with_their_time(secret: bytes, stamp: str, body: bytes, signature: str) -> None:
    headers = {"x-slack-signature": signature, "x-slack-request-timestamp": stamp}
    verified = verify(SCHEME, headers=headers, body=body, secrets=[secret])
    assert verified.signed_at == datetime.fromtimestamp(int(stamp), tz=UTC)
    assert sign(SCHEME, body=body, secret=secret, timestamp=int(stamp)) == headers


@pytest.mark.parametrize(("secret", "stamp", "body", "signature"), VECTORS)
@pytest.mark.parametrize(
    "change",
    [
        {"x-slack-request-timestamp": "1767225601"},
        {"x-slack-request-timestamp": "now"},
        {"x-slack-request-timestamp": ""},
        {"x-slack-signature": "v1=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"},
        {"x-slack-signature": "é"},
        {"x-slack-signature": ""},
    ],
)
def test_changed_vectors_are_refused(
    secret: bytes, stamp: str, body: bytes, signature: str, change: dict[str, str]
) -> None:
    headers = {"x-slack-signature": signature, "x-slack-request-timestamp": stamp, **change}
    with pytest.raises(SignatureRejected):
        verify(SCHEME, headers=headers, body=body, secrets=[secret])


def request(body: Any, headers: dict[str, str] | None = None) -> WebhookRequest:
    return WebhookRequest(headers=headers or JSON, body=body if isinstance(body, bytes) else orjson.dumps(body))


def envelope(event: dict[str, Any], **more: Any) -> dict[str, Any]:
    outer = {"type": "event_callback", "team_id": "T1HARBOR", "api_app_id": "A1LANTERN", "event_id": "Ev1"}
    return {**outer, "authorizations": [BOT], "event": event, **more}


def posted(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "message", "channel": "C1", "user": "U1ZOE", "ts": "1767225600.000100", "text": text, **more}


def deleted(**message: Any) -> dict[str, Any]:
    return {"type": "message", "subtype": "message_deleted", "channel": "C1", "previous_message": message}


def only(body: Any, headers: dict[str, str] | None = None) -> ProviderEvent:
    (event,) = WEBHOOK.events(request(body, headers))
    return event


def test_handshake_is_answered_and_nothing_else_is_taken_for_one() -> None:
    reply = WEBHOOK.handshake(request({"type": "url_verification", "challenge": "c1", "token": "t"}))
    assert reply is not None
    assert (reply.status, orjson.loads(reply.body)) == (200, {"challenge": "c1"})
    assert WEBHOOK.handshake(request(envelope(posted("url_verification"), challenge="c1"))) is None
    assert WEBHOOK.handshake(request({"type": "url_verification"})) is None


def test_command_is_read_out_of_its_form() -> None:
    event = only(COMMAND, FORM)
    assert (event.event_type, event.signal_type) == ("slash_command", SignalType.CHAT_COMMAND)
    assert event.payload["command"] == "/webhook-collect"
    assert event.dedupe_key.endswith("398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c")


def test_interaction_is_read_out_of_the_forms_field() -> None:
    inner = {"type": "block_actions", "trigger_id": "1.2.x", "actions": [{"action_id": "go"}], "team": {"id": "T1"}}
    event = only(urlencode({"payload": orjson.dumps(inner)}).encode(), FORM)
    assert (event.event_type, event.signal_type) == ("block_actions", SignalType.CHAT_ACTION)
    assert event.payload == inner


def test_addresses_for_replying_are_not_kept() -> None:
    event = only(COMMAND, FORM)
    assert b"hooks.slack.com" not in orjson.dumps(event.payload)
    modal = {"type": "view_submission", "trigger_id": "1.2.x", "response_urls": [{"response_url": "https://x.example"}]}
    assert "response_urls" not in only(modal).payload


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"command", b"command=/a&command=/b", b"text=hello", b"payload=7", b"payload={", b"\xff=1"),
        urlencode({f"f{n}": "x" for n in range(60)}).encode(),
    ],
)
def test_forms_that_are_none_of_these_are_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadablePayload):
        WEBHOOK.events(request(body, FORM))


def test_only_a_command_or_interaction_gets_an_empty_answer() -> None:
    reply = WEBHOOK.acknowledgement(request(COMMAND, FORM))
    assert reply is not None
    assert reply.body == b""
    assert WEBHOOK.acknowledgement(request(MESSAGE)) is None


def test_certificate_check_is_a_test_delivery() -> None:
    event = only(b"ssl_check=1&token=t", FORM)
    assert (event.signal_type, event.ignored_reason) == (None, TEST_DELIVERY)


def test_event_that_names_itself_as_a_whole_body_is_unreadable() -> None:
    with pytest.raises(UnreadablePayload):
        WEBHOOK.events(request({"type": "app_mention", "user": "U1"}))


@pytest.mark.parametrize("text", ["<@U1BOT> deploy", "please <@U1BOT|bot>, deploy"])
def test_mention_told_twice_is_one_mention_whichever_comes_first(text: str) -> None:
    message = only(envelope(posted(text, channel_type="channel"), event_id="Ev1"))
    mention = only(envelope(posted(text, type="app_mention"), event_id="Ev2"))
    assert message.signal_type is mention.signal_type is SignalType.CHAT_MENTION
    assert message.dedupe_key == mention.dedupe_key


def test_mention_of_somebody_else_or_in_a_direct_message_is_a_message() -> None:
    assert only(envelope(posted("<@U1ZOE> hi"))).signal_type is SignalType.CHAT_MESSAGE
    assert only(envelope(posted("<@U1BOT> hi", channel_type="im"))).signal_type is SignalType.CHAT_MESSAGE


def test_same_words_at_another_moment_are_another_message() -> None:
    first, second = (
        only(envelope(posted("hi", ts=ts))).dedupe_key for ts in ("1767225600.000100", "1767225600.000101")
    )
    assert first != second


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(posted("hi", user="U1BOT"), id="by its user"),
        pytest.param(posted("hi", user="U9", app_id="A1LANTERN"), id="by its app"),
        pytest.param(posted("hi", bot_profile={"app_id": "A1LANTERN"}), id="by its profile"),
        pytest.param(deleted(user="U1BOT"), id="its message deleted"),
        pytest.param(deleted(user="U9", app_id="A1LANTERN"), id="its app's message deleted"),
        pytest.param({"type": "reaction_added", "user": "U1BOT", "item": {"type": "message"}}, id="a reaction"),
    ],
)
def test_what_the_app_does_itself_is_not_told_again(event: dict[str, Any]) -> None:
    told = only(envelope(event))
    assert told.signal_type is None
    assert "itself" in told.ignored_reason


def test_message_of_another_app_is_told() -> None:
    event = posted("green", user="U9", app_id="A9OTHER", bot_id="B9")
    assert only(envelope(event)).signal_type is SignalType.CHAT_MESSAGE


def test_the_app_joining_a_channel_is_told() -> None:
    event = {"type": "member_joined_channel", "user": "U1BOT", "channel": "C1"}
    assert only(envelope(event)).signal_type is SignalType.CHANNEL_MEMBER_JOINED


def routes(**body: Any) -> set[str]:
    return set(WEBHOOK.routes(request(body)))


def test_event_belongs_to_every_bot_it_is_authorised_for() -> None:
    other = {**BOT, "team_id": "T2MARINA", "user_id": "U2BOT"}
    assert set(WEBHOOK.routes(request(envelope(posted("hi"), authorizations=[BOT, other])))) == {
        *("T1HARBOR:U1BOT", "A1LANTERN:T1HARBOR", "T2MARINA:U2BOT", "A1LANTERN:T2MARINA")
    }


def test_authorisation_of_a_person_is_no_route() -> None:
    person = {**BOT, "user_id": "U1ZOE", "is_bot": False}
    assert WEBHOOK.routes(request(envelope(posted("hi"), authorizations=[person]))) == []


def test_event_authorised_for_one_workspace_is_not_for_the_one_it_happened_in() -> None:
    told = envelope(posted("hi"), team_id="T9FRIEND", context_team_id="T9FRIEND")
    assert not any("T9FRIEND" in route for route in WEBHOOK.routes(request(told)))


def test_command_and_interaction_belong_to_the_app_in_its_workspace() -> None:
    form = urlencode({"command": "/x", "team_id": "T1", "api_app_id": "A1", "enterprise_id": "E1"}).encode()
    assert WEBHOOK.routes(request(form, FORM)) == ["A1:T1"]
    assert routes(type="block_actions", team={"id": "T1"}, api_app_id="A1") == {"A1:T1"}


def test_app_of_a_whole_organisation_is_found_by_it() -> None:
    whole = {**BOT, "enterprise_id": "E1", "is_enterprise_install": True}
    found = WEBHOOK.routes(request(envelope(posted("hi"), authorizations=[whole])))
    assert {"E1:U1BOT", "A1LANTERN:E1", "T1HARBOR:U1BOT"} <= set(found)
    form = urlencode({"command": "/x", "enterprise_id": "E1", "api_app_id": "A1", "is_enterprise_install": "true"})
    assert WEBHOOK.routes(request(form.encode(), FORM)) == ["A1:E1"]


@pytest.mark.parametrize("bad", ["", "T1:U1", "t1harbor", "T1 HARBOR", None, 7, ["T1"], "T" * 60])
def test_what_is_no_id_makes_no_route(bad: Any) -> None:
    assert routes(type="block_actions", team={"id": bad}, api_app_id="A1") == set()
    assert routes(type="event_callback", authorizations=[{**BOT, "team_id": bad}], api_app_id="A1") == set()


@pytest.mark.parametrize(
    ("event", "ended"),
    [
        ({"type": "app_uninstalled"}, True),
        ({"type": "tokens_revoked", "tokens": {"bot": ["U1BOT"]}}, True),
        ({"type": "tokens_revoked", "tokens": {"oauth": ["U1ZOE"], "bot": []}}, False),
        ({"type": "tokens_revoked", "tokens": {"bot": "U1BOT"}}, False),
        (posted("app_uninstalled"), False),
    ],
)
def test_authorisation_ends_with_the_bots_token(event: dict[str, Any], ended: bool) -> None:
    assert only(envelope(event, authorizations=[])).credential_revoked is ended


def test_revoked_token_finds_its_connection_without_any_authorisation_left() -> None:
    event = {"type": "tokens_revoked", "tokens": {"bot": ["U1BOT"]}}
    assert set(WEBHOOK.routes(request(envelope(event, authorizations=[])))) == {"T1HARBOR:U1BOT", "A1LANTERN:T1HARBOR"}


def test_time_is_read_to_the_microsecond() -> None:
    event = only(envelope(posted("hi", ts="1767225600.000001", event_ts="1767225600.000001")))
    assert event.occurred_at == datetime(2026, 1, 1, microsecond=1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a &lt;b&gt; &amp;amp; c", "a <b> &amp; c"),
        ("<https://x.example/a?b=1&amp;c=2|this>", "this (https://x.example/a?b=1&c=2)"),
        ("<https://x.example>", "https://x.example"),
        ("<mailto:zoe@x.example|zoe@x.example>", "zoe@x.example"),
        ("<@U1> in <#C1|general>, <#C2>", "@U1 in #general, #C2"),
        ("<!here> <!subteam^S1|@devs> <!date^1^{date}|today>", "@here @devs today"),
        ("1 < 2 <unclosed", "1 < 2 <unclosed"),
        ("", None),
    ],
)
def test_text_is_made_plain(text: str, expected: str | None) -> None:
    assert plain(text) == expected


def test_correlation_is_the_events_own_id() -> None:
    assert only(envelope(posted("hi"))).correlation_id == "Ev1"
    assert Document(only(COMMAND, FORM).payload).text("/trigger_id") == only(COMMAND, FORM).correlation_id


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (posted("hi"), "message:C1:1767225600.000100"),
        (
            {"type": "reaction_added", "user": "U1", "item": {"type": "message", "channel": "C1", "ts": "7"}},
            "message:C1:7",
        ),
        ({"type": "member_left_channel", "user": "U1", "channel": "C1"}, "channel:C1"),
        ({"type": "channel_archive", "channel": "C1"}, "channel:C1"),
        ({"type": "file_shared", "channel_id": "C1", "file_id": "F1"}, ""),
        ({"type": "user_change", "channel": "C1"}, ""),
    ],
)
def test_order_is_kept_within_a_message_or_channel(event: dict[str, Any], expected: str) -> None:
    assert only(envelope(event)).ordering_key == expected


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"authorizations": None, "authed_users": ["U1BOT"]}, SignalType.CHAT_MENTION),
        ({"authorizations": None, "authed_users": ["U2RAVI"]}, SignalType.CHAT_MESSAGE),
        # Newer events may name both, and the older list may hold people.
        ({"authorizations": [BOT], "authed_users": ["U2RAVI"]}, SignalType.CHAT_MENTION),
    ],
)
def test_older_event_names_the_app_in_another_place(named: dict[str, Any], expected: SignalType) -> None:
    assert only(envelope(posted("<@U1BOT> hello"), **named)).signal_type == expected


def test_whoever_installed_the_app_is_not_the_app() -> None:
    event = only(envelope(posted("hello"), authorizations=None, authed_users=["U1ZOE"]))
    assert event.signal_type == SignalType.CHAT_MESSAGE
