"""/v1/integrations/connections over HTTP, with the fake provider on loopback."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from django.db import connection as database
from django.utils import timezone

from connections.models import ConnectionHistory, ConnectionStatus, IntegrationConnection, StoredSecret
from connections.secret_store import get_credential, put_credential
from connections.services import verify_connection
from connections.tenancy import SERVICE, TENANT_READER
from providers.adapters.fake.simulator import Simulator
from providers.catalogue import sync_providers
from providers.models import IntegrationProvider, ProviderStatus
from providers.simulation import SimulatedAnswer
from tests.api import CONNECTIONS, client_of, error_of, pointers_of
from tests.contract.provider_server import Server, serving
from tests.factories import ACME, GLOBEX, make_connection, make_registration
from webhooks.models import RegistrationStatus

pytestmark = pytest.mark.django_db

GOOD = dict(Simulator.credential)


@pytest.fixture
def provider() -> Iterator[Server]:
    with serving(Simulator(seed=1, faults=False).handle) as server:
        yield server


def body(**values: Any) -> dict[str, Any]:
    sync_providers()
    return {"provider_id": "fake", "display_name": "Acme tracker", "credential": GOOD, **values}


def test_a_connection_is_created_pending_and_its_credential_is_kept_apart() -> None:
    response = client_of().post(CONNECTIONS, body(metadata_tags={"team": "web"}, settings={"projects": ["WEB"]}))
    assert response.status_code == 201, response.content
    told = response.json()
    assert told["status"] == "pending_verification"
    assert told["tenant_id"] == ACME
    assert told["enabled_capabilities"] == {"webhook": True, "polling": True, "outbound_actions": True}
    assert told["metadata_tags"] == {"team": "web"}
    assert "credential" not in told
    row = IntegrationConnection.objects.get(pk=told["connection_id"])
    assert get_credential(ACME, row.auth_ref) == GOOD
    assert ConnectionHistory.objects.get(connection=row).actor == "api:zoe"


def test_a_reference_to_the_tenants_own_credential_is_taken() -> None:
    reference = put_credential(ACME, GOOD)
    response = client_of().post(CONNECTIONS, {**body(), "credential": GOOD, "auth_ref": reference})
    assert pointers_of(response) == {"/credential"}
    given = body(auth_ref=reference)
    del given["credential"]
    assert client_of().post(CONNECTIONS, given).json()["auth_ref"] == reference


def test_a_reference_to_another_tenants_credential_is_refused_like_an_unknown_one() -> None:
    given = body(auth_ref=put_credential(GLOBEX, GOOD))
    del given["credential"]
    foreign = error_of(client_of().post(CONNECTIONS, given), 400)
    given["auth_ref"] = "secret:00000000-0000-0000-0000-000000000000"
    unknown = error_of(client_of().post(CONNECTIONS, given), 400)
    assert foreign["details"] == unknown["details"]
    given["auth_ref"] = "platform/pm3"
    assert pointers_of(client_of().post(CONNECTIONS, given)) == {"/auth_ref"}


def test_only_a_connection_that_just_receives_needs_no_credential() -> None:
    given = body()
    del given["credential"]
    told = client_of().post(CONNECTIONS, given).json()
    assert told["enabled_capabilities"] == {"webhook": True, "polling": False, "outbound_actions": False}
    response = client_of().post(CONNECTIONS, {**given, "enabled_capabilities": {"polling": True}})
    assert pointers_of(response) == {"/credential"}


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ({"provider_id": "nobody"}, "/provider_id"),
        ({"display_name": "   "}, "/display_name"),
        ({"display_name": "x" * 201}, "/display_name"),
        ({"display_name": 7}, "/display_name"),
        ({"credential": {}}, "/credential"),
        ({"credential": {"token": 5}}, "/credential/token"),
        ({"credential": "token"}, "/credential"),
        ({"settings": {"projects": ["lower"]}}, "/settings/projects/0"),
        ({"settings": {"colour": "red"}}, "/settings"),
        ({"settings": {"base_url": "http://tracker.example"}}, "/settings/base_url"),
        ({"settings": {"base_url": "https://10.0.0.7"}}, "/settings/base_url"),
        ({"settings": {"base_url": "https://localhost"}}, "/settings/base_url"),
        ({"settings": {"base_url": "https://zoe:pass@tracker.example"}}, "/settings/base_url"),
        ({"settings": {"base_url": "file:///etc/passwd"}}, "/settings/base_url"),
        ({"settings": []}, "/settings"),
        ({"enabled_capabilities": {"webhook": "yes"}}, "/enabled_capabilities/webhook"),
        ({"enabled_capabilities": {"flying": True}}, "/enabled_capabilities/flying"),
        ({"metadata_tags": {"n": 1}}, "/metadata_tags"),
        ({"metadata_tags": {f"t{n}": "" for n in range(51)}}, "/metadata_tags"),
        ({"api_version": "99"}, "/api_version"),
        ({"colour": "red"}, "/colour"),
        ({"tenant_id": GLOBEX}, "/tenant_id"),
    ],
)
def test_a_value_that_cannot_be_is_refused_at_its_place(values: dict[str, Any], pointer: str) -> None:
    response = client_of().post(CONNECTIONS, body(**values))
    assert pointers_of(response) == {pointer}
    assert not IntegrationConnection.objects.exists()
    assert not StoredSecret.objects.exists()


def test_a_capability_the_provider_lacks_is_refused() -> None:
    values = {"provider_id": "standard_webhooks", "settings": {}, "enabled_capabilities": {"outbound_actions": True}}
    given = {name: value for name, value in body(**values).items() if name != "credential"}
    assert "/enabled_capabilities/outbound_actions" in pointers_of(client_of().post(CONNECTIONS, given))


def test_no_new_connection_to_a_deprecated_provider() -> None:
    given = body()
    IntegrationProvider.objects.filter(pk="fake").update(status=ProviderStatus.DEPRECATED)
    assert error_of(client_of().post(CONNECTIONS, given), 409)["code"] == "PROVIDER_DEPRECATED"


def test_readers_read_and_cannot_write() -> None:
    connection = make_connection()
    reader = client_of(ACME, TENANT_READER)
    assert reader.get(f"{CONNECTIONS}/{connection.pk}").status_code == 200
    for response in (
        reader.post(CONNECTIONS, body()),
        reader.patch(f"{CONNECTIONS}/{connection.pk}", {}),
        reader.delete(f"{CONNECTIONS}/{connection.pk}"),
        reader.post(f"{CONNECTIONS}/{connection.pk}/verify"),
    ):
        assert error_of(response, 403)["code"] == "FORBIDDEN"
    assert client_of(ACME, SERVICE).patch(f"{CONNECTIONS}/{connection.pk}", {}).status_code == 200


def test_a_list_is_newest_first_filtered_and_paged_without_gaps() -> None:
    made = [make_connection(display_name=f"number {n}") for n in range(5)]
    make_connection(tenant_id=GLOBEX)
    client = client_of()
    first = client.get(CONNECTIONS, {"page_size": 2}).json()
    second = client.get(first["next"]).json()
    # A row added while paging moves nothing.
    make_connection(display_name="late")
    third = client.get(second["next"]).json()
    shown = [row["display_name"] for page in (first, second, third) for row in page["results"]]
    assert shown == [c.display_name for c in reversed(made)]
    assert third["next"] is None
    assert client.get(third["previous"]).json()["results"] == second["results"]
    IntegrationConnection.objects.filter(pk=made[0].pk).update(status=ConnectionStatus.ERROR)
    filtered = client.get(CONNECTIONS, {"status": "error", "provider_id": "fake"}).json()["results"]
    assert [row["connection_id"] for row in filtered] == [str(made[0].pk)]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("status=sleeping", "/status"),
        ("status=deleted", "/status"),
        ("provider_id=nobody", "/provider_id"),
        ("provider_id=%00", "/provider_id"),
        ("page_size=0", "/page_size"),
        ("page_size=201", "/page_size"),
        ("page_size=-1", "/page_size"),
        ("page_size=%D9%A3", "/page_size"),
        ("cursor=nonsense", "/cursor"),
        ("cursor=cD1ub3QtYS11dWlk", "/cursor"),
        ("cursor=cD0lMDA%3D", "/cursor"),
        ("provider=fake", "/provider"),
    ],
)
def test_a_query_nobody_understands_is_refused(query: str, pointer: str) -> None:
    make_connection()
    assert pointers_of(client_of().get(f"{CONNECTIONS}?{query}")) == {pointer}


def test_what_may_be_changed_is_changed_and_written_down() -> None:
    connection = make_connection()
    IntegrationConnection.objects.update(streams_stale=False)
    changes = {
        "display_name": "New name",
        "metadata_tags": {"team": "ops"},
        "settings": {"projects": ["OPS"]},
        "enabled_capabilities": {"polling": True},
    }
    told = client_of().patch(f"{CONNECTIONS}/{connection.pk}", changes).json()
    assert {name: told[name] for name in ("display_name", "metadata_tags", "settings")} == {
        name: changes[name] for name in ("display_name", "metadata_tags", "settings")
    }
    assert told["enabled_capabilities"] == {"webhook": False, "polling": True, "outbound_actions": False}
    assert told["status"] == "active"
    connection.refresh_from_db()
    assert connection.streams_stale
    assert ConnectionHistory.objects.get(connection=connection, operation="updated").actor == "api:zoe"


def test_a_new_address_must_be_verified_again() -> None:
    connection = make_connection()
    told = client_of().patch(f"{CONNECTIONS}/{connection.pk}", {"settings": {"base_url": "https://other.example"}})
    assert told.json()["status"] == "pending_verification"
    assert told.json()["last_verified_at"] is None


@pytest.mark.parametrize("field", ["credential", "auth_ref", "provider_id", "tenant_id", "last_error"])
def test_what_may_not_be_changed_is_refused(field: str) -> None:
    connection = make_connection()
    assert pointers_of(client_of().patch(f"{CONNECTIONS}/{connection.pk}", {field: "x"})) == {f"/{field}"}


def test_suspending_and_resuming() -> None:
    connection = make_connection()
    url = f"{CONNECTIONS}/{connection.pk}"
    client = client_of()
    assert client.patch(url, {"status": "suspended"}).json()["status"] == "suspended"
    assert error_of(client.post(f"{url}/verify"), 409)["code"] == "INVALID_STATUS_CHANGE"
    assert client.patch(url, {"status": "active"}).json()["status"] == "active"
    history = [entry.operation for entry in ConnectionHistory.objects.newest_first()]
    assert history == ["resumed", "suspended"]


@pytest.mark.parametrize("status", [ConnectionStatus.PENDING_VERIFICATION, ConnectionStatus.ERROR])
def test_nothing_becomes_active_without_being_verified(status: str) -> None:
    connection = make_connection(status=status)
    response = client_of().patch(f"{CONNECTIONS}/{connection.pk}", {"status": "active"})
    assert error_of(response, 409)["code"] == "INVALID_STATUS_CHANGE"
    client_of().patch(f"{CONNECTIONS}/{connection.pk}", {"status": "suspended"})
    told = client_of().patch(f"{CONNECTIONS}/{connection.pk}", {"status": "active"}).json()
    assert told["status"] == "pending_verification"


def test_a_delivery_proves_no_credential_for_calls() -> None:
    connection = make_connection(enabled_capabilities={"webhook": True, "polling": False, "outbound_actions": False})
    url = f"{CONNECTIONS}/{connection.pk}"
    told = client_of().patch(url, {"enabled_capabilities": {"webhook": True, "polling": True}}).json()
    assert told["status"] == "pending_verification"
    assert told["last_verified_at"] is None


def test_a_pause_does_not_prove_a_credential_that_failed() -> None:
    connection = make_connection(status=ConnectionStatus.ERROR, last_verified_at=timezone.now())
    url = f"{CONNECTIONS}/{connection.pk}"
    client_of().patch(url, {"status": "suspended"})
    assert client_of().patch(url, {"status": "active"}).json()["status"] == "pending_verification"


def test_a_good_credential_makes_the_connection_active(provider: Server) -> None:
    connection = make_connection(
        status=ConnectionStatus.PENDING_VERIFICATION, credential=GOOD, settings={"base_url": provider.url}
    )
    told = client_of().post(f"{CONNECTIONS}/{connection.pk}/verify").json()
    assert (told["status"], told["account"], told["last_error"]) == ("active", "acme-bot", "")
    assert told["last_verified_at"]
    assert [(method, path.partition("?")[0]) for method, path in provider.asked] == [("GET", "/me"), ("GET", "/issues")]


def test_a_refused_credential_makes_it_an_error_that_says_what_to_do(provider: Server) -> None:
    connection = make_connection(credential={"token": "wrong-token"}, settings={"base_url": provider.url})
    told = client_of().post(f"{CONNECTIONS}/{connection.pk}/verify").json()
    assert told["status"] == "error"
    assert "refused the credential" in told["last_error"]
    assert "Check that the credential" in told["last_error"]
    assert "wrong-token" not in told["last_error"]
    assert told["consecutive_failures"] == 1
    assert ConnectionHistory.objects.get(connection=connection, operation="verified").outcome == "failed"


def test_a_provider_that_does_not_answer_is_an_error_too() -> None:
    connection = make_connection(settings={"base_url": "http://127.0.0.1:1"})
    told = client_of().post(f"{CONNECTIONS}/{connection.pk}/verify").json()
    assert told["status"] == "error"
    assert "Check the base URL" in told["last_error"]


def test_a_connection_that_only_receives_has_nothing_to_verify() -> None:
    connection = make_connection(credential={}, enabled_capabilities={"webhook": True})
    assert error_of(client_of().post(f"{CONNECTIONS}/{connection.pk}/verify"), 409)["code"] == "NOTHING_TO_VERIFY"


@pytest.mark.django_db(transaction=True)
def test_what_changed_during_the_call_is_not_overwritten(provider: Server) -> None:
    connection = make_connection(credential=GOOD, settings={"base_url": provider.url})
    answer = provider.answer

    def suspend_meanwhile(*request: Any) -> SimulatedAnswer:
        IntegrationConnection.objects.filter(pk=connection.pk).update(status=ConnectionStatus.SUSPENDED)
        database.close()
        return answer(*request)

    provider.answer = suspend_meanwhile
    error_of(client_of().post(f"{CONNECTIONS}/{connection.pk}/verify"), 409)
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.SUSPENDED


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_provider_is_asked(provider: Server) -> None:
    connection = make_connection(credential=GOOD, settings={"base_url": provider.url})
    answer = provider.answer

    def write_meanwhile(*request: Any) -> SimulatedAnswer:
        # Another session: it would wait for ever for a row that the verification held locked.
        IntegrationConnection.objects.filter(pk=connection.pk).update(metadata_tags={"written": "meanwhile"})
        database.close()
        return answer(*request)

    provider.answer = write_meanwhile
    assert verify_connection(connection, actor="staff:ravi").status == ConnectionStatus.ACTIVE
    connection.refresh_from_db()
    assert connection.metadata_tags == {"written": "meanwhile"}


def test_deleting_closes_the_doors_and_removes_the_secrets() -> None:
    connection = make_connection()
    registration, _, _ = make_registration(connection)
    assert StoredSecret.objects.count() == 3
    client = client_of()
    assert client.delete(f"{CONNECTIONS}/{connection.pk}").status_code == 204
    assert not StoredSecret.objects.exists()
    registration.refresh_from_db()
    assert registration.status == RegistrationStatus.DELETED
    error_of(client.get(f"{CONNECTIONS}/{connection.pk}"), 404)
    error_of(client.delete(f"{CONNECTIONS}/{connection.pk}"), 404)
    assert client.get(CONNECTIONS).json()["results"] == []
    assert IntegrationConnection.objects.get(pk=connection.pk).status == ConnectionStatus.DELETED


def test_a_credential_two_connections_share_outlives_the_first() -> None:
    first = make_connection()
    second = make_connection(credential=None, auth_ref=first.auth_ref)
    client_of().delete(f"{CONNECTIONS}/{first.pk}")
    assert get_credential(ACME, second.auth_ref)
    client_of().delete(f"{CONNECTIONS}/{second.pk}")
    assert not StoredSecret.objects.exists()


def test_a_chunked_body_is_read_like_any_other() -> None:
    sync_providers()
    client = client_of()
    environ: dict[str, Any] = {
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input": io.BytesIO(orjson.dumps(body())),
    }
    # What a server hands over for a chunked body: a stream and no length.
    sent = client.generic("POST", CONNECTIONS, content_type="application/json", **environ)
    assert sent.status_code == 201, sent.content
    huge = {**environ, "wsgi.input": io.BytesIO(b'{"display_name": "' + b"x" * 3_000_000)}
    assert (
        error_of(client.generic("POST", CONNECTIONS, content_type="application/json", **huge), 413)["code"]
        == "PAYLOAD_TOO_LARGE"
    )


@pytest.mark.parametrize("name", ["provider_id", "status"])
def test_an_empty_filter_is_refused_and_not_taken_for_none(name: str) -> None:
    make_connection()
    assert pointers_of(client_of().get(f"{CONNECTIONS}?{name}=")) == {f"/{name}"}
