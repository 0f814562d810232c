"""The platform's key management as a real HTTP server on loopback that checks what it is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from tests.platform_stub import listening

_PATH = re.compile(r"/v1/secrets/([^/]+)(/refresh)?")


class KeyManagementStub:
    """Secrets of tenants, each with names of its own; what only another has is forbidden.

    ``renewed`` holds what a refresh makes of a secret; without an entry it is impossible.
    """

    def __init__(self) -> None:
        self.url = ""
        self.tokens: dict[str, str] = {}
        self.secrets: dict[tuple[str, str], Any] = {}
        self.renewed: dict[str, str] = {}
        self.expires_at: str | None = None
        self.outage = 0
        self.answer: bytes = b""
        self.calls: list[tuple[str, str]] = []
        self.faults: list[str] = []

    def handle(self, method: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        tenant = headers.get("x-tenant-id", "")
        found = _PATH.fullmatch(path)
        if found is None:
            self.faults.append(f"path {path}")
            return 404, {}
        name, verb = unquote(found[1]), "REFRESH" if found[2] else method
        self.calls.append((verb, name))
        if headers.get("authorization") != f"Bearer {self.tokens.get(tenant)}":
            self.faults.append("a token that is not the tenant's")
            return 401, {"detail": "Not authenticated"}
        if self.outage:
            return self.outage, {"detail": "down"}
        if self.answer:
            return 200, self.answer
        return self._answer(verb, tenant, name, body)

    def _answer(self, verb: str, tenant: str, name: str, body: Any) -> tuple[int, Any]:
        if verb == "PUT":
            if set(body) != {"secret_value"} or not body["secret_value"]:
                self.faults.append("what is kept")
            self.secrets[tenant, name] = body["secret_value"]
            return 200, {"version": "2"}
        value = self.secrets.get((tenant, name))
        if value is None:
            others = any(known == name for _, known in self.secrets)
            return (403, {"detail": "forbidden"}) if others else (404, {"detail": "not found"})
        if verb == "REFRESH":
            if name not in self.renewed:
                return 409, {"detail": "refresh impossible"}
            self.secrets[tenant, name] = value = self.renewed[name]
        return 200, {"secret_value": value, "version": "1", "expires_at": self.expires_at}

    def read(self) -> int:
        """How often a secret was read."""
        return sum(verb == "GET" for verb, _ in self.calls)


@contextmanager
def running_key_management() -> Iterator[KeyManagementStub]:
    """A stub listening on loopback."""
    stub = KeyManagementStub()
    with listening(stub):
        yield stub
