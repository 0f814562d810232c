"""Credentials that are turned into access tokens: apps that act for themselves, and keys of apps."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.db.models.functions import Now

from connections import tokens
from connections.incidents import from_now
from connections.models import AccessToken, ConnectionStatus, IntegrationConnection, OAuthClient, StoredSecret
from connections.quota_state import quota_state
from connections.runtime import client_for
from connections.secret_store import secret_store
from connections.services import create_connection, delete_connection
from connections.token_upkeep import due_tokens, renew
from connections.validation import check_credential
from providers import registry
from providers.catalogue import sync_providers
from providers.errors import AuthFailed, Misconfigured, ProviderError, ProviderFault, RateLimited
from tests.factories import ACME, GLOBEX, make_connection
from tests.token_server import CLIENT_ID, CLIENT_SECRET, TokenServer, authorised, running_tokens

pytestmark = pytest.mark.django_db

APP = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "directory": "acme.example"}


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with running_tokens() as stub:
        yield stub
        assert stub.faults == []


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem_of(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


def an_app(server: TokenServer, **values: Any) -> IntegrationConnection:
    return make_connection("msteams", credential=APP, settings={"base_url": f"{server.url}/v1.0"}, **values)


def a_key(server: TokenServer, key: rsa.RSAPrivateKey, pem: str, **values: Any) -> IntegrationConnection:
    server.app_key = key.public_key()
    credential = {"app_id": "Iv1.app", "installation_id": "42", "private_key": pem, **values}
    return make_connection("github", credential=credential, settings={"base_url": f"{server.url}/api/v3"})


def call(connection: IntegrationConnection) -> int:
    with client_for(connection) as client:
        return client.get("user").status


def age(**columns: Any) -> None:
    past = from_now(timedelta(seconds=-10))
    AccessToken.objects.update(
        **{"expires_at": past, "refresh_at": past, "last_refreshed_at": Now() - timedelta(hours=2), **columns}
    )


def test_client_credentials_are_turned_into_a_token_that_is_kept(server: TokenServer) -> None:
    connection = an_app(server)
    assert call(connection) == call(connection) == 200
    assert server.requests == [
        {
            "grant_type": "client_credentials",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "scope": f"{server.url}/.default",
        }
    ]
    age()
    assert call(connection) == 200
    assert server.granted == 2


def test_nobody_is_asked_for_a_token_to_look_at_quotas(server: TokenServer) -> None:
    connection = an_app(server)
    assert quota_state(connection) == []
    call(connection)
    age()
    quota_state(connection)
    assert server.granted == 1


def test_connections_with_one_credential_share_its_token(server: TokenServer) -> None:
    first = an_app(server)
    second = an_app(server, auth_ref=first.auth_ref)
    assert call(first) == call(second) == 200
    assert server.granted == 1


def test_tenants_never_share_a_token(server: TokenServer) -> None:
    ours, theirs = an_app(server), an_app(server, tenant_id=GLOBEX)
    call(ours)
    call(theirs)
    assert server.granted == 2
    assert len(set(server.calls)) == 2


def test_a_refused_app_is_told_once_and_costs_nothing_until_a_person_tries_again(server: TokenServer) -> None:
    connection = an_app(server)
    server.answers = [(401, b'{"error": "invalid_client", "error_description": "AADSTS7000222"}')]
    for _ in range(2):
        with pytest.raises(AuthFailed, match="replace the credential"):
            call(connection)
    assert len(server.requests) == 1
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ERROR
    tokens.try_again(connection)
    assert call(connection) == 200


def test_another_secret_under_the_same_reference_begins_anew(server: TokenServer) -> None:
    store = secret_store()
    name = store.put(ACME, '{"client_id": "app-1", "client_secret": "old", "directory": "a"}', name="teams/app")
    connection = an_app(server, auth_ref=name)
    with pytest.raises(AuthFailed):
        call(connection)
    store.put(ACME, f'{{"client_id": "app-1", "client_secret": "{CLIENT_SECRET}", "directory": "a"}}', name="teams/app")
    assert call(connection) == 200


def test_a_directory_that_is_no_name_is_not_put_into_an_address(server: TokenServer) -> None:
    connection = an_app(server)
    connection.auth_ref = secret_store().put(
        ACME, '{"client_id": "a", "client_secret": "b", "directory": "../../evil?x="}'
    )
    with pytest.raises(AuthFailed, match="directory"):
        call(connection)
    assert server.requests == []


def test_a_deleted_connection_leaves_no_token(server: TokenServer) -> None:
    connection = an_app(server)
    call(connection)
    delete_connection(connection, actor="test")
    assert not AccessToken.objects.exists()
    assert not StoredSecret.objects.exists()


@pytest.mark.parametrize("spoilt", [False, True])
def test_an_apps_key_is_turned_into_an_installation_token(
    server: TokenServer, key: rsa.RSAPrivateKey, spoilt: bool
) -> None:
    pem = pem_of(key)
    connection = a_key(server, key, pem.replace("\n", " ") if spoilt else pem)
    assert call(connection) == 200
    row = AccessToken.objects.seen().get()
    assert row.scopes == ["issues:write"]
    assert 3500 < (row.expires_at - row.now).total_seconds() <= 3601
    age()
    assert call(connection) == 200
    assert server.granted == 2


def test_a_key_that_is_none_is_not_told(server: TokenServer, key: rsa.RSAPrivateKey) -> None:
    kind = "RSA PRIVATE KEY"
    connection = a_key(server, key, f"-----BEGIN {kind}-----\nY2FuYXJ5LTAwMDAwMw==\n-----END {kind}-----")
    with pytest.raises(AuthFailed, match="usable RSA key") as refused:
        call(connection)
    assert "Y2FuYXJ5" not in repr(refused.value)


@pytest.mark.parametrize(
    ("answer", "error", "ends"),
    [
        ((401, b"{}"), AuthFailed, True),
        ((404, b"{}"), AuthFailed, True),
        ((403, b"{}"), AuthFailed, True),
        ((429, b"{}"), RateLimited, False),
        ((502, b"{}"), ProviderFault, False),
        ((201, b'{"token": "x"}'), ProviderFault, False),
    ],
)
def test_what_refuses_an_app_and_what_passes_are_told_apart(
    server: TokenServer, key: rsa.RSAPrivateKey, answer: tuple[int, bytes], error: type[ProviderError], ends: bool
) -> None:
    connection = a_key(server, key, pem_of(key))
    server.answers = [answer]
    with pytest.raises(error):
        call(connection)
    assert (AccessToken.objects.get().ended_at is not None) is ends


GOOD_KEY = {"app_id": "1", "installation_id": "2", "private_key": "k"}
GOOD_APP = {"client_id": "a", "client_secret": "b"}


@pytest.mark.parametrize(
    ("provider", "credential"),
    [
        ("github", GOOD_KEY),
        ("github", {"token": "t"}),
        ("jira", GOOD_APP),
        ("linear", GOOD_APP),
        ("bitbucket", GOOD_APP),
        ("confluence", GOOD_APP),
        ("msteams", {**GOOD_APP, "directory": "d"}),
        ("azure_devops", {**GOOD_APP, "directory": "d"}),
    ],
)
def test_credentials_that_make_tokens_are_accepted_and_half_ones_are_not(
    provider: str, credential: dict[str, str]
) -> None:
    adapter = registry.get(provider)
    check_credential(adapter, credential)
    for part in credential:
        with pytest.raises(Exception, match="cannot be accepted"):
            check_credential(adapter, {name: value for name, value in credential.items() if name != part})


def test_beat_renews_what_a_refresh_token_keeps_alive(server: TokenServer) -> None:
    due, resting, fresh = (authorised(server) for _ in range(3))
    app = an_app(server)
    call(app)
    age()
    AccessToken.objects.filter(auth_ref=fresh.auth_ref).update(refresh_at=from_now(timedelta(hours=1)))
    IntegrationConnection.objects.filter(pk=resting.pk).update(status=ConnectionStatus.SUSPENDED)
    rows = {row.auth_ref: row.pk for row in AccessToken.objects.all()}
    assert due_tokens() == [rows[due.auth_ref]]
    AccessToken.objects.filter(auth_ref=resting.auth_ref).update(last_refreshed_at=Now() - timedelta(days=8))
    assert set(due_tokens()) == {rows[due.auth_ref], rows[resting.auth_ref]}


def test_what_beat_renews_is_renewed_and_what_fails_is_left_for_later(server: TokenServer) -> None:
    connection = authorised(server)
    age()
    (due,) = due_tokens()
    server.answers = [(503, b"")]
    renew(due)
    assert due_tokens() == []
    age()
    renew(due)
    assert server.granted == 1
    assert due_tokens() == []
    assert call(connection) == 200


def test_a_deleted_connections_authorisation_is_forgotten(server: TokenServer) -> None:
    connection = authorised(server)
    kept = StoredSecret.objects.filter(tenant_id=ACME).count()
    delete_connection(connection, actor="test")
    assert kept == 2
    assert not AccessToken.objects.exists()
    assert not StoredSecret.objects.filter(tenant_id=ACME).exists()


def test_a_removed_client_is_said(server: TokenServer) -> None:
    connection = authorised(server)
    OAuthClient.objects.all().delete()
    age()
    with pytest.raises(Misconfigured, match="OAuth client"):
        call(connection)


def test_a_connection_may_be_made_of_such_a_credential(server: TokenServer) -> None:
    sync_providers()
    connection = create_connection(
        tenant_id=ACME,
        provider_id="msteams",
        display_name="Teams",
        credential=APP,
        settings={"base_url": f"{server.url}/v1.0"},
        actor="test",
    )
    assert call(connection) == 200
