"""What is shown of a call holds none of our secrets, whatever the provider repeats."""

from __future__ import annotations

import base64

import pytest

from providers.disclosure import MAX_TOLD, shown_headers, told

SECRET = "kanarienvogel-zugang"
BASIC = base64.b64encode(f"zoe@acme.example:{SECRET}".encode()).decode()


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Authorization", f"Bearer {SECRET}"),
        ("authorization", SECRET),
        ("PRIVATE-TOKEN", SECRET),
        ("Cookie", f"session={SECRET}"),
        ("Authorization", f"Basic {BASIC}"),
    ],
)
def test_a_credential_that_is_repeated_is_not_told_again(header: str, value: str) -> None:
    for repeated in (value, value.partition(" ")[2] or value, SECRET if "Cookie" not in header else value):
        assert SECRET not in told(f"you sent {repeated} to us", {header: value})
    assert shown_headers({header: value, "Accept": "text/html"}) == {header: "[redacted]", "Accept": "text/html"}


def test_words_stay_and_are_one_short_line() -> None:
    assert told("title\n  is   missing", {"Authorization": "Bearer x"}) == "title is missing"
    assert len(told("no " * 5000, {})) <= MAX_TOLD


def test_a_basic_header_that_is_no_base64_is_hidden_all_the_same() -> None:
    assert told("you sent Basic %%%% to us", {"Authorization": "Basic %%%%"}) == "you sent [redacted] to us"
