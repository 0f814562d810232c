"""Strips secrets, and by policy e-mail addresses, from anything that is stored or logged.

Two nets: key names that say "secret", and values that look like one whatever their key. A redacted value
becomes ``[redacted]``; structure stays, so a redacted payload can still be mapped.

Token shapes: the prefixes vendors publish for secret scanning, RFC 7519 (JWT), RFC 7468 (PEM).
"""

from __future__ import annotations

import re
from typing import Any

REDACTED = "[redacted]"
MAX_DEPTH = 64

_SECRET_WORDS = (
    "password|passwd|passphrase|pwd|secret|api_?key|apikey|access_?key|private_?key|signing_?key|"
    "credential|credentials|authorization|auth_?token|access_?token|refresh_?token|id_?token|session_?token|"
    "client_?secret|webhook_?secret|token|cookie|set_?cookie|x_?api_?key|bearer"
)
# The word must be the whole key or its last part (``user_password``), so ``secret_type`` and
# ``token_expired_at`` stay readable.
_SECRET_KEY = re.compile(rf"(?:^|_)(?:{_SECRET_WORDS})$", re.IGNORECASE)
_WORD_BREAK = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[-. ]")

_SECRET_VALUE = re.compile(
    r"gh[pousr]_[A-Za-z0-9._-]{16,}"
    r"|github_pat_[A-Za-z0-9_]{20,}"
    r"|glpat-[A-Za-z0-9_.-]{16,}"
    r"|xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{8,}|xapp-[A-Za-z0-9-]{8,}"
    r"|ATATT[A-Za-z0-9_=-]{20,}|ATCTT[A-Za-z0-9_=-]{20,}"
    r"|lin_(?:api|oauth|wh)_[A-Za-z0-9]{16,}"
    r"|whsec_[A-Za-z0-9+/=]{16,}|sk_(?:live|test)_[A-Za-z0-9]{16,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}"
    # Starts only where a word starts: else a long run of "eyJ" would be scanned again from every one.
    r"|(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"
    r"|(?i:\b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]{12,})"
    r"|(?i:(?<=[?&])(?:access_token|token|api_key|apikey|client_secret|password|secret|sig|signature)=[^&#\s\"']+)"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)",
    re.DOTALL,
)
# Anchored and possessive for the same reason: linear on any text.
_EMAIL = re.compile(r"(?<![A-Za-z0-9._%+\-])[A-Za-z0-9._%+\-]++@[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)+")


def is_secret_key(key: str) -> bool:
    """Whether a key name announces a secret, in snake, kebab or camel case."""
    return bool(_SECRET_KEY.search(_WORD_BREAK.sub("_", key)))


def redact_text(text: str, *, emails: bool = False) -> str:
    """The text with secret-looking parts replaced, and e-mail addresses too if asked."""
    text = _SECRET_VALUE.sub(REDACTED, text)
    return _EMAIL.sub(REDACTED, text) if emails and "@" in text else text


def redact(value: Any, *, emails: bool = False, _depth: int = 0) -> Any:
    """A redacted copy of a JSON value. Deeper than 64 levels is cut off as ``[redacted]``."""
    if isinstance(value, str):
        return redact_text(value, emails=emails)
    if _depth >= MAX_DEPTH:
        return REDACTED if isinstance(value, dict | list) else value
    if isinstance(value, dict):
        return {
            key: REDACTED
            if item and not isinstance(item, bool) and is_secret_key(key)
            else redact(item, emails=emails, _depth=_depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [redact(item, emails=emails, _depth=_depth + 1) for item in value]
    return value
