"""Strips secrets, and by policy e-mail addresses, from anything that is stored or logged.

Two nets: key names that say "secret", and values that look like one whatever their key. A redacted value
becomes ``[redacted]``; structure stays, so a redacted payload can still be mapped.

Token shapes: the prefixes vendors publish for secret scanning, RFC 7519 (JWT), RFC 7468 (PEM).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import orjson

REDACTED = "[redacted]"
MAX_DEPTH = 64
_LONGEST_KEPT = 64

_SECRET_WORDS = (
    "passwords?|passwd|passphrase|passcode|pwd|secret|api_?keys?|access_?keys?|private_?keys?|signing_?key|"
    "secret_?key|encryption_?key|account_?key|credential|credentials|authorization|auth_?token|access_?tokens?|"
    "refresh_?tokens?|id_?token|session_?token|session_?id|client_?secrets?|webhook_?secret|token|jwt|cookies?|"
    "set_?cookie|x_?api_?key|bearer"
)
# The word must be the whole key or its last part (``user_password``), so ``secret_type`` and
# ``token_expired_at`` stay readable.
_SECRET_KEY = re.compile(rf"(?:^|_)(?:{_SECRET_WORDS})$", re.IGNORECASE)
_WORD_BREAK = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[-. ]")

# Shapes of secrets with the words one of which must be there: a search for words is cheap, for shapes it is not.
_SHAPES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[A-Za-z0-9._-]{16,}"),
    (("github_pat_",), r"github_pat_[A-Za-z0-9_]{20,}"),
    (
        ("glpat-", "glptt-", "gldt-", "glrt-", "glcbt-", "glft-", "glsoat-", "glimt-", "glagent-"),
        r"gl(?:pat|ptt|dt|rt|cbt|ft|soat|imt|agent)-[A-Za-z0-9_.-]{16,}",
    ),
    (("xox",), r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{8,}"),
    (("xapp-",), r"xapp-[A-Za-z0-9-]{8,}"),
    (("hooks.slack.com/",), r"(?<=hooks\.slack\.com/)(?:services|workflows|triggers)/[A-Za-z0-9/]+"),
    (("ATATT", "ATCTT"), r"AT[AC]TT[A-Za-z0-9_=-]{20,}"),
    (("lin_",), r"lin_(?:api|oauth|wh)_[A-Za-z0-9]{16,}"),
    (("whsec_",), r"whsec_[A-Za-z0-9+/=]{16,}"),
    (("k_live_", "k_test_"), r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    (("sk-",), r"sk-(?:proj|ant|svcacct|admin|or)-[A-Za-z0-9_-]{16,}|sk-[A-Za-z0-9]{32,}"),
    (("npm_",), r"npm_[A-Za-z0-9]{36}"),
    (("pypi-AgE",), r"pypi-AgE[A-Za-z0-9_-]{16,}"),
    (("hf_",), r"hf_[A-Za-z0-9]{30,}"),
    (("dop_v1_", "dor_v1_", "doo_v1_"), r"do[opr]_v1_[a-f0-9]{64}"),
    (("AIza",), r"AIza[A-Za-z0-9_-]{35}"),
    (("ya29.",), r"ya29\.[A-Za-z0-9_-]{16,}"),
    (("SG.",), r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    (("AKIA", "ASIA"), r"(?:AKIA|ASIA)[0-9A-Z]{16}"),
    # Starts only where a word starts: else a long run of "eyJ" would be scanned again from every one.
    # The key of an encrypted token (RFC 7516) may be empty; then two parts more follow.
    (
        ("eyJ",),
        r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.(?:[A-Za-z0-9_-]{8,}|(?=\.))\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+){0,2}",
    ),
    (
        ("-----BEGIN ",),
        r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|$)",
    ),
    # With a digit, a padding or a capital inside: "basic authentication" is only two words.
    (
        ("earer", "asic", "EARER", "ASIC"),
        r"\b(?:[Bb]earer|[Bb]asic|BEARER|BASIC)\s+(?=[A-Za-z._~+/-]*(?:[0-9=]|[a-z][A-Z]))[A-Za-z0-9._~+/=-]{12,}",
    ),
    (("earer", "EARER"), r"\b(?:[Bb]earer|BEARER)\s+[A-Za-z]{16,}"),
)
_QUERY = re.compile(
    r"(?<=[?&])(?:[a-z0-9_-]*(?:token|secret|password|signature)|[a-z_]*api_?key|sig|auth|jwt)=[^&#\s\"']+",
    re.IGNORECASE,
)
# A password may hold an at sign; a lone long user name is a token.
_USER = re.compile(r"(?<=://)[^/\s:@]+:[^/\s]+(?=@)|(?<=://)[^/\s:@]{20,}(?=@)")
# A secret told by a label inside a text: a JSON document in a string, a line of a configuration file.
_LABELLED = re.compile(
    r"((?:password|passwd|passphrase|secret|token|api_?key|access_?key|account_?key|private_?key)"
    r"(?:\\*[\"']\s*:\s*\\*[\"']|=[\"']?))[^\s\"'\\&;,]{6,}"
    r"|(\b(?:password|passwd|passphrase|pwd)\s*:\s*)(?=[^\s\"']{0,64}[0-9])[^\s\"',;]{6,}",
    re.IGNORECASE,
)
# Anchored and possessive for the same reason: linear on any text. A version (``pkg@1.2.3``) and the account
# of a clone address (``git@host``) are no addresses of people.
_EMAIL = re.compile(r"(?<![A-Za-z0-9._%+\-])(?!git@)[A-Za-z0-9._%+\-]++@(?:[A-Za-z0-9\-]+\.)+[A-Za-z][A-Za-z0-9\-]+")


def is_secret_key(key: str) -> bool:
    """Whether a key name announces a secret, in snake, kebab or camel case."""
    return _announces(key) if len(key) <= _LONGEST_KEPT else _announces.__wrapped__(key)


@lru_cache(maxsize=4096)
def _announces(key: str) -> bool:
    return bool(_SECRET_KEY.search(_WORD_BREAK.sub("_", key)))


def redact_text(text: str, *, emails: bool = False) -> str:
    """The text with secret-looking parts replaced, and e-mail addresses too if asked."""
    return _redact_text(text, _shapes_in(text), emails)


def redact(value: Any, *, emails: bool = False) -> Any:
    """A redacted copy of a JSON value. Deeper than 64 levels is cut off as ``[redacted]``."""
    if isinstance(value, str):
        return redact_text(value, emails=emails)
    try:
        shapes = _shapes_in(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode())
    except (TypeError, ValueError):  # not JSON, or nested too deeply: look for everything
        shapes = _compiled(tuple(range(len(_SHAPES))))
    return _redact(value, shapes, emails, 0)


def _redact(value: Any, shapes: re.Pattern[str] | None, emails: bool, depth: int) -> Any:
    if isinstance(value, str):
        return _redact_text(value, shapes, emails)
    if depth >= MAX_DEPTH:
        return REDACTED if isinstance(value, dict | list) else value
    if isinstance(value, dict):
        return {
            (shapes.sub(REDACTED, key) if shapes else key): REDACTED
            if item and not isinstance(item, bool) and is_secret_key(key)
            else _redact(item, shapes, emails, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_redact(item, shapes, emails, depth + 1) for item in value]
    return value


def _redact_text(text: str, shapes: re.Pattern[str] | None, emails: bool) -> str:
    if shapes is not None:
        text = shapes.sub(REDACTED, text)
    assigns, has_at = "=" in text, "@" in text
    if assigns and ("?" in text or "&" in text):
        text = _QUERY.sub(REDACTED, text)
    if has_at and "://" in text:
        text = _USER.sub(REDACTED, text)
    if assigns or '"' in text or ": " in text:
        text = _LABELLED.sub(rf"\1\2{REDACTED}", text)
    return _EMAIL.sub(REDACTED, text) if emails and has_at else text


def _shapes_in(text: str) -> re.Pattern[str] | None:
    """The shapes that can occur in the text at all; ``None`` if none can."""
    found = tuple(n for n, (words, _) in enumerate(_SHAPES) if any(word in text for word in words))
    return _compiled(found) if found else None


@lru_cache(maxsize=256)
def _compiled(numbers: tuple[int, ...]) -> re.Pattern[str]:
    return re.compile("|".join(_SHAPES[n][1] for n in numbers), re.DOTALL)
