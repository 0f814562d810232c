"""Hooks made, changed and removed through GitLab's API, against its simulator on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from providers.adapters.gitlab.adapter import GitLabAdapter
from providers.adapters.gitlab.registrar import GitLabRegistrar
from providers.adapters.gitlab.simulated_hooks import MAX_HOOKS
from providers.adapters.gitlab.simulator import Simulator
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

ADAPTER = GitLabAdapter()
REGISTRAR = GitLabRegistrar()
PROJECT, GROUP = "project:acme/web", "group:acme"
URL = "https://signals.example/v1/integrations/webhooks/gitlab/token-1"
FIRST, SECOND = "whsec_" + "QUFB" * 10, "whsec_" + "QkJC" * 10
HOOK: dict[str, Any] = {"target": PROJECT, "url": URL, "secret": FIRST, "events": []}


@contextmanager
def gitlab() -> Iterator[tuple[Simulator, Server, ProviderClient]]:
    world = Simulator(seed=3, faults=False)
    with serving(world.handle) as server:
        config = ADAPTER.client_config(Simulator.settings(server.url), Simulator.credential, "4")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            yield world, server, client


def kept(world: Simulator, place: str = "projects/acme/web") -> dict[int, dict[str, Any]]:
    return world.hooks.kept[place]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"projects": ["acme/web", "4102"]}, ["project:acme/web", "project:4102"]),
        ({"groups": ["acme"]}, ["group:acme"]),
        # The group's hook tells of acme/web already; acme-labs is another group.
        ({"groups": ["acme"], "projects": ["Acme/web", "acme-labs/web"]}, ["group:acme", "project:acme-labs/web"]),
        # And of a group within it.
        (
            {"groups": ["acme/team", "acme", "acme-labs"], "projects": ["acme/team/web"]},
            ["group:acme", "group:acme-labs"],
        ),
    ],
)
def test_each_place_gets_one_hook(settings: dict[str, Any], expected: list[str]) -> None:
    assert REGISTRAR.targets(settings) == expected


@pytest.mark.parametrize("settings", [{}, {"projects": [], "groups": []}])
def test_without_a_place_the_settings_are_at_fault(settings: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured, match="projects or groups"):
        REGISTRAR.targets(settings)


def test_hook_signs_and_asks_for_all_that_is_mapped_but_nothing_confidential() -> None:
    with gitlab() as (world, server, client):
        hook_id = REGISTRAR.create(client, **HOOK)
        ((known, hook),) = kept(world).items()
        assert [path for method, path in server.asked if method == "POST"] == ["/api/v4/projects/acme%2Fweb/hooks"], (
            "the path of a project is one part of the address"
        )
    assert (str(known), hook["url"], hook["signing_token"]) == (hook_id, URL, FIRST)
    assert hook["enable_ssl_verification"] is True
    assert "token" not in hook, "the shared secret would travel with every delivery"
    asked = {name for name, value in hook.items() if name.endswith("_events") and value}
    assert {"push_events", "merge_requests_events", "issues_events", "note_events", "pipeline_events"} < asked
    assert not {name for name in asked if name.startswith("confidential_")}
    assert "member_events" not in hook, "projects have no such switch"


def test_group_is_told_of_its_projects_and_members_too() -> None:
    with gitlab() as (world, _, client):
        REGISTRAR.create(client, **{**HOOK, "target": GROUP})
        (hook,) = kept(world, "groups/acme").values()
    assert hook["member_events"] is True
    assert hook["project_events"] is True


def test_only_the_events_asked_for_are_switched_on() -> None:
    with gitlab() as (world, _, client):
        REGISTRAR.create(client, **{**HOOK, "events": ["tag_push", "merge_request.open"]})
        (hook,) = kept(world).values()
    on = {name for name, value in hook.items() if name.endswith("_events") and value}
    assert on == {"tag_push_events", "merge_requests_events"}, "pushes are on unless they are switched off"


def test_hook_with_this_url_is_taken_over_wherever_it_stands_in_the_list() -> None:
    with gitlab() as (world, server, client):
        kept(world).update({n: {"id": n, "url": f"{URL}-{n}", "signing_token": FIRST} for n in range(1, 141)})
        hook_id = REGISTRAR.create(client, **{**HOOK, "url": f"{URL}-130", "secret": SECOND})
        assert [method for method, _ in server.asked] == ["GET", "GET", "PUT"]
    assert (hook_id, len(kept(world))) == ("130", 140)
    assert kept(world)[130]["signing_token"] == SECOND


@pytest.mark.parametrize("already", [False, True])
def test_gitlab_that_does_not_sign_is_told_by_name_and_keeps_no_hook(*, already: bool) -> None:
    with gitlab() as (world, _, client):
        world.hooks.signs = False
        if already:
            kept(world)[7] = {"id": 7, "url": URL}
        with pytest.raises(Misconfigured, match="scheme token"):
            REGISTRAR.create(client, **HOOK)
        assert kept(world) == {}


def test_new_secret_leaves_the_rest_of_the_hook_alone() -> None:
    with gitlab() as (world, _, client):
        hook_id = REGISTRAR.create(client, **{**HOOK, "events": ["push"]})
        before = dict(kept(world)[int(hook_id)])
        REGISTRAR.change_secret(client, target=PROJECT, hook_id=hook_id, url=URL, secret=SECOND)
        assert kept(world)[int(hook_id)] == {**before, "signing_token": SECOND}


def test_new_secret_that_was_not_taken_is_an_error() -> None:
    with gitlab() as (world, _, client):
        hook_id = REGISTRAR.create(client, **HOOK)
        world.hooks.signs = False
        with pytest.raises(Misconfigured, match="scheme token"):
            REGISTRAR.change_secret(client, target=PROJECT, hook_id=hook_id, url=URL, secret=SECOND)


def test_new_secret_for_a_hook_that_is_gone_is_a_matter_for_a_person() -> None:
    with gitlab() as (_, _, client), pytest.raises(Misconfigured, match="project acme/web"):
        REGISTRAR.change_secret(client, target=PROJECT, hook_id="5", url=URL, secret=SECOND)


def test_place_the_token_does_not_see_is_named() -> None:
    with gitlab() as (_, _, client), pytest.raises(Misconfigured, match="project acme/secret"):
        REGISTRAR.create(client, **{**HOOK, "target": "project:acme/secret"})


@pytest.mark.parametrize("url", ["http://signals.example/hook", "https://127.0.0.1/hook"])
def test_address_gitlab_will_not_call_is_refused_in_words(url: str) -> None:
    with gitlab() as (world, _, client):
        with pytest.raises(Rejected, match="address"):
            REGISTRAR.create(client, **{**HOOK, "url": url})
        assert kept(world) == {}


def test_full_project_is_refused_in_words() -> None:
    with gitlab() as (world, _, client):
        kept(world).update({n: {"id": n, "url": f"{URL}-{n}"} for n in range(MAX_HOOKS)})
        with pytest.raises(Rejected, match="100"):
            REGISTRAR.create(client, **HOOK)


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (SimulatedAnswer(403, {}, b'{"error":"insufficient_scope","scope":"api"}'), AuthFailed, "scope api"),
        (SimulatedAnswer(404, {}, b"{}"), Misconfigured, "project acme/web"),
        (SimulatedAnswer(422, {}, b"{}"), Rejected, "address"),
        (SimulatedAnswer(200, {}, b'{"message": "no list"}'), ProviderFault, "list"),
        (SimulatedAnswer(200, {"x-next-page": "2"}, b"[]"), ProviderFault, "does not end"),
    ],
)
def test_refusals_of_the_api_become_the_error_that_fits(
    answer: SimulatedAnswer, expected: type[ProviderError], words: str
) -> None:
    with gitlab() as (_, server, client):
        server.answer = lambda *_: answer
        with pytest.raises(expected, match=words) as caught:
            REGISTRAR.create(client, **HOOK)
    assert type(caught.value) is expected
    assert FIRST not in str(caught.value)


@pytest.mark.parametrize("body", [b"{}", b'{"id": null}', b"<html>", b"[]"])
def test_answer_that_names_no_hook_is_gitlabs_fault(body: bytes) -> None:
    with gitlab() as (_, server, client):
        server.answer = lambda method, *_: SimulatedAnswer(200, {}, b"[]" if method == "GET" else body)
        with pytest.raises(ProviderFault):
            REGISTRAR.create(client, **HOOK)
