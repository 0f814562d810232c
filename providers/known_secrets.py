"""Secrets a thread has handled lately, so that no text it writes repeats one.

Redaction by names and shapes misses a secret that looks like a word. What is remembered here is found whatever it
looks like, also in the words of an exception nobody foresaw.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from urllib.parse import quote

import orjson

from providers.redaction import REDACTED, is_secret_key

# Shorter ones would blot out ordinary words.
SHORTEST = 8
MOST = 64
_LONGEST = 64 * 1024
_LONG_LINE = 32

_local = threading.local()


def remember(value: str) -> None:
    """A secret as it is stored: a text, a credential object, or an address whose last part is the secret."""
    known = _known()
    if value in known:
        known.move_to_end(value)
        return
    known[value] = _parts(value)
    if len(known) > MOST:
        known.popitem(last=False)


def hidden(text: str) -> str:
    """The text without what this thread remembers."""
    if len(text) < SHORTEST:
        return text
    for parts in _known().values():
        for part in parts:
            if part in text:
                text = text.replace(part, REDACTED)
    return text


def forget_all() -> None:
    """This thread remembers nothing."""
    _known().clear()


def _known() -> OrderedDict[str, tuple[str, ...]]:
    known: OrderedDict[str, tuple[str, ...]] | None = getattr(_local, "known", None)
    if known is None:
        known = _local.known = OrderedDict()
    return known


def _parts(value: str) -> tuple[str, ...]:
    """What is looked for, the longest first: a part that was replaced already leaves its rest unfound."""
    found: set[str] = set()
    for secret in _secrets(value[:_LONGEST]):
        found |= {secret, quote(secret, safe=""), repr(secret)[1:-1], orjson.dumps(secret).decode()[1:-1]}
        # Of a key each line is worth hiding.
        found |= {line for line in secret.splitlines() if len(line) >= _LONG_LINE}
    return tuple(sorted((part for part in found if len(part) >= SHORTEST), key=len, reverse=True))


def _secrets(value: str) -> list[str]:
    if value.startswith("{"):
        try:
            credential = orjson.loads(value)
        except orjson.JSONDecodeError:
            return [value]
        members = credential.items() if isinstance(credential, dict) else ()
        return [item for name, item in members if isinstance(item, str) and is_secret_key(name)]
    if value.startswith(("https://", "http://")):
        return [value, value.rpartition("/")[2]]
    return [value]
