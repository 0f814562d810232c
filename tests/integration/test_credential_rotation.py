"""A new credential replaces the old one only when the provider has shown that it is good."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from django.db import connection as database

from connections.models import (
    ConnectionHistory,
    ConnectionStatus,
    ConnectionVerification,
    Incident,
    IntegrationConnection,
    StoredSecret,
)
from connections.rotation import replace_credential
from connections.secret_store import get_credential, put_credential, secret_store
from connections.tenancy import TENANT_READER
from connections.verification import verify_connection
from connections.verification_steps import Proof, prove
from providers.simulation import SimulatedAnswer
from tests.api import CONNECTIONS, client_of, error_of, pointers_of
from tests.contract.provider_server import Server, serving
from tests.factories import ACME, GLOBEX, make_connection

pytestmark = pytest.mark.django_db

# Tokens the provider takes, and whose they are.
ACCOUNTS = {"old-token": "acme-bot", "new-token": "acme-bot", "third-token": "acme-bot", "strange-token": "globex-bot"}


class Provider:
    """Knows some tokens, and may do something before it answers."""

    def __init__(self) -> None:
        self.accounts = dict(ACCOUNTS)
        self.meanwhile: Callable[[], None] = lambda: None

    def answer(self, method: str, path: str, query: Any, headers: dict[str, str], body: bytes) -> SimulatedAnswer:
        act, self.meanwhile = self.meanwhile, lambda: None
        act()
        account = self.accounts.get(headers.get("authorization", "").removeprefix("Bearer "))
        if account is None:
            return SimulatedAnswer(401)
        told: dict[str, Any] = {"account": account} if path == "/me" else {"issues": [], "next": None}
        return SimulatedAnswer(200, {"content-type": "application/json"}, orjson.dumps(told))


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def server(provider: Provider) -> Iterator[Server]:
    with serving(provider.answer) as running:
        yield running


@pytest.fixture
def connection(server: Server) -> IntegrationConnection:
    return make_connection(credential={"token": "old-token"}, settings={"base_url": server.url}, account="acme-bot")


def rotate(connection: IntegrationConnection, **body: Any) -> Any:
    return client_of().post(f"{CONNECTIONS}/{connection.pk}/rotate", body)


def token_of(connection: IntegrationConnection) -> str:
    connection.refresh_from_db()
    return get_credential(connection.tenant_id, connection.auth_ref)["token"]


def history_of(connection: IntegrationConnection) -> list[tuple[str, str]]:
    rows = ConnectionHistory.objects.filter(connection=connection).order_by("entry_id")
    return [(row.operation, row.outcome) for row in rows]


def test_a_good_one_replaces_the_old_which_is_deleted(connection: IntegrationConnection, server: Server) -> None:
    old = connection.auth_ref
    response = rotate(connection, credential={"token": "new-token"})
    assert response.status_code == 200, response.content
    assert "new-token" not in response.content.decode()
    assert response.json()["verification"]["purpose"] == "rotate"
    assert token_of(connection) == "new-token"
    assert connection.auth_ref != old
    assert StoredSecret.objects.count() == 1
    assert history_of(connection) == [("credential_replaced", "ok")]


def test_one_that_is_refused_changes_nothing_and_says_which_step_failed(connection: IntegrationConnection) -> None:
    error = error_of(rotate(connection, credential={"token": "wrong-token-0815"}), 422)
    assert (error["code"], error["details"]["step"]) == ("CREDENTIAL_NOT_PROVEN", "authenticate")
    assert "wrong-token-0815" not in orjson.dumps(error).decode()
    assert token_of(connection) == "old-token"
    assert (connection.status, connection.last_error) == (ConnectionStatus.ACTIVE, "")
    assert StoredSecret.objects.count() == 1, "the refused one is not kept"
    assert history_of(connection) == [("credential_replaced", "failed")]
    assert ConnectionVerification.objects.get().outcome == "failed"
    assert not Incident.objects.exists()


def test_another_account_is_refused_unless_it_is_meant(connection: IntegrationConnection) -> None:
    error = error_of(rotate(connection, credential={"token": "strange-token"}), 409)
    assert (error["code"], error["details"]["account"]) == ("OTHER_ACCOUNT", "globex-bot")
    assert token_of(connection) == "old-token"
    told = rotate(connection, credential={"token": "strange-token"}, allow_account_change=True).json()
    assert (told["account"], token_of(connection)) == ("globex-bot", "strange-token")
    assert "acme-bot" in ConnectionHistory.objects.latest("entry_id").detail


def test_a_reference_of_the_operator_is_taken_and_never_deleted(connection: IntegrationConnection) -> None:
    store = secret_store()
    for name in ("vault/one", "vault/two"):
        store.put(ACME, '{"token": "new-token"}', name=name)
    assert rotate(connection, auth_ref="vault/one").status_code == 200
    assert rotate(connection, auth_ref="vault/two").status_code == 200
    connection.refresh_from_db()
    assert connection.auth_ref == "vault/two"
    assert set(StoredSecret.objects.values_list("name", flat=True)) == {"vault/one", "vault/two"}


def test_a_credential_that_another_connection_uses_stays(connection: IntegrationConnection) -> None:
    other = make_connection(settings=connection.settings, credential=None, auth_ref=connection.auth_ref)
    assert rotate(connection, credential={"token": "new-token"}).status_code == 200
    assert (token_of(connection), token_of(other)) == ("new-token", "old-token")


def test_it_mends_a_connection_in_error_and_ends_its_incident(
    connection: IntegrationConnection, provider: Provider
) -> None:
    del provider.accounts["old-token"]
    assert verify_connection(connection, actor="api:zoe").status == ConnectionStatus.ERROR
    assert Incident.objects.get().status == "open"
    told = rotate(connection, credential={"token": "new-token"}).json()
    assert (told["status"], told["last_error"], told["consecutive_failures"]) == ("active", "", 0)
    assert Incident.objects.get().status == "resolved"


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"/credential"}),
        ({"credential": {"token": "new-token"}, "auth_ref": "vault/x"}, {"/credential"}),
        ({"credential": {"key": "x"}}, {"/credential"}),
        ({"auth_ref": "vault/none"}, {"/auth_ref"}),
        ({"auth_ref": "platform/pm3"}, {"/auth_ref"}),
        ({"credential": {"token": "new-token"}, "credential_expires_at": "tomorrow"}, {"/credential_expires_at"}),
        ({"credential": {"token": "new-token"}, "force": True}, {"/force"}),
    ],
)
def test_what_is_no_credential_is_refused_before_anybody_is_asked(
    connection: IntegrationConnection, server: Server, body: dict[str, Any], pointers: set[str]
) -> None:
    assert pointers_of(rotate(connection, **body)) == pointers
    assert server.asked == []


def test_where_there_is_nothing_to_replace_it_is_refused(connection: IntegrationConnection, server: Server) -> None:
    receiving = make_connection(credential=None, enabled_capabilities={"webhook": True})
    assert error_of(rotate(receiving, credential={"token": "new-token"}), 409)["code"] == "NOTHING_TO_ROTATE"
    IntegrationConnection.objects.filter(pk=connection.pk).update(status=ConnectionStatus.SUSPENDED)
    assert error_of(rotate(connection, credential={"token": "new-token"}), 409)["code"] == "INVALID_STATUS_CHANGE"
    granted = make_connection(credential={"grant": "authorization_code", "access_token": "a"})
    assert error_of(rotate(granted, credential={"token": "new-token"}), 409)["code"] == "AUTHORISE_AGAIN"
    assert server.asked == []


def test_nobody_else_may_do_it(connection: IntegrationConnection) -> None:
    url = f"{CONNECTIONS}/{connection.pk}/rotate"
    error_of(client_of(GLOBEX).post(url, {"credential": {"token": "new-token"}}), 404)
    error_of(client_of(ACME, TENANT_READER).post(url, {"credential": {"token": "new-token"}}), 403)
    foreign = put_credential(GLOBEX, {"token": "new-token"})
    assert pointers_of(rotate(connection, auth_ref=foreign)) == {"/auth_ref"}
    assert token_of(connection) == "old-token"


def changed_by_update(connection: IntegrationConnection) -> None:
    client_of().patch(f"{CONNECTIONS}/{connection.pk}", {"settings": {**connection.settings, "projects": ["WEB"]}})


def suspended(connection: IntegrationConnection) -> None:
    client_of().patch(f"{CONNECTIONS}/{connection.pk}", {"status": "suspended"})


def replaced(connection: IntegrationConnection) -> None:
    replace_credential(connection, credential={"token": "third-token"}, actor="api:ravi")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", [changed_by_update, suspended, replaced])
def test_what_changed_while_it_was_tried_wins(
    connection: IntegrationConnection, provider: Provider, change: Callable[[IntegrationConnection], None]
) -> None:
    def meanwhile() -> None:
        # In the thread of the provider, so over a database session of its own.
        change(connection)
        database.close()

    provider.meanwhile = meanwhile
    error_of(rotate(connection, credential={"token": "new-token"}), 409)
    assert token_of(connection) == ("third-token" if change is replaced else "old-token")
    assert StoredSecret.objects.count() == 1, "neither the loser's credential nor the replaced one is left"


@pytest.mark.django_db(transaction=True)
def test_a_verification_overtaken_by_a_new_credential_says_nothing_of_it(
    connection: IntegrationConnection, provider: Provider
) -> None:
    def meanwhile() -> None:
        replaced(connection)
        del provider.accounts["old-token"]
        database.close()

    provider.meanwhile = meanwhile
    error_of(client_of().post(f"{CONNECTIONS}/{connection.pk}/verify"), 409)
    assert token_of(connection) == "third-token"
    assert connection.status == ConnectionStatus.ACTIVE


def test_a_connection_deleted_meanwhile_keeps_no_new_credential(
    connection: IntegrationConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deleted_meanwhile(candidate: IntegrationConnection) -> Proof:
        proof = prove(candidate)
        IntegrationConnection.objects.filter(pk=connection.pk).update(status=ConnectionStatus.DELETED)
        return proof

    monkeypatch.setattr("connections.rotation.prove", deleted_meanwhile)
    error_of(rotate(connection, credential={"token": "new-token"}), 404)
    assert StoredSecret.objects.count() == 1


def test_no_secret_is_logged(
    connection: IntegrationConnection, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    rotate(connection, credential={"token": "wrong-token-0815"})
    rotate(connection, credential={"token": "new-token"})
    heard = "".join(capfd.readouterr()) + caplog.text
    assert "rotate" in heard
    assert "wrong-token-0815" not in heard
    assert "new-token" not in heard
