from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from providers.verification import (
    HmacScheme,
    JwtScheme,
    SharedTokenScheme,
    SignatureRejected,
    sign,
    verify,
)

SECRET = b"unit-secret-0123456789abcdefghijklmn"
OLD = b"older-secret-0123456789abcdefghijklm"
BODY = b'{"a": 1}'
PLAIN = HmacScheme(header="x-signature", prefix="sha256=")
CLOCKED = HmacScheme(header="x-signature", prefix="v0=", template="v0:{timestamp}:{body}", timestamp_header="x-time")


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
    scheme = HmacScheme(header="x-signature", prefix="v=", algorithm=algorithm, encoding=encoding)
    verified = verify(scheme, headers={"x-signature": "v=" + text}, body=BODY, secrets=[SECRET])
    assert verified.secret_index == 0
    assert verified.fingerprint == hashlib.sha256(text.encode()).digest()
    assert verified.signed_at is None


def test_the_published_test_vector_of_hmac_sha256_is_accepted() -> None:
    """UT-IA-01: RFC 4231, test case 2."""
    given = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    scheme = HmacScheme(header="x-signature")
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
    for scheme in (PLAIN, SharedTokenScheme(header="x-signature"), JwtScheme(header="x-signature", prefix="sha256=")):
        assert reason(scheme, {"x-signature": value}) == "signature_mismatch"


def test_an_over_long_header_is_refused_before_any_work() -> None:
    assert reason(PLAIN, {"x-signature": "sha256=" + "0" * 5000}) == "signature_malformed"


def test_the_matching_secret_is_named_during_a_rotation() -> None:
    for index, secret in enumerate((SECRET, OLD)):
        headers = sign(PLAIN, body=BODY, secret=secret)
        assert verify(PLAIN, headers=headers, body=BODY, secrets=[SECRET, OLD]).secret_index == index


def test_an_empty_secret_never_verifies_even_its_own_signature() -> None:
    headers = sign(PLAIN, body=BODY, secret=b"")
    assert reason(PLAIN, headers, secrets=(b"",)) == "signature_mismatch"
    assert reason(PLAIN, headers, secrets=()) == "signature_mismatch"


def test_braces_in_the_body_are_not_taken_for_the_template() -> None:
    body = b'{"timestamp": "{timestamp}", "x": "{body}"}'
    headers = sign(CLOCKED, body=body, secret=SECRET, timestamp=1_800_000_000)
    expected = hmac.new(SECRET, b"v0:1800000000:" + body, hashlib.sha256).hexdigest()
    assert headers["x-signature"] == f"v0={expected}"


class TestSharedToken:
    scheme = SharedTokenScheme(header="x-token")

    def test_the_secret_itself_is_accepted_and_leaves_no_fingerprint(self) -> None:
        verified = verify(self.scheme, headers={"x-token": SECRET.decode()}, body=BODY, secrets=[SECRET])
        assert verified.fingerprint is None

    def test_another_or_a_longer_value_is_refused(self) -> None:
        for value in (SECRET.decode()[:-1], SECRET.decode() + "x", OLD.decode()):
            assert reason(self.scheme, {"x-token": value}) == "signature_mismatch"

    def test_an_empty_secret_is_not_matched_by_an_empty_token(self) -> None:
        scheme = SharedTokenScheme(header="x-token", prefix="Token ")
        assert reason(scheme, {"x-token": "Token "}, secrets=(b"",)) == "signature_mismatch"


class TestJwt:
    scheme = JwtScheme()

    def token(self, secret: bytes = SECRET, algorithm: str = "HS256", **claims: Any) -> dict[str, str]:
        now = datetime.now(UTC)
        claims = {"iat": now, "exp": now + timedelta(minutes=2), **claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        key = "" if algorithm == "none" else secret
        return {"authorization": "Bearer " + jwt.encode(claims, key, algorithm=algorithm)}

    def test_a_token_of_the_provider_is_accepted(self) -> None:
        assert verify(self.scheme, headers=self.token(aud="anything"), body=BODY, secrets=[SECRET]).fingerprint is None

    def test_an_expired_token_says_so(self) -> None:
        past = datetime.now(UTC) - timedelta(minutes=5)
        assert reason(self.scheme, self.token(exp=past)) == "token_expired"

    def test_a_token_without_end_is_refused(self) -> None:
        assert reason(self.scheme, self.token(exp=None)) == "signature_mismatch"

    def test_a_token_cannot_choose_how_it_is_checked(self) -> None:
        assert reason(self.scheme, self.token(algorithm="none")) == "signature_mismatch"
        wide = b"w" * 64
        assert reason(self.scheme, self.token(secret=wide, algorithm="HS512"), secrets=(wide,)) == "signature_mismatch"

    def test_another_secret_is_refused(self) -> None:
        assert reason(self.scheme, self.token(secret=OLD)) == "signature_mismatch"
        assert verify(self.scheme, headers=self.token(secret=OLD), body=b"", secrets=[SECRET, OLD]).secret_index == 1

    def test_junk_is_refused(self) -> None:
        for value in ("Bearer ", "Bearer a.b.c", "Bearer " + "." * 100):
            assert reason(self.scheme, {"authorization": value}) == "signature_mismatch"
        assert reason(self.scheme, {"authorization": "Basic eDp5"}) == "signature_malformed"
