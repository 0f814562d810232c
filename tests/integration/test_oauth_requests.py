"""Who may start an authorisation, with what, and with which app."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from connections.errors import ServiceError
from connections.models import IntegrationConnection, OAuthAuthorisation, OAuthClient
from connections.oauth_clients import put_client
from connections.tenancy import SERVICE, TENANT_READER
from tests.api import client_of, error_of, pointers_of
from tests.authorisation_server import (
    AUTHORIZE,
    CALLBACK,
    CLIENT_ID,
    AuthorisationServer,
    GateAdapter,
    begin,
    come_back,
    gate_oauth,
)
from tests.factories import ACME, GLOBEX

pytestmark = pytest.mark.django_db


def test_a_reader_starts_nothing(gate: AuthorisationServer) -> None:
    error_of(client_of(ACME, TENANT_READER).get(AUTHORIZE, {"display_name": "Mine"}), 403)
    assert not OAuthAuthorisation.objects.exists()


def test_a_service_may_start_one(gate: AuthorisationServer) -> None:
    asked = {"display_name": "Mine", "settings": json.dumps({"base_url": f"{gate.url}/api"})}
    assert client_of(ACME, SERVICE).get(AUTHORIZE, asked).status_code == 302


@pytest.mark.parametrize("path", [AUTHORIZE, CALLBACK])
def test_only_a_get_does_anything(gate: AuthorisationServer, path: str) -> None:
    address = urlsplit(gate.consent(begin(gate)))
    query = address.query if path == CALLBACK else f"display_name={quote('A b')}"
    for method in ("head", "post", "put", "delete"):
        assert getattr(client_of(), method)(f"{path}?{query}").status_code == 405
    assert OAuthAuthorisation.objects.get().claimed_at is None


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({}, "/display_name"),
        ({"display_name": " "}, "/display_name"),
        ({"display_name": "a", "settings": "{"}, "/settings"),
        ({"display_name": "a", "settings": "[]"}, "/settings"),
        ({"display_name": "a", "settings": '{"color": 1}'}, "/settings"),
        ({"display_name": "a", "settings": '{"base_url": "https://127.0.0.9/"}'}, "/settings/base_url"),
        ({"connection_id": "x"}, "/connection_id"),
        ({"display_name": "a", "who": "me"}, "/who"),
    ],
)
def test_what_cannot_be_meant_is_refused(gate: AuthorisationServer, query: dict[str, str], pointer: str) -> None:
    assert pointer in pointers_of(client_of().get(AUTHORIZE, query))


def test_scopes_are_names(gate: AuthorisationServer) -> None:
    asked = {"display_name": "a", "settings": json.dumps({"base_url": f"{gate.url}/api"}), "scopes": 'read "all"'}
    assert pointers_of(client_of().get(AUTHORIZE, asked)) == {"/scopes"}


def test_unknown_providers_and_those_without_a_page_are_told_apart(gate: AuthorisationServer) -> None:
    error_of(client_of().get("/v1/integrations/oauth/nobody/authorize", {"display_name": "a"}), 404)
    error = error_of(client_of().get("/v1/integrations/oauth/fake/authorize", {"display_name": "a"}), 409)
    assert error["code"] == "OAUTH_NOT_OFFERED"


# --- apps ----------------------------------------------------------------------------------------------------------


def test_a_tenants_own_app_comes_before_the_shared_one(gate: AuthorisationServer) -> None:
    put_client(provider_id="gate", tenant_id=ACME, client_id="acmes-own", client_secret="s")
    assert parse_qs(urlsplit(begin(gate, ACME)).query)["client_id"] == ["acmes-own"]
    assert parse_qs(urlsplit(begin(gate, GLOBEX)).query)["client_id"] == [CLIENT_ID]


def test_an_app_removed_meanwhile_ends_the_authorisation(gate: AuthorisationServer) -> None:
    address = gate.consent(begin(gate))
    OAuthClient.objects.all().delete()
    assert error_of(come_back(address), 409)["code"] == "OAUTH_CLIENT_MISSING"
    assert not IntegrationConnection.objects.exists()
    assert gate.exchanges == []


def test_without_any_app_the_operator_is_pointed_to(gate: AuthorisationServer) -> None:
    OAuthClient.objects.all().delete()
    asked = {"display_name": "a", "settings": json.dumps({"base_url": f"{gate.url}/api"})}
    error = error_of(client_of().get(AUTHORIZE, asked), 409)
    assert error["code"] == "OAUTH_CLIENT_MISSING"
    assert "An operator enters it" in error["message"]


def test_an_app_without_a_secret_needs_pkce(gate: AuthorisationServer, monkeypatch: pytest.MonkeyPatch) -> None:
    OAuthClient.objects.all().delete()
    put_client(provider_id="gate", client_id="public-app")
    OAuthClient.objects.all().delete()
    monkeypatch.setattr(GateAdapter, "oauth", gate_oauth(gate, pkce=False))
    with pytest.raises(ServiceError, match="cannot be accepted"):
        put_client(provider_id="gate", client_id="public-app")
