"""JSON Web Tokens as proofs: with a shared secret, or with keys a provider publishes.

The algorithm is pinned by the scheme; a token cannot choose how it is checked (RFC 8725, section 3.1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jwt

from providers.verification.outcome import KeysUnavailable, SignatureRejected
from providers.verification.schemes import JwtScheme, KeySetScheme

# Three parts of unpadded base64url (RFC 7515, section 7.1), so that a token has one spelling.
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", re.ASCII)
# What the library lets out for claims and keys of an odd shape, beside errors of its own.
_ODD = (jwt.PyJWTError, ValueError, TypeError, AttributeError)


def check_jwt(scheme: JwtScheme, token: str, secrets: Sequence[bytes | None]) -> int:
    """Index of the secret the token is signed with. Raises ``SignatureRejected``."""
    _insist_on_compact_form(token)
    found, expired = -1, False
    for index in range(len(secrets) - 1, -1, -1):
        secret = secrets[index]
        if secret is None:
            continue
        try:
            jwt.decode(
                token,
                secret,
                algorithms=["HS256"],
                leeway=scheme.leeway_seconds,
                options={"require": ["exp"], "verify_aud": False, "enforce_minimum_key_length": True},
            )
            found = index
        except jwt.ExpiredSignatureError:
            expired = True
        except _ODD:
            continue
    return _known(found, expired)


def check_published_jwt(
    scheme: KeySetScheme, token: str, audiences: Sequence[bytes | None], published: Mapping[str, Any] | None
) -> int:
    """Index of the audience the token names.

    Raises ``SignatureRejected``, or ``KeysUnavailable`` where the key it names may only be too new for us.
    """
    _insist_on_compact_form(token)
    key = _published_key(scheme, token, published)
    found, expired = -1, False
    for index in range(len(audiences) - 1, -1, -1):
        audience = audiences[index]
        if audience is None:
            continue
        try:
            jwt.decode(
                token,
                key,
                algorithms=list(scheme.algorithms),
                audience=audience.decode(),
                issuer=scheme.issuer,
                leeway=scheme.leeway_seconds,
                options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
            )
            found = index
        except jwt.ExpiredSignatureError:
            expired = True
        except _ODD:
            continue
    return _known(found, expired)


def _insist_on_compact_form(token: str) -> None:
    if not _COMPACT.fullmatch(token):
        raise SignatureRejected("signature_malformed")


def _known(found: int, expired: bool) -> int:
    if found < 0:
        raise SignatureRejected("token_expired" if expired else "signature_mismatch")
    return found


def _published_key(scheme: KeySetScheme, token: str, published: Mapping[str, Any] | None) -> jwt.PyJWK:
    try:
        header = jwt.get_unverified_header(token)
    except _ODD:
        raise SignatureRejected("signature_malformed") from None
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(key_id, str) or not key_id:
        raise SignatureRejected("signature_malformed")
    # Looked at before the key, so that a downgrade is a refusal and not our fault.
    if algorithm not in scheme.algorithms:
        raise SignatureRejected("signature_mismatch")
    candidates = (published or {}).get("keys")
    for candidate in candidates if isinstance(candidates, list) else []:
        if not isinstance(candidate, dict) or candidate.get("kid") != key_id:
            continue
        endorsements = candidate.get("endorsements")
        endorsed = isinstance(endorsements, list) and scheme.key_endorsement in endorsements
        if (scheme.key_endorsement and not endorsed) or candidate.get("use", "sig") != "sig":
            raise SignatureRejected("signature_mismatch")
        try:
            return jwt.PyJWK(candidate, algorithm=algorithm)
        except _ODD:
            break
    raise KeysUnavailable(scheme.keys_url)
