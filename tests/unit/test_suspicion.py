"""The quick look may say "perhaps" too often, never "no" wrongly: the result is always that of full redaction."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.redaction import MAX_DEPTH, redact, redacted_json
from providers.suspicion import is_beyond_suspicion
from tests.extent import extent
from tests.unit.test_redaction import SECRETS

# Pieces of which secrets, their labels and what is round them are made, and what could hide them from a quick look.
PIECES = [
    *SECRETS,
    *("password", "passwd", "pwd", "secret", "token", "api_key", "api-key", "apiKey", "api key", "Bearer", "Basic"),
    *("access_key", "PassPhrase", "private.key", "set-cookie", "sessionId", "jwt", "x-api-key", "signature", "sig"),
    *("=", ":", " : ", ": ", '"', "'", '": "', "\\", '\\"', "\\\\", "?", "&", "#", "@", "://", "/", ".", ",", "-", "_"),
    *("\n", "\t", "\r", "\x00", "\x07", "\x1c", "\x1f", "\x7f", "\x85", "\xa0", "\u2028", " "),
    *("git", "git@host.example", "zoe@acme.example", "x@y.zz", "a.b", "host.example", "https://", "user:pass@host"),
    *("abcdefghijklmnop", "ABC123def456ghi789jkl", "dXNlcjpwYXNzd29yZA==", "hunter2two", "1", "x"),
    *("\u0130", "\u0131", "\u017f", "\u212a", "é", "😀", "tok\u212aen", "pa\u017fsword", "s\u0131g", "ap\u0130_key"),
]
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=7).map("".join)
LEAVES = st.one_of(TEXTS, st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=8,
)


@given(VALUES, st.booleans())
@settings(max_examples=extent(300, 1500), deadline=None)
def test_the_quick_way_gives_what_the_slow_way_gives(value: Any, emails: bool) -> None:
    try:
        expected = orjson.dumps(redact(value, emails=emails))
    except TypeError:  # a lone surrogate is no JSON either way
        return
    assert redacted_json(value, emails=emails) == expected


@given(TEXTS, TEXTS, st.booleans())
@settings(max_examples=extent(300, 1500), deadline=None)
def test_nothing_that_would_be_changed_is_beyond_suspicion(key: str, text: str, emails: bool) -> None:
    value = {key: text}
    try:
        written = orjson.dumps(value).decode()
    except TypeError:
        return
    if is_beyond_suspicion(written, emails=emails):
        assert redact(value, emails=emails) == value


@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 200, 500])
def test_what_lies_too_deep_is_cut_off_on_the_quick_way_too(depth: int) -> None:
    lists: Any = "x"
    objects: Any = "x"
    for _ in range(depth):
        lists, objects = [1, lists], {"a": 1, "b": objects}
    for value in (lists, objects):
        assert redacted_json(value) == orjson.dumps(redact(value))


@pytest.mark.parametrize(
    "value",
    [
        {"ssh_url": "git@forge.example:acme/web.git", "url": "https://forge.example/a{/b}?page=1&sort=name"},
        {"clone": "ssh://git@forge.example/acme/web.git", "text": "write to git@forge.example"},
        {"secret_type": "x", "tokens_used": 4, "has_secretary": True, "author": "zoe"},
        {"title": "Rotate the secret, then the token", "body": "basic tests of the bearer, task-1"},
        {"a": [], "b": {}, "c": [{"d": None}]},
    ],
)
def test_ordinary_payloads_take_the_quick_way(value: Any) -> None:
    assert is_beyond_suspicion(orjson.dumps(value).decode(), emails=True)
    assert redacted_json(value, emails=True) == orjson.dumps(value)


@pytest.mark.parametrize(
    "value",
    [
        {"token\n": "hunter2two"},
        {"x": '://a:b"git@host.example'},
        {"x": "see password\n: hunter2two"},
        {"x": "zoe@acme.example and git@forge.example"},
        {"x": '{\\"api_key\\" : \\"hunter-two\\"}'},
        {"x": '{"api_key"\n:\t"hunter-two"}'},
        {"x": "?\u0130token=abc"},
        {"x": "Bearer\n\nabcdef0123456789"},
    ],
)
def test_what_hides_behind_an_escape_is_found(value: Any) -> None:
    """Each of these is changed by redaction, and stands in JSON text otherwise than in the value."""
    assert redact(value, emails=True) != value
    assert redacted_json(value, emails=True) == orjson.dumps(redact(value, emails=True))
