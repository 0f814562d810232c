"""Hooks at Linear, made and removed through its API, over a real server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from providers.adapters.linear.adapter import LinearAdapter
from providers.adapters.linear.registrar import ALL_PUBLIC_TEAMS, RESOURCE_TYPES, LinearHooks
from providers.adapters.linear.simulator import Simulator
from providers.client import ProviderClient
from providers.errors import LacksAccess, Misconfigured, ProviderFault, Rejected
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from tests.contract.provider_server import Server, serving

ADAPTER, HOOKS = LinearAdapter(), LinearHooks()
URL = "https://signals.acme.example/v1/integrations/webhooks/linear/0123"


@pytest.fixture
def world() -> Simulator:
    return Simulator(seed=7, faults=False)


@pytest.fixture
def server(world: Simulator) -> Iterator[Server]:
    with serving(world.handle) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[ProviderClient]:
    config = ADAPTER.client_config(Simulator.settings(server.url), Simulator.credential, "graphql")
    with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as made:
        yield made


def create(client: ProviderClient, target: str = ALL_PUBLIC_TEAMS, **more: Any) -> str:
    given: dict[str, Any] = {"url": URL, "secret": "s-1", "events": (), **more}
    return HOOKS.create(client, target=target, **given)


def test_the_settings_say_where_hooks_are_made() -> None:
    assert HOOKS.targets({}) == (ALL_PUBLIC_TEAMS,)
    assert HOOKS.targets({"teams": ["ENG", "OPS"]}) == ["ENG", "OPS"]


def test_one_hook_for_all_public_teams(client: ProviderClient, world: Simulator) -> None:
    hook_id = create(client)
    (hook,) = world.hooks.values()
    assert hook["id"] == hook_id
    assert (hook["url"], hook["secret"], hook["allPublicTeams"]) == (URL, "s-1", True)
    assert set(hook["resourceTypes"]) == set(RESOURCE_TYPES)


def test_one_hook_a_team_with_the_events_that_are_wanted(client: ProviderClient, world: Simulator) -> None:
    ids = [create(client, team, events=("Issue", "IssueSLA", "Comment")) for team in ("ENG", "OPS")]
    assert sorted(world.hooks) == sorted(ids)
    assert len({hook["teamId"] for hook in world.hooks.values()}) == 2
    assert {tuple(hook["resourceTypes"]) for hook in world.hooks.values()} == {("Issue", "Comment")}


def test_a_team_nobody_knows_makes_no_hook(client: ProviderClient, world: Simulator) -> None:
    with pytest.raises(Misconfigured, match="GONE"):
        create(client, "GONE")
    with pytest.raises(Misconfigured):
        create(client, events=("IssueSLA",))
    assert world.hooks == {}


def test_another_url_is_another_hook(client: ProviderClient, world: Simulator) -> None:
    assert create(client) != create(client, url=f"{URL}4")
    assert len(world.hooks) == 2


def test_a_hook_that_was_switched_off_is_on_again(client: ProviderClient, world: Simulator) -> None:
    hook_id = create(client)
    world.hooks[hook_id]["enabled"] = False
    assert create(client) == hook_id
    assert world.hooks[hook_id]["enabled"] is True


def test_a_refusal_that_left_nothing_stays_a_refusal(client: ProviderClient, world: Simulator) -> None:
    with pytest.raises(Rejected, match="address must begin with https://"):
        create(client, url="http://signals.acme.example/plain")
    assert world.hooks == {}


def test_a_foreign_hook_of_the_same_id_is_not_taken_over(client: ProviderClient, world: Simulator) -> None:
    hook_id = create(client)
    world.hooks[hook_id]["url"] = "https://elsewhere.example/"
    with pytest.raises(Rejected):
        create(client, secret="s-2")
    assert world.hooks[hook_id]["secret"] == "s-1"


def test_a_secret_is_changed_in_place(client: ProviderClient, world: Simulator) -> None:
    hook_id = create(client)
    HOOKS.change_secret(client, target=ALL_PUBLIC_TEAMS, hook_id=hook_id, url=URL, secret="s-2")
    assert world.hooks[hook_id]["secret"] == "s-2"
    with pytest.raises(Rejected):
        HOOKS.change_secret(client, target=ALL_PUBLIC_TEAMS, hook_id="gone", url=URL, secret="s-2")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param({"errors": [{"message": "x", "extensions": {"type": "forbidden"}}]}, LacksAccess, id="no-admin"),
        pytest.param({"errors": [{"message": "x", "extensions": {"type": "invalid input"}}]}, Rejected, id="refused"),
        pytest.param({"data": {"webhookDelete": {"success": False}}}, Rejected, id="no-success"),
        pytest.param({"data": {}}, Rejected, id="nothing-said"),
        pytest.param({"data": None}, ProviderFault, id="no-data"),
    ],
)
def test_a_removal_that_did_not_happen_is_told(
    client: ProviderClient, server: Server, body: Any, error: type[Exception]
) -> None:
    server.answer = lambda *_: SimulatedAnswer(200, {}, orjson.dumps(body))
    with pytest.raises(error) as caught:
        HOOKS.delete(client, target=ALL_PUBLIC_TEAMS, hook_id="h-1")
    assert type(caught.value) is error
