"""Senders: for each scheme somebody who has what it takes to sign, and requests as only they can make them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from providers.verification import (
    BasicScheme,
    Ed25519Scheme,
    Field,
    Header,
    HmacScheme,
    KeySetScheme,
    Scheme,
    SharedTokenScheme,
    UnsignedScheme,
    new_secret,
    sign,
)
from providers.verification.checking import digest, encoded
from providers.verification.parts import assemble
from providers.verification.schemes import Place
from providers.verification.secret_forms import key_of

KEY_ID = "contract-key"
IDENTIFIER = "msg_contract"
# Blanks and order as no encoder would write them: only a check of the raw bytes accepts it.
BODY = b'{ "b":1 ,\n "a": "\xc3\xa9" }'
_AUTHORIZATION = Header(name="authorization", prefix="Basic ")


@dataclass(frozen=True)
class Message:
    """A request as it arrives: lower-case header names, raw body."""

    headers: Mapping[str, str]
    body: bytes

    def with_header(self, name: str, value: str) -> Message:
        return Message({**self.headers, name: value}, self.body)

    def without_header(self, name: str) -> Message:
        return Message({other: value for other, value in self.headers.items() if other != name}, self.body)


@dataclass(frozen=True)
class Sender:
    """``secret``: the text our side holds. ``private_key``: what the sender alone has, where that differs."""

    scheme: Scheme
    secret: bytes
    private_key: Ed25519PrivateKey | None = None

    def message(self, body: bytes = BODY) -> Message:
        """``body``, proven now. A proof that stands in the body is put in front of its first member."""
        scheme, now = self.scheme, int(time.time())
        if isinstance(scheme, KeySetScheme):
            token = published_token(scheme, {"aud": self.secret.decode()})
            return Message({scheme.token.name: scheme.token.prefix + token}, body)
        if isinstance(scheme, SharedTokenScheme) and isinstance(scheme.token, Field):
            return Message({}, _with_field(body, scheme.token, self.secret.decode()))
        if isinstance(scheme, HmacScheme | Ed25519Scheme):
            return self._signed(scheme, body, now)
        return Message(sign(scheme, body=body, secret=self.secret, timestamp=now), body)

    def _signed(self, scheme: HmacScheme | Ed25519Scheme, body: bytes, now: int) -> Message:
        stamp = (
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)) if scheme.timestamp_unit == "iso8601" else str(now)
        )
        stamp += "000" if scheme.timestamp_unit == "milliseconds" else ""
        message = _put(_put(Message({}, body), scheme.timestamp, stamp), scheme.id, IDENTIFIER)
        signed = assemble(scheme.template, message.body, stamp, IDENTIFIER)
        if isinstance(scheme, HmacScheme):
            # An empty secret is one an attacker tries.
            raw = digest(scheme, self.secret and key_of(scheme.secret_form, self.secret), signed)
        else:
            assert self.private_key
            raw = self.private_key.sign(signed)
        assert isinstance(scheme.signature, Header) or not scheme.covers_body, "it would have to cover itself"
        return _put(message, scheme.signature, encoded(scheme.encoding, raw).decode())


def sender(scheme: Scheme) -> Sender:
    """Somebody new who may sign."""
    if isinstance(scheme, Ed25519Scheme):
        key = Ed25519PrivateKey.generate()
        return Sender(scheme, b"whpk_" + base64.b64encode(key.public_key().public_bytes_raw()), key)
    if isinstance(scheme, KeySetScheme):
        return Sender(scheme, f"audience-{time.perf_counter_ns()}".encode())
    return Sender(scheme, new_secret(scheme.secret_form).encode())


def proof_place(scheme: Scheme) -> Place:
    """Where the proof itself stands."""
    assert not isinstance(scheme, UnsignedScheme)
    if isinstance(scheme, HmacScheme | Ed25519Scheme):
        return scheme.signature
    return _AUTHORIZATION if isinstance(scheme, BasicScheme) else scheme.token


def published_keys(scheme: KeySetScheme) -> dict[str, Any]:
    """The provider's key set."""
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(_provider_key().public_key()))
    endorsements = {"endorsements": [scheme.key_endorsement]} if scheme.key_endorsement else {}
    return {"keys": [{**public, "kid": KEY_ID, **endorsements}]}


def published_token(scheme: KeySetScheme, claims: Mapping[str, Any], *, key_id: str = KEY_ID) -> str:
    """A token of the provider; ``claims`` beside its issuer and times."""
    now = int(time.time())
    told = {"iss": scheme.issuer, "iat": now, "exp": now + 600, **claims}
    return jwt.encode(told, _provider_key(), algorithm=scheme.algorithms[0], headers={"kid": key_id})


@lru_cache(maxsize=1)
def _provider_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def _put(message: Message, place: Place | None, text: str) -> Message:
    if place is None:
        return message
    if isinstance(place, Field):
        return Message(message.headers, _with_field(message.body, place, text))
    entry = place.prefix + text
    before = message.headers.get(place.name)
    return message.with_header(place.name, entry if before is None else f"{before}{place.separator}{entry}")


def _with_field(body: bytes, place: Field, text: str) -> bytes:
    """``body`` with the text at the place. Only a new first member keeps the other bytes as they are."""
    first, *rest = place.pointer.split("/")[1:]
    value: Any = text
    for step in reversed(rest):
        value = [value] if step == "*" else {step: value}
    document = orjson.loads(body)
    if first not in document:
        return b"{" + orjson.dumps({first: value})[1:-1] + b"," + body[1:]
    if isinstance(document[first], dict) and isinstance(value, dict):
        value = {**document[first], **value}
    return orjson.dumps({**document, first: value})
