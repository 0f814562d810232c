"""Whose token it is, which deliveries that makes its own, and what Slack's refusals mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema_rs
import orjson
import pytest

from providers.adapters.slack.adapter import SlackAdapter
from providers.adapters.slack.simulator import Simulator
from providers.client import ProviderClient
from providers.errors import AuthFailed, LacksAccess, Misconfigured, ProviderError, ProviderFault, RateLimited, Rejected
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from providers.spi import Identity, WebhookRequest
from tests.contract.provider_server import serving

ADAPTER = SlackAdapter()
WHO = {"ok": True, "team": "Harbor", "team_id": "T1HARBOR", "user": "lantern", "user_id": "U1BOT"}
BOT = {"ok": True, "bot": {"id": "B1", "app_id": "A1LANTERN", "user_id": "U1BOT"}}


def answer(body: Any, **headers: str) -> SimulatedAnswer:
    return SimulatedAnswer(200, {name.replace("_", "-"): value for name, value in headers.items()}, orjson.dumps(body))


def verified(*answers: SimulatedAnswer) -> tuple[Identity, list[tuple[str, str]]]:
    """What verifying against these answers in turn says, and what was asked."""
    waiting = iter(answers)
    reply: Callable[..., SimulatedAnswer] = lambda *_: next(waiting)  # noqa: E731
    with serving(reply) as server:
        config = ADAPTER.client_config({"base_url": f"{server.url}/api"}, {"token": "xoxb-t"}, "")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            return ADAPTER.verify(client), server.asked


def test_bot_is_proven_by_one_call_and_learns_its_app_by_another() -> None:
    identity, asked = verified(answer({**WHO, "bot_id": "B1"}, x_oauth_scopes="chat:write"), answer(BOT))
    assert asked == [("POST", "/api/auth.test"), ("GET", "/api/bots.info?bot=B1")]
    assert identity.account == "T1HARBOR:U1BOT"
    assert (identity.details["app"], identity.details["scopes"]) == ("A1LANTERN", "chat:write")
    assert set(identity.routes) == {"T1HARBOR:U1BOT", "A1LANTERN:T1HARBOR"}


def test_without_the_scope_for_it_only_the_bot_user_is_a_route() -> None:
    lacking = answer({"ok": False, "error": "missing_scope", "needed": "users:read"})
    identity, _ = verified(answer({**WHO, "bot_id": "B1"}), lacking)
    assert identity.routes == ["T1HARBOR:U1BOT"]


def test_app_of_another_bot_is_not_believed() -> None:
    other = {"ok": True, "bot": {"id": "B2", "app_id": "A2OTHER"}}
    identity, _ = verified(answer({**WHO, "bot_id": "B1"}), answer(other))
    assert identity.routes == ["T1HARBOR:U1BOT"]


def test_token_of_a_person_has_no_route() -> None:
    identity, asked = verified(answer(WHO))
    assert identity.details["type"] == "person"
    assert list(identity.routes) == []
    assert len(asked) == 1


def test_app_of_a_whole_organisation_has_its_routes_too() -> None:
    whole = {**WHO, "bot_id": "B1", "enterprise_id": "E1", "is_enterprise_install": True}
    identity, _ = verified(answer(whole), answer(BOT))
    assert {"E1:U1BOT", "A1LANTERN:E1"} <= set(identity.routes)
    inside = {**whole, "is_enterprise_install": False}
    assert not any("E1" in route for route in verified(answer(inside), answer(BOT))[0].routes)


def test_fault_while_asking_for_the_app_is_not_taken_for_a_missing_scope() -> None:
    with pytest.raises(ProviderFault):
        verified(answer({**WHO, "bot_id": "B1"}), SimulatedAnswer(500, {}, b""))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("invalid_auth", AuthFailed),
        ("not_authed", AuthFailed),
        ("account_inactive", AuthFailed),
        ("token_revoked", AuthFailed),
        ("token_expired", AuthFailed),
        ("org_login_required", AuthFailed),
        ("missing_scope", LacksAccess),
        ("not_allowed_token_type", LacksAccess),
        ("ratelimited", RateLimited),
        ("internal_error", ProviderFault),
        ("fatal_error", ProviderFault),
        ("service_unavailable", ProviderFault),
        ("request_timeout", ProviderFault),
        ("channel_not_found", Rejected),
        ("<b>odd</b>", Rejected),
    ],
)
def test_refusals_told_with_status_200_are_told_apart(error: str, expected: type[ProviderError]) -> None:
    with pytest.raises(expected) as caught:
        verified(answer({"ok": False, "error": error}))
    assert type(caught.value) is expected
    assert "<" not in str(caught.value)


def test_missing_scope_is_named() -> None:
    with pytest.raises(AuthFailed, match=r"users:read"):
        verified(answer({"ok": False, "error": "missing_scope", "needed": "users:read", "provided": "chat:write"}))


def test_limit_told_in_the_body_keeps_the_wait_of_the_header() -> None:
    with pytest.raises(RateLimited) as caught:
        verified(answer({"ok": False, "error": "ratelimited"}, retry_after="9"))
    assert caught.value.retry_after_seconds == 9


@pytest.mark.parametrize("body", [{}, {"ok": True}, {**WHO, "ok": "true"}, {**WHO, "team_id": None}])
def test_answer_that_names_nobody_proves_nothing(body: Any) -> None:
    with pytest.raises(ProviderFault):
        verified(answer(body))


@pytest.mark.parametrize("token", ["", "xoxb with blanks", "xoxb-\u20ac", "x" * 1001])
def test_token_that_cannot_be_sent_is_refused(token: str) -> None:
    with pytest.raises(Misconfigured):
        ADAPTER.client_config({}, {"token": token}, "")


@pytest.mark.parametrize(
    ("base_url", "allowed"),
    [
        ("https://slack.com/api", True),
        ("https://slack-gov.com/api/", True),
        ("http://127.0.0.1:8090/api", True),
        ("https://slack.com.evil.example/api", False),
        ("https://evil.example/api", False),
        ("https://slack.com@evil.example/api", False),
        ("http://slack.com@evil.example/api", False),
    ],
)
def test_only_slack_may_say_whose_events_these_are(base_url: str, allowed: bool) -> None:
    validator = jsonschema_rs.Draft202012Validator(ADAPTER.settings_schema)
    assert validator.is_valid({"base_url": base_url}) is allowed


def test_no_simulator_that_may_be_called_is_slack() -> None:
    def is_slack(settings: dict[str, str]) -> bool:
        with ProviderClient(ADAPTER.client_config(settings, {"token": "t"}, ""), OutboundPolicy.parse([])) as client:
            return client.is_at(ADAPTER.manifest.vendor_origins)

    assert is_slack({})
    assert is_slack({"base_url": "https://slack-gov.com/api/"})
    assert not is_slack({"base_url": "http://127.0.0.1:8090/api"})
    assert not is_slack({"base_url": "http://slack.com/api"})


def test_simulated_deliveries_find_the_simulated_credential() -> None:
    simulator = Simulator(seed=3, faults=False)
    with serving(simulator.handle) as server:
        config = ADAPTER.client_config(simulator.settings(server.url), simulator.credential, "")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            routes = set(ADAPTER.verify(client).routes)
    for delivery in [delivery for _ in range(40) for delivery in simulator.tick()]:
        request = WebhookRequest(headers=delivery.headers, body=delivery.body)
        assert routes & set(ADAPTER.webhook.routes(request))
        assert all(event.signal_type for event in ADAPTER.process_webhook(request))
