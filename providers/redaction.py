"""Strips secrets, and by policy e-mail addresses, from anything that is stored or logged.

Two nets: key names that say "secret", and values that look like one whatever their key. A redacted value
becomes ``[redacted]``; structure stays, so a redacted payload can still be mapped.

Most payloads hold nothing to redact; ``providers.suspicion`` tells so in a fraction of the time.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import orjson

from providers.secret_shapes import SECRET_WORDS, SHAPES
from providers.suspicion import is_beyond_suspicion, may_hold_a_token

REDACTED = "[redacted]"
MAX_DEPTH = 64
_LONGEST_KEPT = 64
_CONTAINERS = (dict, list)
_SCALARS = frozenset((str, int, float, bool, type(None)))

# The word must be the whole key or its last part (``user_password``), so ``secret_type`` and
# ``token_expired_at`` stay readable.
_SECRET_KEY = re.compile(rf"(?:^|_)(?:{SECRET_WORDS})$", re.IGNORECASE)
_WORD_BREAK = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[-. ]")

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
_DOOR = re.compile(r"(/integrations/webhooks/[^/\s]+/)[^/\s\"'?]+")
# Anchored and possessive for the same reason: one pass over any text. A version (``pkg@1.2.3``), the account of a
# clone address (``git@host``) and the id of a chat (``19:abc@thread.v2``) are no addresses of people.
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+\-])(?!git@)[A-Za-z0-9._%+\-]++@(?!(?:thread\.(?:tacv2|skype|v2)|unq\.gbl\.spaces)\b)"
    r"(?:[A-Za-z0-9\-]+\.)+[A-Za-z][A-Za-z0-9\-]+"
)


def cut_doors(text: str) -> str:
    """The text with addresses of webhooks cut before their token, which opens the door."""
    return _DOOR.sub(rf"\1{REDACTED}", text)


def is_secret_key(key: str) -> bool:
    """Whether a key name announces a secret, in snake, kebab or camel case."""
    return _announces(key) if len(key) <= _LONGEST_KEPT else _announces.__wrapped__(key)


@lru_cache(maxsize=4096)
def _announces(key: str) -> bool:
    return bool(_SECRET_KEY.search(_WORD_BREAK.sub("_", key)))


def redact_text(text: str, *, emails: bool = False) -> str:
    """The text with secret-looking parts replaced, and e-mail addresses too if asked."""
    return _redact_text(text, _shapes_in(text), emails)


def redacted_json(value: Any, *, emails: bool = False) -> bytes:
    """``redact`` of a JSON value as JSON text; far quicker where there is nothing to redact.

    Raises ``TypeError`` for what is no JSON.
    """
    try:
        text = orjson.dumps(value)
    except TypeError:  # deeper than its writer goes, or no JSON
        return orjson.dumps(redact(value, emails=emails))
    # What has no more objects and lists than that in all cannot be deeper.
    may_be_deeper = text.count(b"{") + text.count(b"[") > MAX_DEPTH
    if is_beyond_suspicion(text.decode(), emails=emails) and not (may_be_deeper and _is_deeper([value], MAX_DEPTH)):
        return text
    return orjson.dumps(redact(value, emails=emails))


def redact(value: Any, *, emails: bool = False) -> Any:
    """A redacted copy of a JSON value. Deeper than 64 levels is cut off as ``[redacted]``."""
    if isinstance(value, str):
        return redact_text(value, emails=emails)
    try:
        shapes = _shapes_in(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode())
    except (TypeError, ValueError):  # not JSON, or nested too deeply: look for everything
        shapes = _compiled(tuple(range(len(SHAPES))))
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


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether anything lies deeper than so many objects and lists."""
    level = [value]
    for _ in range(levels + 1):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            # Most are told by a look at the type.
            if type(item) not in _SCALARS and isinstance(item, _CONTAINERS)
        ]
        if not level:
            return False
    return True


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
    if not may_hold_a_token(text):
        return None
    found = tuple(n for n, (words, _) in enumerate(SHAPES) if any(word in text for word in words))
    return _compiled(found) if found else None


@lru_cache(maxsize=256)
def _compiled(numbers: tuple[int, ...]) -> re.Pattern[str]:
    return re.compile("|".join(SHAPES[n][1] for n in numbers), re.DOTALL)
