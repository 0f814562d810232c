"""What the Jira adapter declares, how it signs in, and how it proves a credential."""

from __future__ import annotations

import base64
from typing import Any

import jsonschema_rs
import orjson
import pytest

from providers.adapters.jira.adapter import JiraAdapter
from providers.client import ProviderClient
from providers.errors import AuthFailed, Misconfigured, ProviderError, ProviderFault
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from tests.contract.provider_server import serving

ADAPTER = JiraAdapter()
SETTINGS = {"base_url": "https://acme.atlassian.net"}


@pytest.mark.parametrize(
    ("settings", "good"),
    [
        (SETTINGS, True),
        ({**SETTINGS, "projects": ["DEMO", "A_1"], "poll_interval_seconds": 60, "streams": ["issues"]}, True),
        ({"base_url": "https://api.atlassian.com/ex/jira/0a1b2c3d"}, True),
        ({"base_url": "http://jira.acme.example:8080/tracker"}, True),
        ({}, False),
        ({"base_url": "acme.atlassian.net"}, False),
        ({"base_url": "https://zoe:secret@acme.atlassian.net"}, False),
        ({"base_url": "https://acme.atlassian.net/?os_username=zoe"}, False),
        ({**SETTINGS, "projects": ['X") OR project = "Y']}, False),
        ({**SETTINGS, "projects": ["demo"]}, False),
        ({**SETTINGS, "streams": ["sprints"]}, False),
        ({**SETTINGS, "password": "x"}, False),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], good: bool) -> None:
    assert jsonschema_rs.is_valid(ADAPTER.settings_schema, settings) is good


@pytest.mark.parametrize(
    ("credential", "good"),
    [
        ({"email": "zoe@acme.example", "token": "api-token-1"}, True),
        ({"token": "access-token-1"}, True),
        ({"email": "zoe@acme.example"}, False),
        ({"token": ""}, False),
    ],
)
def test_credentials_are_checked(credential: dict[str, Any], good: bool) -> None:
    assert jsonschema_rs.is_valid(ADAPTER.credential_schema, credential) is good


def test_an_api_token_signs_in_with_its_account_and_any_other_as_bearer() -> None:
    basic = ADAPTER.client_config(SETTINGS, {"email": "zoe@acme.example", "token": "tök"}, "3")
    assert basic.headers["Authorization"] == "Basic " + base64.b64encode("zoe@acme.example:tök".encode()).decode()
    bearer = ADAPTER.client_config(SETTINGS, {"token": "access-token-1"}, "3")
    assert bearer.headers["Authorization"] == "Bearer access-token-1"


def test_the_configuration_never_shows_the_token() -> None:
    assert "access-token-1" not in repr(ADAPTER.client_config(SETTINGS, {"token": "access-token-1"}, "3"))


@pytest.mark.parametrize(("settings", "credential"), [({}, {"token": "x"}), (SETTINGS, {}), (SETTINGS, {"email": "z"})])
def test_what_cannot_work_is_said_before_any_call(settings: dict[str, Any], credential: dict[str, str]) -> None:
    with pytest.raises(Misconfigured):
        ADAPTER.client_config(settings, credential, "3")


def verified(status: int, body: Any, path: str = "") -> Any:
    asked: list[tuple[str, str]] = []

    def answer(method: str, path: str, *_: Any) -> SimulatedAnswer:
        asked.append((method, path))
        return SimulatedAnswer(status, {}, orjson.dumps(body))

    with serving(answer) as server:
        config = ADAPTER.client_config({"base_url": server.url + path}, {"token": "access-token-1"}, "3")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            identity = ADAPTER.verify(client)
    assert asked == [("GET", f"{path}/rest/api/3/myself")]
    return identity


@pytest.mark.parametrize("path", ["", "/ex/jira/0a1b2c3d"])
def test_a_proven_credential_names_its_account(path: str) -> None:
    """Below the gateway's path as well as on the site's own host."""
    answer = {"accountId": "5b10", "displayName": "Zoe", "timeZone": "Europe/Lisbon", "emailAddress": "z@acme.example"}
    identity = verified(200, answer, path)
    assert identity.account == "5b10"
    assert identity.details == {"name": "Zoe", "time_zone": "Europe/Lisbon"}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        pytest.param(200, {"displayName": "Anonymous"}, ProviderFault, id="anonymous"),
        pytest.param(401, {}, AuthFailed, id="refused"),
        pytest.param(403, {}, AuthFailed, id="captcha-or-scope"),
        pytest.param(404, {}, Misconfigured, id="no-such-site"),
    ],
)
def test_anything_else_proves_nothing(status: int, body: Any, error: type[ProviderError]) -> None:
    with pytest.raises(error):
        verified(status, body)
