"""One URL and one secret for an app of many accounts: whose a delivery is, the verified body says."""

from __future__ import annotations

from typing import Any

import pytest

from connections.errors import ServiceError
from connections.models import ConnectionRoute, ConnectionStatus, IntegrationConnection
from connections.secret_store import secret_store
from connections.services import delete_connection, verify_connection
from connections.tenancy import SHARED_TENANT
from events.models import AdapterEvent
from providers.catalogue import sync_providers
from tests.api import CONNECTIONS, client_of
from tests.contract.provider_server import serving
from tests.factories import ACME, GLOBEX, make_event
from tests.hub_provider import Hub, hub_connection, post
from webhooks.models import QuarantinedDelivery, RegistrationStatus, WebhookRegistration
from webhooks.registrations import create_shared_registration, rotate_secret, suspend_registration

pytestmark = pytest.mark.django_db


@pytest.fixture
def door(hub: Hub) -> tuple[WebhookRegistration, str, str]:
    sync_providers()
    issued = create_shared_registration("hub", actor="staff:ravi")
    return issued.registration, issued.public_url.rsplit("/", 1)[1], issued.secret


def installed(hub: Hub, *accounts: str, tenant_id: str = ACME) -> IntegrationConnection:
    """A verified connection; the provider said which accounts it is of."""
    connection = hub_connection(hub, tenant_id=tenant_id)
    hub.accounts = list(accounts)
    return verify_connection(connection, actor="staff:ravi")


def owners() -> list[tuple[str, str]]:
    return sorted(AdapterEvent.objects.values_list("tenant_id", "dedupe_key"))


def test_each_delivery_goes_to_the_connection_of_its_account_and_to_no_other_tenant(hub: Hub, door: Any) -> None:
    installed(hub, "T-acme")
    installed(hub, "T-globex", tenant_id=GLOBEX)
    assert post(door, {"kind": "made", "id": "1", "accounts": ["T-acme"]}).status_code == 202
    assert post(door, {"kind": "made", "id": "2", "accounts": ["T-globex"]}).status_code == 202
    assert owners() == [(ACME, "1"), (GLOBEX, "2")]
    assert set(AdapterEvent.objects.values_list("proof", "registration_id")) == {("hmac:1", door[0].pk)}


def test_a_delivery_of_two_accounts_is_stored_for_both_and_its_repetition_for_none(hub: Hub, door: Any) -> None:
    installed(hub, "T-acme")
    installed(hub, "T-globex", tenant_id=GLOBEX)
    body = {"kind": "made", "id": "1", "accounts": ["T-acme", "T-globex"]}
    answer = post(door, body)
    assert (answer.status_code, answer.json()["events"]) == (202, 2)
    again = post(door, body)
    assert (again.status_code, again.json()["status"]) == (200, "duplicate")
    assert owners() == [(ACME, "1"), (GLOBEX, "1")]


def test_a_connection_that_is_made_later_gets_what_the_others_have_already(hub: Hub, door: Any) -> None:
    installed(hub, "T-acme")
    body = {"kind": "made", "id": "1", "accounts": ["T-acme", "T-globex"]}
    post(door, body)
    installed(hub, "T-globex", tenant_id=GLOBEX)
    assert post(door, body).status_code == 202
    assert owners() == [(ACME, "1"), (GLOBEX, "1")]


def test_the_settings_of_a_tenant_make_nobody_elses_events_his(hub: Hub, door: Any) -> None:
    """Only what the provider said when the credential was verified is a route."""
    installed(hub, "T-acme")
    greedy = hub_connection(hub, tenant_id=GLOBEX, account="T-acme", settings={"accounts": ["T-acme"]})
    post(door, {"kind": "made", "id": "1", "accounts": ["T-acme"]})
    assert owners() == [(ACME, "1")]
    assert not ConnectionRoute.objects.filter(connection=greedy).exists()


def test_nobody_but_the_provider_says_whose_events_they_are(hub: Hub, door: Any) -> None:
    """A tenant names a machine of its own that the operator lets us call, and that machine claims an account."""
    hub.accounts = ["T-acme"]
    with serving(hub.answer) as liar:
        claiming = hub_connection(hub, tenant_id=GLOBEX, settings={"base_url": liar.url})
        assert verify_connection(claiming, actor="staff:ravi").status == ConnectionStatus.ACTIVE
    assert not ConnectionRoute.objects.exists()
    assert "not the provider's own" in claiming.history.get(operation="verified").detail
    post(door, {"kind": "made", "id": "1", "accounts": ["T-acme"]})
    assert owners() == []


def test_a_delivery_that_does_not_verify_is_routed_nowhere(hub: Hub, door: Any) -> None:
    installed(hub, "T-acme")
    forged = (door[0], door[1], "a secret of mine")
    assert post(forged, {"kind": "made", "id": "1", "accounts": ["T-acme"]}).status_code == 401
    assert owners() == []


def test_of_an_unknown_account_it_is_kept_aside_and_taken(hub: Hub, door: Any) -> None:
    assert post(door, {"kind": "made", "id": "1", "accounts": ["T-nobody"]}).status_code == 202
    kept = QuarantinedDelivery.objects.get()
    assert (kept.reason, kept.tenant_id, kept.connection) == ("unrouted", SHARED_TENANT, None)
    assert owners() == []


@pytest.mark.parametrize("gone", ["suspended", "deleted", "no webhooks", "another account", "revoked"])
def test_a_connection_that_takes_nothing_any_more_gets_nothing(hub: Hub, door: Any, gone: str) -> None:
    connection = installed(hub, "T-acme")
    match gone:
        case "suspended":
            IntegrationConnection.objects.update(status=ConnectionStatus.SUSPENDED)
        case "deleted":
            delete_connection(connection, actor="staff:ravi")
        case "no webhooks":
            IntegrationConnection.objects.update(enabled_capabilities={"webhook": False})
        case "another account":
            hub.accounts = ["T-other"]
            verify_connection(connection, actor="staff:ravi")
        case "revoked":
            post(door, {"kind": "revoked", "id": "r", "accounts": ["T-acme"]})
    post(door, {"kind": "made", "id": "1", "accounts": ["T-acme"]})
    assert (ACME, "1") not in owners()


def test_an_authorisation_that_ended_puts_its_own_connection_in_error_and_no_other(hub: Hub, door: Any) -> None:
    ours, theirs = installed(hub, "T-acme"), installed(hub, "T-globex", tenant_id=GLOBEX)
    assert post(door, {"kind": "revoked", "id": "r", "accounts": ["T-acme"]}).status_code == 202
    ours.refresh_from_db()
    theirs.refresh_from_db()
    assert (ours.status, theirs.status) == (ConnectionStatus.ERROR, ConnectionStatus.ACTIVE)
    assert "Authorise again" in ours.last_error
    assert ours.history.filter(operation="authorisation_ended").count() == 1


def test_no_api_client_sees_a_shared_door(hub: Hub, door: Any) -> None:
    connection = installed(hub, "T-acme")
    make_event(connection)
    client = client_of()
    address = f"{CONNECTIONS}/{connection.pk}/webhooks"
    assert client.get(address).json()["results"] == []
    for part in ("", "/rejections"):
        assert client.get(f"{address}/{door[0].pk}{part}").status_code == 404
    assert client.post(f"{address}/{door[0].pk}/rotate", {}).status_code == 404
    assert client.delete(f"{address}/{door[0].pk}").status_code == 404
    assert client_of(SHARED_TENANT).get(address).status_code in (401, 404)


def test_deleting_one_connection_leaves_the_shared_door_open(hub: Hub, door: Any) -> None:
    delete_connection(installed(hub, "T-acme"), actor="staff:ravi")
    assert WebhookRegistration.objects.get().status == RegistrationStatus.PENDING


def test_it_is_rotated_and_suspended_like_any_other(hub: Hub, door: Any) -> None:
    installed(hub, "T-acme")
    rotated = rotate_secret(door[0], actor="staff:ravi")
    for number, secret in enumerate((door[2], rotated.secret)):
        body = {"kind": "made", "id": str(number), "accounts": ["T-acme"]}
        assert post((door[0], door[1], secret), body).status_code == 202
    assert sorted(AdapterEvent.objects.values_list("proof", flat=True)) == ["hmac:1", "hmac:2"]
    suspend_registration(door[0], actor="staff:ravi")
    assert post(door, {"kind": "made", "id": "9", "accounts": ["T-acme"]}).status_code == 404


@pytest.mark.parametrize(
    ("provider_id", "values", "pointer"),
    [
        ("fake", {}, "/provider_id"),
        ("nobody", {}, "/provider_id"),
        ("hub", {"scheme": "unsigned"}, "/scheme"),
        ("hub", {"scheme": "no-such"}, "/scheme"),
        ("hub", {"scheme": "token"}, "/secret"),
    ],
)
def test_a_shared_door_needs_a_routed_provider_and_a_scheme_that_proves(
    hub: Hub, provider_id: str, values: dict[str, str], pointer: str
) -> None:
    sync_providers()
    with pytest.raises(ServiceError) as refused:
        create_shared_registration(provider_id, actor="staff:ravi", **values)
    assert [problem["pointer"] for problem in refused.value.details["problems"]] == [pointer]
    assert not WebhookRegistration.objects.exists()


def test_the_secret_of_a_shared_door_belongs_to_no_tenant(hub: Hub, door: Any) -> None:
    row = WebhookRegistration.objects.get()
    assert secret_store().get(SHARED_TENANT, row.secret_ref) == door[2]
    reference = {"secret_ref": row.secret_ref}
    response = client_of().post(f"{CONNECTIONS}/{hub_connection(hub).pk}/webhooks", reference)
    assert response.status_code == 400
