"""Signature schemes as data, and the one function that checks them.

An adapter declares which scheme its provider uses; it never compares anything itself. All comparisons
are of bytes and in constant time, over every secret that is valid now, without early exit. Anything a
check cannot make sense of is a rejection, never an exception of another kind.

Sources: RFC 2104 (HMAC), RFC 7519 (JWT), the Standard Webhooks specification 1.0.0 (time window).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import jwt

MAX_HEADER_LENGTH = 4096


class SignatureRejected(Exception):
    """The request does not prove its sender. ``reason`` is one of a small closed set, for metrics."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Verified:
    """A proven request.

    ``secret_index``: which of the given secrets matched (0 is the current one).
    ``fingerprint``: SHA-256 of the signature where the signature covers the body, else ``None``; the
    same fingerprint under another delivery id is a replay.
    ``signed_at``: the clock signed for this attempt, where the scheme has one.
    """

    secret_index: int
    fingerprint: bytes | None = None
    signed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HmacScheme:
    """HMAC over the raw body, or over a template of ``{body}`` and ``{timestamp}``, in one header."""

    header: str
    prefix: str = ""
    algorithm: Literal["sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    template: str = "{body}"
    timestamp_header: str = ""

    @property
    def signs_clock(self) -> bool:
        return "{timestamp}" in self.template


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedTokenScheme:
    """A constant secret in a header. Proves the sender over TLS, not the body."""

    header: str
    prefix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtScheme:
    """An HS256 token signed with the shared secret. Proves the sender, not the body."""

    header: str = "authorization"
    prefix: str = "Bearer "
    leeway_seconds: int = 30


Scheme = HmacScheme | SharedTokenScheme | JwtScheme


def verify(scheme: Scheme, *, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> Verified:
    """Check one request.

    ``headers`` has lower-case names. ``secrets`` are those valid now, current first; an empty one never
    verifies anything. Raises ``SignatureRejected`` with reason ``signature_missing``,
    ``signature_malformed``, ``signature_mismatch``, ``timestamp_missing``, ``timestamp_malformed`` or
    ``token_expired``.
    """
    value = headers.get(scheme.header, "")
    if not value:
        raise SignatureRejected("signature_missing")
    if len(value) > MAX_HEADER_LENGTH:
        raise SignatureRejected("signature_malformed")
    usable = [secret if secret else None for secret in secrets]
    if isinstance(scheme, HmacScheme):
        return _verify_hmac(scheme, value, headers, body, usable)
    if isinstance(scheme, SharedTokenScheme):
        return _verify_token(scheme, value, usable)
    return _verify_jwt(scheme, value, usable)


def sign(scheme: HmacScheme, *, body: bytes, secret: bytes, timestamp: int | None = None) -> dict[str, str]:
    """Headers a provider using ``scheme`` would send; ``timestamp`` is in epoch seconds."""
    stamp = "" if timestamp is None else str(timestamp)
    headers = {scheme.header: scheme.prefix + _digest_text(scheme, _message(scheme, body, stamp), secret)}
    if scheme.timestamp_header:
        headers[scheme.timestamp_header] = stamp
    return headers


def _message(scheme: HmacScheme, body: bytes, timestamp: str) -> bytes:
    before, _, after = scheme.template.partition("{body}")
    return before.replace("{timestamp}", timestamp).encode() + body + after.replace("{timestamp}", timestamp).encode()


def _digest(scheme: HmacScheme, message: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, message, scheme.algorithm)


def _digest_text(scheme: HmacScheme, message: bytes, secret: bytes) -> str:
    digest = _digest(scheme, message, secret)
    return digest.hex() if scheme.encoding == "hex" else base64.b64encode(digest).decode()


def _as_bytes(text: str) -> bytes:
    # compare_digest refuses non-ASCII text, so both sides become bytes; surrogates are only ever a mismatch.
    return text.encode("utf-8", "surrogatepass")


def _first_match(candidates: Sequence[bytes | None], given: bytes) -> int:
    """Index of the first equal candidate or -1, looking at all of them."""
    found = -1
    for index in range(len(candidates) - 1, -1, -1):
        candidate = candidates[index]
        if hmac.compare_digest(candidate or b"", given) and candidate:
            found = index
    return found


def _verify_hmac(
    scheme: HmacScheme, value: str, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes | None]
) -> Verified:
    timestamp = headers.get(scheme.timestamp_header, "") if scheme.timestamp_header else ""
    signed_at = _epoch(timestamp) if scheme.signs_clock else None
    if not value.startswith(scheme.prefix):
        raise SignatureRejected("signature_malformed")
    message = _message(scheme, body, timestamp)
    expected = [None if s is None else _as_bytes(_digest_text(scheme, message, s)) for s in secrets]
    given = _as_bytes(value.removeprefix(scheme.prefix))
    index = _first_match(expected, given)
    if index < 0:
        raise SignatureRejected("signature_mismatch")
    return Verified(index, hashlib.sha256(given).digest(), signed_at)


def _epoch(text: str) -> datetime:
    # Eleven digits reach the year 5138; more would leave the range of datetime.
    if not re.fullmatch(r"[0-9]{1,11}", text, re.ASCII):
        raise SignatureRejected("timestamp_malformed" if text else "timestamp_missing")
    return datetime.fromtimestamp(int(text), tz=UTC)


def _verify_token(scheme: SharedTokenScheme, value: str, secrets: Sequence[bytes | None]) -> Verified:
    if not value.startswith(scheme.prefix):
        raise SignatureRejected("signature_malformed")
    index = _first_match(list(secrets), _as_bytes(value.removeprefix(scheme.prefix)))
    if index < 0:
        raise SignatureRejected("signature_mismatch")
    return Verified(index)


def _verify_jwt(scheme: JwtScheme, value: str, secrets: Sequence[bytes | None]) -> Verified:
    if not value.startswith(scheme.prefix):
        raise SignatureRejected("signature_malformed")
    token = value.removeprefix(scheme.prefix)
    reason = "signature_mismatch"
    for index, secret in enumerate(secrets):
        if secret is None:
            continue
        try:
            # The algorithm is pinned: a token cannot choose how it is checked (RFC 8725, section 3.1).
            jwt.decode(
                token,
                secret,
                algorithms=["HS256"],
                leeway=scheme.leeway_seconds,
                options={"require": ["exp"], "verify_aud": False},
            )
        except jwt.ExpiredSignatureError:
            reason = "token_expired"
        except (jwt.InvalidTokenError, ValueError, UnicodeError):
            continue
        else:
            return Verified(index)
    raise SignatureRejected(reason)
