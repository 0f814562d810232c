"""How secrets are written down: what is taken, what a person is told, what is made."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from providers.verification import (
    BasicScheme,
    Ed25519Scheme,
    Field,
    Header,
    HmacScheme,
    JwtScheme,
    KeySetScheme,
    Scheme,
    SecretForm,
    SharedTokenScheme,
    UnsignedScheme,
    key_of,
    new_secret,
    sign,
    verify,
)
from providers.verification.signing import CannotSign

KEY = bytes(range(32))
TEXT = base64.b64encode(KEY)

GOOD = [
    (SecretForm.TEXT, b"s\xc3\xa9cret", b"s\xc3\xa9cret"),
    (SecretForm.LONG_TEXT, b"k" * 32, b"k" * 32),
    (SecretForm.BASE64, TEXT, KEY),
    (SecretForm.WHSEC, b"whsec_" + TEXT, KEY),
    (SecretForm.WHSEC, b"whsec_" + base64.b64encode(KEY[:24]), KEY[:24]),
    (SecretForm.WHSEC, b"whsec_" + base64.b64encode(KEY * 2), KEY * 2),
    (SecretForm.PUBLIC_KEY, b"whpk_" + TEXT, KEY),
    (SecretForm.PUBLIC_KEY, KEY.hex().encode(), KEY),
    (SecretForm.USER_AND_PASSWORD, b"user:pa:ss", b"user:pa:ss"),
    (SecretForm.AUDIENCE, b"app-id", b"app-id"),
]
BAD = [
    (SecretForm.TEXT, b"", "empty"),
    (SecretForm.LONG_TEXT, b"k" * 31, "at least 32"),
    (SecretForm.BASE64, b"", "base64"),
    (SecretForm.BASE64, b"no base64!", "base64"),
    (SecretForm.BASE64, TEXT + b"\n", "base64"),
    (SecretForm.BASE64, b"\xff\xfe", "base64"),
    (SecretForm.WHSEC, TEXT, "whsec_"),
    (SecretForm.WHSEC, b"whsec_====", "base64"),
    (SecretForm.WHSEC, b"whsec_" + TEXT[:-1], "base64"),
    (SecretForm.WHSEC, b"whsec_" + base64.b64encode(KEY[:23]), "24 to 64"),
    (SecretForm.WHSEC, b"whsec_" + base64.b64encode(KEY * 2 + b"x"), "24 to 64"),
    (SecretForm.PUBLIC_KEY, TEXT, "32 byte"),
    (SecretForm.PUBLIC_KEY, b"whsk_" + TEXT, "32 byte"),
    (SecretForm.PUBLIC_KEY, b"whpk_" + base64.b64encode(KEY[:31]), "32 byte"),
    (SecretForm.PUBLIC_KEY, b"\xff" * 64, "32 byte"),
    (SecretForm.USER_AND_PASSWORD, b"zoe", "user:password"),
    (SecretForm.USER_AND_PASSWORD, b":s3cret", "user:password"),
    (SecretForm.USER_AND_PASSWORD, b"zoe:", "user:password"),
    (SecretForm.AUDIENCE, b"", "empty"),
]


@pytest.mark.parametrize(("form", "text", "key"), GOOD)
def test_the_key_behind_a_text(form: SecretForm, text: bytes, key: bytes) -> None:
    assert key_of(form, text) == key


@pytest.mark.parametrize(("form", "text", "told"), BAD)
def test_a_malformed_text_is_refused_with_words_and_without_the_text(form: SecretForm, text: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        key_of(form, text)
    assert not text or text.decode(errors="replace") not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "form", [SecretForm.TEXT, SecretForm.LONG_TEXT, SecretForm.BASE64, SecretForm.WHSEC, SecretForm.USER_AND_PASSWORD]
)
def test_a_made_secret_is_of_its_form_long_and_new(form: SecretForm) -> None:
    first, second = new_secret(form), new_secret(form)
    assert first != second
    assert len(key_of(form, first.encode())) >= 32


def test_what_only_the_provider_has_is_not_made() -> None:
    for form in (SecretForm.PUBLIC_KEY, SecretForm.AUDIENCE):
        with pytest.raises(ValueError, match="comes from the provider"):
            new_secret(form)
    assert new_secret(SecretForm.NONE) == ""


SIGNED: list[Scheme] = [
    HmacScheme(signature=Header(name="x-signature", prefix="sha256=")),
    HmacScheme(signature=Header(name="x-signature"), algorithm="sha512", encoding="base64"),
    HmacScheme(
        signature=Header(name="x-signature", prefix="v1=", separator=","),
        template="{timestamp}.{body}",
        timestamp=Header(name="x-signature", prefix="t=", separator=","),
    ),
    HmacScheme(
        signature=Header(name="x-signature"),
        template="{timestamp}{body}",
        timestamp=Header(name="x-time"),
        timestamp_unit="milliseconds",
    ),
    HmacScheme(
        signature=Header(name="x-signature"),
        template="{timestamp}{body}",
        timestamp=Header(name="x-time"),
        timestamp_unit="iso8601",
    ),
    HmacScheme(
        signature=Header(name="x-signature", prefix="v1,", separator=" "),
        encoding="base64",
        template="{id}.{timestamp}.{body}",
        timestamp=Header(name="x-time"),
        id=Header(name="x-id"),
        secret_form=SecretForm.WHSEC,
    ),
    SharedTokenScheme(token=Header(name="x-token")),
    SharedTokenScheme(token=Header(name="authorization", prefix="Bearer ")),
    BasicScheme(),
    JwtScheme(),
]


@pytest.mark.parametrize("scheme", SIGNED)
def test_what_is_signed_here_verifies_here(scheme: Scheme) -> None:
    secret = new_secret(scheme.secret_form).encode()
    headers = sign(scheme, body=b"body", secret=secret, identifier="msg_1")
    assert all(name == name.lower() for name in headers)
    assert verify(scheme, headers=headers, body=b"body", secrets=[secret]).secret_index == 0


@pytest.mark.parametrize("scheme", [scheme for scheme in SIGNED if scheme.signs_clock])
def test_the_time_is_signed_in_the_unit_of_the_scheme(scheme: Scheme) -> None:
    secret = new_secret(scheme.secret_form).encode()
    headers = sign(scheme, body=b"body", secret=secret, timestamp=1_800_000_000, identifier="msg_1")
    verified = verify(scheme, headers=headers, body=b"body", secrets=[secret])
    assert verified.signed_at == datetime(2027, 1, 15, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "scheme",
    [
        Ed25519Scheme(signature=Header(name="x-signature"), template="{body}"),
        KeySetScheme(keys_url="https://keys.example", issuer="issuer"),
        SharedTokenScheme(token=Field(pointer="/token")),
        HmacScheme(signature=Field(pointer="/mac"), template="{id}", id=Field(pointer="/nonce")),
    ],
)
def test_what_only_the_provider_can_sign_is_not_faked(scheme: Scheme) -> None:
    with pytest.raises(CannotSign):
        sign(scheme, body=b"{}", secret=b"secret")


def test_nothing_is_added_where_nothing_is_proven() -> None:
    assert sign(UnsignedScheme(), body=b"{}", secret=b"") == {}
