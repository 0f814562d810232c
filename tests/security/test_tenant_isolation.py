"""SEC-IA-02: tenants never see each other.

The endpoints come from the URL configuration: one that is added and not described here fails the test.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.apps import apps
from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.test import APIClient

from connections.models import IntegrationConnection
from connections.tenancy import SERVICE, TENANT_ADMIN, TENANT_READER
from tests.api import client_of, error_of
from tests.factories import (
    ACME,
    GLOBEX,
    STRANGER,
    make_action,
    make_connection,
    make_event,
    make_gap,
    make_registration,
)
from tests.integration.test_admin_lists import make_backfill

pytestmark = pytest.mark.django_db

# Open to everybody, and showing no tenant's data.
PUBLIC = {"health", "ready", "metrics", "schema", "docs", "redoc", "v1/integrations/oauth/callback"}
# Not the API: the provider's door proves its sender by a signature, the admin by a session.
OTHER_DOORS = ("v1/integrations/webhooks/", "admin/")
# The same for every tenant.
SHARED_PARAMETERS = {"provider_id"}


@dataclass(frozen=True)
class Endpoint:
    route: str
    method: str

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"<\w+:(\w+)>", self.route)

    def path(self, values: dict[str, Any]) -> str:
        return "/" + re.sub(r"<\w+:(\w+)>", lambda found: str(values[found.group(1)]), self.route)


def endpoints() -> list[Endpoint]:
    found = []
    for route, pattern in _patterns(get_resolver().url_patterns, ""):
        if route in PUBLIC or route.startswith(OTHER_DOORS):
            continue
        view: Any = pattern.callback
        methods = getattr(view, "actions", None) or [m for m in view.cls.http_method_names if hasattr(view.cls, m)]
        found += [Endpoint(route, method) for method in methods if method not in ("options", "head")]
    return found


def _patterns(patterns: list[Any], prefix: str) -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern.url_patterns, route)
        else:
            yield route, pattern


ALL = endpoints()
OF_AN_OBJECT = [e for e in ALL if set(e.parameters) - SHARED_PARAMETERS]
LISTS = [e for e in ALL if e.method == "get" and not e.parameters]
# Bodies by which a tenant tries to reach into another one's things.
COMMANDS = {
    "v1/integrations/connections": lambda other: {
        "provider_id": "fake",
        "display_name": "Mine",
        "auth_ref": other.connection.auth_ref,
    },
    "v1/integrations/events/replay": lambda other: {"connection_id": str(other.connection.pk)},
    "internal/integrations/events/normalised": lambda other: {"producer_id": str(other.connection.pk)},
    "internal/integrations/actions/execute": lambda other: {"connection_id": str(other.connection.pk)},
}
# Questions by which it tries the same.
QUERIES = {
    "v1/integrations/oauth/<slug:provider_id>/authorize": lambda other_id: {"connection_id": str(other_id)},
}
# What is sent to an object of one's own, and names a thing of another tenant.
REFERENCES = {
    ("post", "v1/integrations/connections/<uuid:connection_id>/rotate"): lambda other: {
        "auth_ref": other.connection.auth_ref
    },
    ("post", "v1/integrations/connections/<uuid:connection_id>/webhooks"): lambda other: {
        "secret_ref": other.registration.secret_ref
    },
}
# Says the same to every tenant.
OF_NOBODY = {"v1/integrations/providers/<slug:provider_id>"}


class Belongings:
    """One of everything a tenant can have."""

    def __init__(self, tenant_id: str) -> None:
        self.connection = make_connection(tenant_id=tenant_id, display_name=f"private to {tenant_id}")
        self.registration, _, _ = make_registration(self.connection)
        self.event = make_event(self.connection)
        self.action = make_action(self.connection)
        self.backfill = make_backfill(self.connection)
        self.gap = make_gap(self.connection)
        self.ids = {
            "connection_id": self.connection.pk,
            "registration_id": self.registration.pk,
            "event_id": self.event.pk,
            "action_id": self.action.pk,
            "backfill_id": self.backfill.pk,
            "provider_id": "fake",
        }


def everything(tenant_id: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of the tenant in every table that has tenants."""
    return {
        model.__name__: list(model._default_manager.filter(tenant_id=tenant_id).order_by("pk").values())
        for model in apps.get_models()
        if any(field.name == "tenant_id" for field in model._meta.get_fields())
    }


def send(client: APIClient, endpoint: Endpoint, path: str, body: Any = None) -> Any:
    sender = getattr(client, endpoint.method)
    return sender(path) if endpoint.method == "get" else sender(path, body or {})


def test_every_kind_of_endpoint_was_found() -> None:
    assert len(ALL) >= 25
    assert {p for e in ALL for p in e.parameters} == {*SHARED_PARAMETERS, *Belongings(ACME).ids}


def test_every_endpoint_is_tried_in_a_way_that_fits_it() -> None:
    """An endpoint that names nothing of a tenant in its path has to be described above."""
    others = {e for e in ALL if e not in OF_AN_OBJECT and e not in LISTS}
    assert {e.route for e in others if e.method == "get"} == QUERIES.keys() | OF_NOBODY
    assert {e.route for e in others if e.method != "get"} == COMMANDS.keys()
    assert {*REFERENCES} <= {(e.method, e.route) for e in OF_AN_OBJECT}


def test_every_body_that_refers_to_a_secret_is_tried_with_another_tenants() -> None:
    """By the published description: whoever adds such a field has to describe above how it is tried."""
    description = yaml.load((Path(settings.BASE_DIR) / "openapi.yaml").read_text(), Loader=yaml.CSafeLoader)
    schemas = description["components"]["schemas"]
    found = set()
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                schema = content["schema"]
                schema = schemas[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
                if any(name.endswith("_ref") for name in schema.get("properties", {})):
                    found.add((method, re.sub(r"\{\w+\}", "{}", path)))
    described = {*REFERENCES, *(("post", route) for route in COMMANDS)}
    assert found <= {(method, "/" + re.sub(r"<\w+:\w+>", "{}", route)) for method, route in described}
    assert found


@pytest.mark.parametrize("endpoint", OF_AN_OBJECT, ids=str)
@pytest.mark.parametrize("role", [TENANT_ADMIN, SERVICE])
def test_another_tenants_object_is_not_there(endpoint: Endpoint, role: str) -> None:
    """SEC-IA-02"""
    theirs = Belongings(GLOBEX)
    before = everything(GLOBEX)
    roles = {role, TENANT_ADMIN, SERVICE} if endpoint.route.startswith("internal/") else {role}
    response = send(client_of(ACME, *roles), endpoint, endpoint.path(theirs.ids))
    foreign = error_of(response, 404)
    missing = send(client_of(ACME, *roles), endpoint, endpoint.path(dict.fromkeys(theirs.ids, uuid.uuid4())))
    assert {**foreign, "timestamp": ""} == {**error_of(missing, 404), "timestamp": ""}
    assert everything(GLOBEX) == before


@pytest.mark.parametrize("endpoint", [e for e in OF_AN_OBJECT if len(e.parameters) > 1], ids=str)
def test_another_tenants_part_is_not_found_under_an_object_of_ones_own(endpoint: Endpoint) -> None:
    """SEC-IA-02"""
    mine, theirs = Belongings(ACME), Belongings(GLOBEX)
    before = everything(GLOBEX)
    path = endpoint.path({**theirs.ids, "connection_id": mine.connection.pk})
    error_of(send(client_of(ACME, TENANT_ADMIN, SERVICE), endpoint, path), 404)
    assert everything(GLOBEX) == before


@pytest.mark.parametrize("endpoint", [e for e in ALL if e.route in QUERIES], ids=str)
def test_a_question_cannot_reach_into_another_tenant(endpoint: Endpoint) -> None:
    """SEC-IA-02"""
    theirs = Belongings(GLOBEX)
    before = everything(GLOBEX)
    query = QUERIES[endpoint.route]
    for roles in ({TENANT_ADMIN}, {TENANT_READER}):
        client = client_of(ACME, *roles)
        foreign, missing = (
            client.get(endpoint.path(theirs.ids), query(key)) for key in (theirs.connection.pk, uuid.uuid4())
        )
        assert foreign.status_code == missing.status_code in (403, 404)
        assert {**foreign.json()["error"], "timestamp": ""} == {**missing.json()["error"], "timestamp": ""}
    assert everything(GLOBEX) == before


@pytest.mark.parametrize(("method", "route"), REFERENCES)
def test_another_tenants_secret_cannot_be_referred_to(method: str, route: str) -> None:
    """SEC-IA-02"""
    mine, theirs = Belongings(ACME), Belongings(GLOBEX)
    before, secret = everything(GLOBEX), REFERENCES[method, route](theirs)
    endpoint = Endpoint(route, method)
    response = send(client_of(ACME, TENANT_ADMIN), endpoint, endpoint.path(mine.ids), secret)
    assert 400 <= response.status_code < 500
    assert everything(GLOBEX) == before
    (reference,) = secret.values()
    assert reference
    assert not [row for rows in everything(ACME).values() for row in rows if reference in row.values()]


def test_what_is_read_of_ones_own_holds_nothing_of_another_tenant() -> None:
    """SEC-IA-02"""
    mine, theirs = Belongings(ACME), Belongings(GLOBEX)
    foreign = {GLOBEX, *(str(value) for name, value in theirs.ids.items() if name not in SHARED_PARAMETERS)}
    client = client_of(ACME, TENANT_ADMIN, SERVICE)
    for endpoint in OF_AN_OBJECT:
        if endpoint.method == "get":
            response = client.get(endpoint.path(mine.ids))
            assert response.status_code == 200, endpoint
            shown = response.content.decode()
            assert not [value for value in foreign if value in shown], endpoint


@pytest.mark.parametrize("endpoint", LISTS, ids=str)
def test_a_list_holds_nothing_of_another_tenant(endpoint: Endpoint) -> None:
    """SEC-IA-02"""
    mine, theirs = Belongings(ACME), Belongings(GLOBEX)
    shown = send(client_of(ACME, TENANT_READER), endpoint, endpoint.path({})).content.decode()
    own_ids, foreign_ids = (
        {str(value) for name, value in belongings.ids.items() if name not in SHARED_PARAMETERS}
        for belongings in (mine, theirs)
    )
    assert not [value for value in {GLOBEX, *foreign_ids} if value in shown]
    if "providers" not in endpoint.route:
        assert any(value in shown for value in own_ids)


@pytest.mark.parametrize("endpoint", [e for e in LISTS if "providers" not in e.route], ids=str)
def test_a_filter_by_another_tenants_connection_finds_nothing(endpoint: Endpoint) -> None:
    """SEC-IA-02"""
    theirs = Belongings(GLOBEX)
    response = client_of(ACME).get(endpoint.path({}), {"connection_id": str(theirs.connection.pk)})
    if response.status_code == 200:
        assert response.json()["results"] == []
    else:
        error_of(response, 400)


@pytest.mark.parametrize("endpoint", [e for e in ALL if e.method != "get" and not e.parameters], ids=str)
def test_a_command_cannot_reach_into_another_tenant(endpoint: Endpoint) -> None:
    """SEC-IA-02"""
    theirs = Belongings(GLOBEX)
    before = everything(GLOBEX)
    body = COMMANDS[endpoint.route](theirs)
    response = send(client_of(ACME, TENANT_ADMIN, SERVICE), endpoint, endpoint.path({}), body)
    assert everything(GLOBEX) == before
    assert response.status_code in (202, 400, 404)
    assert "private to" not in response.content.decode()


@pytest.mark.parametrize("endpoint", ALL, ids=str)
def test_nobody_comes_in_without_a_token(endpoint: Endpoint) -> None:
    """SEC-IA-02"""
    mine = Belongings(ACME)
    error_of(send(APIClient(), endpoint, endpoint.path(mine.ids)), 401)


@pytest.mark.parametrize("endpoint", [e for e in ALL if e.method != "get" or e.route.startswith("internal/")], ids=str)
def test_a_reader_changes_nothing_and_sees_nothing_internal(endpoint: Endpoint) -> None:
    """SEC-IA-02"""
    mine = Belongings(ACME)
    before = everything(ACME)
    error_of(send(client_of(ACME, TENANT_READER), endpoint, endpoint.path(mine.ids)), 403)
    assert everything(ACME) == before


def test_a_stranger_has_nothing() -> None:
    """SEC-IA-02"""
    Belongings(ACME)
    client = client_of(STRANGER, TENANT_ADMIN, SERVICE)
    for endpoint in LISTS:
        if "providers" not in endpoint.route:
            assert client.get(endpoint.path({})).json()["results"] == []


def test_a_token_without_roles_may_do_nothing() -> None:
    """SEC-IA-02"""
    mine = Belongings(ACME)
    client = client_of(ACME, "guest")
    for endpoint in ALL:
        error_of(send(client, endpoint, endpoint.path(mine.ids)), 403)


def test_the_tenant_in_a_body_counts_for_nothing() -> None:
    """SEC-IA-02"""
    client_of(ACME).post("/v1/integrations/connections", {"tenant_id": GLOBEX, "provider_id": "fake"})
    assert not IntegrationConnection.objects.for_tenant(GLOBEX).exists()
