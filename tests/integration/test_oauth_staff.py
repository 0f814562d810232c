"""Authorisations in the admin: apps, and connections that are authorised in a person's own browser session."""

from __future__ import annotations

import html
import io
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from connections.errors import ServiceError
from connections.models import IntegrationConnection, OAuthAuthorisation, OAuthClient, StoredSecret
from connections.oauth_clients import put_client, secret_of
from providers.catalogue import sync_providers
from tests.api import error_of
from tests.authorisation_server import CALLBACK, CLIENT_ID, PUBLIC, AuthorisationServer
from tests.factories import ACME, make_connection
from tests.staff import auditor, list_of, operator, page_of, said, signed_in

pytestmark = pytest.mark.django_db

ADD = "/admin/connections/integrationconnection/authorise/?provider=gate"


def leads_to(response: Any) -> str:
    """The address behind the button; it is a link, because the page's policy stops forms that lead elsewhere."""
    assert response.status_code == 200, response.content
    return html.unescape(re.search(r'href="(http://127\.0\.0\.1:\d+/authorize\?[^"]+)"', response.content.decode())[1])  # type: ignore[index]


def begin_as(client: Client, gate: AuthorisationServer, **values: str) -> str:
    form = {"tenant_id": ACME, "display_name": "Our gate", "settings": f'{{"base_url": "{gate.url}/api"}}', **values}
    return leads_to(client.post(ADD, form))


def come_back_in(client: Client, address: str) -> Any:
    parts = urlsplit(address)
    return client.get(f"{parts.path}?{parts.query}")


def test_staff_add_a_connection_by_authorisation(gate: AuthorisationServer) -> None:
    client = operator()
    choice = client.get("/admin/connections/integrationconnection/add/").content.decode()
    assert "authorise/?provider=gate" in choice
    assert "Our gate" not in client.get(ADD).content.decode()
    response = come_back_in(client, gate.consent(begin_as(client, gate)))
    connection = IntegrationConnection.objects.get()
    assert response["Location"] == page_of(connection)
    assert said(response) == ["Our gate of tenant acme is authorised as zoe and active."]
    assert (connection.tenant_id, connection.status) == (ACME, "active")
    assert OAuthAuthorisation.objects.get().actor == "staff:operator-zoe"


def test_an_answer_in_another_session_is_refused_and_uses_nothing_up(gate: AuthorisationServer) -> None:
    """Login CSRF (RFC 9700, section 4.7): a link with somebody else's answer does nothing in this browser."""
    client = operator()
    address = gate.consent(begin_as(client, gate))
    again = Client()
    again.force_login(User.objects.get(), backend="django.contrib.auth.backends.ModelBackend")
    for stranger in (Client(), again, auditor()):
        assert error_of(come_back_in(stranger, address), 403)["code"] == "OAUTH_OTHER_BROWSER"
    assert not IntegrationConnection.objects.exists()
    assert gate.exchanges == []
    assert come_back_in(client, address).status_code == 302
    assert IntegrationConnection.objects.count() == 1


def test_after_signing_out_the_answer_is_refused(gate: AuthorisationServer) -> None:
    client = operator()
    address = gate.consent(begin_as(client, gate))
    client.post(reverse("admin:logout"))
    assert error_of(come_back_in(client, address), 403)["code"] == "OAUTH_OTHER_BROWSER"


def test_a_browser_is_told_of_a_refusal_on_a_page(gate: AuthorisationServer) -> None:
    response = Client().get(f"{CALLBACK}?state=x", headers={"Accept": "text/html"})
    assert response.status_code == 400
    assert "belongs to no authorisation that was started here" in response.content.decode()


def test_what_fails_is_said_on_the_list(gate: AuthorisationServer) -> None:
    client = operator()
    response = come_back_in(client, gate.deny(begin_as(client, gate)))
    assert response["Location"] == list_of(IntegrationConnection)
    assert said(response) == ["Access was denied at Gate. Nothing was changed."]


def test_a_connection_is_authorised_again_from_its_page(gate: AuthorisationServer) -> None:
    connection = make_connection("gate", status="error", settings={"base_url": f"{gate.url}/api"}, account="zoe")
    client = operator()
    assert "Authorise again" in client.get(page_of(connection)).content.decode()
    assert "grants access anew" in client.get(page_of(connection, "authorise")).content.decode()
    assert not OAuthAuthorisation.objects.exists()
    response = come_back_in(client, gate.consent(leads_to(client.post(page_of(connection, "authorise")))))
    assert response["Location"] == page_of(connection)
    connection.refresh_from_db()
    assert connection.status == "active"


def test_providers_without_a_page_offer_none(gate: AuthorisationServer) -> None:
    connection = make_connection("fake")
    client = operator()
    assert "Authorise again" not in client.get(page_of(connection)).content.decode()
    assert client.get(ADD.replace("gate", "fake")).status_code == 404


def test_an_auditor_authorises_nothing(gate: AuthorisationServer) -> None:
    connection = make_connection("gate", settings={"base_url": f"{gate.url}/api"})
    assert auditor().get(ADD).status_code == 403
    assert auditor().post(page_of(connection, "authorise")).status_code == 403


def test_what_is_wrong_is_said_at_its_field(gate: AuthorisationServer) -> None:
    form = {"tenant_id": ACME, "display_name": "Our gate", "settings": '{"base_url": "https://127.0.0.9/"}'}
    page = operator().post(ADD, form).content.decode()
    assert "base_url: leads to a private address" in page
    assert not OAuthAuthorisation.objects.exists()


# --- apps ----------------------------------------------------------------------------------------------------------

CLIENT_ADD = "/admin/connections/oauthclient/add/"


def test_an_app_is_entered_and_its_secret_never_shown(gate: AuthorisationServer) -> None:
    client = operator()
    assert f"{PUBLIC}{CALLBACK}" in client.get(CLIENT_ADD).content.decode()
    form = {"provider": "gate", "tenant_id": ACME, "origin": "", "client_id": "mine", "scopes": "read, admin"}
    assert client.post(CLIENT_ADD, {**form, "client_secret": "top-canary-1"}).status_code == 302
    app = OAuthClient.objects.get(tenant_id=ACME)
    assert (app.client_id, app.scopes, secret_of(app)) == ("mine", ["read", "admin"], "top-canary-1")
    for who in (client, auditor()):
        page = who.get(page_of(app)).content.decode()
        assert f"{PUBLIC}{CALLBACK}" in page
        assert "top-canary-1" not in page
        assert app.secret_ref not in page


def test_a_change_without_a_secret_keeps_it_and_with_one_replaces_it(gate: AuthorisationServer) -> None:
    app, client = OAuthClient.objects.get(), operator()
    before = secret_of(app)
    assert client.post(page_of(app), {"client_id": "other", "scopes": "", "client_secret": ""}).status_code == 302
    app.refresh_from_db()
    assert (app.client_id, secret_of(app)) == ("other", before)
    client.post(page_of(app), {"client_id": "other", "scopes": "", "client_secret": "newer"})
    app.refresh_from_db()
    assert secret_of(app) == "newer"
    assert StoredSecret.objects.count() == 1


def test_a_removed_app_takes_its_secret_along(gate: AuthorisationServer) -> None:
    app, client = OAuthClient.objects.get(), operator()
    assert client.post(page_of(app, "remove")).status_code == 302
    assert not OAuthClient.objects.exists()
    assert not StoredSecret.objects.exists()


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ({"origin": "http://git.acme.eu"}, "/origin"),
        ({"origin": "https://u:p@git.acme.eu"}, "/origin"),
        ({"origin": "nonsense"}, "/origin"),
        ({"origin": "https://[::1"}, "/origin"),
        ({"client_id": "two words"}, "/client_id"),
        ({"client_secret": "line\nbreak"}, "/client_secret"),
        ({"scopes": ['a"b']}, "/scopes"),
        ({"provider_id": "nobody"}, "/provider_id"),
    ],
)
def test_what_no_app_can_have_is_refused(gate: AuthorisationServer, values: dict[str, Any], pointer: str) -> None:
    app = {"provider_id": "gate", "tenant_id": ACME, "client_id": "mine", "client_secret": "s", **values}
    with pytest.raises(ServiceError) as refusal:
        put_client(**app)
    assert [problem["pointer"] for problem in refusal.value.details["problems"]] == [pointer]
    assert StoredSecret.objects.count() == 1


def test_a_refused_app_is_told_at_its_field(gate: AuthorisationServer) -> None:
    form = {"provider": "gate", "tenant_id": "*", "client_id": "mine", "client_secret": "s", "origin": "nonsense"}
    page = operator().post(CLIENT_ADD, form)
    assert page.status_code == 200
    assert "Must be an address such as https://host" in page.content.decode()
    assert OAuthClient.objects.get().client_id == CLIENT_ID


def test_lists_and_pages_open(gate: AuthorisationServer) -> None:
    client = operator()
    begin_as(client, gate)
    for row in (OAuthClient.objects.get(), OAuthAuthorisation.objects.get()):
        assert client.get(list_of(type(row)), {"q": "acme"}).status_code == 200
        assert signed_in("auditor").get(page_of(row)).status_code == 200


def test_the_command_reads_the_secret_and_tells_the_redirect_address(
    gate: AuthorisationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stdin", io.StringIO("from-a-pipe\n"))
    call_command("put_oauth_client", "gate", client_id="piped", tenant=ACME, scopes="read", stdout=out)
    app = OAuthClient.objects.get(tenant_id=ACME)
    assert (app.client_id, app.scopes, secret_of(app)) == ("piped", ["read"], "from-a-pipe")
    assert out.getvalue() == f"Register this redirect address at the provider: {PUBLIC}{CALLBACK}\n"
    with pytest.raises(CommandError, match="origin must be https"):
        call_command("put_oauth_client", "gate", client_id="a", origin="http://git.acme.eu", no_secret=True)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(CommandError, match="standard input"):
        call_command("put_oauth_client", "gate", client_id="a")


def test_an_origin_is_kept_as_connections_name_it(db: None) -> None:
    sync_providers()
    app = put_client(provider_id="gitlab", client_id="a", client_secret="s", origin="https://Git.ACME.eu/Tools/")
    assert app.origin == "https://git.acme.eu/Tools"
    own = put_client(provider_id="gitlab", client_id="a", client_secret="s", origin="https://gitlab.com")
    assert own.origin == ""
