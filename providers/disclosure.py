"""What may be known of a call: headers without what proves who asks, answers without our own secrets."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

from providers.redaction import REDACTED, is_secret_key, redact_text

MAX_TOLD = 300
_SHORTEST_SECRET = 4
_SHORTEST_IN_CONTENT = 12


def shown_headers(headers: Mapping[str, str | bytes]) -> dict[str, str]:
    """The headers, those that prove who asks hidden."""
    return {name: REDACTED if _proves(name) else _text(value) for name, value in headers.items()}


def told(text: str, headers: Mapping[str, str | bytes]) -> str:
    """What a provider says of a refusal, on one line, cut, and without what the headers proved us by.

    A provider may repeat what it was sent, and a secret need not look like one.
    """
    line = " ".join(text[: 20 * MAX_TOLD].split())
    # The longest first: a part of a secret that was replaced already leaves its rest unfound.
    for secret in sorted(set(_secrets(headers)), key=len, reverse=True):
        line = line.replace(secret, REDACTED)
    return redact_text(line)[:MAX_TOLD]


def proofs(headers: Mapping[str, str | bytes]) -> list[str]:
    """What the headers prove us by, in the forms it may be repeated in, the longest first.

    A user's name beside a password is none, nor is what is short: it may be a word of a text.
    """
    found = set()
    for name, value in headers.items():
        if not _proves(name):
            continue
        scheme, _, rest = _text(value).partition(" ")
        found.add(rest or scheme)
        if scheme.lower() == "basic":
            user, _, password = _decoded(rest).partition(":")
            found.add(password or user)
    secrets = [proof for proof in found if len(proof) >= _SHORTEST_IN_CONTENT]
    forms = {form for proof in secrets for form in (proof, quote(proof, safe=""), json.dumps(proof)[1:-1])}
    return sorted(forms, key=len, reverse=True)


def without(content: bytes, secrets: Iterable[str]) -> bytes:
    """A body without these, so that nothing that is made of it can repeat them."""
    for secret in secrets:
        if (written := secret.encode()) in content:
            content = content.replace(written, REDACTED.encode())
    return content


def _proves(header: str) -> bool:
    return header.lower() in ("authorization", "cookie") or is_secret_key(header)


def _secrets(headers: Mapping[str, str | bytes]) -> Iterator[str]:
    for name, value in headers.items():
        if not _proves(name):
            continue
        text = _text(value)
        scheme, _, rest = text.partition(" ")
        parts = [text, rest]
        if scheme.lower() == "basic":
            parts += _decoded(rest).split(":", 1)
        yield from (part for part in parts if len(part) >= _SHORTEST_SECRET)


def _decoded(credentials: str) -> str:
    """User and password of Basic authentication (RFC 7617)."""
    try:
        return base64.b64decode(credentials).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
