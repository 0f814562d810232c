"""Signatures other people computed: published by vendors, or made with their libraries. Named by their shape.

Each is accepted as it is, and refused with any part of it changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from providers.verification import (
    BasicScheme,
    Ed25519Scheme,
    Field,
    Header,
    HmacScheme,
    Scheme,
    SecretForm,
    SharedTokenScheme,
    SignatureRejected,
    verify,
)

SIGNATURE = Header(name="x-signature")
PREFIXED = HmacScheme(signature=Header(name="x-signature", prefix="sha256="))
BARE = HmacScheme(signature=SIGNATURE)
VERSIONS = HmacScheme(signature=Header(name="x-signature", prefix="v1=", separator=","))
SHA512 = HmacScheme(signature=SIGNATURE, algorithm="sha512")
BASE64 = HmacScheme(signature=SIGNATURE, encoding="base64")
AUTHORIZATION = HmacScheme(
    signature=Header(name="authorization", prefix="HMAC "), encoding="base64", secret_form=SecretForm.BASE64
)
VERSION_IN_TEXT = HmacScheme(
    signature=Header(name="x-signature", prefix="v0="),
    template="v0:{timestamp}:{body}",
    timestamp=Header(name="x-timestamp"),
)
COLON = HmacScheme(signature=SIGNATURE, template="{timestamp}:{body}", timestamp=Header(name="x-timestamp"))
ONE_HEADER = HmacScheme(
    signature=Header(name="x-signature", prefix="v1=", separator=","),
    template="{timestamp}.{body}",
    timestamp=Header(name="x-signature", prefix="t=", separator=","),
)
ONE_HEADER_LONG_NAMES = HmacScheme(
    signature=Header(name="x-signature", prefix="signature=", separator=","),
    template="{timestamp}.{body}",
    timestamp=Header(name="x-signature", prefix="timestamp=", separator=","),
)
STANDARD = HmacScheme(
    signature=Header(name="webhook-signature", prefix="v1,", separator=" "),
    encoding="base64",
    template="{id}.{timestamp}.{body}",
    timestamp=Header(name="webhook-timestamp"),
    id=Header(name="webhook-id"),
    secret_form=SecretForm.WHSEC,
)
STANDARD_ASYMMETRIC = Ed25519Scheme(
    signature=Header(name="webhook-signature", prefix="v1a,", separator=" "),
    template="{id}.{timestamp}.{body}",
    timestamp=Header(name="webhook-timestamp"),
    id=Header(name="webhook-id"),
)
INSIDE_THE_BODY = HmacScheme(
    signature=Field(pointer="/signature/signature"),
    template="{timestamp}{id}",
    timestamp=Field(pointer="/signature/timestamp"),
    id=Field(pointer="/signature/token"),
)
FIELD_TOKEN = SharedTokenScheme(token=Field(pointer="/value/*/clientState"))


@dataclass(frozen=True)
class Vector:
    scheme: Scheme
    secret: str
    body: bytes
    headers: Mapping[str, str]

    def accepted(self) -> bool:
        try:
            verify(self.scheme, headers=self.headers, body=self.body, secrets=[self.secret.encode()])
        except SignatureRejected:
            return False
        return True


def standard(identifier: str, timestamp: str, signature: str) -> dict[str, str]:
    return {"webhook-id": identifier, "webhook-timestamp": timestamp, "webhook-signature": signature}


HELLO = b"Hello, World!"
DEMO = b'{"event":"demo","n":1}'
CONTACT = (
    b'{"type":"contact.created","timestamp":"2022-11-03T20:26:10.344522Z",'
    b'"data":{"id":"1f81eb52-5198-4599-803e-771906343485"}}'
)
CONTACT_ID, CONTACT_TIME = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", "1674087231"
GOOD = "v1,ARw42xaAApl/nxRo+iPGYwSaMQaOwMo2eyH5JBRA+bQ="
GOOD_ASYMMETRIC = "v1a,LvaM/XV2eiveYbh3nDJB9CFU6SgUQsSFO7Nz5u3M+PUesso2vWw2zj6zoee2ijOae0RluTX9xaoEs9uSSJ/uDg=="
COMMAND_FORM = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
CALLBACK = (
    b'{"type":"event_callback","team_id":"T0001","api_app_id":"A0001","event":{"type":"message","channel":"C0001",'
    b'"user":"U0001","text":"hello","ts":"1767225600.000100"},"event_id":"Ev0001","event_time":1767225600}'
)
ISSUE = (
    b'{"action":"create","type":"Issue","data":{"id":"2174add1-f7c8-44e3-bbf3-2d60b5ea8bc9","identifier":"ENG-1",'
    b'"title":"Demo"},"organizationId":"9c9f0b1e-0000-4000-8000-000000000001","webhookTimestamp":1767225600000,'
    b'"webhookId":"000042e3-d123-4980-b49f-8e140eef9329"}'
)
ALERT = b'{"receiver":"hook","status":"firing"}'
CREATED = b'{"action":"created","data":{"issue":{"id":"100"}}}'
INSIDE = (
    b'{"signature":{"timestamp":"1529006854","token":"a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0",'
    b'"signature":"13419fb6afd047225d098b7f6b002a4f061022ad3bc2e9b153326308345dcfa0"},"event-data":{"event":"opened"}}'
)

VECTORS = {
    "prefixed hex": Vector(
        PREFIXED,
        "It's a Secret to Everybody",
        HELLO,
        {"x-signature": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
    ),
    "prefixed hex, no comma": Vector(
        PREFIXED,
        "It's a Secret to Everybody",
        b"Hello World!",
        {"x-signature": "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"},
    ),
    "prefixed hex, utf-8": Vector(
        PREFIXED,
        "gh-test-secret",
        '{"action":"opened","number":7,"repository":{"full_name":"acme/web"},"sender":{"login":"zoë"}}'.encode(),
        {"x-signature": "sha256=6135918482e25dfd9be35dab7d1a5a02afc8870ee814d84625ee8e369deb78ee"},
    ),
    "prefixed hex, pushed": Vector(
        PREFIXED,
        "bb-test-secret",
        b'{"push":{"changes":[]},"repository":{"full_name":"acme/web"}}',
        {"x-signature": "sha256=dd0092c902f39d343529c2b35137a6b0c93c88caa692e1d9a4404b70fa9e949c"},
    ),
    "prefixed hex, generic": Vector(
        PREFIXED,
        "generic-secret",
        DEMO,
        {"x-signature": "sha256=39388a0f070d1448910b6d009ca30b2629f481388e87f46d63558059ff958e7b"},
    ),
    "base64, generic": Vector(
        BASE64, "generic-secret", DEMO, {"x-signature": "OTiKDwcNFEiRC20AnKMLJin0gTiOh/RtY1WAWf+Vjns="}
    ),
    "bare hex": Vector(
        BARE,
        "sentry-client-secret",
        CREATED,
        {"x-signature": "cacea8cf7f3c29c373ee75bae6e930a82b246b22d5783dacf543e8384ad27ff1"},
    ),
    "bare hex, empty body": Vector(
        BARE,
        "sentry-client-secret",
        b"",
        {"x-signature": "f9abfcb63ccbfb93c69cf6144f8ba2260d542dc5aa75b415c7de75f78de1ed03"},
    ),
    "bare hex, alert": Vector(
        BARE,
        "grafana-hmac",
        ALERT,
        {"x-signature": "93dbf0b68ad6be0cc0c821b6f5babccedf9056ea182d439a845326ec64c7f80f"},
    ),
    "bare hex, time in the body": Vector(
        BARE,
        "lin_wh_test_secret",
        ISSUE,
        {"x-signature": "f9999de19d7de65ea5a79491d38a2a4934d4e93d8beba4b738698f322f2841b2"},
    ),
    "list of versions": Vector(
        VERSIONS,
        "secret",
        b"hello world",
        {"x-signature": "v1=734cc62f32841568f45715aeb9f4d7891324e6d948e4c6c60c0621cdac48623a"},
    ),
    "base64 key in authorization": Vector(
        AUTHORIZATION,
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        '{"type":"message","id":"1767225600000","text":"<at>Bot</at> hello – ✅"}'.encode(),
        {"authorization": "HMAC Rd3i+uZc1Um0rQqVWVWgbgr6QbdRKykRc7QnceYsZck="},
    ),
    "version, time and form": Vector(
        VERSION_IN_TEXT,
        "8f742231b10e8888abcd99yyyzzz85a5",
        COMMAND_FORM,
        {
            "x-timestamp": "1531420618",
            "x-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
    ),
    "version, time and JSON": Vector(
        VERSION_IN_TEXT,
        "slack-signing-secret",
        CALLBACK,
        {
            "x-timestamp": "1767225600",
            "x-signature": "v0=cb01ce84985cd15f083b60c4e873467e424a5421746e2a7f0029dde5439087dc",
        },
    ),
    "time and colon": Vector(
        COLON,
        "grafana-hmac",
        ALERT,
        {
            "x-timestamp": "1762300800",
            "x-signature": "d11e9087c33d73ea3221f75bd612d7a35a9078cb8f30f2bf77f9d07b46a1c09b",
        },
    ),
    "all in one header": Vector(
        ONE_HEADER,
        "generic-secret",
        DEMO,
        {"x-signature": "t=1735689600,v1=1a83adf9ebafa159f2514ab2a3694788eb2b30a3d344423e7670217910bf7d6f"},
    ),
    "all in one header, long names": Vector(
        ONE_HEADER_LONG_NAMES,
        "bk-webhook-token",
        b'{"event":"ping","service":{"id":"s1"}}',
        {
            "x-signature": "timestamp=1619071700,"
            "signature=9a595d451b044bf209a0222c01e9e407768a7ca13e939e66936faaec6fcf0b03"
        },
    ),
    "id, time, body": Vector(
        STANDARD, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", CONTACT, standard(CONTACT_ID, CONTACT_TIME, GOOD)
    ),
    "id, time, utf-8 body": Vector(
        STANDARD,
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        '{"object_kind":"push","ref":"refs/heads/main","user_username":"zoë"}'.encode(),
        standard(
            "f5e5f430-f57b-4e6e-9fac-d9128cd7232f", "1795392000", "v1,wihx5DoXF6OarGrrWIdOh0M/2e9dW8NBfcbA2nTeicA="
        ),
    ),
    # The documented secret has 18 bytes, fewer than the specification asks for; the arithmetic is the same.
    "id, time, body, short key": Vector(
        replace(STANDARD, secret_form=SecretForm.BASE64),
        "plJ3nmyCDGBKInavdOK15jsl",
        b'{"event_type":"ping","data":{"success":true}}',
        standard("msg_loFOjxBNrRLzqYUf", "1731705121", "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="),
    ),
    "id, time, body, asymmetric": Vector(
        STANDARD_ASYMMETRIC,
        "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
        CONTACT,
        standard(CONTACT_ID, CONTACT_TIME, GOOD_ASYMMETRIC),
    ),
    "inside the body": Vector(INSIDE_THE_BODY, "mg-signing-key", INSIDE, {}),
    "inside the body, time as a number": Vector(
        INSIDE_THE_BODY, "mg-signing-key", INSIDE.replace(b'"1529006854"', b"1529006854"), {}
    ),
    "user and password": Vector(
        BasicScheme(), "signals:pm-pass", b"{}", {"authorization": "Basic c2lnbmFsczpwbS1wYXNz"}
    ),
    "token in every item": Vector(
        FIELD_TOKEN, "state-of-ours", b'{"value":[{"clientState":"state-of-ours"},{"clientState":"state-of-ours"}]}', {}
    ),
}
each_vector = pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS.keys())


@each_vector
def test_it_is_accepted(vector: Vector) -> None:
    """UT-IA-01"""
    assert vector.accepted()


@each_vector
def test_it_is_refused_with_another_secret(vector: Vector) -> None:
    """UT-IA-01"""
    secret = vector.secret
    for other in (secret.swapcase(), secret + "A", secret[:-2], secret[::-1], ""):
        assert not replace(vector, secret=other).accepted()


@pytest.mark.parametrize("vector", [pytest.param(v, id=name) for name, v in VECTORS.items() if v.scheme.covers_body])
def test_it_is_refused_with_another_body(vector: Vector) -> None:
    """UT-IA-01"""
    for body in (vector.body + b" ", vector.body + b"\n", vector.body[1:] + b"x", vector.body.upper() + b"x", b"[]"):
        assert not replace(vector, body=body).accepted()


@each_vector
def test_it_is_refused_with_any_header_changed(vector: Vector) -> None:
    for name, value in vector.headers.items():
        for index in range(len(value)):
            other = "0" if value[index] != "0" else "1"
            changed = {**vector.headers, name: value[:index] + other + value[index + 1 :]}
            # The word before credentials is the only part without letter case; a digit is no spelling of it.
            assert not replace(vector, headers=changed).accepted(), changed
        without = {other: text for other, text in vector.headers.items() if other != name}
        assert not replace(vector, headers=without).accepted()


def test_a_body_parsed_and_written_again_is_another_body() -> None:
    """The digest of what ``json.dumps`` makes of it must not open the door for what arrived."""
    vector = VECTORS["bare hex"]
    trap = {"x-signature": "cfd66d1156ae79015945edc0449ada2240a8b5a0c8161f478fdd3cc6a5fed1c8"}
    assert not replace(vector, headers=trap).accepted()
    assert replace(vector, headers=trap, body=json.dumps(json.loads(CREATED)).encode()).accepted()


def test_a_weak_digest_is_no_way_in() -> None:
    """The SHA-1 of the same body and secret, under its own and under the accepted name."""
    vector = VECTORS["prefixed hex, generic"]
    for value in ("sha1=", "sha256=", ""):
        headers = {"x-signature": value + "c297b32aecfb3ba5c4b5d03b3b2b8649659dc6bb"}
        assert not replace(vector, headers=headers).accepted()


BESIDE = (
    f"v1,AAAA {GOOD}",
    f"garbage {GOOD}",
    f"v1,AAAA  {GOOD}",
    f"v1a,AAAA {GOOD}",
    f"v1, {GOOD}",
    f"{GOOD} v2,x",
    f" {GOOD}",
    " ".join(["v1,AAAA"] * 15 + [GOOD]),
)
NO_WAY_IN = (
    "",
    "v1",
    "v1,",
    GOOD.replace("v1,", "v2,"),
    GOOD.replace("v1,", ""),
    GOOD.replace("v1,", "V1,"),
    f"{GOOD},{GOOD}",
    GOOD_ASYMMETRIC,
    GOOD_ASYMMETRIC.replace("v1a,", "v1,"),
    GOOD.replace("v1,", "v1a,"),
    GOOD.rstrip("="),
    GOOD.replace("+", "-").replace("/", "_"),
    " ".join(["v1,AAAA"] * 16 + [GOOD]),
)


@pytest.mark.parametrize("value", BESIDE)
def test_entries_beside_a_good_one_do_no_harm(value: str) -> None:
    """Standard Webhooks 1.0.0: unknown versions and other signatures are skipped."""
    vector = VECTORS["id, time, body"]
    assert replace(vector, headers={**vector.headers, "webhook-signature": value}).accepted()


@pytest.mark.parametrize("value", NO_WAY_IN)
def test_no_other_version_or_spelling_is_a_way_in(value: str) -> None:
    vector = VECTORS["id, time, body"]
    assert not replace(vector, headers={**vector.headers, "webhook-signature": value}).accepted()


def test_a_time_is_whole_seconds() -> None:
    vector = VECTORS["id, time, body"]
    for time in ("1674087231.0", "+1674087231", " 1674087231", "1674087231 ", "1_674_087_231", "0x63c87f7f"):
        assert not replace(vector, headers={**vector.headers, "webhook-timestamp": time}).accepted()
