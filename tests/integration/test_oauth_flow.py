"""A connection is authorised at its provider's page, and authorised again later."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from connections.models import ConnectionHistory, IntegrationConnection, OAuthAuthorisation, StoredSecret
from connections.services import update_connection
from connections.tokens import AccessToken
from polling.cursors import sync_now
from providers.oauth import SiteList
from providers.outbound import OutboundPolicy
from tests.api import client_of, error_of, pointers_of
from tests.authorisation_server import AUTHORIZE, PUBLIC, AuthorisationServer, GateAdapter, begin, come_back, gate_oauth
from tests.factories import ACME, GLOBEX, make_connection
from tests.polling_provider import poll

pytestmark = pytest.mark.django_db


def returned(response: Any) -> dict[str, str]:
    """What a browser brings to the return_url."""
    assert response.status_code == 302, response.content
    return {name: values[0] for name, values in parse_qs(urlsplit(response["Location"]).query).items()}


def test_an_authorised_connection_is_active_and_reads(gate: AuthorisationServer) -> None:
    """IT-IA-01"""
    told = come_back(gate.consent(begin(gate)))
    assert told.status_code == 200
    connection = IntegrationConnection.objects.get()
    assert told.json() == {
        "outcome": "connected",
        "connection_id": str(connection.pk),
        "status": "active",
        "missing_scopes": [],
        "message": "Our gate of tenant acme is authorised as zoe and active.",
    }
    assert (connection.tenant_id, connection.account, connection.status) == (ACME, "zoe", "active")
    sync_now(connection)
    before = len(gate.reads)
    assert poll(connection).outcome == "completed"
    assert gate.reads[before:] == ["/api/entries"]
    assert len(gate.exchanges) == 1
    operations = ConnectionHistory.objects.order_by("pk").values_list("operation", flat=True)
    assert list(operations) == ["created", "authorised", "verified"]
    (row,) = OAuthAuthorisation.objects.all()
    assert (row.outcome, row.connection) == ("connected", connection)


def test_without_a_wish_for_json_the_answer_leads_to_the_page(gate: AuthorisationServer) -> None:
    query = {"display_name": "Our gate", "settings": json.dumps({"base_url": f"{gate.url}/api"})}
    response = client_of().get(AUTHORIZE, query)
    assert response.status_code == 302
    assert response["Cache-Control"] == "no-store"
    assert come_back(gate.consent(response["Location"])).status_code == 200


def test_a_browser_is_told_on_a_page_that_keeps_the_code_to_itself(gate: AuthorisationServer) -> None:
    response = come_back(gate.consent(begin(gate)), HTTP_ACCEPT="text/html,*/*")
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/html")
    assert "Our gate of tenant acme is authorised as zoe" in response.content.decode()
    assert response["Referrer-Policy"] == "no-referrer"
    assert response["Cache-Control"] == "no-store"
    assert "default-src 'none'" in response["Content-Security-Policy"]


def test_the_browser_returns_to_where_the_client_wanted(gate: AuthorisationServer) -> None:
    page = begin(gate, return_url=f"{PUBLIC}/console?tab=2#top")
    response = come_back(gate.consent(page))
    connection = IntegrationConnection.objects.get()
    assert response["Location"].startswith(f"{PUBLIC}/console?tab=2&")
    assert response["Location"].endswith("#top")
    assert returned(response) == {
        "tab": "2",
        "outcome": "connected",
        "connection_id": str(connection.pk),
        "status": "active",
    }


def test_a_refusal_returns_with_its_reason(gate: AuthorisationServer) -> None:
    told = returned(come_back(gate.deny(begin(gate, return_url=f"{PUBLIC}/console"))))
    assert told["outcome"] == "failed"
    assert told["error"] == "OAUTH_DENIED"
    assert "555" not in told["error_description"]
    assert not IntegrationConnection.objects.exists()


def test_what_was_not_granted_is_told(gate: AuthorisationServer) -> None:
    gate.grants = ["read"]
    told = come_back(gate.consent(begin(gate))).json()
    assert told["missing_scopes"] == ["write"]
    assert "Not granted, though asked for: write." in told["message"]
    assert AccessToken.objects.get().scopes == ["read"]
    assert ConnectionHistory.objects.filter(operation="authorised", detail__contains="asked for: write").exists()


def test_the_client_may_ask_for_other_scopes(gate: AuthorisationServer) -> None:
    page = begin(gate, scopes="read, admin")
    assert parse_qs(urlsplit(page).query)["scope"] == ["read admin"]


def test_a_credential_the_api_does_not_take_leaves_the_connection_in_error(gate: AuthorisationServer) -> None:
    gate.broken_api = 403
    told = returned(come_back(gate.consent(begin(gate, return_url=f"{PUBLIC}/x"))))
    assert (told["outcome"], told["status"]) == ("connected", "error")
    assert IntegrationConnection.objects.get().last_error


@pytest.mark.parametrize(
    ("declared", "server"),
    [
        ({"client_authentication": "basic"}, {"authentication": "basic"}),
        ({"token_format": "json"}, {"encoding": "json"}),
        ({"pkce": False}, {"pkce": False}),
    ],
    ids=["basic", "json", "no pkce"],
)
def test_each_dialect_is_spoken(
    gate: AuthorisationServer, monkeypatch: pytest.MonkeyPatch, declared: dict[str, Any], server: dict[str, Any]
) -> None:
    monkeypatch.setattr(GateAdapter, "oauth", gate_oauth(gate, **declared))
    for name, value in server.items():
        setattr(gate, name, value)
    assert come_back(gate.consent(begin(gate))).json()["status"] == "active"


# --- authorising again ---------------------------------------------------------------------------------------------


def again(gate: AuthorisationServer, connection: IntegrationConnection, tenant_id: str = ACME) -> str:
    return begin(gate, tenant_id, display_name=None, settings=None, connection_id=connection.pk)


def test_a_connection_is_authorised_again_and_forgets_the_old_tokens(gate: AuthorisationServer) -> None:
    come_back(gate.consent(begin(gate)))
    connection = IntegrationConnection.objects.get()
    before, secrets = connection.auth_ref, StoredSecret.objects.count()
    assert come_back(gate.consent(again(gate, connection))).json()["connection_id"] == str(connection.pk)
    connection.refresh_from_db()
    assert connection.auth_ref != before
    assert connection.status == "active"
    assert list(AccessToken.objects.values_list("auth_ref", flat=True)) == [connection.auth_ref]
    assert StoredSecret.objects.count() == secrets


def test_a_connection_in_error_with_a_static_token_is_mended_by_authorising(gate: AuthorisationServer) -> None:
    settings = {"base_url": f"{gate.url}/api"}
    connection = make_connection("gate", status="error", settings=settings, account="zoe")
    assert come_back(gate.consent(again(gate, connection))).json()["status"] == "active"


def test_another_account_is_refused_and_nothing_changes(gate: AuthorisationServer) -> None:
    come_back(gate.consent(begin(gate)))
    connection = IntegrationConnection.objects.get()
    secrets = StoredSecret.objects.count()
    gate.account = "mallory"
    error = error_of(come_back(gate.consent(again(gate, connection))), 409)
    assert error["code"] == "OTHER_ACCOUNT"
    same = IntegrationConnection.objects.get()
    assert (same.auth_ref, same.account, same.status) == (connection.auth_ref, "zoe", "active")
    assert StoredSecret.objects.count() == secrets
    assert OAuthAuthorisation.objects.latest("pk").outcome == "failed"


def test_what_does_not_work_does_not_replace_what_works(gate: AuthorisationServer) -> None:
    come_back(gate.consent(begin(gate)))
    connection = IntegrationConnection.objects.get()
    page = again(gate, connection)
    gate.broken_api = 500
    assert error_of(come_back(gate.consent(page)), 422)["code"] == "CREDENTIAL_NOT_PROVEN"
    same = IntegrationConnection.objects.get()
    assert (same.auth_ref, same.status) == (connection.auth_ref, "active")


def test_another_tenants_connection_is_not_there(gate: AuthorisationServer) -> None:
    theirs = make_connection("gate", GLOBEX, settings={"base_url": f"{gate.url}/api"})
    error_of(client_of().get(AUTHORIZE, {"connection_id": str(theirs.pk)}), 404)
    assert not OAuthAuthorisation.objects.exists()


def test_a_connection_to_another_provider_is_refused(gate: AuthorisationServer) -> None:
    other = make_connection("fake")
    assert pointers_of(client_of().get(AUTHORIZE, {"connection_id": str(other.pk)})) == {"/connection_id"}


def test_a_token_is_not_sent_to_an_address_the_server_did_not_grant_it_for(
    gate: AuthorisationServer, settings: Any
) -> None:
    come_back(gate.consent(begin(gate)))
    connection = IntegrationConnection.objects.get()
    elsewhere = gate.url.replace("127.0.0.1", "localhost")
    settings.OUTBOUND_POLICY = OutboundPolicy.parse(["127.0.0.1", "localhost"])
    update_connection(connection, actor="test", settings={"base_url": f"{elsewhere}/api"})
    before = len(gate.reads)
    answer = client_of().post(f"/v1/integrations/connections/{connection.pk}/verify").json()
    assert answer["status"] == "error"
    assert gate.reads[before:] == []


def test_a_connection_that_only_receives_is_not_authorised(gate: AuthorisationServer) -> None:
    connection = make_connection("gate", credential=None, settings={"base_url": f"{gate.url}/api"})
    error = error_of(client_of().get(AUTHORIZE, {"connection_id": str(connection.pk)}), 409)
    assert error["code"] == "NOTHING_TO_ROTATE"


def test_a_deleted_connection_takes_what_was_granted_along(gate: AuthorisationServer) -> None:
    secrets = StoredSecret.objects.count()
    come_back(gate.consent(begin(gate)))
    page = again(gate, IntegrationConnection.objects.get())
    client_of().delete(f"/v1/integrations/connections/{IntegrationConnection.objects.get().pk}")
    assert not AccessToken.objects.exists()
    assert StoredSecret.objects.count() == secrets
    error_of(come_back(gate.consent(page)), 404)
    assert not AccessToken.objects.exists()
    assert StoredSecret.objects.count() == secrets


# --- sites ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def sites(gate: AuthorisationServer, monkeypatch: pytest.MonkeyPatch) -> AuthorisationServer:
    """A server whose grants reach two sites, one of them also with another product."""
    listed = SiteList(url=f"{gate.url}/sites", product="gate", base_url=f"{gate.url}/ex/{{id}}", site_url="{url}/g")
    monkeypatch.setattr(GateAdapter, "oauth", gate_oauth(gate, sites=listed))
    gate.sites = [
        {"id": "11", "name": "Acme", "url": "https://acme.example", "scopes": ["read:gate"]},
        {"id": "11", "name": "Acme", "url": "https://acme.example", "scopes": ["read:fence"]},
        {"id": "22", "name": "Globex", "url": "https://globex.example", "scopes": ["read:gate"]},
        {"id": "33", "name": "Fences only", "url": "https://fences.example", "scopes": ["read:fence"]},
        {"id": "../44", "name": "Bad", "url": "https://bad.example", "scopes": ["read:gate"]},
    ]
    return gate


@pytest.mark.parametrize("site", ["22", "globex", "https://globex.example/", "globex.example"])
def test_the_named_site_becomes_the_address(sites: AuthorisationServer, site: str) -> None:
    assert come_back(sites.consent(begin(sites, settings=None, site=site))).json()["status"] == "active"
    connection = IntegrationConnection.objects.get()
    assert connection.settings == {"base_url": f"{sites.url}/ex/22", "site_url": "https://globex.example/g"}
    assert "/ex/22/me" in sites.reads


def test_the_only_site_needs_no_name(sites: AuthorisationServer) -> None:
    del sites.sites[2]
    assert come_back(sites.consent(begin(sites, settings='{"room": "1"}'))).json()["status"] == "active"
    assert IntegrationConnection.objects.get().settings["room"] == "1"


def test_of_several_sites_one_is_to_be_named(sites: AuthorisationServer) -> None:
    error = error_of(come_back(sites.consent(begin(sites, settings=None))), 409)
    assert error["code"] == "OAUTH_SITE_NEEDED"
    assert [site["name"] for site in error["details"]["sites"]] == ["Acme", "Globex"]
    assert "Acme (https://acme.example), Globex" in error["message"]
    assert not IntegrationConnection.objects.exists()
    assert not AccessToken.objects.exists()


def test_an_account_without_sites_is_told_so(sites: AuthorisationServer) -> None:
    sites.sites = sites.sites[3:4]
    assert error_of(come_back(sites.consent(begin(sites, settings=None))), 409)["code"] == "OAUTH_NO_SITE"


def test_authorising_again_stays_at_the_same_site(sites: AuthorisationServer) -> None:
    come_back(sites.consent(begin(sites, settings=None, site="22")))
    connection = IntegrationConnection.objects.get()
    come_back(sites.consent(again(sites, connection)))
    assert IntegrationConnection.objects.get().settings == connection.settings
    del sites.sites[2]
    assert error_of(come_back(sites.consent(again(sites, connection))), 409)["code"] == "OAUTH_SITE_NEEDED"


# --- answers as vendors shape them ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "lasts"),
    [
        ({"ok": True, "token_type": "bot", "scope": "read,write", "team": {"id": "T1"}}, False),
        ({"token_type": "bearer", "scope": "read,write"}, False),
        ({"token_type": "Bearer", "expires_in": "86399", "scope": "read write", "refresh_token": "r"}, True),
    ],
    ids=["without rotation", "of an app that does not expire", "numbers as text"],
)
def test_tokens_are_read_as_vendors_tell_them(gate: AuthorisationServer, shape: dict[str, Any], lasts: bool) -> None:
    page = gate.consent(begin(gate))
    (grant,) = gate.codes.values()
    gate.tokens["granted-1"] = grant
    gate.answer = (200, json.dumps({"access_token": "granted-1", **shape}).encode(), "application/json")
    assert come_back(page).json()["missing_scopes"] == []
    token = AccessToken.objects.get()
    assert token.scopes == ["read", "write"]
    assert (token.expires_at is not None, token.renewable) == (lasts, lasts)
