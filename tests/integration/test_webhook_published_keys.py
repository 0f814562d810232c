"""Keys a provider publishes: fetched ahead by a task, never while a request waits, and never lost to a bad answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from django.utils import timezone

from events.models import AdapterEvent
from providers.simulation import SimulatedAnswer
from tests.contract.provider_server import Server, serving
from tests.factories import make_registration
from tests.hub_provider import ISSUER, Hub, HubWebhook, hub_connection
from tests.hub_provider import post as deliver
from webhooks.models import PublishedKeys, RejectedDelivery
from webhooks.published_keys import refresh_published_keys
from webhooks.registrations import suspend_registration

pytestmark = pytest.mark.django_db

AUDIENCE = "app-4711-of-acme"


class Issuer:
    """The provider's keys, by id; ``answer`` says what is served at ``/jwks``."""

    def __init__(self) -> None:
        self.keys: dict[str, RSAPrivateKey] = {}
        self.status = 200
        self.body: bytes | None = None
        self.add("first")

    def add(self, key_id: str) -> None:
        self.keys[key_id] = generate_private_key(public_exponent=65537, key_size=2048)

    def document(self) -> bytes:
        algorithm = jwt.algorithms.RSAAlgorithm
        keys = [{**algorithm.to_jwk(k.public_key(), as_dict=True), "kid": name} for name, k in self.keys.items()]
        return orjson.dumps({"keys": keys})

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        content = self.document() if self.body is None else self.body
        if path == "/openid":
            content = orjson.dumps({"issuer": ISSUER, "jwks_uri": f"http://{headers['host']}/jwks"})
        return SimulatedAnswer(self.status, {"content-type": "application/json"}, content)

    def token(self, key_id: str = "first", **claims: Any) -> str:
        claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 60, **claims}
        return jwt.encode(claims, self.keys[key_id], algorithm="RS256", headers={"kid": key_id})


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def keys(issuer: Issuer, hub: Hub) -> Iterator[Server]:
    """The provider's key server; a scheme insists on https, so its address is put in behind the scheme's back."""
    scheme: Any = HubWebhook.schemes["published"]
    declared = scheme.keys_url
    with serving(issuer.answer) as server:
        object.__setattr__(scheme, "keys_url", f"{server.url}/jwks")
        yield server
        object.__setattr__(scheme, "keys_url", declared)


@pytest.fixture
def door(hub: Hub, keys: Server) -> Any:
    return make_registration(hub_connection(hub), scheme="published", secret=AUDIENCE)


def post(door: Any, token: str, number: int = 1) -> int:
    body = orjson.dumps({"kind": "made", "id": str(number)})
    return int(deliver(door, body, scheme="unsigned", authorization=f"Bearer {token}").status_code)


def rested() -> None:
    PublishedKeys.objects.update(tried_at=timezone.now() - timedelta(minutes=2))


def test_keys_are_fetched_ahead_and_a_request_asks_nobody(door: Any, keys: Server, issuer: Issuer) -> None:
    assert refresh_published_keys() == 1
    assert len(keys.asked) == 1
    assert post(door, issuer.token()) == 202
    assert AdapterEvent.objects.get().proof == "published:1"
    assert len(keys.asked) == 1


@pytest.mark.parametrize("claims", [{"aud": "another-app"}, {"iss": "https://elsewhere.example"}, {"exp": 1}])
def test_a_token_for_somebody_else_or_of_another_time_is_refused(
    door: Any, issuer: Issuer, claims: dict[str, Any]
) -> None:
    refresh_published_keys()
    assert post(door, issuer.token(**claims)) == 401
    assert post(door, issuer.token()) == 202


def test_before_the_first_fetch_the_provider_is_asked_to_try_again(door: Any, issuer: Issuer) -> None:
    assert post(door, issuer.token()) == 503
    assert RejectedDelivery.objects.get().reason == "keys_unavailable"
    refresh_published_keys()
    assert post(door, issuer.token()) == 202


def test_a_new_key_is_asked_for_and_at_most_once_a_minute(door: Any, keys: Server, issuer: Issuer) -> None:
    refresh_published_keys()
    issuer.add("second")
    assert post(door, issuer.token("second")) == 503
    assert refresh_published_keys() == 0  # tried a moment ago
    assert len(keys.asked) == 1
    rested()
    assert refresh_published_keys() == 1
    assert post(door, issuer.token("second")) == 202
    assert refresh_published_keys() == 0
    rested()
    assert refresh_published_keys() == 0  # nothing is asked for any more
    assert len(keys.asked) == 2


def test_a_key_nobody_has_keeps_the_others_and_costs_one_fetch_a_minute(
    door: Any, keys: Server, issuer: Issuer
) -> None:
    refresh_published_keys()
    stranger = Issuer()
    stranger.keys = {"invented": stranger.keys["first"]}
    for _ in range(5):
        assert post(door, stranger.token("invented")) == 503
        refresh_published_keys()
    assert len(keys.asked) == 1
    assert post(door, issuer.token()) == 202


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"keys": []}', b'{"keys": "x"}', b'{"keys": [1]}'])
def test_a_broken_answer_keeps_the_set_we_have(door: Any, issuer: Issuer, body: bytes) -> None:
    refresh_published_keys()
    PublishedKeys.objects.update(fetched_at=timezone.now() - timedelta(hours=13))
    rested()
    issuer.body = body
    assert refresh_published_keys() == 0
    assert PublishedKeys.objects.get().last_error
    assert post(door, issuer.token()) == 202
    issuer.body = None
    rested()
    assert refresh_published_keys() == 1
    assert PublishedKeys.objects.get().last_error == ""


def test_keys_no_open_door_relies_on_are_not_asked_for(door: Any, keys: Server) -> None:
    suspend_registration(door[0], actor="staff:ravi")
    assert refresh_published_keys() == 0
    assert keys.asked == []


def test_a_key_server_that_fails_is_tried_again_a_minute_later(door: Any, keys: Server, issuer: Issuer) -> None:
    issuer.status = 500
    assert [refresh_published_keys(), refresh_published_keys()] == [0, 0]
    assert len(keys.asked) == 1
    assert "500" in PublishedKeys.objects.get().last_error


def test_an_openid_document_leads_to_the_keys(door: Any, keys: Server, issuer: Issuer) -> None:
    scheme: Any = HubWebhook.schemes["published"]
    object.__setattr__(scheme, "keys_url", f"{keys.url}/openid")
    assert refresh_published_keys() == 1
    assert [path for _, path in keys.asked] == ["/openid", "/jwks"]
    assert post(door, issuer.token()) == 202
