from __future__ import annotations

from datetime import UTC, datetime

import pytest

from providers.document import MAX_TEXT, Document, compact, moment_of, parse_json

DOCUMENT = Document(
    {
        "a": {"b": [{"c": "deep"}, None, 3]},
        "x/y": {"~z": "escaped"},
        "id": 12,
        "empty": "",
        "yes": True,
        "big": 2**70,
        "labels": [{"name": "bug"}, {"name": ""}, "loose", None],
        "names": ["one", 2, None, "", True],
    }
)


def test_a_pointer_goes_through_objects_and_lists() -> None:
    assert DOCUMENT.at("/a/b/0/c") == "deep"
    assert DOCUMENT.at("") is DOCUMENT.value


def test_a_pointer_unescapes_as_rfc_6901_says() -> None:
    assert DOCUMENT.at("/x~1y/~0z") == "escaped"


@pytest.mark.parametrize("pointer", ["/a/b/9/c", "/a/b/-1", "/a/b/x", "/a/b/1/c", "/id/x", "/nothing", "/a/b/\u0661"])
def test_a_pointer_into_nothing_is_none(pointer: str) -> None:
    assert DOCUMENT.at(pointer) is None


def test_text_takes_the_first_that_is_there_and_turns_numbers_into_text() -> None:
    assert DOCUMENT.text("/missing", "/empty", "/id") == "12"
    assert DOCUMENT.text("/yes") is None
    assert DOCUMENT.text("/a") is None
    assert Document({"t": "x" * 9000}).text("/t") == "x" * MAX_TEXT
    assert Document({"t": "abcdef"}).text("/t", limit=3) == "abc"


def test_integers_are_integers_that_fit_a_column() -> None:
    assert DOCUMENT.integer("/big", "/id") == 12
    assert DOCUMENT.integer("/yes") is None
    assert Document({"n": "12"}).integer("/n") is None
    assert Document({"n": 1.5}).integer("/n") is None


def test_booleans_are_booleans() -> None:
    assert DOCUMENT.boolean("/yes") is True
    assert DOCUMENT.boolean("/id") is None


def test_lists_of_texts_leave_out_what_is_none() -> None:
    assert DOCUMENT.texts("/labels", "/name") == ["bug"]
    assert DOCUMENT.texts("/names") == ["one", "2"]
    assert DOCUMENT.texts("/id") == []
    assert [item.value for item in DOCUMENT.items("/a/b")] == [{"c": "deep"}, None, 3]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-03-01T10:00:00Z", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01T12:00:00.250+0200", datetime(2026, 3, 1, 10, 0, 0, 250_000, tzinfo=UTC)),
        (1_772_359_200, datetime(2026, 3, 1, 10, tzinfo=UTC)),
        (1_772_359_200_000, datetime(2026, 3, 1, 10, tzinfo=UTC)),
        (1_772_359_200.5, datetime(2026, 3, 1, 10, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_times_of_every_usual_form_become_utc(value: object, expected: datetime) -> None:
    moment = moment_of(value)
    assert moment == expected
    assert moment is not None
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        "2026-03-01T10:00:00",
        "2026-03-01",
        "yesterday",
        "",
        None,
        True,
        [],
        {},
        0,
        -5,
        1e300,
        float("nan"),
        float("inf"),
        2**80,
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "1970-01-01T00:00:00Z",
    ],
)
def test_what_is_no_usable_time_is_none_and_never_naive(value: object) -> None:
    assert moment_of(value) is None


def test_compact_keeps_no_and_zero() -> None:
    assert compact({"a": None, "b": "", "c": [], "d": False, "e": 0, "f": "x"}) == {"d": False, "e": 0, "f": "x"}


def test_json_that_other_readers_refuse_is_still_read() -> None:
    assert parse_json(b'{"t": "cut \\ud83d"}') == {"t": "cut \ufffd"}
    assert parse_json(b'{"n": 123456789012345678901234567890}') == {"n": 1.2345678901234568e29}


@pytest.mark.parametrize("raw", [b"", b"{", b"NaN", b'{"a": Infinity}', b"\xff", b"[" * 200_000, b'{"a":' * 50_000])
def test_what_is_not_json_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (any text will do; the kind is the contract)
        parse_json(raw)


def test_a_name_is_the_first_that_redaction_left_whole() -> None:
    body = Document({"key": "[redacted]", "name": "acme\\[redacted]", "shown": "Zoe", "id": 7})
    assert body.name("/key", "/name", "/shown") == "Zoe"
    assert body.name("/missing", "/id") == "7"
    assert body.name("/key") is None
