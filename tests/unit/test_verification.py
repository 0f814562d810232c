from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import pytest

from providers.verification import (
    BasicScheme,
    Ed25519Scheme,
    Header,
    HmacScheme,
    JwtScheme,
    SharedTokenScheme,
    SignatureRejected,
    UnsignedScheme,
    sign,
    verify,
)

SECRET = b"unit-secret-0123456789abcdefghijklmn"
OLD = b"older-secret-0123456789abcdefghijklm"
BODY = b'{"a": 1}'
PLAIN = HmacScheme(signature=Header(name="x-signature", prefix="sha256="))
CLOCKED = HmacScheme(
    signature=Header(name="x-signature", prefix="v0="),
    template="v0:{timestamp}:{body}",
    timestamp=Header(name="x-time"),
)


def reason(scheme: Any, headers: dict[str, str], *, body: bytes = BODY, secrets: tuple[bytes, ...] = (SECRET,)) -> str:
    with pytest.raises(SignatureRejected) as caught:
        verify(scheme, headers=headers, body=body, secrets=secrets)
    return caught.value.reason


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_a_signature_made_by_the_standard_library_is_accepted(algorithm: Any, encoding: Any) -> None:
    """UT-IA-01: computed here by hand, so that ``sign`` and ``verify`` cannot agree on the same mistake."""
    digest = hmac.new(SECRET, BODY, getattr(hashlib, algorithm))
    text = digest.hexdigest() if encoding == "hex" else base64.b64encode(digest.digest()).decode()
    scheme = HmacScheme(signature=Header(name="x-signature", prefix="v="), algorithm=algorithm, encoding=encoding)
    verified = verify(scheme, headers={"x-signature": "v=" + text}, body=BODY, secrets=[SECRET])
    assert verified.secret_index == 0
    assert verified.fingerprint == hashlib.sha256(text.encode()).digest()
    assert verified.signed_at is None


def test_the_published_test_vector_of_hmac_sha256_is_accepted() -> None:
    """UT-IA-01: RFC 4231, test case 2."""
    given = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    scheme = HmacScheme(signature=Header(name="x-signature"))
    assert verify(
        scheme, headers={"x-signature": given}, body=b"what do ya want for nothing?", secrets=[b"Jefe"]
    ).fingerprint


def test_a_changed_body_is_refused() -> None:
    """UT-IA-01"""
    assert reason(PLAIN, sign(PLAIN, body=BODY, secret=SECRET), body=b'{"a": 2}') == "signature_mismatch"


def test_a_missing_signature_is_refused() -> None:
    """UT-IA-01"""
    assert reason(PLAIN, {}) == "signature_missing"
    assert reason(PLAIN, {"x-signature": ""}) == "signature_missing"


def test_the_signed_time_is_told_and_cannot_be_moved() -> None:
    headers = sign(CLOCKED, body=BODY, secret=SECRET, timestamp=1_800_000_000)
    digest = hmac.new(SECRET, b"v0:1800000000:" + BODY, hashlib.sha256).hexdigest()
    assert headers == {"x-signature": f"v0={digest}", "x-time": "1800000000"}
    assert verify(CLOCKED, headers=headers, body=BODY, secrets=[SECRET]).signed_at == datetime.fromtimestamp(
        1_800_000_000, tz=UTC
    )
    assert reason(CLOCKED, {**headers, "x-time": "1800000001"}) == "signature_mismatch"


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("", "timestamp_missing"),
        ("soon", "timestamp_malformed"),
        ("-1", "timestamp_malformed"),
        ("1800000000.5", "timestamp_malformed"),
        ("١٨٠٠٠٠٠٠٠٠", "timestamp_malformed"),
        ("999999999999", "timestamp_malformed"),
        ("9" * 30, "timestamp_malformed"),
    ],
)
def test_a_time_that_is_none_is_refused(time: str, expected: str) -> None:
    headers = sign(CLOCKED, body=BODY, secret=SECRET, timestamp=1_800_000_000)
    assert reason(CLOCKED, {**headers, "x-time": time}) == expected


def test_a_missing_prefix_is_malformed() -> None:
    good = sign(PLAIN, body=BODY, secret=SECRET)["x-signature"]
    assert reason(PLAIN, {"x-signature": good.removeprefix("sha256=")}) == "signature_malformed"


@pytest.mark.parametrize(
    "value", ["sha256=é", "sha256=\u20ac", "sha256=\udcff", "sha256=" + chr(0xD83D), "sha256=\x00"]
)
def test_odd_characters_are_a_mismatch_and_not_an_exception_of_another_kind(value: str) -> None:
    place = Header(name="x-signature", prefix="sha256=")
    for scheme in (PLAIN, SharedTokenScheme(token=place)):
        assert reason(scheme, {"x-signature": value}) == "signature_mismatch"
    assert reason(JwtScheme(token=place), {"x-signature": value}) == "signature_malformed"


def test_an_over_long_header_is_refused_before_any_work() -> None:
    assert reason(PLAIN, {"x-signature": "sha256=" + "0" * 5000}) == "signature_malformed"


def test_the_matching_secret_is_named_during_a_rotation() -> None:
    for index, secret in enumerate((SECRET, OLD)):
        headers = sign(PLAIN, body=BODY, secret=secret)
        assert verify(PLAIN, headers=headers, body=BODY, secrets=[SECRET, OLD]).secret_index == index


def test_an_empty_secret_never_verifies_even_its_own_signature() -> None:
    headers = {"x-signature": "sha256=" + hmac.new(b"", BODY, hashlib.sha256).hexdigest()}
    assert reason(PLAIN, headers, secrets=(b"",)) == "signature_mismatch"
    assert reason(PLAIN, headers, secrets=()) == "signature_mismatch"


def test_braces_in_the_body_are_not_taken_for_the_template() -> None:
    body = b'{"timestamp": "{timestamp}", "x": "{body}"}'
    headers = sign(CLOCKED, body=body, secret=SECRET, timestamp=1_800_000_000)
    expected = hmac.new(SECRET, b"v0:1800000000:" + body, hashlib.sha256).hexdigest()
    assert headers["x-signature"] == f"v0={expected}"


class TestSharedToken:
    scheme = SharedTokenScheme(token=Header(name="x-token"))

    def test_the_secret_itself_is_accepted_and_leaves_no_fingerprint(self) -> None:
        verified = verify(self.scheme, headers={"x-token": SECRET.decode()}, body=BODY, secrets=[SECRET])
        assert verified.fingerprint is None

    def test_another_or_a_longer_value_is_refused(self) -> None:
        for value in (SECRET.decode()[:-1], SECRET.decode() + "x", OLD.decode()):
            assert reason(self.scheme, {"x-token": value}) == "signature_mismatch"

    def test_an_empty_secret_is_not_matched_by_an_empty_token(self) -> None:
        scheme = SharedTokenScheme(token=Header(name="x-token", prefix="Token "))
        for value in ("", "Token "):
            assert reason(scheme, {"x-token": value}, secrets=(b"",)) == "signature_missing"


class TestBasic:
    scheme = BasicScheme()
    secret = b"signals:pa:ss"

    def value(self, pair: bytes) -> dict[str, str]:
        return {"authorization": "Basic " + base64.b64encode(pair).decode()}

    def test_user_and_password_are_accepted_under_any_spelling_of_the_word(self) -> None:
        for word in ("Basic", "basic", "BASIC"):
            headers = {"authorization": self.value(self.secret)["authorization"].replace("Basic", word)}
            assert verify(self.scheme, headers=headers, body=BODY, secrets=[self.secret]).fingerprint is None

    @pytest.mark.parametrize("pair", [b"signals:pa", b"Signals:pa:ss", b"signals", b":pa:ss", b"signals:pa:ss ", b""])
    def test_user_and_password_must_both_be_right(self, pair: bytes) -> None:
        assert reason(self.scheme, self.value(pair), secrets=(self.secret,)) == "signature_mismatch"

    def test_a_secret_that_is_no_pair_opens_nothing(self) -> None:
        for secret in (b"signals", b"signals:", b":pass", b""):
            assert reason(self.scheme, self.value(secret), secrets=(secret,)) == "signature_mismatch"

    def test_another_kind_of_authorization_is_malformed(self) -> None:
        for value in ("Bearer abc", "Basicc2lnbmFsczpwYTpzcw==", "Basic"):
            assert reason(self.scheme, {"authorization": value}, secrets=(self.secret,)) == "signature_malformed"

    def test_text_that_is_no_base64_is_a_mismatch(self) -> None:
        for value in ("Basic \u20ac", "Basic ====", "Basic c2lnbmFsczpwYTpzcw", "Basic signals:pa:ss"):
            assert reason(self.scheme, {"authorization": value}, secrets=(self.secret,)) == "signature_mismatch"


class TestEd25519:
    """RFC 8032, section 7.1, test 3: two bytes of message, here one of clock and one of body at a time."""

    key = b"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
    message = bytes.fromhex("af82")
    signature = (
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    )
    hexadecimal = Ed25519Scheme(signature=Header(name="x-signature"), encoding="hex", template="{body}")
    base64 = Ed25519Scheme(signature=Header(name="x-signature"), template="{body}")

    def test_the_published_vector_is_accepted_in_both_encodings(self) -> None:
        text = base64.b64encode(bytes.fromhex(self.signature)).decode()
        for scheme, value in ((self.hexadecimal, self.signature), (self.base64, text)):
            verified = verify(scheme, headers={"x-signature": value}, body=self.message, secrets=[OLD, self.key])
            assert verified.secret_index == 1
            assert verified.fingerprint == hashlib.sha256(bytes.fromhex(self.signature)).digest()

    def test_a_key_is_also_known_by_its_prefixed_form(self) -> None:
        key = b"whpk_" + base64.b64encode(bytes.fromhex(self.key.decode()))
        headers = {"x-signature": self.signature}
        assert verify(self.hexadecimal, headers=headers, body=self.message, secrets=[key]).secret_index == 0

    @pytest.mark.parametrize(
        "change",
        [
            str.upper,
            lambda text: text[:-1],
            lambda text: text + "00",
            lambda text: text[::-1],
            lambda text: "é" + text,
            lambda text: text[:64] + " " + text[64:],
            lambda text: text.translate(dict.fromkeys(range(128), "0")),
            lambda text: text[0] + "\udce9",
        ],
    )
    def test_another_spelling_or_value_is_a_mismatch(self, change: Any) -> None:
        headers = {"x-signature": change(self.signature)}
        assert reason(self.hexadecimal, headers, body=self.message, secrets=(self.key,)) == "signature_mismatch"

    def test_a_message_or_key_of_somebody_else_is_a_mismatch(self) -> None:
        headers = {"x-signature": self.signature}
        assert reason(self.hexadecimal, headers, body=b"\xaf\x83", secrets=(self.key,)) == "signature_mismatch"
        for key in (b"00" * 32, b"ff" * 32, self.key[:-2], b"", b"not a key", b"whpk_AAAA"):
            assert reason(self.hexadecimal, headers, body=self.message, secrets=(key,)) == "signature_mismatch"


def test_a_door_without_proof_is_never_opened_here() -> None:
    for headers in ({}, {"authorization": "Bearer x"}):
        assert reason(UnsignedScheme(), headers, secrets=(SECRET,)) == "unsigned"
        assert reason(UnsignedScheme(), headers, secrets=()) == "unsigned"
