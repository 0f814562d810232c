"""Any sender of the Standard Webhooks specification: its proofs, and how settings give its events a meaning."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jsonschema_rs
import orjson
import pytest
from standardwebhooks import Webhook as Reference
from svix.webhooks import Webhook as Svix

from providers.adapters.standard_webhooks.adapter import StandardWebhooksAdapter
from providers.canonical import Severity, Signal, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.errors import Misconfigured
from providers.outbound import OutboundPolicy
from providers.redaction import redact
from providers.spi import ProviderEvent, WebhookRequest
from providers.verification import SecretForm, SignatureRejected, key_of, new_secret, sign, verify
from webhooks.replay import WebhookReplayProtection

ADAPTER = StandardWebhooksAdapter()
SCHEMES = ADAPTER.webhook.schemes
STANDARD, SVIX, ED25519 = SCHEMES["standard"], SCHEMES["svix"], SCHEMES["ed25519"]

SECRET = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PUBLIC_KEY = b"whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
ID, TIME = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", "1674087231"
BODY = (
    b'{"type":"contact.created","timestamp":"2022-11-03T20:26:10.344522Z",'
    b'"data":{"id":"1f81eb52-5198-4599-803e-771906343485"}}'
)
V1 = "ARw42xaAApl/nxRo+iPGYwSaMQaOwMo2eyH5JBRA+bQ="
V1A = "LvaM/XV2eiveYbh3nDJB9CFU6SgUQsSFO7Nz5u3M+PUesso2vWw2zj6zoee2ijOae0RluTX9xaoEs9uSSJ/uDg=="


def signed(signature: str, *, family: str = "webhook", message: str = ID, time: str = TIME) -> dict[str, str]:
    return {f"{family}-id": message, f"{family}-timestamp": time, f"{family}-signature": signature}


def reason(scheme: Any, headers: dict[str, str], body: bytes = BODY, secret: bytes = SECRET) -> str:
    with pytest.raises(SignatureRejected) as caught:
        verify(scheme, headers=headers, body=body, secrets=[secret])
    return caught.value.reason


# Proof


def test_signature_of_the_reference_library_verifies() -> None:
    """UT-IA-01: computed with the library of the specification's authors."""
    verified = verify(STANDARD, headers=signed(f"v1,{V1}"), body=BODY, secrets=[SECRET])
    assert (verified.secret_index, verified.signed_at) == (0, datetime.fromtimestamp(int(TIME), tz=UTC))
    assert verified.fingerprint


def test_signature_under_the_other_header_names_verifies() -> None:
    """UT-IA-01: the example of a vendor's documentation, whose secret is shorter than the specification allows."""
    headers = signed(
        "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
        family="svix",
        message="msg_loFOjxBNrRLzqYUf",
        time="1731705121",
    )
    body = b'{"event_type":"ping","data":{"success":true}}'
    with_any_length = replace(SVIX, secret_form=SecretForm.BASE64)
    assert verify(with_any_length, headers=headers, body=body, secrets=[b"plJ3nmyCDGBKInavdOK15jsl"]).fingerprint
    assert reason(SVIX, headers, body, b"whsec_plJ3nmyCDGBKInavdOK15jsl") == "signature_mismatch"


@pytest.mark.parametrize(("scheme", "family", "library"), [(STANDARD, "webhook", Reference), (SVIX, "svix", Svix)])
@pytest.mark.parametrize("body", [BODY, b"{}", '{ "a" : "\u00e9" }\n'.encode()])
def test_what_the_libraries_of_senders_sign_is_accepted(scheme: Any, family: str, library: Any, body: bytes) -> None:
    """UT-IA-01."""
    signature = library(SECRET.decode()).sign(ID, datetime.fromtimestamp(int(TIME), tz=UTC), body.decode())
    assert verify(scheme, headers=signed(signature, family=family), body=body, secrets=[SECRET]).secret_index == 0


def test_asymmetric_signature_verifies() -> None:
    """UT-IA-01."""
    verified = verify(ED25519, headers=signed(f"v1a,{V1A}"), body=BODY, secrets=[b"whpk_AAAA", PUBLIC_KEY])
    assert verified.secret_index == 1
    assert reason(ED25519, signed(f"v1a,{V1A}"), BODY + b" ", PUBLIC_KEY) == "signature_mismatch"


@pytest.mark.parametrize(
    "signature",
    [
        f"v1,AAAA v1,{V1}",
        f"garbage v1,{V1}",
        f"v1,AAAA  v1,{V1}",
        f"v1a,AAAA v1,{V1}",
        f"v2,{V1} v1,{V1}",
        f"v1a,{V1A} v1,{V1}",
        f"v1,{V1} v1,AAAA v1,",
        " ".join([*["v1,AAAA"] * 15, f"v1,{V1}"]),
    ],
)
def test_good_signature_counts_wherever_it_stands_in_the_list(signature: str) -> None:
    assert verify(STANDARD, headers=signed(signature), body=BODY, secrets=[SECRET]).secret_index == 0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (signed(f"v2,{V1}"), "signature_malformed"),
        (signed(V1), "signature_malformed"),
        (signed(f"v1,{V1A}"), "signature_mismatch"),
        (signed(f"v1a,{V1}"), "signature_malformed"),
        (signed(f"v1,{V1}".lower()), "signature_mismatch"),
        (signed(f"v1,{V1.rstrip('=')}"), "signature_mismatch"),
        (signed(f"v1,{V1},{V1}"), "signature_mismatch"),
        (signed("v1,\u00e9"), "signature_mismatch"),
        (signed(""), "signature_missing"),
        (signed(f"v1,{V1}", time="1674087232"), "signature_mismatch"),
        (signed(f"v1,{V1}", time="1674087231.0"), "timestamp_malformed"),
        (signed(f"v1,{V1}", time="+1674087231"), "timestamp_malformed"),
        (signed(f"v1,{V1}", time=""), "timestamp_missing"),
        (signed(f"v1,{V1}", message=f"{ID}x"), "signature_mismatch"),
        (signed(f"v1,{V1}", message=""), "id_missing"),
        (signed(f"v1,{V1}", message="x" * 256), "id_malformed"),
        (signed(" ".join([*["v1,AAAA"] * 16, f"v1,{V1}"])), "signature_malformed"),
    ],
)
def test_anything_else_is_refused(headers: dict[str, str], expected: str) -> None:
    assert reason(STANDARD, headers) == expected


def test_changed_body_is_refused() -> None:
    assert reason(STANDARD, signed(f"v1,{V1}"), BODY + b" ") == "signature_mismatch"


def test_the_two_sets_of_headers_are_not_mixed() -> None:
    both = {**signed(f"v1,{V1}"), **signed("", family="svix")}
    assert reason(SVIX, both) == "signature_missing"
    assert reason(SVIX, signed(f"v1,{V1}")) == "signature_missing"
    assert reason(STANDARD, signed(f"v1,{V1}", family="svix")) == "signature_missing"


def test_door_for_one_algorithm_takes_no_other() -> None:
    assert reason(ED25519, signed(f"v1,{V1}"), secret=PUBLIC_KEY) == "signature_malformed"
    assert reason(STANDARD, signed(f"v1a,{V1A}")) == "signature_malformed"
    # The public key is no secret: a digest made with it must not open a symmetric door.
    assert reason(STANDARD, signed(f"v1,{V1}"), secret=PUBLIC_KEY) == "signature_mismatch"


@pytest.mark.parametrize(
    ("age", "valid"), [(0, True), (300, True), (301, False), (-60, True), (-61, False)]
)  # fmt: skip
def test_time_of_the_attempt_must_be_fresh(age: int, *, valid: bool) -> None:
    verified = verify(STANDARD, headers=signed(f"v1,{V1}"), body=BODY, secrets=[SECRET])
    assert verified.signed_at is not None
    judge = WebhookReplayProtection(timestamp_tolerance_seconds=ADAPTER.manifest.timestamp_tolerance_seconds)
    now = verified.signed_at + timedelta(seconds=age)
    assert judge.validate_webhook(UUID(int=1), signed_at=verified.signed_at, now=now).valid is valid


def test_secret_is_what_stands_behind_its_prefix_not_the_text() -> None:
    """UT-IA-01: the most common mistake of senders and receivers."""
    key = base64.b64decode(SECRET.removeprefix(b"whsec_"))
    assert key_of(SecretForm.WHSEC, SECRET) == key
    assert reason(STANDARD, signed(f"v1,{V1}"), secret=SECRET.removeprefix(b"whsec_")) == "signature_mismatch"


def test_secret_made_here_signs_as_a_sender_would() -> None:
    secret = new_secret(STANDARD.secret_form).encode()
    headers = sign(STANDARD, body=BODY, secret=secret, timestamp=int(TIME), identifier=ID)
    assert set(headers) == {"webhook-id", "webhook-timestamp", "webhook-signature"}
    assert verify(STANDARD, headers=headers, body=BODY, secrets=[secret]).secret_index == 0


def test_secrets_only_a_sender_can_make_are_pasted() -> None:
    assert ADAPTER.webhook.secret_from_provider == {"svix", "ed25519"}
    with pytest.raises(ValueError, match="comes from the provider"):
        new_secret(ED25519.secret_form)


# Events


def told(
    body: Any, settings: dict[str, Any] | None = None, headers: dict[str, str] | None = None, scheme: str = "standard"
) -> ProviderEvent:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    given = signed("v1,x") if headers is None else headers
    (event,) = ADAPTER.process_webhook(WebhookRequest(headers=given, body=raw, settings=settings or {}, scheme=scheme))
    return event


def mapped(body: Any, settings: dict[str, Any] | None = None) -> Signal:
    """The signal as it is made in service: from the stored, redacted payload alone."""
    event = told(body, settings)
    assert event.signal_type is not None
    stored = orjson.loads(orjson.dumps(redact(event.payload, emails=True)))
    return ADAPTER.normalise(event.signal_type, event.event_type, stored)


RULES = [
    {"type": "invoice.paid", "signal_type": "release_published"},
    {"type": "deploy.production.", "signal_type": "deployment_succeeded"},
    {"type": "deploy.*.failed", "signal_type": "deployment_failed"},
    {"type": "noise.*", "signal_type": None},
    {"type": "*.opened", "signal_type": "issue_created"},
    {"type": "deploy.*", "signal_type": "deployment_started"},
    {"type": "old", "signal_type": "signal_of_another_age"},
]


@pytest.mark.parametrize(
    ("event_type", "expected"),
    [
        ("invoice.paid", SignalType.RELEASE_PUBLISHED),
        ("invoice.paid.late", SignalType.EXTERNAL_EVENT_RECEIVED),
        ("deploy.production.failed", SignalType.DEPLOYMENT_SUCCEEDED),
        ("deploy.production", SignalType.DEPLOYMENT_STARTED),
        ("deploy.test.failed", SignalType.DEPLOYMENT_FAILED),
        ("deploy.failed", SignalType.DEPLOYMENT_STARTED),
        ("ticket.opened", SignalType.ISSUE_CREATED),
        ("noise.opened", None),
        ("Invoice.Paid", SignalType.EXTERNAL_EVENT_RECEIVED),
        ("old", SignalType.EXTERNAL_EVENT_RECEIVED),
        ("", SignalType.EXTERNAL_EVENT_RECEIVED),
    ],
)
def test_first_rule_that_fits_says_what_a_type_becomes(event_type: str, expected: SignalType | None) -> None:
    event = told({"type": event_type}, {"mapping": RULES})
    assert event.signal_type is expected
    assert bool(event.ignored_reason) == (expected is None)
    assert event.event_type == (event_type or "untyped")


def test_type_without_a_rule_is_told_with_its_own_word() -> None:
    signal = mapped({"type": "invoice.paid", "data": {"id": "inv_12", "status": "PAID", "title": "Invoice 12"}})
    assert signal.signal_type is SignalType.EXTERNAL_EVENT_RECEIVED
    assert signal.attributes == {"type": "invoice.paid"}
    assert (signal.fields, signal.canonical_keys) == ({"title": "Invoice 12", "state": "paid"}, {"entity_id": "inv_12"})


def test_pointers_of_the_connection_come_before_the_usual_places() -> None:
    settings = {
        "mapping": [{"type": "deploy.failed", "signal_type": "deployment_failed"}],
        "pointers": {
            "type": "/event/name",
            "occurred_at": "/at",
            "entity_id": "/deploy/no",
            "environment": "/deploy/target",
            "service": "/deploy/app~1name",
            "log_url": "/deploy/log",
            "severity": "/level",
            "actor": "/by",
            "commit": "/deploy/revision",
        },
    }
    body = {
        "event": {"name": "deploy.failed"},
        "at": 1772445600123,
        "deploy": {"no": 91, "target": "production", "app/name": "web", "log": "https://ci.acme.example/91"},
        "level": "ERROR",
        "by": "zoe",
        "type": "not.this",
        "data": {"id": "not this", "status": "failed", "commit": "nor this"},
    }
    event, signal = told(body, settings), mapped(body, settings)
    assert (event.event_type, event.ordering_key) == ("deploy.failed", "entity:91")
    assert signal.occurred_at == event.occurred_at == datetime(2026, 3, 2, 10, 0, 0, 123000, tzinfo=UTC)
    assert (signal.actor_id, signal.severity) == ("zoe", Severity.ERROR)
    resource = signal.resource
    assert (resource.environment, resource.service_name, resource.deployment_id) == ("production", "web", "91")
    assert resource.commit is None, "a pointer that finds nothing is no licence to read elsewhere"
    assert signal.fields == {"environment": "production", "state": "failed", "log_url": "https://ci.acme.example/91"}


@pytest.mark.parametrize(
    ("signal_type", "entity", "keys"),
    [
        ("issue_created", "ACME-7", {"entity_id": "ACME-7", "issue_key": "ACME-7"}),
        ("pr_opened", 12, {"entity_id": "12", "pr_number": 12}),
        ("pr_opened", "feature-12", {"entity_id": "feature-12"}),
        ("check_failed", "c1", {"entity_id": "c1", "run_id": "c1"}),
        ("page_created", 4, {"entity_id": "4", "page_id": "4"}),
        ("deployment_started", "d1", {"entity_id": "d1", "deployment_id": "d1"}),
    ],
)
def test_id_of_the_sender_gets_the_name_it_has_in_signals(signal_type: str, entity: Any, keys: dict[str, Any]) -> None:
    signal = mapped({"type": "x", "data": {"id": entity}}, {"mapping": [{"type": "x", "signal_type": signal_type}]})
    assert signal.canonical_keys == keys


def test_stored_event_maps_alike_after_the_settings_have_changed() -> None:
    settings = {"pointers": {"title": "/data/subject"}}
    event = told({"type": "mail.sent", "data": {"subject": "Hello", "title": "Other"}}, settings)
    assert event.signal_type is not None
    assert ADAPTER.normalise(event.signal_type, event.event_type, event.payload).fields["title"] == "Hello"


@pytest.mark.parametrize("name", ["draft", "labels", "run_number", "title"])
@pytest.mark.parametrize("value", [True, 7, "text", ["a", 1, None], {"a": 1}, None, 1e300])
def test_value_of_another_type_is_left_out(name: str, value: Any) -> None:
    carrier = "pipeline_started" if name == "run_number" else "pr_opened"
    settings = {"mapping": [{"type": "x", "signal_type": carrier}], "pointers": {name: "/v"}}
    found = mapped({"type": "x", "v": value}, settings).fields.get(name)
    expected = {"draft": bool, "labels": list, "run_number": int, "title": str}[name]
    assert found is None or type(found) is expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "The body is not valid JSON."),
        (b"hello", "The body is not valid JSON."),
        (b"\xff\xfe\x00", "The body is not valid JSON."),
        (b"[1,2]", "The body is valid JSON but not an object."),
        (b"null", "The body is valid JSON but not an object."),
    ],
)
def test_body_that_is_no_object_is_kept_as_ignored_since_it_was_signed(body: bytes, expected: str) -> None:
    event = told(body)
    assert (event.signal_type, event.ignored_reason) == (None, expected)
    assert event.dedupe_key == f"message:{ID}"
    assert event.payload == {"body_bytes": len(body)}, "what has no names cannot be redacted"


def test_message_id_makes_a_retry_a_repetition() -> None:
    first = told({"type": "a.b", "data": {}}, headers=signed("v1,x"))
    retry = told({"type": "a.b", "data": {}}, headers=signed("v1,y", time="1674090000"))
    assert first.dedupe_key == retry.dedupe_key == f"message:{ID}"
    assert first.correlation_id == ID


def test_id_and_time_are_those_of_the_headers_that_were_signed() -> None:
    svix = signed("v1,x", family="svix", message="msg_1")
    unsigned = signed("v1,x", message="msg_2", time="1674090000")
    event = told({"type": "a.b"}, headers=unsigned | svix, scheme="svix")
    assert (event.dedupe_key, event.occurred_at) == ("message:msg_1", datetime.fromtimestamp(int(TIME), tz=UTC))
    assert told({"type": "a.b"}, headers=svix | unsigned).dedupe_key == "message:msg_2"


def test_long_id_is_shortened_without_meeting_another() -> None:
    one, other = (told({"type": "a.b"}, headers=signed("v1,x", message="m" * length)) for length in (200, 201))
    assert len(one.dedupe_key) <= 200
    assert one.dedupe_key != other.dedupe_key


def test_event_without_a_time_has_that_of_its_attempt() -> None:
    assert mapped({"type": "a.b"}).occurred_at == datetime.fromtimestamp(int(TIME), tz=UTC)
    assert mapped({"type": "a.b", "timestamp": "no time"}).occurred_at == datetime.fromtimestamp(int(TIME), tz=UTC)


# A connection that only receives


def test_there_is_nothing_to_call_and_the_words_say_so() -> None:
    with pytest.raises(Misconfigured, match="only receives"):
        ADAPTER.client_config({}, {}, "1.0.0")
    with (
        ProviderClient(ClientConfig(base_url="http://127.0.0.1:1"), OutboundPolicy.parse(["127.0.0.1"])) as client,
        pytest.raises(Misconfigured, match="only receives"),
    ):
        ADAPTER.verify(client)
    assert ADAPTER.capabilities() == {"webhook": True, "polling": False, "outbound_actions": False}


@pytest.mark.parametrize(
    ("settings", "good"),
    [
        ({}, True),
        ({"mapping": RULES[:6], "pointers": {"title": "/data/subject", "labels": "/a~1b/0"}}, True),
        ({"mapping": [{"type": "a.b", "signal_type": "no_such_signal"}]}, False),
        ({"mapping": [{"type": "a.*.*", "signal_type": "push"}]}, False),
        ({"mapping": [{"type": "", "signal_type": "push"}]}, False),
        ({"mapping": [{"type": "a b", "signal_type": "push"}]}, False),
        ({"mapping": [{"type": "a.b"}]}, False),
        ({"pointers": {"title": "data/subject"}}, False),
        ({"pointers": {"title": "/data~2"}}, False),
        ({"pointers": {"tenant": "/data"}}, False),
        ({"secret": "whsec_x"}, False),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], *, good: bool) -> None:
    assert jsonschema_rs.Draft202012Validator(ADAPTER.settings_schema).is_valid(settings) is good


def test_there_is_no_credential_to_give() -> None:
    validator = jsonschema_rs.Draft202012Validator(ADAPTER.credential_schema)
    assert validator.is_valid({})
    assert not validator.is_valid({"token": "x"})
