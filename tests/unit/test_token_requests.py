"""What is sent to token endpoints, and how their answers and refusals are read."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from providers import registry
from providers.client import Response
from providers.errors import GrantEnded, Misconfigured, ProviderError, ProviderFault, RateLimited, Rejected
from providers.oauth import OAuth2
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from providers.token_requests import TokenRequest, TokenSet, ask, granted, refusal, token_request
from tests.contract.provider_server import serving

REFRESH = {"grant_type": "refresh_token", "refresh_token": "rt"}


def answer(status: int, body: Any = None, **headers: str) -> Response:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Response(status=status, headers=headers, content=content)


def server(**values: Any) -> OAuth2:
    return OAuth2(authorize_url="", token_url="{origin}/token", documentation="", default_origin="https://a", **values)


def test_a_client_proves_itself_in_the_body_or_by_basic_authentication() -> None:
    asked = token_request(server(), origin="", client_id="id", client_secret="s", fields=REFRESH)
    assert (asked.url, asked.encoding) == ("https://a/token", "form")
    assert asked.fields == {**REFRESH, "client_id": "id", "client_secret": "s"}
    # RFC 6749, section 2.3.1: encoded as in a form, then joined.
    basic = server(client_authentication="basic", token_format="json")
    asked = token_request(basic, origin="https://b", client_id="i:d", client_secret="s +", fields=REFRESH)
    assert (asked.url, asked.encoding, asked.fields) == ("https://b/token", "json", REFRESH)
    assert base64.b64decode(asked.headers["Authorization"].removeprefix("Basic ")) == b"i%3Ad:s+%2B"
    assert "refresh_token" not in repr(asked)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"access_token": "a"}, TokenSet(access_token="a")),
        ({"access_token": "a", "expires_in": "3599"}, TokenSet(access_token="a", expires_in=3599)),
        ({"access_token": "a", "expires_in": -1}, TokenSet(access_token="a")),
        ({"access_token": "a", "expires_in": True}, TokenSet(access_token="a")),
        ({"access_token": "a", "scope": "read,write"}, TokenSet(access_token="a", scopes=("read", "write"))),
        ({"access_token": "a", "scope": "read write"}, TokenSet(access_token="a", scopes=("read", "write"))),
        ({"access_token": "a", "refresh_token": ""}, TokenSet(access_token="a")),
        ({"access_token": "a", "refresh_token": "r"}, TokenSet(access_token="a", refresh_token="r")),
    ],
)
def test_what_was_granted_is_read_in_the_forms_vendors_give_it(body: dict[str, Any], expected: TokenSet) -> None:
    assert granted(answer(200, body)) == expected


@pytest.mark.parametrize(
    "body", [b"", b"<html>", [], {}, {"access_token": ""}, {"access_token": "a b"}, {"access_token": "x" * 16_001}]
)
def test_what_is_no_token_is_a_fault_of_the_server(body: Any) -> None:
    with pytest.raises(ProviderFault):
        granted(answer(200, body))


@pytest.mark.parametrize(
    ("told", "error"),
    [
        (answer(200, {"access_token": "a"}), None),
        (answer(400, {"error": "invalid_grant"}), GrantEnded),
        (answer(200, {"ok": False, "error": "invalid_grant"}), GrantEnded),
        (answer(403, {"error": "invalid_grant"}), GrantEnded),
        (answer(401, {"error": "invalid_client"}), Misconfigured),
        (answer(401, b""), Misconfigured),
        (answer(400, {"error": "invalid_scope"}), Rejected),
        (answer(400, {"error": {"code": "told <otherwise>"}}), Rejected),
        (answer(200, {"ok": False, "error": "fatal_error"}), ProviderFault),
        (answer(400, {"error": "temporarily_unavailable"}), ProviderFault),
        (answer(503, {"error": "anything"}), ProviderFault),
        (answer(429, {"error": "anything"}), RateLimited),
        (answer(503, b""), None),
        (answer(429, b""), None),
        (answer(403, b"", **{"retry-after": "30"}), RateLimited),
    ],
)
def test_refusals_are_told_apart_by_what_can_be_done(told: Response, error: type[ProviderError] | None) -> None:
    found = refusal(told)
    assert type(found) is (error or type(None))
    assert "<" not in str(found)


@pytest.mark.parametrize(
    ("provider", "code"),
    [
        ("github", "bad_refresh_token"),
        ("jira", "unauthorized_client"),
        ("confluence", "unauthorized_client"),
        ("slack", "invalid_refresh_token"),
    ],
)
def test_vendors_own_words_for_a_dead_refresh_token_are_known(provider: str, code: str) -> None:
    oauth = registry.get(provider).oauth
    assert oauth is not None
    asked = token_request(oauth, origin="", client_id="i", client_secret="s", fields=REFRESH)
    assert asked.classify is not None
    assert isinstance(asked.classify(answer(200, {"error": code})), GrantEnded)


class Sender:
    """What the parts of ``ask`` are told by a server that repeats what it was sent."""

    SECRETS = ("client-secret-of-words", "refresh-token-of-words", "code-of-words")

    @classmethod
    def asked(cls, url: str) -> TokenRequest:
        secret, refresh, code = cls.SECRETS
        fields = {"client_id": "app-1", "client_secret": secret, "refresh_token": refresh, "code": code}
        return TokenRequest(url=f"{url}/token", fields=fields)


@pytest.mark.parametrize("repeated", Sender.SECRETS)
def test_an_error_named_after_a_secret_that_was_sent_is_not_repeated(repeated: str) -> None:
    told = orjson.dumps({"error": repeated})
    with serving(lambda *_: SimulatedAnswer(400, {}, told)) as running, pytest.raises(Rejected) as refused:
        ask(Sender.asked(running.url), OutboundPolicy.parse(["127.0.0.1"]))
    assert repeated not in str(refused.value)
    assert "unnamed" in str(refused.value)


def test_no_scope_is_a_token_or_a_secret_that_was_sent_and_the_tokens_stay() -> None:
    granted_now = {"access_token": "access-token-of-words", "refresh_token": Sender.SECRETS[1], "expires_in": 60}
    scope = " ".join(["read", "access-token-of-words", *Sender.SECRETS, "app-1"])
    told = orjson.dumps({**granted_now, "scope": scope})
    with serving(lambda *_: SimulatedAnswer(200, {}, told)) as running:
        tokens = granted(ask(Sender.asked(running.url), OutboundPolicy.parse(["127.0.0.1"])))
    assert (tokens.access_token, tokens.refresh_token) == ("access-token-of-words", Sender.SECRETS[1])
    assert set(tokens.scopes or ()) == {"read", "[redacted]", "app-1"}
