"""API clients of tests: real tokens, real middleware, answers that must be JSON in the agreed shape."""

from __future__ import annotations

import re
from typing import Any

from rest_framework.test import APIClient

from connections.tenancy import TENANT_ADMIN
from integration_adapters.authentication import issue_local_token
from tests.factories import ACME

CONNECTIONS = "/v1/integrations/connections"
EVENTS = "/v1/integrations/events"


def token_of(tenant_id: str = ACME, *roles: str, subject: str = "zoe") -> str:
    return issue_local_token(tenant_id=tenant_id, roles=roles or (TENANT_ADMIN,), subject=subject, ttl_seconds=300)


def client_of(tenant_id: str = ACME, *roles: str) -> APIClient:
    """A client with a token; faults come back as answers, as they do in production."""
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token_of(tenant_id, *roles)}")
    return client


def error_of(response: Any, status: int) -> dict[str, Any]:
    """The error of an answer that must be the standard error."""
    assert response.status_code == status, response.content
    assert response["Content-Type"].startswith("application/json")
    body = response.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert set(error) == {"code", "message", "details", "timestamp"}
    assert re.fullmatch(r"[A-Z][A-Z0-9_]*", error["code"])
    assert error["message"]
    assert isinstance(error["details"], dict)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", error["timestamp"])
    return error


def pointers_of(response: Any) -> set[str]:
    """Where the faults of a refused body lie."""
    return {problem["pointer"] for problem in error_of(response, 400)["details"]["problems"]}
