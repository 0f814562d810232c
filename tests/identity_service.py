"""The identity service on loopback: signs tokens, publishes keys, vouches for tokens, and checks what it is sent."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from providers.simulation import SimulatedAnswer
from tests.contract.provider_server import serving

ISSUER = "https://iam.example"
AUDIENCE = "integration-adapters"


class IdentityService:
    """Has one key at first; ``rotate`` replaces it. ``faults`` says what was wrong with what it was sent."""

    def __init__(self) -> None:
        self.keys: dict[str, Ed25519PrivateKey] = {}
        self.rotate()
        self.asked: list[str] = []
        self.faults: list[str] = []
        self.outage = 0
        self.junk: bytes | None = None
        self.answer: dict[str, Any] = {}
        self.url = ""

    def rotate(self) -> str:
        """A new key instead of those before; returns its id."""
        self.keys = {uuid.uuid4().hex: Ed25519PrivateKey.generate()}
        return next(iter(self.keys))

    def token(self, **values: Any) -> str:
        """A good token of tenant acme, but for these claims; ``None`` leaves one out."""
        kid, key = next(iter(self.keys.items()))
        return jwt.encode(claims(**values), key, algorithm="EdDSA", headers={"kid": kid})

    def handle(self, method: str, path: str, query: Any, headers: dict[str, str], body: bytes) -> SimulatedAnswer:
        self.asked.append(f"{method} {path}")
        if self.outage:
            return SimulatedAnswer(self.outage, {}, b'{"detail": "down"}')
        if self.junk is not None:
            return SimulatedAnswer(200, {}, self.junk)
        if (method, path) == ("GET", "/keys"):
            public = [
                {**OKPAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", "alg": "EdDSA"}
                for kid, key in self.keys.items()
            ]
            return SimulatedAnswer(200, {"content-type": "application/json"}, orjson.dumps({"keys": public}))
        if (method, path) == ("POST", "/iam/v1/verify"):
            return self._verify(headers, body)
        self.faults.append(f"asked for {method} {path}")
        return SimulatedAnswer(404, {}, b"{}")

    def _verify(self, headers: dict[str, str], body: bytes) -> SimulatedAnswer:
        sent = orjson.loads(body)
        if set(sent) != {"token"} or not isinstance(sent["token"], str):
            self.faults.append(f"fields of a question: {sorted(sent)}")
        if headers.get("content-type") != "application/json":
            self.faults.append("a body that is not called JSON")
        if headers.get("x-tenant-id") != "acme" or headers.get("authorization") != "Bearer of-the-platform":
            self.faults.append("not asked on behalf of the tenant")
        try:
            key = self.keys[jwt.get_unverified_header(sent["token"])["kid"]]
            known = jwt.decode(sent["token"], key.public_key(), algorithms=["EdDSA"], options={"verify_aud": False})
        except (jwt.PyJWTError, KeyError):
            error = {"detail": {"error": {"code": "AUTH_FAILED", "message": "no"}}}
            return SimulatedAnswer(401, {}, orjson.dumps(error))
        until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        answer = {"sub": known["sub"], "scope": ["tenant_admin", "service"], "valid_until": until, **self.answer}
        return SimulatedAnswer(200, {"content-type": "application/json"}, orjson.dumps(answer))


def claims(**values: Any) -> dict[str, Any]:
    now = int(time.time())
    given = {"iss": ISSUER, "aud": AUDIENCE, "sub": "zoe", "tenant_id": "acme", "roles": ["tenant_reader"]}
    merged = {**given, "iat": now, "exp": now + 60, **values}
    return {name: value for name, value in merged.items() if value is not None}


@contextmanager
def running_identity() -> Iterator[IdentityService]:
    """A service that listens; ``service.url`` is its address."""
    service = IdentityService()
    with serving(service.handle) as server:
        service.url = server.url
        yield service
    assert service.faults == []
