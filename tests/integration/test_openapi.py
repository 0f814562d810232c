"""The description of the API is committed, current, and true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from django.conf import settings as deployment
from django.db import connections
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.validation import validate_schema
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from connections.tenancy import SERVICE, TENANT_ADMIN
from events.envelope import envelope_schema
from integration_adapters.wsgi import application
from tests.api import token_of
from tests.extent import extent
from tests.factories import ACME, make_action, make_connection, make_event, make_registration
from tests.integration.test_admin_lists import make_backfill

COMMITTED = Path(deployment.BASE_DIR) / "openapi.yaml"
DOCUMENT = yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))
API = schemathesis.openapi.from_wsgi("/schema?format=json", application)
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def test_the_committed_description_is_the_generated_one() -> None:
    generated = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    text = OpenApiYamlRenderer().render(generated, renderer_context={}).decode()
    assert COMMITTED.read_text(encoding="utf-8") == text, "run: ./script/manage spectacular --file openapi.yaml"


def test_the_description_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    validate_schema(DOCUMENT)  # type: ignore[no-untyped-call]


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
        if method in ("get", "post", "patch", "put", "delete")
    ]


def test_every_operation_has_a_name_a_tag_and_the_error_body() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))
    for path, method, operation in operations():
        assert operation["tags"], path
        assert operation["summary"], path
        refusals = {code: r for code, r in operation["responses"].items() if code >= "400"}
        assert "500" in refusals, (method, path)
        for code, response in refusals.items():
            if (path, code) != ("/ready", "503"):
                schema = response["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Error"}, (path, code)


def test_all_but_the_public_operations_ask_for_a_bearer_token() -> None:
    public = {path for path, _, operation in operations() if {"bearer": []} not in operation.get("security", [])}
    assert public == {
        "/health",
        "/ready",
        "/metrics",
        "/v1/integrations/oauth/callback",
        "/v1/integrations/webhooks/{provider_id}/{connection_token}",
    }


def test_the_envelope_is_described_as_it_is_validated() -> None:
    described = DOCUMENT["components"]["schemas"]["SignalEnvelope"]
    assert described["properties"] == envelope_schema()["properties"]


@pytest.fixture
def values(db: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """One of everything, so that generated requests meet real objects."""
    # As with Django's own test client: neither end of a request may close the test's transaction.
    monkeypatch.setattr(connections["default"], "close_if_unusable_or_obsolete", lambda: None)
    connection = make_connection()
    registration, token, _ = make_registration(connection)
    return {
        "connection_id": str(connection.pk),
        "registration_id": str(registration.pk),
        "event_id": str(make_event(connection).pk),
        "action_id": str(make_action(connection).pk),
        "backfill_id": str(make_backfill(connection).pk),
        "provider_id": "fake",
        "connection_token": token,
    }


@API.parametrize()
@settings(
    max_examples=extent(6, 20),
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_generated_request_meets_a_fault_or_a_lie(case: schemathesis.Case, values: dict[str, Any]) -> None:
    """Bounded contract fuzzing: no 5xx, and every answer as described."""
    for name in case.path_parameters or {}:
        # Half of the requests keep their generated id: those must be told from the real ones too.
        if len(str(case.body)) % 2 == 0:
            case.path_parameters[name] = values[name]
    headers = {"Authorization": f"Bearer {token_of(ACME, TENANT_ADMIN, SERVICE)}"}
    response = case.call(headers=headers)
    case.validate_response(response, checks=CHECKS)
