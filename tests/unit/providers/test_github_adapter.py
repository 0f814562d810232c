"""Whose token it is, and how GitHub is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema_rs
import orjson
import pytest

from providers.adapters.github.adapter import GitHubAdapter
from providers.adapters.github.simulator import Simulator
from providers.client import ProviderClient
from providers.errors import AuthFailed, Misconfigured, ProviderFault, RateLimited
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from providers.spi import Identity
from tests.contract.provider_server import serving

ADAPTER = GitHubAdapter()
REFUSED = SimulatedAnswer(403, {}, b'{"message":"Resource not accessible by integration"}')


def answer(body: Any, **headers: str) -> SimulatedAnswer:
    return SimulatedAnswer(200, {name.replace("_", "-"): value for name, value in headers.items()}, orjson.dumps(body))


def verified(*answers: SimulatedAnswer) -> tuple[Identity, list[str]]:
    """What verifying against these answers in turn says, and which paths were asked."""
    waiting = iter(answers)
    reply: Callable[..., SimulatedAnswer] = lambda *_: next(waiting)  # noqa: E731
    with serving(reply) as server:
        config = ADAPTER.client_config({"base_url": server.url}, {"token": "t"}, "")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            return ADAPTER.verify(client), [path for _, path in server.asked]


def test_personal_token_is_proven_by_one_call_and_shows_its_scopes() -> None:
    user = answer({"login": "zoe", "type": "User"}, x_oauth_scopes="repo, read:org")
    identity, asked = verified(user)
    assert (identity.account, asked) == ("zoe", ["/user"])
    assert identity.details == {"type": "User", "scopes": "repo, read:org"}


def test_installation_token_is_proven_by_what_it_can_see() -> None:
    seen = answer({"total_count": 3, "repositories": [{"full_name": "acme/web", "owner": {"login": "acme"}}]})
    identity, asked = verified(REFUSED, seen)
    assert identity.account == "acme"
    assert identity.details["repositories"] == "3"
    assert asked == ["/user", "/installation/repositories?per_page=1"]


def test_token_refused_everywhere_gets_a_message_that_says_what_to_look_at() -> None:
    with pytest.raises(AuthFailed, match=r"permission.*single sign-on"):
        verified(REFUSED, REFUSED)


def test_bad_token_is_not_tried_twice() -> None:
    with pytest.raises(AuthFailed, match="401"):
        verified(SimulatedAnswer(401, {}, b"{}"))


def test_throttled_403_is_no_verdict_on_the_token() -> None:
    with pytest.raises(RateLimited):
        verified(SimulatedAnswer(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "4102444800"}, b"{}"))


def test_answer_without_a_login_is_githubs_fault() -> None:
    with pytest.raises(ProviderFault):
        verified(answer({"login": None}))


def test_calls_carry_the_version_of_the_connection_and_the_token() -> None:
    config = ADAPTER.client_config({}, {"token": "ghs_1_a.b-c"}, "2022-11-28")
    assert config.base_url == "https://api.github.com"
    assert config.headers["X-GitHub-Api-Version"] == "2022-11-28"
    assert config.headers["Authorization"] == "Bearer ghs_1_a.b-c"
    assert "ghs_1" not in repr(config)


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "ü"])
def test_token_that_cannot_stand_in_a_header_is_a_misconfiguration(token: str) -> None:
    with pytest.raises(Misconfigured):
        ADAPTER.client_config({}, {"token": token}, "")


@pytest.mark.parametrize(
    ("repository", "good"),
    [
        ("acme/web", True),
        ("acme-corp/a.b_c", True),
        ("acme", False),
        ("acme/..", False),
        ("a/b/c", False),
        ("/x", False),
    ],
)
def test_repositories_are_owner_and_name(repository: str, *, good: bool) -> None:
    validator = jsonschema_rs.Draft202012Validator(ADAPTER.settings_schema)
    assert validator.is_valid({"repositories": [repository]}) is good


def test_simulated_world_is_the_same_for_the_same_seed() -> None:
    def shape(seed: int) -> list[tuple[str, Any]]:
        world = Simulator(seed=seed, faults=False)
        told = [delivery for _ in range(30) for delivery in world.tick()]
        return [(d.headers["x-github-event"], orjson.loads(d.body).get("action")) for d in told]

    assert shape(3) == shape(3)
    assert shape(3) != shape(4)


def test_faulty_world_fails_as_github_does() -> None:
    world = Simulator(seed=1, faults=True)
    headers = {"authorization": f"Bearer {world.credential['token']}", "user-agent": "test"}
    answers = [world.handle("GET", "/user", {}, headers, b"") for _ in range(200)]
    statuses = {given.status for given in answers}
    assert {200, 502} < statuses
    assert statuses & {403, 429}
    assert all("retry-after" in given.headers for given in answers if given.status in (403, 429))
