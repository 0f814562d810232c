"""Whose token it is, and which clouds are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema_rs
import orjson
import pytest

from providers.adapters.msteams.adapter import TeamsAdapter
from providers.client import ProviderClient
from providers.errors import AuthFailed, Misconfigured, ProviderFault, RateLimited
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from providers.spi import Identity
from tests.contract.provider_server import serving

ADAPTER = TeamsAdapter()
NO_SELF = SimulatedAnswer(400, {}, b'{"error":{"code":"BadRequest"}}')
FORBIDDEN = SimulatedAnswer(403, {}, b'{"error":{"code":"Authorization_RequestDenied"}}')
EXPIRED = SimulatedAnswer(401, {}, b'{"error":{"code":"InvalidAuthenticationToken"}}')


def answer(body: Any) -> SimulatedAnswer:
    return SimulatedAnswer(200, {}, orjson.dumps(body))


def verified(*answers: SimulatedAnswer) -> tuple[Identity, list[str]]:
    """What verifying against these answers in turn says, and which paths were asked."""
    waiting = iter(answers)
    reply: Callable[..., SimulatedAnswer] = lambda *_: next(waiting)  # noqa: E731
    with serving(reply) as server:
        config = ADAPTER.client_config({"base_url": f"{server.url}/v1.0"}, {"token": "t"}, "")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            return ADAPTER.verify(client), [path.partition("?")[0] for _, path in server.asked]


def test_person_is_proven_by_one_call() -> None:
    identity, asked = verified(answer({"id": "p1", "displayName": "Zoe"}))
    assert (identity.account, asked) == ("p1", ["/v1.0/me"])
    assert identity.details == {"type": "person", "name": "Zoe"}


@pytest.mark.parametrize("refusal", [NO_SELF, FORBIDDEN])
def test_application_is_proven_by_its_organisation(refusal: SimulatedAnswer) -> None:
    identity, asked = verified(refusal, answer({"value": [{"id": "o1", "displayName": "Harbor"}]}))
    assert (identity.account, identity.details["type"]) == ("o1", "application")
    assert asked == ["/v1.0/me", "/v1.0/organization"]


def test_application_without_the_permission_is_told_which_one() -> None:
    with pytest.raises(AuthFailed, match=r"Organization\.Read\.All"):
        verified(NO_SELF, FORBIDDEN)


def test_expired_token_is_not_tried_twice() -> None:
    with pytest.raises(AuthFailed, match="401"):
        verified(EXPIRED)


def test_limit_is_no_verdict_on_the_token() -> None:
    with pytest.raises(RateLimited) as caught:
        verified(SimulatedAnswer(429, {"retry-after": "12"}, b""))
    assert caught.value.retry_after_seconds == 12


@pytest.mark.parametrize("body", [{}, {"id": None}, [], {"value": []}])
def test_answer_that_names_nobody_proves_nothing(body: Any) -> None:
    with pytest.raises(ProviderFault):
        verified(answer(body))
    with pytest.raises(ProviderFault):
        verified(NO_SELF, answer(body))


@pytest.mark.parametrize("token", ["", "with blanks", "\u20ac", "x" * 16001])
def test_token_that_cannot_be_sent_is_refused(token: str) -> None:
    with pytest.raises(Misconfigured):
        ADAPTER.client_config({}, {"token": token}, "")


@pytest.mark.parametrize(
    ("base_url", "allowed"),
    [
        ("https://graph.microsoft.com/v1.0", True),
        ("https://dod-graph.microsoft.us/v1.0", True),
        ("https://microsoftgraph.chinacloudapi.cn/v1.0/", True),
        ("https://graph.microsoft.com.evil.example/v1.0", False),
        ("https://evil.example/v1.0", False),
    ],
)
def test_only_microsofts_clouds_get_the_token(base_url: str, allowed: bool) -> None:
    validator = jsonschema_rs.Draft202012Validator(ADAPTER.settings_schema)
    assert validator.is_valid({"base_url": base_url}) is allowed
