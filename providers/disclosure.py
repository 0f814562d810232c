"""What may be shown of a call: headers without what proves who asks, a provider's words without our own secrets."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping

from providers.redaction import REDACTED, is_secret_key, redact_text

MAX_TOLD = 300
_SHORTEST_SECRET = 4


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
