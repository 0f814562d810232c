"""How the Azure DevOps adapter signs in, and how it proves a credential."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import orjson
import pytest

from providers.adapters.azure_devops.adapter import AzureDevOpsAdapter
from providers.adapters.azure_devops.simulator import Simulator
from providers.client import ProviderClient
from providers.errors import AuthFailed, Misconfigured, ProviderError, ProviderFault, RateLimited, Rejected
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from providers.spi import WebhookRequest
from tests.contract.provider_server import serving

ADAPTER = AzureDevOpsAdapter()
JSON_TYPE = {"content-type": "application/json; charset=utf-8"}


def test_a_personal_token_is_a_password_without_a_user() -> None:
    settings = {"base_url": "https://dev.azure.com/acme"}
    assert ADAPTER.client_config(settings, {"token": "pat123"}, "7.1").headers["Authorization"] == "Basic OnBhdDEyMw=="
    entra = ADAPTER.client_config(settings, {"access_token": "ey.J.x"}, "7.1")
    assert entra.headers["Authorization"] == "Bearer ey.J.x"
    for bad in ({}, {"token": ""}, {"token": "with blank"}):
        with pytest.raises(Misconfigured):
            ADAPTER.client_config(settings, bad, "7.1")


@pytest.mark.parametrize(
    ("base_url", "good"),
    [
        ("https://dev.azure.com/acme", True),
        ("https://tfs.acme.example/tfs/Main/", True),
        ("https://dev.azure.com", False),
        ("https://dev.azure.com/acme?x=1", False),
        ("https://zoe:pat@dev.azure.com/acme", False),
    ],
)
def test_the_address_names_an_organisation(base_url: str, good: bool) -> None:
    assert jsonschema_rs.is_valid(ADAPTER.settings_schema, {"base_url": base_url}) is good


def test_what_is_polled_is_named_in_the_settings() -> None:
    places = {"projects": ["Web Shop", "Ops"], "repositories": ["Web Shop/storefront"]}
    parts = {stream.name: list(stream.partitions(places)) for stream in ADAPTER.streams}
    assert parts.pop("pushes") == ["Web Shop/storefront"]
    assert set(map(tuple, parts.values())) == {("Web Shop", "Ops")}
    assert {stream.name for stream in ADAPTER.streams if stream.enabled_by_default} == set(parts)
    assert not any(stream.partitions({}) for stream in ADAPTER.streams)


@pytest.mark.parametrize(
    ("settings", "good"),
    [
        ({"projects": ["Web Shop", "6ce954b1-ce1f-45d1-b94d-e6bf2464ba2c"]}, True),
        ({"projects": ["../secrets"]}, False),
        ({"projects": ["a?x=1"]}, False),
        ({"repositories": ["Web Shop/storefront"]}, True),
        ({"repositories": ["storefront"]}, False),
        ({"repositories": ["a/b/c"]}, False),
        ({"streams": ["work_items", "pushes"]}, True),
        ({"streams": ["votes"]}, False),
    ],
    ids=str,
)
def test_settings_name_projects_repositories_and_streams(settings: dict[str, Any], good: bool) -> None:
    whole = {"base_url": "https://dev.azure.com/acme", **settings}
    assert jsonschema_rs.is_valid(ADAPTER.settings_schema, whole) is good


@pytest.mark.parametrize(
    ("credential", "good"),
    [({"token": "x"}, True), ({"access_token": "x"}, True), ({"token": "x", "access_token": "y"}, False), ({}, False)],
)
def test_a_credential_is_one_token(credential: dict[str, str], good: bool) -> None:
    assert jsonschema_rs.is_valid(ADAPTER.credential_schema, credential) is good


def verified(answer: SimulatedAnswer) -> Any:
    with serving(lambda *_: answer) as server:
        config = ADAPTER.client_config({"base_url": f"{server.url}/acme"}, {"token": "pat123"}, "7.1")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            identity = ADAPTER.verify(client)
    assert server.asked == [("GET", "/acme/_apis/connectionData?api-version=7.1-preview")]
    return identity


def user(**fields: str) -> SimulatedAnswer:
    return SimulatedAnswer(200, JSON_TYPE, orjson.dumps({"authenticatedUser": fields}))


def test_a_proven_token_names_its_account() -> None:
    identity = verified(user(id="5f1d", providerDisplayName="Zoe"))
    assert (identity.account, identity.details) == ("5f1d", {"name": "Zoe"})


PAGE = b"<html><title>Sign In</title></html>"
HTML = {"content-type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    ("answer", "error", "wait"),
    [
        pytest.param(SimulatedAnswer(203, HTML, PAGE), AuthFailed, None, id="203"),
        pytest.param(SimulatedAnswer(203, JSON_TYPE, b"{}"), AuthFailed, None, id="203-json"),
        pytest.param(SimulatedAnswer(200, HTML, PAGE), AuthFailed, None, id="page-with-200"),
        pytest.param(
            SimulatedAnswer(302, {**HTML, "location": "https://app.vssps.example/_signin"}, PAGE),
            AuthFailed,
            None,
            id="redirect-to-another-host",
        ),
        pytest.param(SimulatedAnswer(302, {**HTML, "location": "/_signin"}, PAGE), AuthFailed, None, id="redirect"),
        pytest.param(user(id="aa", providerDisplayName="Anonymous"), AuthFailed, None, id="anonymous"),
        pytest.param(user(id="aa", descriptor="System:PublicAccess;aa"), AuthFailed, None, id="public"),
        pytest.param(SimulatedAnswer(401, {}, b""), AuthFailed, None, id="401"),
        pytest.param(SimulatedAnswer(403, JSON_TYPE, b'{"message":"TF400813: x"}'), AuthFailed, None, id="403"),
        pytest.param(SimulatedAnswer(404, JSON_TYPE, b"{}"), Misconfigured, None, id="404"),
        pytest.param(SimulatedAnswer(400, JSON_TYPE, b"{}"), Rejected, None, id="400"),
        pytest.param(SimulatedAnswer(429, {**JSON_TYPE, "retry-after": "9"}, b"{}"), RateLimited, 9.0, id="429"),
        pytest.param(SimulatedAnswer(503, HTML, PAGE), ProviderFault, None, id="503"),
        pytest.param(user(), ProviderFault, None, id="nobody"),
    ],
)
def test_anything_else_proves_nothing(answer: SimulatedAnswer, error: type[ProviderError], wait: float | None) -> None:
    with pytest.raises(error) as caught:
        verified(answer)
    assert type(caught.value) is error
    assert caught.value.retry_after_seconds == wait


def test_the_simulated_organisation_tells_only_what_is_understood() -> None:
    world = Simulator(seed=7, faults=True)
    deliveries = [delivery for _ in range(200) for delivery in world.tick()]
    events = [
        event
        for delivery in deliveries
        for event in ADAPTER.process_webhook(WebhookRequest(headers=delivery.headers, body=delivery.body))
    ]
    assert len(deliveries) > 200, "no delivery was repeated"
    assert all(event.signal_type for event in events)
    kinds = {event.event_type for event in events}
    assert kinds >= {"git.push", "git.pullrequest.updated", "workitem.updated", "build.complete"}
