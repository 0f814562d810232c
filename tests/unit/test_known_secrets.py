"""What a thread has handled is found in any text, whatever it looks like."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from providers.known_secrets import MOST, forget_all, hidden, remember

SECRET = "zwetschge & fensterladen/mondschein"


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    forget_all()
    yield
    forget_all()


@pytest.mark.parametrize("written", [SECRET, quote(SECRET, safe=""), json.dumps(SECRET), f"{SECRET!r}"])
def test_a_secret_is_found_as_it_is_and_as_it_is_written(written: str) -> None:
    assert hidden(f"broken: {written}") == f"broken: {written}"
    remember(SECRET)
    assert "mondschein" not in hidden(f"broken: {written}")


def test_of_a_credential_only_its_secrets_are_hidden() -> None:
    remember(json.dumps({"email": "bot@acme.example", "token": SECRET, "client_id": "application-1"}))
    assert hidden(f"bot@acme.example application-1 {SECRET}") == "bot@acme.example application-1 [redacted]"


def test_of_an_address_the_last_part_is_hidden_by_itself() -> None:
    remember("https://integrations.example/v1/integrations/webhooks/fake/regenbogen-hagebutte")
    assert hidden("no door for regenbogen-hagebutte") == "no door for [redacted]"


def test_of_a_key_every_line_is_hidden() -> None:
    lines = [letter * 64 for letter in "abc"]
    remember("\n".join(["-----BEGIN KEY-----", *lines]))
    assert hidden(f"at {lines[1]!r}") == "at '[redacted]'"


def test_words_that_are_short_stay() -> None:
    remember("token")
    assert hidden("the token is refused") == "the token is refused"


def test_what_was_not_used_for_long_is_forgotten() -> None:
    remember(SECRET)
    for number in range(MOST):
        remember(f"another secret {number}")
    assert hidden(SECRET) == SECRET
    remember("another secret 0")
    remember("one more of them")
    assert hidden("another secret 0") == "[redacted]"


def test_another_thread_knows_nothing_of_it() -> None:
    remember(SECRET)
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.append(hidden(SECRET)))
    thread.start()
    thread.join()
    assert seen == [SECRET]
