"""Credentials in odd circumstances: shared by two tools, moved to another server, with key management away."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from connections import expiry, oauth_return, rotation, tokens
from connections.errors import ServiceError
from connections.incidents import from_now
from connections.models import (
    AccessToken,
    ConnectionStatus,
    ForgottenSecret,
    Incident,
    IntegrationConnection,
    OAuthAuthorisation,
    OAuthClient,
    StoredSecret,
)
from connections.oauth_clients import put_client
from connections.runtime import client_for
from connections.secret_kms import TOKEN_NAME, KmsSecretStore, forget_remembered
from connections.secret_port import SecretsUnreachable
from connections.secret_store import EmbeddedSecretStore
from providers import registry
from providers.catalogue import sync_providers
from providers.errors import AuthFailed, CredentialAway, Misconfigured, RateLimited
from providers.minting import ClientCredentials
from providers.oauth import OAuth2
from tests.authorisation_server import AuthorisationServer, GateAdapter, begin, come_back, gate_oauth
from tests.factories import ACME, GLOBEX, make_connection
from tests.key_management import KeyManagementStub, running_key_management
from tests.staff import operator
from tests.token_server import CLIENT_ID, CLIENT_SECRET, TokenServer, authorised, make_client, running_tokens

pytestmark = pytest.mark.django_db

APP = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "directory": "acme.example"}


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with running_tokens() as stub:
        yield stub
        assert stub.faults == []


@pytest.fixture
def keys(settings: Any) -> Iterator[KeyManagementStub]:
    forget_remembered()
    with running_key_management() as stub:
        settings.KMS_SERVICE_URL = stub.url
        for tenant in (ACME, "*"):
            stub.tokens[tenant] = f"token-of-{tenant}"
            EmbeddedSecretStore().put(tenant, stub.tokens[tenant], name=TOKEN_NAME)
        yield stub
        assert stub.faults == []
    forget_remembered()


def an_app(server: TokenServer, **values: Any) -> IntegrationConnection:
    return make_connection("msteams", credential=APP, settings={"base_url": f"{server.url}/v1.0"}, **values)


def call(connection: IntegrationConnection) -> int:
    with client_for(connection) as client:
        return client.get("user").status


def age(**columns: Any) -> None:
    past = from_now(timedelta(seconds=-10))
    AccessToken.objects.update(
        **{"expires_at": past, "refresh_at": past, "last_refreshed_at": Now() - timedelta(hours=2), **columns}
    )


# --- one app, two tools --------------------------------------------------------------------------------------------


@pytest.fixture
def two_tools(server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> tuple[IntegrationConnection, ...]:
    """One app of a directory, used for chat and for code: tokens for the one are none for the other."""
    sign_in = OAuth2(
        authorize_url="", token_url=f"{server.url}/token", credential_name="access_token", documentation="-"
    )
    minter = ClientCredentials(server=sign_in, scope="code/.default")
    monkeypatch.setattr(type(registry.get("azure_devops")), "token_minters", (minter,))
    chat = an_app(server)
    code = make_connection("azure_devops", auth_ref=chat.auth_ref, settings={"base_url": server.url})
    return chat, code


def test_two_tools_with_one_credential_have_tokens_of_their_own(
    server: TokenServer, two_tools: tuple[IntegrationConnection, ...]
) -> None:
    chat, code = two_tools
    assert call(chat) == call(code) == call(chat) == 200
    assert [sent["scope"] for sent in server.requests] == [f"{server.url}/.default", "code/.default"]
    first, second, third = server.calls
    assert first == third != second


def test_what_ends_for_one_tool_goes_on_for_the_other(
    server: TokenServer, two_tools: tuple[IntegrationConnection, ...]
) -> None:
    chat, code = two_tools
    call(chat)
    server.answers = [(401, b'{"error": "unauthorized_client"}')]
    with pytest.raises(AuthFailed):
        call(code)
    chat.refresh_from_db()
    code.refresh_from_db()
    assert (chat.status, code.status) == (ConnectionStatus.ACTIVE, ConnectionStatus.ERROR)
    tokens.try_again(chat)
    assert AccessToken.objects.get(provider="azure_devops").ended_at is not None


def test_both_tools_tokens_go_with_the_credential(
    server: TokenServer, two_tools: tuple[IntegrationConnection, ...]
) -> None:
    for connection in two_tools:
        call(connection)
    tokens.forget(ACME, two_tools[0].auth_ref)
    assert not AccessToken.objects.exists()


def test_a_token_made_at_one_server_is_not_sent_to_another(server: TokenServer) -> None:
    connection = an_app(server)
    call(connection)
    with running_tokens() as other:
        connection.settings = {"base_url": f"{other.url}/v1.0"}
        assert call(connection) == 200
        assert not set(other.calls) & set(server.calls)
        assert len(other.requests) == 1


# --- what a pause says ---------------------------------------------------------------------------------------------


def test_key_management_being_away_is_no_failure_of_the_provider(
    server: TokenServer, keys: KeyManagementStub, settings: Any
) -> None:
    settings.KMS_SERVICE_URL = ""
    connection = authorised(server)  # its grant stays in the database
    settings.KMS_SERVICE_URL = keys.url
    age()
    call(connection)
    assert AccessToken.objects.get().token_ref.startswith("kms:")
    age()
    keys.outage = 503
    forget_remembered()
    for _ in range(2):
        with pytest.raises(CredentialAway, match="cannot be asked now"):
            call(connection)
    keys.outage = 0
    age()
    forget_remembered()
    assert call(connection) == 200


def test_an_apps_secret_that_is_away_is_waited_for(server: TokenServer, keys: KeyManagementStub, settings: Any) -> None:
    make_client(server)
    settings.KMS_SERVICE_URL = ""
    connection = authorised(server)
    settings.KMS_SERVICE_URL = keys.url
    age()
    keys.outage = 503
    forget_remembered()
    with pytest.raises(CredentialAway, match="cannot be asked now"):
        call(connection)
    assert AccessToken.objects.get().last_error
    assert server.requests == []


def test_a_rate_limit_of_the_token_server_is_one_for_whoever_waits_too(server: TokenServer) -> None:
    connection = authorised(server)
    age()
    server.answers = [(429, b"")]
    for _ in range(2):
        with pytest.raises(RateLimited):
            call(connection)


def test_a_request_that_was_interrupted_is_told_as_such(server: TokenServer) -> None:
    connection = authorised(server)
    age(attempts=1, refresh_at=from_now(timedelta(seconds=5)))
    with pytest.raises(CredentialAway, match="interrupted"):
        call(connection)


def test_a_token_server_that_asks_to_wait_ends_nothing(server: TokenServer) -> None:
    connection = authorised(server)
    age()
    server.retry_after = "30"
    server.answers = [(401, b"")]
    with pytest.raises(RateLimited):
        call(connection)
    assert AccessToken.objects.get().ended_at is None


# --- what is left behind -------------------------------------------------------------------------------------------


def test_a_grant_that_cannot_be_kept_whole_is_not_kept_in_part(
    server: TokenServer, keys: KeyManagementStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, left = KmsSecretStore.put, [1]

    def once(self: KmsSecretStore, tenant_id: str, value: str, *, name: str = "") -> str:
        if not left:
            raise SecretsUnreachable("Key management does not answer.")
        left.pop()
        return put(self, tenant_id, value, name=name)

    client = make_client(server)
    monkeypatch.setattr(KmsSecretStore, "put", once)
    with pytest.raises(SecretsUnreachable):
        tokens.keep_granted(ACME, "gitlab", server.begin(), client=client)
    assert ForgottenSecret.objects.filter(tenant_id=ACME).count() == 1


def test_a_new_credential_that_is_not_taken_leaves_no_token(
    server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = make_connection("msteams", settings={"base_url": f"{server.url}/v1.0"})
    kept = StoredSecret.objects.count()

    def away(candidate: IntegrationConnection) -> Any:
        call(candidate)
        raise ServiceError("TEMPORARILY_UNAVAILABLE", "Later.", status=503)

    monkeypatch.setattr(rotation, "prove", away)
    with pytest.raises(ServiceError, match="Later"):
        rotation.replace_credential(connection, credential=APP, actor="test")
    assert server.granted == 1
    assert not AccessToken.objects.exists()
    assert StoredSecret.objects.count() == kept


def test_a_grant_that_was_taken_is_kept_although_the_word_of_it_was_lost(
    gate: AuthorisationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    come_back(gate.consent(begin(gate)))
    connection = IntegrationConnection.objects.get()
    page = begin(gate, display_name=None, settings=None, connection_id=connection.pk)
    switch_to = rotation.switch_to

    def lost(*args: Any, **named: Any) -> None:
        switch_to(*args, **named)
        raise OperationalError("committed, and the answer lost")

    monkeypatch.setattr(oauth_return, "switch_to", lost)
    assert come_back(gate.consent(page)).status_code == 503
    renewed = IntegrationConnection.objects.get()
    assert renewed.auth_ref != connection.auth_ref
    with client_for(renewed) as client:
        assert client.get("me").status == 200


def test_a_visit_nobody_came_back_from_is_not_shown_as_under_way(gate: AuthorisationServer) -> None:
    begin(gate)
    pages = reverse("admin:connections_oauthauthorisation_changelist")
    assert "Under way" in operator().get(pages).content.decode()
    OAuthAuthorisation.objects.update(expires_at=Now() - timedelta(seconds=1))
    assert "Not finished" in operator().get(pages).content.decode()


def test_an_app_that_cannot_be_entered_leaves_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    sync_providers()

    def broken(*_: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(OAuthClient, "save", broken)
    with pytest.raises(OperationalError):
        put_client(provider_id="gitlab", client_id="app-1", client_secret=CLIENT_SECRET)
    assert not StoredSecret.objects.exists()


# --- the app was changed -------------------------------------------------------------------------------------------


def test_another_app_in_the_place_of_the_one_that_was_asked_ends_no_authorisation(server: TokenServer) -> None:
    connection = authorised(server)
    OAuthClient.objects.update(client_id="app-2")
    age()
    with pytest.raises(Misconfigured, match="app-1"):
        call(connection)
    assert server.requests == []
    OAuthClient.objects.update(client_id=CLIENT_ID)
    age()
    assert call(connection) == 200


def test_an_app_that_was_removed_and_entered_again_renews_what_was_granted_to_it(server: TokenServer) -> None:
    connection = authorised(server)
    OAuthClient.objects.all().delete()
    make_client(server, tenant_id=GLOBEX)
    age()
    with pytest.raises(Misconfigured, match="removed"):
        call(connection)
    make_client(server)
    age()
    assert call(connection) == 200


# --- the answer of an authorisation page ---------------------------------------------------------------------------


def test_an_answer_without_the_servers_name_is_refused_where_it_always_says_it(
    gate: AuthorisationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9207, section 2.4"""
    monkeypatch.setattr(GateAdapter, "oauth", gate_oauth(gate, issuer="{origin}"))
    gate.issuer = ""
    response = come_back(gate.consent(begin(gate)))
    assert response.json()["error"]["code"] == "OAUTH_OTHER_SERVER"
    assert gate.exchanges == []


# --- many that have ended ------------------------------------------------------------------------------------------


def test_those_that_ended_long_ago_hide_nobody_who_is_to_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "LOOKED_AT_A_RUN", 2)
    for ends in (-30, -20, 2, 10):
        last = make_connection(credential_expires_at=timezone.now() + timedelta(days=ends))
    for _ in range(2):
        expiry.look_at_all()
    assert Incident.objects.count() == 4
    assert expiry.look_at_all() == 0, "all is told"
    for days, severity, word in ((2.5, "error", "ends on"), (-1.0, "error", "ended on")):
        IntegrationConnection.objects.filter(pk=last.pk).update(
            credential_expires_at=timezone.now() + timedelta(days=days)
        )
        expiry.look_at_all()
        told = Incident.objects.get(connection=last)
        assert (told.severity, word in told.summary) == (severity, True)
