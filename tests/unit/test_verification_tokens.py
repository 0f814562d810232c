"""JSON Web Tokens: with a shared secret, and with keys a provider publishes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from providers.verification import (
    Header,
    JwtScheme,
    KeySetScheme,
    KeysUnavailable,
    Scheme,
    SignatureRejected,
    verify,
)

SECRET = b"token-secret-0123456789abcdefghijklm"
OLD = b"older-secret-0123456789abcdefghijklm"
AUDIENCE = b"app-id-0001"
SHARED = JwtScheme()
PUBLISHED = KeySetScheme(
    keys_url="https://login.example/openid", issuer="https://issuer.example", key_endorsement="chat"
)


def reason(scheme: Scheme, token: str, *, secrets: tuple[bytes, ...], keys: Any = None) -> str:
    with pytest.raises(SignatureRejected) as caught:
        verify(scheme, headers={"authorization": f"Bearer {token}"}, body=b"", secrets=secrets, published_keys=keys)
    return caught.value.reason


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def hand_made(header: Any, claims: Any, secret: bytes) -> str:
    """A token no library would make."""
    signed = f"{part(header)}.{part(claims)}"
    return f"{signed}.{part(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def soon(seconds: float = 120) -> int:
    return int((datetime.now(UTC) + timedelta(seconds=seconds)).timestamp())


class TestSharedSecret:
    def token(self, secret: bytes = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
        told = {"iat": soon(0), "exp": soon(), **claims}
        told = {name: value for name, value in told.items() if value is not None}
        return jwt.encode(told, "" if algorithm == "none" else secret, algorithm=algorithm)

    def ask(self, token: str, *secrets: bytes) -> int:
        headers = {"authorization": f"Bearer {token}"}
        verified = verify(SHARED, headers=headers, body=b"anything", secrets=secrets)
        assert verified.fingerprint is None, "the token does not cover the body, so an equal one is no replay"
        assert verified.signed_at is None
        return verified.secret_index

    def test_a_token_of_the_provider_is_accepted(self) -> None:
        assert self.ask(self.token(aud="anything", iss="anybody"), SECRET) == 0
        assert self.ask(hand_made({"alg": "HS256"}, {"exp": soon()}, SECRET), SECRET) == 0

    def test_either_secret_counts_during_a_rotation(self) -> None:
        assert self.ask(self.token(), SECRET, OLD) == 0
        assert self.ask(self.token(OLD), SECRET, OLD) == 1
        assert self.ask(self.token(), SECRET, SECRET) == 0
        assert reason(SHARED, self.token(OLD), secrets=(SECRET,)) == "signature_mismatch"

    def test_another_header_and_word_may_hold_it(self) -> None:
        scheme = JwtScheme(token=Header(name="x-token", prefix="JWT "))
        headers = {"x-token": f"JWT {self.token()}"}
        assert verify(scheme, headers=headers, body=b"", secrets=[SECRET]).secret_index == 0

    def test_an_expired_token_says_so_only_to_who_signed_it(self) -> None:
        past = self.token(exp=soon(-300))
        assert reason(SHARED, past, secrets=(SECRET,)) == "token_expired"
        assert reason(SHARED, past, secrets=(OLD,)) == "signature_mismatch"
        assert self.ask(self.token(exp=soon(-20)), SECRET) == 0, "clocks differ a little"

    def test_a_token_without_end_or_of_the_future_is_refused(self) -> None:
        for claims in ({"exp": None}, {"nbf": soon(600)}, {"iat": soon(600)}):
            assert reason(SHARED, self.token(**claims), secrets=(SECRET,)) == "signature_mismatch"

    def test_a_token_cannot_choose_how_it_is_checked(self) -> None:
        wide = b"w" * 64
        assert reason(SHARED, self.token(wide, "HS512"), secrets=(wide,)) == "signature_mismatch"
        assert reason(SHARED, self.token(algorithm="none"), secrets=(SECRET,)) == "signature_mismatch"
        for algorithm in ("none", "None", "NONE", "HS1", "", None, 7, ["HS256"], {"a": 1}, "hs256"):
            token = hand_made({"alg": algorithm}, {"exp": soon()}, SECRET)
            assert reason(SHARED, token, secrets=(SECRET,)) == "signature_mismatch"

    def test_a_token_without_signature_is_refused(self) -> None:
        head, claims, _ = self.token().split(".")
        assert reason(SHARED, f"{head}.{claims}.", secrets=(SECRET,)) == "signature_mismatch"
        assert reason(SHARED, f"{head}.{claims}", secrets=(SECRET,)) == "signature_malformed"

    @pytest.mark.parametrize(
        "token", ["a.b", "a.b.c.d", "." * 100, "a.b.c=", "a b.c.d", "é.é.é", "\udce9.a.b", "a.b.c\n"]
    )
    def test_what_has_no_compact_form_is_malformed(self, token: str) -> None:
        assert reason(SHARED, token, secrets=(SECRET,)) == "signature_malformed"

    @pytest.mark.parametrize(
        ("header", "claims"),
        [
            ({"alg": "HS256"}, b"[" * 2000),
            ({"alg": "HS256"}, b"null"),
            ({"alg": "HS256"}, b"[]"),
            ({"alg": "HS256"}, b"\xff"),
            ({"alg": "HS256"}, b'{"exp":1e999}'),
            ({"alg": "HS256"}, b'{"exp":NaN}'),
            ({"alg": "HS256"}, {"exp": "soon"}),
            ({"alg": "HS256"}, {"exp": [1]}),
            ({"alg": "HS256"}, {"exp": 10**40, "nbf": 10**40}),
            ({"alg": "HS256", "kid": 7}, {"exp": 32503680000}),
            ({"alg": "HS256", "crit": ["x"]}, {"exp": 32503680000}),
            ({"alg": "HS256", "b64": False, "crit": ["b64"]}, {"exp": 32503680000}),
            (b"[" * 2000, {"exp": 32503680000}),
            (b"null", {"exp": 32503680000}),
        ],
    )
    def test_an_odd_token_of_somebody_with_the_secret_is_still_only_refused(self, header: Any, claims: Any) -> None:
        assert reason(SHARED, hand_made(header, claims, SECRET), secrets=(SECRET,)) == "signature_mismatch"

    def test_a_short_secret_verifies_nothing(self) -> None:
        """RFC 7518, section 3.2: a key as long as the digest, at least."""
        for secret in (b"x", b"s" * 31):
            token = hand_made({"alg": "HS256"}, {"exp": soon()}, secret)
            assert reason(SHARED, token, secrets=(secret,)) == "signature_mismatch"

    def test_a_secret_that_looks_like_a_key_verifies_nothing_and_raises_nothing_else(self) -> None:
        public = key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        for secret in (public, b'{"kty":"oct","k":"' + b"A" * 43 + b'"}', b"\xff" * 40 + b"\x00"):
            token = hand_made({"alg": "HS256"}, {"exp": soon()}, secret)
            if secret.startswith(b"\xff"):
                assert self.ask(token, secret) == 0
            else:
                assert reason(SHARED, token, secrets=(secret,)) == "signature_mismatch"


@lru_cache(maxsize=2)
def key(number: int = 0) -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def published(number: int = 0, **members: Any) -> dict[str, Any]:
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key(number).public_key()))
    return {**public, "kid": f"k{number}", "use": "sig", "endorsements": ["chat", "mail"], **members}


class TestPublishedKeys:
    @property
    def keys(self) -> dict[str, Any]:
        return {"keys": [published(1), published()]}

    def token(self, number: int = 0, *, key_id: Any = "k0", algorithm: str = "RS256", **claims: Any) -> str:
        told = {"iss": PUBLISHED.issuer, "aud": AUDIENCE.decode(), "iat": soon(0), "exp": soon(600), **claims}
        told = {name: value for name, value in told.items() if value is not None}
        headers = {} if key_id is None else {"kid": key_id}
        return jwt.encode(told, key(number), algorithm=algorithm, headers=headers)

    def refused(self, token: str, keys: Any = None, *, secrets: tuple[bytes, ...] = (AUDIENCE,)) -> str:
        return reason(PUBLISHED, token, secrets=secrets, keys=self.keys if keys is None else keys)

    def test_a_token_of_the_provider_for_this_app_is_accepted(self) -> None:
        headers = {"authorization": f"Bearer {self.token()}"}
        verified = verify(PUBLISHED, headers=headers, body=b"x", secrets=[b"other", AUDIENCE], published_keys=self.keys)
        assert verified.secret_index == 1
        assert verified.fingerprint is None
        headers = {"authorization": f"Bearer {self.token(aud=['x', AUDIENCE.decode()])}"}
        assert verify(PUBLISHED, headers=headers, body=b"", secrets=[AUDIENCE], published_keys=self.keys)

    def test_another_audience_issuer_or_time_is_refused(self) -> None:
        for claims in (
            {"aud": "other-app"},
            {"aud": None},
            {"aud": []},
            {"iss": "https://other.example"},
            {"iss": None},
        ):
            assert self.refused(self.token(**claims)) == "signature_mismatch"
        for claims in ({"exp": None}, {"nbf": soon(900)}, {"iss": PUBLISHED.issuer + "/"}, {"aud": "APP-ID-0001"}):
            assert self.refused(self.token(**claims)) == "signature_mismatch"
        assert self.refused(self.token(exp=soon(-600))) == "token_expired"
        for secrets in ((), (b"",), (b"app-id-000",), (b"\xff",)):
            assert self.refused(self.token(), secrets=secrets) == "signature_mismatch"

    def test_the_key_it_names_is_the_key_it_is_checked_with(self) -> None:
        assert self.refused(self.token(1, key_id="k0")) == "signature_mismatch"
        assert self.refused(self.token(0, key_id="k1")) == "signature_mismatch"

    def test_a_key_without_the_endorsement_is_refused(self) -> None:
        for endorsements in (["mail"], [], None, "chat", "a chat", {"chat": 1}):
            assert self.refused(self.token(), {"keys": [published(endorsements=endorsements)]}) == "signature_mismatch"

    def test_a_key_that_is_not_for_signing_is_refused(self) -> None:
        assert self.refused(self.token(), {"keys": [published(use="enc")]}) == "signature_mismatch"

    def test_a_key_that_is_not_known_here_is_our_fault(self) -> None:
        broken = [{"kid": "k0", "kty": kind, "endorsements": ["chat"]} for kind in ("RSA", "EC", None, 7)]
        sets: list[Any] = [None, {}, {"keys": None}, {"keys": {}}, {"keys": [7, None]}, {"keys": [published(1)]}]
        for keys in [*sets, *({"keys": [entry]} for entry in broken)]:
            with pytest.raises(KeysUnavailable):
                verify(
                    PUBLISHED,
                    headers={"authorization": f"Bearer {self.token()}"},
                    body=b"",
                    secrets=[AUDIENCE],
                    published_keys=keys,
                )

    def test_a_token_that_names_no_key_is_malformed(self) -> None:
        for token in (self.token(key_id=None), self.token(key_id="")):
            assert self.refused(token) == "signature_malformed"
        assert self.refused("a.b.c") == "signature_malformed"

    def test_the_public_key_is_no_secret(self) -> None:
        """Algorithm confusion: signed with HS256 and the published key, in each form somebody might have it."""
        public = key().public_key()
        forms = [
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
            json.dumps(published()).encode(),
            published()["n"].encode(),
        ]
        claims = {"iss": PUBLISHED.issuer, "aud": AUDIENCE.decode(), "exp": soon(600)}
        for secret in forms:
            for name in ("HS256", "RS256"):
                token = hand_made({"alg": name, "kid": "k0"}, claims, secret)
                assert self.refused(token) == "signature_mismatch"

    def test_a_downgrade_is_refused_even_with_an_unknown_key(self) -> None:
        claims = {"iss": PUBLISHED.issuer, "aud": AUDIENCE.decode(), "exp": soon(600)}
        for algorithm in ("none", "None", "HS256", "RS1", "", None, 7, [], "rs256"):
            for key_id in ("k0", "unknown"):
                token = hand_made({"alg": algorithm, "kid": key_id}, claims, b"")
                assert self.refused(token) == "signature_mismatch"
        assert self.refused(self.token(algorithm="RS512")) == "signature_mismatch"
        assert self.refused(self.token(algorithm="PS256")) == "signature_mismatch"

    def test_a_key_in_the_token_itself_is_not_believed(self) -> None:
        headers = {
            "kid": "k0",
            "jwk": published(1, kid="k0"),
            "jku": "http://127.0.0.1:1/keys",
            "x5u": "http://127.0.0.1:1",
        }
        claims = {"iss": PUBLISHED.issuer, "aud": AUDIENCE.decode(), "exp": soon(600)}
        assert self.refused(jwt.encode(claims, key(1), algorithm="RS256", headers=headers)) == "signature_mismatch"

    def test_a_token_changed_anywhere_is_refused(self) -> None:
        good = self.token()
        for index in range(0, len(good), 7):
            other = "A" if good[index] != "A" else "B"
            token = good[:index] + other + good[index + 1 :]
            try:
                assert self.refused(token) in ("signature_mismatch", "signature_malformed", "token_expired")
            except KeysUnavailable:
                assert index < good.index("."), "only a changed header names another key"
