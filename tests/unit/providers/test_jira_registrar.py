"""Admin webhooks made, changed and removed through Jira's API, against its simulator on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest

from providers.adapters.jira.adapter import JiraAdapter
from providers.adapters.jira.simulator import Simulator
from providers.client import ProviderClient
from providers.errors import (
    AuthFailed,
    Misconfigured,
    ProviderError,
    ProviderFault,
    Rejected,
)
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from tests.contract.provider_server import Server, serving

ADAPTER = JiraAdapter()
REGISTRAR = ADAPTER.webhook.registrar
TARGET = 'project in ("DEMO", "OPS")'
URL = "https://signals.example/v1/integrations/webhooks/jira/token-1"
HOOK: dict[str, Any] = {"target": TARGET, "url": URL, "secret": "first-secret", "events": []}


@contextmanager
def jira(**credential: str) -> Iterator[tuple[Simulator, Server, ProviderClient]]:
    world = Simulator(seed=3, faults=False)
    with serving(world.handle) as server:
        config = ADAPTER.client_config({"base_url": server.url}, credential or Simulator.credential, "3")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            yield world, server, client


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"projects": ["OPS", "DEMO"]}, [TARGET]),
        ({"projects": []}, ["all issues"]),
        ({}, ["all issues"]),
    ],
)
def test_the_site_gets_one_hook_for_the_projects_of_the_settings(settings: dict[str, Any], expected: list[str]) -> None:
    assert REGISTRAR.targets(settings) == expected


def test_hook_signs_whole_bodies_of_the_projects_and_tells_nothing_twice() -> None:
    with jira() as (world, _, client):
        hook_id = REGISTRAR.create(client, **HOOK)
        ((number, hook),) = world.hooks.kept.items()
    assert (str(number), hook["url"], hook["secret"], hook["excludeBody"]) == (hook_id, URL, "first-secret", False)
    assert hook["filters"] == {"issue-related-events-section": TARGET}
    assert set(ADAPTER.webhook.event_types) - set(hook["events"]) == {"issuelink_created", "issuelink_deleted"}


def test_without_projects_there_is_no_filter() -> None:
    with jira() as (world, _, client):
        REGISTRAR.create(client, **{**HOOK, "target": "all issues", "events": ["issuelink_created"]})
        (hook,) = world.hooks.kept.values()
    assert (hook["filters"], hook["events"]) == ({}, ["issuelink_created"])


def test_hooks_with_this_url_make_way_for_the_new_one_and_others_stay() -> None:
    with jira() as (world, _, client):
        world.hooks.kept = {
            1: {"name": "mine", "url": f"{URL}-other", "events": ["comment_created"]},
            2: {"name": "old", "url": URL, "events": ["comment_created"], "secret": "lost"},
            3: {"name": "older", "url": URL, "events": ["comment_created"]},
        }
        hook_id = REGISTRAR.create(client, **HOOK)
    assert list(world.hooks.kept) == [1, int(hook_id)]
    assert world.hooks.kept[int(hook_id)]["secret"] == "first-secret"


def test_jira_that_does_not_sign_is_told_by_name_and_keeps_no_hook() -> None:
    with jira() as (world, _, client):
        world.hooks.signs = False
        with pytest.raises(Misconfigured, match="signs this webhook"):
            REGISTRAR.create(client, **HOOK)
        assert world.hooks.kept == {}


def test_new_secret_leaves_the_rest_of_the_hook_alone() -> None:
    with jira() as (world, _, client):
        hook_id = REGISTRAR.create(client, **HOOK)
        before = dict(world.hooks.kept[int(hook_id)])
        REGISTRAR.change_secret(client, target=TARGET, hook_id=hook_id, url=URL, secret="second-secret")
        assert world.hooks.kept[int(hook_id)] == {**before, "secret": "second-secret", "enabled": True}


def test_new_secret_that_was_not_taken_is_an_error() -> None:
    with jira() as (world, _, client):
        hook_id = REGISTRAR.create(client, **HOOK)
        world.hooks.signs = False
        with pytest.raises(Misconfigured, match="signs this webhook"):
            REGISTRAR.change_secret(client, target=TARGET, hook_id=hook_id, url=URL, secret="second-secret")


def test_new_secret_for_a_hook_that_is_gone_is_a_matter_for_a_person() -> None:
    with jira() as (_, _, client), pytest.raises(Misconfigured, match="no such webhook"):
        REGISTRAR.change_secret(client, target=TARGET, hook_id="7", url=URL, secret="second-secret")


def test_hook_that_is_not_described_is_not_overwritten() -> None:
    with jira() as (world, server, client):
        hook_id = REGISTRAR.create(client, **HOOK)
        server.answer = lambda *_: SimulatedAnswer(200, {}, b"{}")
        with pytest.raises(ProviderFault):
            REGISTRAR.change_secret(client, target=TARGET, hook_id=hook_id, url=URL, secret="second-secret")
        assert server.asked[-1][0] == "GET"
    assert world.hooks.kept[int(hook_id)]["secret"] == "first-secret"


def test_bearer_token_gets_nowhere() -> None:
    with jira(token="an-oauth-access-token") as (world, _, client):
        with pytest.raises(AuthFailed):
            REGISTRAR.create(client, **HOOK)
        assert world.hooks.kept == {}


@pytest.mark.parametrize("url", ["http://signals.example/hook", "https://127.0.0.1/hook"])
def test_address_jira_will_not_call_is_refused_in_words(url: str) -> None:
    with jira() as (world, _, client):
        with pytest.raises(Rejected, match="certificate"):
            REGISTRAR.create(client, **{**HOOK, "url": url})
        assert world.hooks.kept == {}


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (SimulatedAnswer(403, {}, b"{}"), AuthFailed, "administrator"),
        (SimulatedAnswer(404, {}, b"{}"), Misconfigured, "base_url"),
        (SimulatedAnswer(422, {}, b"{}"), Rejected, "422"),
        (SimulatedAnswer(200, {}, b'{"message": "no list"}'), ProviderFault, "list"),
        (SimulatedAnswer(200, {}, b"<html>"), ProviderFault, "JSON"),
    ],
)
def test_refusals_of_the_api_become_the_error_that_fits(
    answer: SimulatedAnswer, expected: type[ProviderError], words: str
) -> None:
    with jira() as (_, server, client):
        server.answer = lambda *_: answer
        with pytest.raises(expected, match=words) as caught:
            REGISTRAR.create(client, **HOOK)
    assert type(caught.value) is expected
    assert "first-secret" not in str(caught.value)


@pytest.mark.parametrize("own", [None, "", "https://acme.example/rest/webhooks/1.0/webhook/", "../x", 7.5])
def test_answer_that_names_no_hook_is_jiras_fault(own: Any) -> None:
    with jira() as (_, server, client):
        made = orjson.dumps({"self": own, "isSigned": True})
        server.answer = lambda method, *_: SimulatedAnswer(200, {}, b"[]" if method == "GET" else made)
        with pytest.raises(ProviderFault):
            REGISTRAR.create(client, **HOOK)


def test_ids_are_escaped_in_the_path() -> None:
    with jira() as (_, server, client):
        with pytest.raises(ProviderError):
            REGISTRAR.change_secret(client, target=TARGET, hook_id="1/../2?x", url=URL, secret="s")
        assert server.asked == [("GET", "/rest/webhooks/1.0/webhook/1%2F..%2F2%3Fx")]
