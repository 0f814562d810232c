"""Hooks made, changed and removed through Bitbucket's API, against its simulator on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest

from providers.adapters.bitbucket.adapter import BitbucketAdapter
from providers.adapters.bitbucket.registrar import BitbucketRegistrar
from providers.adapters.bitbucket.simulator import Simulator
from providers.client import ProviderClient
from providers.errors import AuthFailed, Misconfigured, ProviderError, ProviderFault
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from tests.contract.provider_server import Server, serving

ADAPTER = BitbucketAdapter()
REGISTRAR = BitbucketRegistrar()
WEB, ACME = "repositories/acme/web", "workspaces/acme"
URL = "https://signals.example/v1/integrations/webhooks/bitbucket/token-1"
HOOK: dict[str, Any] = {"target": WEB, "url": URL, "secret": "first-secret", "events": []}


@contextmanager
def bitbucket() -> Iterator[tuple[Simulator, Server, ProviderClient]]:
    world = Simulator(seed=3, faults=False)
    with serving(world.handle) as server:
        config = ADAPTER.client_config(Simulator.settings(server.url), Simulator.credential, "2.0")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            yield world, server, client


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"repositories": ["acme/web", "beta/web"]}, ["repositories/acme/web", "repositories/beta/web"]),
        ({"workspaces": ["acme"]}, ["workspaces/acme"]),
        # The workspace's hook tells of acme/web already.
        (
            {"workspaces": ["acme"], "repositories": ["Acme/web", "beta/web"]},
            ["workspaces/acme", "repositories/beta/web"],
        ),
    ],
)
def test_each_place_gets_one_hook(settings: dict[str, Any], expected: list[str]) -> None:
    assert REGISTRAR.targets(settings) == expected


@pytest.mark.parametrize("settings", [{}, {"repositories": [], "workspaces": []}])
def test_without_a_place_the_settings_are_at_fault(settings: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured, match="repositories"):
        REGISTRAR.targets(settings)


def test_hook_has_url_secret_and_all_events() -> None:
    with bitbucket() as (world, _, client):
        hook_id = REGISTRAR.create(client, **HOOK)
        (hook,) = world.hooks[WEB].values()
    assert (hook["uuid"], hook["url"], hook["secret"], hook["active"]) == (hook_id, URL, "first-secret", True)
    assert set(ADAPTER.webhook.event_types) - set(hook["events"]) == {"repo:created", "repo:imported"}


def test_workspace_is_told_of_new_repositories_too() -> None:
    with bitbucket() as (world, _, client):
        REGISTRAR.create(client, **{**HOOK, "target": ACME})
        (hook,) = world.hooks[ACME].values()
    assert hook["events"] == list(ADAPTER.webhook.event_types)


def test_only_the_events_asked_for_are_subscribed() -> None:
    with bitbucket() as (world, _, client):
        REGISTRAR.create(client, **{**HOOK, "events": ["repo:push"]})
        (hook,) = world.hooks[WEB].values()
    assert hook["events"] == ["repo:push"]


def test_hook_with_this_url_is_taken_over_wherever_it_stands_in_the_list() -> None:
    with bitbucket() as (world, server, client):
        world.hooks[WEB] = {f"{{{n}}}": {"uuid": f"{{{n}}}", "url": f"{URL}-{n}", "secret": "s"} for n in range(120)}
        hook_id = REGISTRAR.create(client, **{**HOOK, "url": f"{URL}-110", "secret": "second-secret"})
        assert [method for method, _ in server.asked] == ["GET", "GET", "PUT"]
    assert (hook_id, len(world.hooks[WEB])) == ("{110}", 120)
    assert world.hooks[WEB][hook_id]["secret"] == "second-secret"


def test_new_secret_leaves_the_rest_of_the_hook_alone() -> None:
    with bitbucket() as (world, _, client):
        hook_id = REGISTRAR.create(client, **{**HOOK, "events": ["repo:push", "repo:fork"]})
        before = dict(world.hooks[WEB][hook_id])
        REGISTRAR.change_secret(client, target=WEB, hook_id=hook_id, url=URL, secret="second-secret")
        assert world.hooks[WEB][hook_id] == {**before, "secret": "second-secret"}


def test_new_secret_for_a_hook_that_is_gone_is_a_matter_for_a_person() -> None:
    with bitbucket() as (_, _, client), pytest.raises(Misconfigured, match=r"hook \{gone\} of repositories/acme/web"):
        REGISTRAR.change_secret(client, target=WEB, hook_id="{gone}", url=URL, secret="second-secret")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (SimulatedAnswer(403, {}, b"{}"), AuthFailed),
        (SimulatedAnswer(404, {}, b"{}"), Misconfigured),
        (SimulatedAnswer(200, {}, b'{"values": null}'), ProviderFault),
        (SimulatedAnswer(200, {}, b'{"values": [], "next": "hooks?page=2"}'), ProviderFault),
        (SimulatedAnswer(200, {}, b'{"values": [], "next": "https://elsewhere.example/2.0/hooks"}'), ProviderFault),
    ],
)
def test_refusals_of_the_api_become_the_error_that_fits(answer: SimulatedAnswer, expected: type[ProviderError]) -> None:
    with bitbucket() as (_, server, client):
        server.answer = lambda *_: answer
        with pytest.raises(expected) as caught:
            REGISTRAR.create(client, **HOOK)
    assert type(caught.value) is expected


@pytest.mark.parametrize("body", [b"{}", b'{"uuid": ""}', b"<html>"])
def test_answer_that_names_no_hook_is_bitbuckets_fault(body: bytes) -> None:
    with bitbucket() as (_, server, client):
        empty = SimulatedAnswer(200, {}, orjson.dumps({"values": []}))
        server.answer = lambda method, *_: empty if method == "GET" else SimulatedAnswer(201, {}, body)
        with pytest.raises(ProviderFault):
            REGISTRAR.create(client, **HOOK)


def test_names_and_ids_are_escaped_in_the_path() -> None:
    with bitbucket() as (_, server, client):
        REGISTRAR.delete(client, target="repositories/{w}/{r}", hook_id="{h}")
        assert server.asked == [("DELETE", "/2.0/repositories/%7Bw%7D/%7Br%7D/hooks/%7Bh%7D")]
