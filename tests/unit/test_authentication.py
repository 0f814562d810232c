"""Who is asking: local tokens, published keys, and the identity service's word."""

from __future__ import annotations

import hashlib
import hmac
import io
import time
from collections.abc import Iterator
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.cache import cache
from django.core.management import CommandError, call_command
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from rest_framework.exceptions import AuthenticationFailed

from integration_adapters.authentication import IdentityUnavailable, claims_of, issue_local_token, principal_of
from integration_adapters.checks import check_identity
from integration_adapters.published_keys import published_keys
from providers.simulation import SimulatedAnswer
from tests.contract.provider_server import Server, serving

ISSUER = "https://iam.example"
AUDIENCE = "integration-adapters"
KEYS: dict[str, tuple[Any, str, Any]] = {
    "r": (rsa.generate_private_key(public_exponent=65537, key_size=2048), "RS256", RSAAlgorithm),
    "e": (ec.generate_private_key(ec.SECP256R1()), "ES256", ECAlgorithm),
    "o": (Ed25519PrivateKey.generate(), "EdDSA", OKPAlgorithm),
}
STRANGE_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def claims(**values: Any) -> dict[str, Any]:
    now = int(time.time())
    given = {"iss": ISSUER, "aud": AUDIENCE, "sub": "zoe", "tenant_id": "acme", "roles": ["tenant_reader"]}
    merged = {**given, "iat": now, "exp": now + 60, **values}
    return {name: value for name, value in merged.items() if value is not None}


def signed(kid: str = "r", *, key: Any = None, algorithm: str = "", **values: Any) -> str:
    private, usual, _ = KEYS.get(kid, KEYS["r"])
    return jwt.encode(claims(**values), key or private, algorithm=algorithm or usual, headers={"kid": kid})


class Identity:
    """The identity service: publishes keys, or vouches for tokens."""

    def __init__(self) -> None:
        self.status = 200
        self.answer: Any = {"sub": "zoe", "scope": [], "valid_until": "2099-01-01T00:00:00Z"}
        self.asked: list[tuple[str, str, bytes]] = []

    def handle(self, method: str, path: str, query: Any, headers: Any, body: bytes) -> SimulatedAnswer:
        self.asked.append((method, path, body))
        if path == "/keys":
            keys = [
                {**algorithm.to_jwk(private.public_key(), as_dict=True), "kid": kid, "use": "sig"}
                for kid, (private, _, algorithm) in KEYS.items()
            ]
            return SimulatedAnswer(self.status, {}, orjson.dumps({"keys": keys}))
        return SimulatedAnswer(self.status, {}, orjson.dumps(self.answer))


@pytest.fixture
def identity(settings: Any) -> Iterator[tuple[Identity, Server]]:
    service = Identity()
    cache.clear()
    published_keys.cache_clear()
    with serving(service.handle) as server:
        settings.IAM_ISSUER = ISSUER
        settings.IAM_AUDIENCE = AUDIENCE
        settings.IAM_JWKS_URL = f"{server.url}/keys"
        settings.IAM_SERVICE_URL = server.url
        yield service, server


@pytest.fixture
def published(identity: tuple[Identity, Server], settings: Any) -> Identity:
    settings.IAM_MODE = "jwks"
    return identity[0]


@pytest.fixture
def vouching(identity: tuple[Identity, Server], settings: Any, db: None) -> Identity:
    settings.IAM_MODE = "introspect"
    return identity[0]


@pytest.mark.parametrize("kid", list(KEYS))
def test_a_token_signed_with_a_published_key_is_taken(published: Identity, kid: str) -> None:
    principal = principal_of(claims_of(signed(kid)))
    assert (principal.subject, principal.tenant_id, principal.roles) == ("zoe", "acme", {"tenant_reader"})


def test_published_keys_are_fetched_once(published: Identity) -> None:
    for _ in range(3):
        claims_of(signed())
    assert [asked[:2] for asked in published.asked] == [("GET", "/keys")]


@pytest.mark.parametrize(
    "values",
    [
        {"exp": int(time.time()) - 60},
        {"exp": None},
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": "another-service"},
        {"aud": None},
        {"sub": None},
        {"nbf": int(time.time()) + 600},
    ],
)
def test_a_token_with_a_wrong_or_missing_claim_is_refused(published: Identity, values: dict[str, Any]) -> None:
    with pytest.raises(AuthenticationFailed):
        claims_of(signed(**values))


def test_a_token_of_another_key_is_refused(published: Identity) -> None:
    with pytest.raises(AuthenticationFailed):
        claims_of(signed(key=STRANGE_KEY))
    with pytest.raises(AuthenticationFailed):
        claims_of(signed("unknown", key=STRANGE_KEY))


def test_a_token_cannot_choose_how_it_is_checked(published: Identity) -> None:
    public = KEYS["r"][0].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    header = {"alg": "HS256", "typ": "JWT", "kid": "r"}
    unsigned = jwt.encode(claims(), None, algorithm="none", headers={"kid": "r"})
    # The public key as an HMAC secret: the classic confusion. PyJWT will not make one, so it is made by hand.
    parts = [jwt.utils.base64url_encode(orjson.dumps(part)) for part in (header, claims())]
    mac = hmac.digest(pem, b".".join(parts), hashlib.sha256)
    confused = b".".join([*parts, jwt.utils.base64url_encode(mac)]).decode()
    for token in (unsigned, confused, signed(algorithm="RS512"), "x.y.z", "x", "a.b"):
        with pytest.raises(AuthenticationFailed):
            claims_of(token)
    assert published.asked == []


def test_a_silent_identity_service_is_no_reason_to_throw_a_token_away(published: Identity, settings: Any) -> None:
    settings.IAM_JWKS_URL = "http://127.0.0.1:1/keys"
    with pytest.raises(IdentityUnavailable):
        claims_of(signed())


def test_without_an_issuer_to_compare_no_token_is_taken(published: Identity, settings: Any) -> None:
    settings.IAM_ISSUER = ""
    with pytest.raises(IdentityUnavailable):
        claims_of(signed())


def test_a_token_the_identity_service_vouches_for_is_taken_and_remembered(vouching: Identity) -> None:
    token = signed(key=STRANGE_KEY)
    for _ in range(3):
        assert principal_of(claims_of(token)).tenant_id == "acme"
    assert vouching.asked == [("POST", "/iam/v1/verify", orjson.dumps({"token": token}))]


def test_a_token_the_identity_service_refuses_is_refused_and_not_remembered(vouching: Identity) -> None:
    vouching.status = 401
    vouching.answer = {"detail": {"error": {"code": "AUTH_FAILED", "message": "no"}}}
    for _ in range(2):
        with pytest.raises(AuthenticationFailed):
            claims_of(signed())
    assert len(vouching.asked) == 2


@pytest.mark.parametrize("answer", [{}, [], {"sub": None}, "yes"])
def test_an_answer_that_names_nobody_vouches_for_nobody(vouching: Identity, answer: Any) -> None:
    vouching.answer = answer
    with pytest.raises(IdentityUnavailable):
        claims_of(signed())


def test_a_token_vouched_for_as_somebody_else_is_refused(vouching: Identity) -> None:
    vouching.answer["sub"] = "ravi"
    with pytest.raises(AuthenticationFailed):
        claims_of(signed())


def test_an_expired_or_unsigned_token_is_not_even_asked_about(vouching: Identity) -> None:
    for token in (signed(exp=int(time.time()) - 60), jwt.encode(claims(), None, algorithm="none")):
        with pytest.raises(AuthenticationFailed):
            claims_of(token)
    assert vouching.asked == []


def test_the_identity_services_outage_is_a_503(vouching: Identity, settings: Any) -> None:
    vouching.status = 500
    with pytest.raises(IdentityUnavailable):
        claims_of(signed())
    settings.IAM_SERVICE_URL = "http://127.0.0.1:1"
    with pytest.raises(IdentityUnavailable):
        claims_of(signed())


@pytest.mark.parametrize("tenant_id", [None, "", 7, ["acme"], "x" * 101, "a\x00b", "a\nb"])
def test_without_a_tenant_there_is_nobody(tenant_id: Any) -> None:
    with pytest.raises(AuthenticationFailed):
        principal_of({"sub": "zoe", "roles": ["service"], "tenant_id": tenant_id})


@pytest.mark.parametrize(
    ("roles", "known"),
    [
        (["tenant_admin", "root"], {"tenant_admin"}),
        ("tenant_reader service", {"tenant_reader", "service"}),
        (None, set()),
        ([["service"]], set()),
        ({"service": True}, set()),
    ],
)
def test_only_known_roles_count(roles: Any, known: set[str]) -> None:
    assert principal_of({"sub": "zoe", "tenant_id": "acme", "roles": roles}).roles == known


def test_the_command_prints_a_token_alone() -> None:
    out = io.StringIO()
    call_command("issue_token", "--tenant", "globex", "--role", "service", "--subject", "ci", "--ttl", "60", stdout=out)
    token = out.getvalue().removesuffix("\n")
    principal = principal_of(claims_of(token))
    assert (principal.subject, principal.tenant_id, principal.roles) == ("ci", "globex", {"service"})


def test_a_local_token_ends() -> None:
    token = issue_local_token(tenant_id="acme", roles=["service"], subject="ci", ttl_seconds=-60)
    with pytest.raises(AuthenticationFailed, match="expired"):
        claims_of(token)


def test_no_local_tokens_are_issued_or_taken_in_production(settings: Any) -> None:
    token = issue_local_token(tenant_id="acme", roles=["service"], subject="ci", ttl_seconds=60)
    settings.IS_PRODUCTION = True
    with pytest.raises(CommandError):
        call_command("issue_token", "--tenant", "acme")
    with pytest.raises(AuthenticationFailed):
        claims_of(token)


@pytest.mark.parametrize("mode", ["jwks", "introspect"])
def test_no_local_tokens_are_issued_in_the_other_modes(settings: Any, mode: str) -> None:
    settings.IAM_MODE = mode
    with pytest.raises(CommandError):
        call_command("issue_token", "--tenant", "acme")


def test_a_token_of_the_local_mode_needs_the_deployments_own_key(settings: Any) -> None:
    token = issue_local_token(tenant_id="acme", roles=["service"], subject="ci", ttl_seconds=60)
    settings.SECRET_KEY = "another-deployment"
    with pytest.raises(AuthenticationFailed):
        claims_of(token)


@pytest.mark.parametrize(
    ("values", "sound"),
    [
        ({"IAM_MODE": "local", "IS_PRODUCTION": False}, True),
        ({"IAM_MODE": "local", "IS_PRODUCTION": True}, False),
        ({"IAM_MODE": "jwks", "IAM_JWKS_URL": "https://iam.example/keys", "IAM_ISSUER": ISSUER}, True),
        ({"IAM_MODE": "jwks", "IAM_JWKS_URL": "https://iam.example/keys", "IAM_ISSUER": ""}, False),
        ({"IAM_MODE": "jwks", "IAM_JWKS_URL": "", "IAM_ISSUER": ISSUER}, False),
        ({"IAM_MODE": "introspect", "IAM_SERVICE_URL": "https://iam.example"}, True),
        ({"IAM_MODE": "introspect", "IAM_SERVICE_URL": ""}, False),
    ],
)
def test_a_deployment_that_could_tell_nobody_apart_does_not_start(
    settings: Any, values: dict[str, Any], sound: bool
) -> None:
    for name, value in values.items():
        setattr(settings, name, value)
    assert [problem.id for problem in check_identity()] == ([] if sound else ["integration_adapters.E001"])
