from __future__ import annotations

import time
from typing import Any

import pytest

from providers.redaction import MAX_DEPTH, REDACTED, is_secret_key, redact, redact_text


@pytest.mark.parametrize(
    "key",
    [
        "password", "Password", "user_password", "dbPassword", "secret", "client-secret", "clientSecret", "api_key",
        "apiKey", "X-Api-Key", "authorization", "Proxy-Authorization", "access_token", "accessToken", "token",
        "refresh.token", "private_key", "set-cookie", "webhookSecret", "credential",
    ],
)  # fmt: skip
def test_keys_that_announce_a_secret(key: str) -> None:
    assert is_secret_key(key)
    assert redact({key: "hunter2hunter2"}) == {key: REDACTED}


@pytest.mark.parametrize(
    "key", ["secret_type", "token_expired_at", "secretary", "tokens_used", "public_key", "author", "passwordless"]
)
def test_keys_that_only_speak_of_one(key: str) -> None:
    assert redact({key: "plain"}) == {key: "plain"}


def test_the_whole_value_under_a_secret_key_goes_whatever_its_form() -> None:
    assert redact({"token": {"id": "a"}, "password": ["a"], "secret": 1234, "api_key": 0.5}) == {
        "token": REDACTED,
        "password": REDACTED,
        "secret": REDACTED,
        "api_key": REDACTED,
    }


def test_flags_and_empty_values_under_a_secret_key_stay() -> None:
    value = {"secret": True, "token": None, "password": "", "cookie": []}
    assert redact(value) == value


# Put together from halves, so that no scanner takes this file for a leak.
SECRETS = [
    "ghp" + "_abcdefghijklmnopqrstuvwxyz0123456789",
    "github" + "_pat_11ABCDEFG0abcdefghijkl_mnop",
    "glpat" + "-abcdefghij0123456789",
    "xoxb" + "-1234567890-abcdefghij",
    "ATATT" + "3xFfGF0abcdefghijklmnopqrstuv=ABC",
    "lin" + "_api_abcdefghijklmnop0123",
    "whsec" + "_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "sk" + "_live_abcdefghijklmnop0123",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN " + "PRIVATE KEY-----\nMIIE cut off",
    "-----BEGIN PGP " + "PRIVATE KEY BLOCK-----\nlQOY\n-----END PGP PRIVATE KEY BLOCK-----",
    "eyJ" + "hbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..48V1_ALb6US04U3b.5eym8TW_c8SuK0lt.SdiwkIr3ajwQzaBtQD_A",
    "npm" + "_abcdefghijklmnopqrstuvwxyz0123456789",
    "pypi" + "-AgEIcHlwaS5vcmcCJDAwMDAwMDAw",
    "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
    "ya29" + ".a0AfH6SMBabcdefghijklmnop",
    "SG" + ".abcdefghijklmnopqrstuv.abcdefghijklmnopqrstuvwxyzABCDEF",
    "sk" + "-proj-abcdefghijklmnopqrstuvwxyz012345",
    "hf" + "_abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "rk" + "_live_abcdefghijklmnop0123",
    "glrt" + "-abcdefghij0123456789",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_values_that_look_like_a_secret_go_under_any_key(secret: str) -> None:
    told = redact({"body": f"It is {secret}", "list": [{"deep": secret}]})
    assert secret not in str(told)
    assert told["body"] == f"It is {REDACTED}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abcdef0123456789", f"Authorization: {REDACTED}"),
        ("https://u:pass@host.example/x", f"https://{REDACTED}@host.example/x"),
        ("https://h.example/x?a=1&access_token=abc&b=2", f"https://h.example/x?a=1&{REDACTED}&b=2"),
        ("https://h.example/x?private_token=abc&X-Amz-Signature=0f", f"https://h.example/x?{REDACTED}&{REDACTED}"),
        ("https://abcdefghij0123456789@host.example/x", f"https://{REDACTED}@host.example/x"),
        ("https://u:p@ss@host.example/x", f"https://{REDACTED}@host.example/x"),
        ("https://hooks.slack.com/services/T0/B0/abc", f"https://hooks.slack.com/{REDACTED}"),
        ('{"user": "zoe", "password": "hunter-two"}', f'{{"user": "zoe", "password": "{REDACTED}"}}'),
        (r"{\"api_key\": \"hunter-two\"}", rf"{{\"api_key\": \"{REDACTED}\"}}"),
        ("A=1\nDB_PASSWORD=hunter-two\nB=2", f"A=1\nDB_PASSWORD={REDACTED}\nB=2"),
        ("user: zoe\npassword: hunter2two", f"user: zoe\npassword: {REDACTED}"),
        ("Basic dXNlcjpwYXNzd29yZA==", REDACTED),
        ("token=eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2ln", f"token={REDACTED}"),
    ],
)
def test_secrets_inside_a_text_go_and_the_rest_stays(text: str, expected: str) -> None:
    assert redact_text(text) == expected


def test_plain_words_stay() -> None:
    for text in ("The bearer of good news", "basic tests", "eyJust a word", "akia", "ghp_short", "a:b@c"):
        assert redact_text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "Add basic authentication to the API",
        "Fix bearer authentication",
        "dependabot/npm_and_yarn/lodash@4.17.21",
        "@scope/pkg@1.2.3",
        "release pkg@2.0.0-beta.1",
        "git@github.com:acme/web.git",
        "ssh://git@git.example/acme/web.git",
        "actions/checkout@v4.1.1",
        "https://host.example:8443/repo@main",
        "Password: reset flow is broken",
        "feature/whsec_handling",
    ],
)
def test_names_and_titles_that_only_resemble_a_secret_stay(text: str) -> None:
    assert redact({"title": text}, emails=True) == {"title": text}


def test_a_secret_in_the_place_of_a_key_goes() -> None:
    secret = SECRETS[0]
    assert redact({"a": [{secret: 1}]}) == {"a": [{REDACTED: 1}]}


def test_addresses_go_only_by_policy() -> None:
    text = "Written by zoe+x@acme.example, not @zoe or zoe@localhost."
    assert redact_text(text) == text
    assert redact_text(text, emails=True) == f"Written by {REDACTED}, not @zoe or zoe@localhost."
    assert redact({"a": ["zoe@acme.example"]}, emails=True) == {"a": [REDACTED]}


def test_the_original_is_not_changed_and_the_structure_stays() -> None:
    value = {"a": [{"password": "x"}, 1, None, True, 1.5]}
    assert redact(value) == {"a": [{"password": REDACTED}, 1, None, True, 1.5]}
    assert value["a"][0] == {"password": "x"}  # type: ignore[comparison-overlap, index]


def test_what_lies_too_deep_is_cut_off() -> None:
    value: Any = {"password": "x"}
    for _ in range(500):
        value = [value]
    told, depth = redact(value), 0
    while isinstance(told, list):
        told, depth = told[0], depth + 1
    assert (told, depth) == (REDACTED, MAX_DEPTH)


@pytest.mark.parametrize(
    "text",
    [
        "@" + "a" * 300_000,
        "eyJ" * 100_000,
        "a.b" * 100_000 + "@",
        "-----BEGIN " * 30_000,
        "://a:" * 60_000,
        "@a." * 80_000,
        "password:" * 30_000,
        "x@?" + "token" * 60_000 + "&",
        'password"' * 30_000 + " " * 30_000,
        "Basic " + "a" * 300_000 + " bearer" * 30_000,
        "http://" + "a" * 150_000 + ":" + "b" * 150_000 + "= @",
    ],
    ids=[
        *("one long word", "token heads", "dots", "key heads", "addresses", "domains"),
        *("labels", "names of a query", "names of an object", "schemes", "a user"),
    ],
)
def test_no_text_takes_more_than_linear_time(text: str) -> None:
    started = time.perf_counter()
    redact_text(text, emails=True)
    # Quadratic work on these sizes takes minutes; linear work takes milliseconds.
    assert time.perf_counter() - started < 3
