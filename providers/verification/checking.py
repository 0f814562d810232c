"""The one function that checks a request against a scheme.

All comparisons are of bytes and in constant time, over every secret that is valid now and every signature
in the request, without early exit. Anything a check cannot make sense of is a rejection, never an exception of
another kind.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from providers.verification.outcome import SignatureRejected, Verified
from providers.verification.parts import Request, message
from providers.verification.schemes import (
    BasicScheme,
    Ed25519Scheme,
    Header,
    HmacScheme,
    JwtScheme,
    Scheme,
    SharedTokenScheme,
    UnsignedScheme,
)
from providers.verification.secret_forms import key_of
from providers.verification.tokens import check_jwt, check_published_jwt

_AUTHORIZATION = Header(name="authorization")
_BASIC = "basic "


def verify(
    scheme: Scheme,
    *,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[bytes],
    published_keys: Mapping[str, Any] | None = None,
) -> Verified:
    """Check one request.

    ``headers`` has lower-case names. ``secrets`` are the texts of those valid now, current first; an empty or
    malformed one never verifies anything. ``published_keys`` is the provider's key set (RFC 7517) for a
    ``KeySetScheme``, or ``None`` while it is unknown.

    Raises ``SignatureRejected`` with reason ``signature_missing``, ``signature_malformed``,
    ``signature_mismatch``, ``timestamp_missing``, ``timestamp_malformed``, ``id_missing``, ``id_malformed``,
    ``token_expired`` or ``unsigned``; raises ``KeysUnavailable`` where a published key is not known here.
    """
    request = Request(headers, body)
    if isinstance(scheme, UnsignedScheme):
        # Only a waiver opens such a door, and waivers are not this module's business.
        raise SignatureRejected("unsigned")
    keys = [_usable(scheme, secret) for secret in secrets]
    if isinstance(scheme, HmacScheme):
        return _verify_hmac(scheme, request, keys)
    if isinstance(scheme, Ed25519Scheme):
        return _verify_ed25519(scheme, request, keys)
    if isinstance(scheme, SharedTokenScheme):
        return _verify_token(scheme, request, keys)
    if isinstance(scheme, BasicScheme):
        return _verify_basic(request, keys)
    token = _present(request.entries(scheme.token))[0]
    if isinstance(scheme, JwtScheme):
        return Verified(check_jwt(scheme, token, keys))
    return Verified(check_published_jwt(scheme, token, keys, published_keys))


def _usable(scheme: Scheme, secret: bytes) -> bytes | None:
    try:
        return key_of(scheme.secret_form, secret) if secret else None
    except ValueError:
        return None


def _present(entries: list[str]) -> list[str]:
    if not any(entries):
        raise SignatureRejected("signature_missing")
    return entries


def _first_match(candidates: Sequence[bytes | None], given: Sequence[bytes]) -> int:
    """Index of the first candidate equal to one of the given values or -1, looking at all pairs."""
    found = -1
    for index in range(len(candidates) - 1, -1, -1):
        candidate = candidates[index]
        for value in given:
            if hmac.compare_digest(candidate or b"", value) and candidate:
                found = index
    return found


def _verify_hmac(scheme: HmacScheme, request: Request, keys: Sequence[bytes | None]) -> Verified:
    given = [_as_bytes(entry) for entry in _present(request.entries(scheme.signature))]
    signed, signed_at = message(scheme, request)
    # Compared as text: a digest has one spelling, so an upper-case or unpadded one is another signature.
    expected = [None if key is None else encoded(scheme.encoding, digest(scheme, key, signed)) for key in keys]
    index = _first_match(expected, given)
    if index < 0:
        raise SignatureRejected("signature_mismatch")
    return Verified(index, hashlib.sha256(expected[index] or b"").digest(), signed_at)


def digest(scheme: HmacScheme, key: bytes, signed: bytes) -> bytes:
    """The HMAC a sender with ``key`` makes."""
    return hmac.digest(key, signed, scheme.algorithm)


def encoded(encoding: str, value: bytes) -> bytes:
    """``value`` as it is written into a header."""
    return value.hex().encode() if encoding == "hex" else base64.b64encode(value)


def _verify_ed25519(scheme: Ed25519Scheme, request: Request, keys: Sequence[bytes | None]) -> Verified:
    entries = _present(request.entries(scheme.signature))
    signed, signed_at = message(scheme, request)
    found: Verified | None = None
    for index in range(len(keys) - 1, -1, -1):
        for entry in entries:
            signature = _signature_bytes(scheme, entry)
            if signature is not None and _is_signed(keys[index], signature, signed):
                found = Verified(index, hashlib.sha256(signature).digest(), signed_at)
    if found is None:
        raise SignatureRejected("signature_mismatch")
    return found


def _signature_bytes(scheme: Ed25519Scheme, entry: str) -> bytes | None:
    try:
        raw = bytes.fromhex(entry) if scheme.encoding == "hex" else base64.b64decode(entry, validate=True)
    except ValueError:
        return None
    # One signature has one spelling here, so that its fingerprint is its identity.
    return raw if len(raw) == 64 and encoded(scheme.encoding, raw) == _as_bytes(entry) else None


def _is_signed(key: bytes | None, signature: bytes, signed: bytes) -> bool:
    if key is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _verify_token(scheme: SharedTokenScheme, request: Request, keys: Sequence[bytes | None]) -> Verified:
    values = [_as_bytes(entry) for entry in _present(request.entries(scheme.token))]
    matches = [_first_match(keys, [value]) for value in values]
    if min(matches) < 0:
        raise SignatureRejected("signature_mismatch")
    return Verified(max(matches))


def _verify_basic(request: Request, keys: Sequence[bytes | None]) -> Verified:
    value = _present(request.entries(_AUTHORIZATION))[0]
    # The word is case-insensitive (RFC 9110, section 11.1).
    if value[: len(_BASIC)].lower() != _BASIC:
        raise SignatureRejected("signature_malformed")
    # Compared as base64, of user and password at once: nothing of the sender's has to be decoded.
    expected = [None if key is None else base64.b64encode(key) for key in keys]
    index = _first_match(expected, [_as_bytes(value[len(_BASIC) :])])
    if index < 0:
        raise SignatureRejected("signature_mismatch")
    return Verified(index)


def _as_bytes(text: str) -> bytes:
    # compare_digest refuses non-ASCII text, so both sides become bytes; surrogates are only ever a mismatch.
    return text.encode("utf-8", "surrogatepass")
