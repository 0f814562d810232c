"""What is shown of a call holds none of our secrets, whatever the provider repeats."""

from __future__ import annotations

import base64

import pytest

from providers.disclosure import MAX_TOLD, proofs, shown_headers, told, without

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


@pytest.mark.parametrize("written", [SECRET, f"Bearer {SECRET}", f'{{"account": "{SECRET}"}}'])
def test_an_answer_that_repeats_the_credential_is_read_without_it(written: str) -> None:
    assert SECRET not in without(written.encode(), proofs({"Authorization": f"Bearer {SECRET}"})).decode()


def test_a_credential_is_found_as_urls_and_json_write_it() -> None:
    ours = proofs({"PRIVATE-TOKEN": 'regenbogen"/hagebutte'})
    for written in (b"?t=regenbogen%22%2Fhagebutte", rb'{"t": "regenbogen\"/hagebutte"}'):
        assert b"hagebutte" not in without(written, ours)


def test_of_basic_authentication_the_name_stays_and_the_password_goes() -> None:
    ours = proofs({"Authorization": f"Basic {BASIC}"})
    assert without(f"zoe@acme.example {SECRET}".encode(), ours) == b"zoe@acme.example [redacted]"


def test_a_token_in_the_place_of_the_name_goes_as_well() -> None:
    alone = base64.b64encode(f"{SECRET}:".encode()).decode()
    assert SECRET.encode() not in without(SECRET.encode(), proofs({"Authorization": f"Basic {alone}"}))


def test_short_passwords_and_other_headers_leave_the_text_as_it_is() -> None:
    assert proofs({"Authorization": "Bearer password", "Accept": "application/json-and-more"}) == []
