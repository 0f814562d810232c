"""Hooks made, changed and removed through GitHub's API, against its simulator on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from providers.adapters.github.adapter import GitHubAdapter
from providers.adapters.github.registrar import GitHubRegistrar
from providers.adapters.github.simulator import Simulator
from providers.client import ProviderClient
from providers.errors import (
    AuthFailed,
    Misconfigured,
    ProviderError,
    ProviderFault,
    RateLimited,
    Rejected,
)
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from tests.contract.provider_server import Server, serving

ADAPTER = GitHubAdapter()
REGISTRAR = GitHubRegistrar()
WEB = "acme/web"
URL = "https://signals.example/v1/integrations/webhooks/github/token-1"
HOOK: dict[str, Any] = {"target": WEB, "url": URL, "secret": "first-secret", "events": []}


@contextmanager
def github() -> Iterator[tuple[Simulator, Server, ProviderClient]]:
    world = Simulator(seed=3, faults=False)
    with serving(world.handle) as server:
        config = ADAPTER.client_config(Simulator.settings(server.url), Simulator.credential, "")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            yield world, server, client


def hook(number: int, url: str, *events: str) -> dict[str, Any]:
    return {"id": number, "events": list(events), "config": {"url": url, "secret": "s", "content_type": "json"}}


def test_each_repository_gets_one_hook() -> None:
    assert REGISTRAR.targets({"repositories": ["acme/web", "acme/api"]}) == ["acme/web", "acme/api"]


@pytest.mark.parametrize("settings", [{}, {"repositories": []}])
def test_without_a_repository_the_settings_are_at_fault(settings: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured, match="repositories"):
        REGISTRAR.targets(settings)


def test_hook_posts_json_signed_with_the_secret_and_asks_for_all_a_repository_can_tell() -> None:
    with github() as (world, _, client):
        hook_id = REGISTRAR.create(client, **HOOK)
        ((number, made),) = world.hooks.kept[WEB].items()
    assert str(number) == hook_id
    assert made["config"] == {"url": URL, "content_type": "json", "secret": "first-secret", "insecure_ssl": "0"}
    assert made["active"] is True
    assert set(ADAPTER.webhook.event_types) - set(made["events"]) == {"merge_group"}


def test_only_the_events_asked_for_are_subscribed_without_their_actions() -> None:
    with github() as (world, _, client):
        REGISTRAR.create(client, **{**HOOK, "events": ["pull_request.opened", "pull_request.closed", "push"]})
        (made,) = world.hooks.kept[WEB].values()
    assert made["events"] == ["pull_request", "push"]


def test_hook_with_this_url_is_taken_over_wherever_it_stands_in_the_list() -> None:
    with github() as (world, server, client):
        world.hooks.kept[WEB].update({n: hook(n, f"{URL}-{n}", "star") for n in range(1, 141)})
        hook_id = REGISTRAR.create(client, **{**HOOK, "url": f"{URL}-130", "events": ["push"]})
        assert [method for method, _ in server.asked] == ["GET", "GET", "PATCH"]
    assert (hook_id, len(world.hooks.kept[WEB])) == ("130", 140)
    taken = world.hooks.kept[WEB][130]
    assert (taken["config"]["secret"], taken["events"]) == ("first-secret", ["push"])


def test_hook_of_other_events_is_taken_over_too() -> None:
    """GitHub itself refuses a second hook only if it asks for the same events."""
    with github() as (world, _, client):
        first = REGISTRAR.create(client, **HOOK)
        assert REGISTRAR.create(client, **{**HOOK, "events": ["push"]}) == first
        assert list(map(str, world.hooks.kept[WEB])) == [first]


def test_new_secret_leaves_the_rest_of_the_hook_alone() -> None:
    with github() as (world, _, client):
        hook_id = REGISTRAR.create(client, **{**HOOK, "events": ["push"]})
        before = world.hooks.kept[WEB][int(hook_id)]
        REGISTRAR.change_secret(client, target=WEB, hook_id=hook_id, url=URL, secret="second-secret")
        config = {**before["config"], "secret": "second-secret"}
        assert world.hooks.kept[WEB][int(hook_id)] == {**before, "config": config}


def test_new_secret_for_a_hook_that_is_gone_is_a_matter_for_a_person() -> None:
    with github() as (_, _, client), pytest.raises(Misconfigured, match=r"acme/web, number 7.*404"):
        REGISTRAR.change_secret(client, target=WEB, hook_id="7", url=URL, secret="second-secret")


def test_repository_the_token_does_not_see_is_named() -> None:
    with github() as (_, _, client), pytest.raises(Misconfigured, match="acme/secret"):
        REGISTRAR.create(client, **{**HOOK, "target": "acme/secret"})


@pytest.mark.parametrize(
    "change", [{"url": "https://127.0.0.1/hook"}, {"url": "not an address"}, {"events": ["merge_group"]}]
)
def test_hook_github_will_not_make_is_refused_in_words(change: dict[str, Any]) -> None:
    with github() as (world, _, client):
        with pytest.raises(Rejected, match="reachable from the internet"):
            REGISTRAR.create(client, **{**HOOK, **change})
        assert world.hooks.kept[WEB] == {}


def test_twenty_first_hook_of_an_event_is_refused_in_words() -> None:
    with github() as (world, _, client):
        world.hooks.kept[WEB].update({n: hook(n, f"{URL}-{n}", "push") for n in range(1, 21)})
        with pytest.raises(Rejected, match="20 webhooks an event"):
            REGISTRAR.create(client, **HOOK)
        assert REGISTRAR.create(client, **{**HOOK, "events": ["release"]})


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (SimulatedAnswer(403, {}, b'{"message":"Resource not accessible"}'), AuthFailed, "Webhooks: write"),
        (SimulatedAnswer(403, {"retry-after": "7"}, b"{}"), RateLimited, "limit"),
        (SimulatedAnswer(404, {}, b"{}"), Misconfigured, "acme/web"),
        (SimulatedAnswer(422, {}, b"{}"), Rejected, "20 webhooks"),
        (SimulatedAnswer(200, {}, b'{"message": "no list"}'), ProviderFault, "list"),
        (SimulatedAnswer(200, {"link": '</again>; rel="next"'}, b"[]"), ProviderFault, "does not end"),
        (SimulatedAnswer(200, {"link": '<https://elsewhere.example/x>; rel="next"'}, b"[]"), ProviderFault, "host"),
    ],
)
def test_refusals_of_the_api_become_the_error_that_fits(
    answer: SimulatedAnswer, expected: type[ProviderError], words: str
) -> None:
    with github() as (_, server, client):
        server.answer = lambda *_: answer
        with pytest.raises(expected, match=words) as caught:
            REGISTRAR.create(client, **HOOK)
    assert type(caught.value) is expected
    assert caught.value.retry_after_seconds == (7 if expected is RateLimited else None)
    assert "first-secret" not in str(caught.value)


@pytest.mark.parametrize("body", [b"{}", b'{"id": null}', b"<html>", b"[]"])
def test_answer_that_names_no_hook_is_githubs_fault(body: bytes) -> None:
    with github() as (_, server, client):
        server.answer = lambda method, *_: SimulatedAnswer(200, {}, b"[]" if method == "GET" else body)
        with pytest.raises(ProviderFault):
            REGISTRAR.create(client, **HOOK)


def test_names_and_ids_are_escaped_in_the_path() -> None:
    with github() as (_, server, client):
        REGISTRAR.delete(client, target="a b/c?d", hook_id="1/../2")
        assert server.asked == [("DELETE", "/repos/a%20b/c%3Fd/hooks/1%2F..%2F2")]
