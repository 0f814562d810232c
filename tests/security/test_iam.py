"""Tokens that are no tokens, and an identity service in trouble: through the API, against real HTTP on loopback."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.cache import cache
from rest_framework.test import APIClient
from time_machine import travel

from integration_adapters import published_keys as keys_module
from integration_adapters.authentication import MAX_TOKEN_LENGTH, issue_local_token
from integration_adapters.published_keys import ASKED_AGAIN_SECONDS, FRESH_SECONDS, KEPT_SECONDS, RESTS_SECONDS
from tests.api import CONNECTIONS
from tests.factories import ACME, GLOBEX, make_connection
from tests.identity_service import AUDIENCE, ISSUER, IdentityService, claims, running_identity

pytestmark = pytest.mark.django_db


class Clock:
    """The clock by which keys age; the test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def later(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (keys_module, jwt.jwks_client, jwt.jwk_set_cache, jwt.api_jwk):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def iam(settings: Any) -> Iterator[IdentityService]:
    cache.clear()
    keys_module.published_keys.cache_clear()
    with running_identity() as service:
        settings.IAM_ISSUER, settings.IAM_AUDIENCE = ISSUER, AUDIENCE
        settings.IAM_JWKS_URL, settings.IAM_SERVICE_URL = f"{service.url}/keys", service.url
        settings.IAM_TIMEOUT_SECONDS = 1.0
        settings.PLATFORM_TOKEN = "of-the-platform"
        settings.IAM_MODE = "jwks"
        yield service


@pytest.fixture
def introspecting(iam: IdentityService, settings: Any) -> IdentityService:
    settings.IAM_MODE = "introspect"
    return iam


def status(token: str) -> int:
    """What the API says to a reader's question with this token; the refusal has the shape of every error."""
    response = APIClient().get(CONNECTIONS, headers={"Authorization": f"Bearer {token}"})
    if response.status_code != 200:
        assert set(response.json()["error"]) == {"code", "message", "details", "timestamp"}
        assert token not in response.content.decode()
    return int(response.status_code)


def part(content: Any) -> str:
    return jwt.utils.base64url_encode(content if isinstance(content, bytes) else orjson.dumps(content)).decode()


def handmade(header: Any, payload: Any, signature: bytes = b"x" * 64) -> str:
    return f"{part(header)}.{part(payload)}.{part(signature)}"


def resigned(service: IdentityService, payload: bytes | None = None, **header: Any) -> str:
    """Signed with the service's own key, with a header or payload that no library would make."""
    kid, key = next(iter(service.keys.items()))
    signed = f"{part({'alg': 'EdDSA', 'kid': kid, **header})}.{part(payload or claims())}"
    return f"{signed}.{part(key.sign(signed.encode()))}"


def unusable(service: IdentityService) -> dict[str, str]:
    """Tokens that must open nothing in either mode, and must cost no question."""
    kid, key = next(iter(service.keys.items()))
    now = int(time.time())
    public = key.public_key()
    encodings, formats = serialization.Encoding, serialization.PublicFormat
    forms = {
        "pem": public.public_bytes(encodings.PEM, formats.SubjectPublicKeyInfo),
        "raw": public.public_bytes(encodings.Raw, formats.Raw),
        "empty": b"",
    }
    confused = {}
    for name, secret in forms.items():
        signed = f"{part({'alg': 'HS256', 'kid': kid})}.{part(claims())}"
        mac = part(hmac.digest(secret, signed.encode(), hashlib.sha256))
        confused[f"HS256 with the {name} key"] = f"{signed}.{mac}"
    nested = b'{"a":' * 1100 + b"1" + b"}" * 1100
    return {
        "none": f"{part({'alg': 'none', 'kid': kid})}.{part(claims())}.",
        "None": f"{part({'alg': 'None', 'kid': kid})}.{part(claims())}.",
        "no algorithm": handmade({"kid": kid}, claims()),
        "a list of algorithms": handmade({"alg": ["EdDSA"], "kid": kid}, claims()),
        "another algorithm": handmade({"alg": "RS512", "kid": kid}, claims()),
        **confused,
        "a header that is no object": handmade(["EdDSA"], claims()),
        "a header nested too deep": handmade(nested, claims()),
        "a header that is no text": handmade(b"\xff\xfe", claims()),
        "a key id that is no text": handmade({"alg": "EdDSA", "kid": {"a": 1}}, claims()),
        "an extension that has to be understood": resigned(service, crit=["acr"], acr=1),
        "two parts": "a.b",
        "five parts": "a.b.c.d.e",
        "no base64": "$.$.$",
        "too long": service.token(note="x" * MAX_TOKEN_LENGTH),
        "expired": service.token(exp=now - 60),
        "expired in introspection too": service.token(exp=0),
        "not yet valid": service.token(nbf=now + 600),
        "without an end": service.token(exp=None),
        "an end that is no time": service.token(exp="never"),
        "an end beyond all time": resigned(service, orjson.dumps(claims(exp=None))[:-1] + b',"exp":1e999}'),
        "a payload nested too deep": resigned(service, nested),
        "a payload that is no object": resigned(service, b"[1]"),
        "another audience": service.token(aud="billing"),
        "several other audiences": service.token(aud=["billing", "search"]),
        "another issuer": service.token(iss="https://evil.example"),
        "without a subject": service.token(sub=None),
        "without a tenant": service.token(tenant_id=None),
        "for every tenant": service.token(tenant_id="*"),
        "a tenant that is no name": service.token(tenant_id=["acme"]),
        "an empty tenant": service.token(tenant_id=""),
        "a subject that is no text": service.token(sub=7),
    }  # fmt: skip


UNUSABLE = [*unusable(IdentityService())]
# The signature does not tell these apart from good ones before a key was read.
AFTER_THE_KEY = (
    "expired", "expired in introspection too", "not yet valid", "without", "an end", "a payload", "another audience",
    "several", "another issuer", "for every", "a tenant", "an empty", "a subject",
)  # fmt: skip


@pytest.mark.parametrize("kind", UNUSABLE)
@pytest.mark.parametrize("mode", ["jwks", "introspect", "local"])
def test_an_unusable_token_is_refused(iam: IdentityService, settings: Any, mode: str, kind: str) -> None:
    settings.IAM_MODE = mode
    assert status(unusable(iam)[kind]) == 401
    if mode != "jwks" or not kind.startswith(AFTER_THE_KEY):
        assert iam.asked == []


@pytest.mark.parametrize("mode", ["jwks", "introspect"])
def test_a_good_token_opens_its_own_tenants_things(iam: IdentityService, settings: Any, mode: str) -> None:
    settings.IAM_MODE = mode
    make_connection(tenant_id=ACME, display_name="ours")
    make_connection(tenant_id=GLOBEX, display_name="theirs")
    response = APIClient().get(CONNECTIONS, headers={"Authorization": f"Bearer {iam.token()}"})
    assert [row["display_name"] for row in response.json()["results"]] == ["ours"]


@pytest.mark.parametrize("header", ["jku", "x5u", "jwk", "x5c"])
def test_a_token_cannot_bring_its_own_key(iam: IdentityService, header: str) -> None:
    own = Ed25519PrivateKey.generate()
    kid = next(iter(iam.keys))
    published = {**jwt.algorithms.OKPAlgorithm.to_jwk(own.public_key(), as_dict=True), "kid": kid}
    brought: Any = {"jwk": published, "x5c": ["MIIB"]}.get(header, f"{iam.url}/evil")
    for key_id in (kid, "mine"):
        token = jwt.encode(claims(), own, algorithm="EdDSA", headers={"kid": key_id, header: brought})
        assert status(token) == 401
    assert "GET /evil" not in iam.asked


@pytest.mark.parametrize("kid", ["../keys", "' OR 1=1 --", "", "\x00", "x" * 4000, None])
def test_a_key_id_is_only_ever_compared(iam: IdentityService, clock: Clock, kid: str | None) -> None:
    assert status(iam.token()) == 200
    headers = {} if kid is None else {"kid": kid}
    assert status(jwt.encode(claims(), next(iter(iam.keys.values())), algorithm="EdDSA", headers=headers)) == 401
    assert set(iam.asked) == {"GET /keys"}


def test_an_unknown_key_asks_once_and_then_not_for_a_while(iam: IdentityService, clock: Clock) -> None:
    assert status(iam.token()) == 200
    clock.later(ASKED_AGAIN_SECONDS + 1)
    stranger = IdentityService()
    for _ in range(5):
        assert status(stranger.token()) == 401
    assert len(iam.asked) == 2


def test_a_new_key_is_taken_and_the_old_one_refused(iam: IdentityService, clock: Clock) -> None:
    old = iam.token()
    assert status(old) == 200
    iam.rotate()
    assert status(iam.token()) == 401, "asked for keys a moment ago"
    clock.later(ASKED_AGAIN_SECONDS + 1)
    assert status(iam.token()) == 200
    assert status(old) == 401
    assert len(iam.asked) == 2


@pytest.mark.parametrize(
    "broken",
    [{"outage": 500}, {"outage": 404}, {"junk": b"<html>"}, {"junk": b"[]"}, {"junk": b'{"keys": []}'},
     {"junk": b'{"keys": [{"kty": "oct", "k": 7}]}'}, {"junk": b"[" * 5000}, {"junk": b"\xff"}],
)  # fmt: skip
def test_keys_that_were_read_once_bridge_an_outage_for_an_hour(
    iam: IdentityService, clock: Clock, broken: dict[str, Any]
) -> None:
    assert status(iam.token()) == 200
    for name, value in broken.items():
        setattr(iam, name, value)
    clock.later(FRESH_SECONDS + 1)
    for _ in range(3):
        assert status(iam.token()) == 200
    assert len(iam.asked) == 2, "not each request asks a service that is down"
    clock.later(KEPT_SECONDS)
    assert status(iam.token()) == 503
    iam.outage, iam.junk = 0, None
    clock.later(RESTS_SECONDS + 1)
    assert status(iam.token()) == 200


def test_without_any_keys_yet_an_outage_is_a_503_and_costs_one_question(iam: IdentityService, clock: Clock) -> None:
    iam.outage = 503
    for _ in range(3):
        assert status(iam.token()) == 503
    assert len(iam.asked) == 1
    iam.outage = 0
    clock.later(RESTS_SECONDS + 1)
    assert status(iam.token()) == 200


def test_a_key_that_is_new_during_an_outage_is_not_refused_for_good(iam: IdentityService, clock: Clock) -> None:
    old = iam.token()
    assert status(old) == 200
    iam.rotate()
    iam.outage = 503
    clock.later(ASKED_AGAIN_SECONDS + 1)
    assert status(iam.token()) == 503
    assert status(old) == 200


def test_who_is_vouched_for_is_asked_about_once_and_then_briefly_remembered(
    introspecting: IdentityService, settings: Any
) -> None:
    token = introspecting.token()
    assert [status(token) for _ in range(3)] == [200, 200, 200]
    assert introspecting.asked == ["POST /iam/v1/verify"]
    with travel(datetime.now(UTC) + timedelta(seconds=settings.IAM_CACHE_SECONDS + 1), tick=False):
        assert status(token) == 200
    assert len(introspecting.asked) == 2


def test_nobody_is_remembered_beyond_the_services_word(introspecting: IdentityService) -> None:
    introspecting.answer = {"valid_until": (datetime.now(UTC) + timedelta(seconds=5)).isoformat()}
    token = introspecting.token()
    assert status(token) == 200
    with travel(datetime.now(UTC) + timedelta(seconds=6), tick=False):
        assert status(token) == 200
    assert len(introspecting.asked) == 2
    introspecting.answer = {"valid_until": "2020-01-01T00:00:00Z"}
    assert status(introspecting.token(sub="ravi")) == 401


def test_a_token_that_was_not_signed_there_is_refused_and_asked_about_again(introspecting: IdentityService) -> None:
    forged = IdentityService().token()
    assert [status(forged), status(forged)] == [401, 401]
    assert len(introspecting.asked) == 2


def test_a_token_vouched_for_as_somebody_else_is_refused_each_time(introspecting: IdentityService) -> None:
    introspecting.answer = {"sub": "ravi"}
    token = introspecting.token()
    assert [status(token), status(token)] == [401, 401]


def test_scopes_in_the_answer_give_no_role(introspecting: IdentityService) -> None:
    """Roles are those of the token's own claims; the service's answer lists more."""
    token = introspecting.token(roles=["tenant_reader"])
    assert status(token) == 200
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    assert client.post(CONNECTIONS, {}, format="json").status_code == 403
    assert status(introspecting.token(roles=[])) == 403


@pytest.mark.parametrize(
    "broken", [{"outage": 500}, {"outage": 429}, {"outage": 302}, {"junk": b"<html>"}, {"junk": b"[]"}, {"junk": b"{}"}]
)
def test_an_identity_service_that_cannot_say_is_a_503_but_who_is_remembered_goes_on(
    introspecting: IdentityService, broken: dict[str, Any]
) -> None:
    known = introspecting.token()
    assert status(known) == 200
    for name, value in broken.items():
        setattr(introspecting, name, value)
    assert status(introspecting.token(sub="ravi")) == 503
    assert status(known) == 200


def test_nobody_listening_is_a_503(introspecting: IdentityService, settings: Any) -> None:
    settings.IAM_SERVICE_URL = "http://127.0.0.1:1"
    assert status(introspecting.token()) == 503


def test_a_token_that_says_nothing_of_its_audience_is_for_the_service_to_judge(introspecting: IdentityService) -> None:
    assert status(introspecting.token(aud=None, iss=None)) == 200
    assert status(introspecting.token(aud=["billing", AUDIENCE])) == 200


@pytest.mark.parametrize(
    ("roles", "may_read"),
    [
        (["tenant_reader"], True),
        ("tenant_reader", True),
        ("guest tenant_admin", True),
        (["TENANT_ADMIN"], False),
        ("tenant_admin,service", False),
        ({"tenant_admin": True}, False),
        ([["tenant_admin"]], False),
        (None, False),
        (7, False),
    ],
)
def test_roles_are_read_from_a_list_or_a_line_and_unknown_ones_give_nothing(
    iam: IdentityService, roles: Any, may_read: bool
) -> None:
    assert status(iam.token(roles=roles)) == (200 if may_read else 403)


def test_in_production_no_local_token_is_taken(settings: Any) -> None:
    token = issue_local_token(tenant_id=ACME, roles=["tenant_reader"], subject="zoe", ttl_seconds=60)
    assert status(token) == 200
    settings.IS_PRODUCTION = True
    assert status(token) == 401
