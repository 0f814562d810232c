"""Webhook registrations over HTTP."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from connections.models import ConnectionStatus, StoredSecret
from connections.secret_store import secret_store
from connections.tenancy import SERVICE, TENANT_READER
from events.models import AdapterEvent
from providers import registry
from providers.verification import HmacScheme, sign
from tests.api import CONNECTIONS, client_of, error_of, pointers_of
from tests.factories import ACME, GLOBEX, make_connection, make_registration, make_rejection
from webhooks.models import RegistrationStatus, WebhookRegistration
from webhooks.registrations import create_registration, resume_registration, suspend_registration

pytestmark = pytest.mark.django_db

EVENT = b'{"type": "issue.created", "id": "evt_1", "at": "2026-03-01T09:00:00Z", "issue": {"key": "WEB-1"}}'


def doors(connection: Any) -> str:
    return f"{CONNECTIONS}/{connection.pk}/webhooks"


def knock(url: str, secret: str) -> int:
    """Post a signed event to the URL and return the status."""
    webhook = registry.get("fake").webhook
    assert webhook is not None
    scheme = webhook.schemes["hmac"]
    assert isinstance(scheme, HmacScheme)
    headers = sign(scheme, body=EVENT, secret=secret.encode(), timestamp=int(time.time()))
    path = "/v1/" + url.partition("/v1/")[2]
    return int(Client().post(path, EVENT, content_type="application/json", headers=headers).status_code)


def test_a_registration_tells_its_url_and_secret_and_they_work() -> None:
    connection = make_connection()
    response = client_of().post(doors(connection), {"events_subscribed": ["issue.created"]})
    assert response.status_code == 201
    told = response.json()
    assert (told["status"], told["scheme"], told["events_subscribed"]) == ("pending", "hmac", ["issue.created"])
    assert len(told["public_url"].rsplit("/", 1)[1]) >= 43  # 256 bits in base64
    assert knock(told["public_url"], told["secret"]) == 202
    assert knock(told["public_url"], "another-secret") == 401


def test_the_secret_is_told_once_and_the_url_only_to_those_who_manage() -> None:
    connection = make_connection()
    told = client_of().post(doors(connection), {}).json()
    listed = client_of(ACME, SERVICE).get(doors(connection)).json()["results"][0]
    assert listed["public_url"] == told["public_url"]
    assert "secret" not in listed
    masked = client_of(ACME, TENANT_READER).get(doors(connection)).json()["results"][0]
    assert masked["public_url"].endswith("/v1/integrations/webhooks/fake/********")
    assert error_of(client_of(ACME, TENANT_READER).post(doors(connection), {}), 403)


def test_neither_token_nor_secret_is_kept_readable() -> None:
    told = client_of().post(doors(make_connection()), {"secret": "chosen-by-the-vendor"}).json()
    token = told["public_url"].rsplit("/", 1)[1]
    row = WebhookRegistration.objects.values().get()
    assert token not in str(row)
    assert "chosen-by-the-vendor" not in str(row)
    for stored in StoredSecret.objects.all():
        assert token.encode() not in bytes(stored.ciphertext)


def test_a_secret_may_be_given_or_referred_to() -> None:
    connection = make_connection()
    given = client_of().post(doors(connection), {"secret": "chosen-by-the-vendor"}).json()
    assert given["secret"] == "chosen-by-the-vendor"
    assert knock(given["public_url"], "chosen-by-the-vendor") == 202
    reference = secret_store().put(ACME, "kept-in-the-store")
    referred = client_of().post(doors(connection), {"secret_ref": reference}).json()
    assert referred["secret"] is None
    assert knock(referred["public_url"], "kept-in-the-store") == 200  # the same event by another door


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ({"secret": "short"}, "/secret"),
        ({"secret": "x" * 1001}, "/secret"),
        ({"secret": ""}, "/secret"),
        ({"scheme": "none"}, "/scheme"),
        ({"events_subscribed": ["no.such.event"]}, "/events_subscribed"),
        ({"events_subscribed": "issue.created"}, "/events_subscribed"),
        ({"secret_ref": "platform/pm3"}, "/secret_ref"),
        ({"secret_ref": "secret:nonsense"}, "/secret_ref"),
        ({"status": "active"}, "/status"),
    ],
)
def test_a_value_that_cannot_be_is_refused_at_its_place(values: dict[str, Any], pointer: str) -> None:
    assert pointers_of(client_of().post(doors(make_connection()), values)) == {pointer}
    assert not WebhookRegistration.objects.exists()


def test_a_credential_or_an_url_is_no_signing_secret() -> None:
    connection, other = make_connection(), make_connection("github")
    door, _, _ = make_registration(other)
    for reference in (connection.auth_ref, other.auth_ref, door.url_ref):
        assert pointers_of(client_of().post(doors(connection), {"secret_ref": reference})) == {"/secret_ref"}
    assert not WebhookRegistration.objects.filter(connection=connection).exists()


def test_events_that_are_not_sent_are_named_with_those_that_are() -> None:
    answer = client_of().post(doors(make_connection()), {"events_subscribed": ["no.such.event", "issue.created"]})
    (problem,) = error_of(answer, 400)["details"]["problems"]
    assert "no.such.event" in problem["reason"]
    assert "issue.created" in problem["reason"]


def test_another_tenants_secret_cannot_be_referred_to() -> None:
    reference = secret_store().put(GLOBEX, "globex-signing-secret")
    assert pointers_of(client_of().post(doors(make_connection()), {"secret_ref": reference})) == {"/secret_ref"}


def test_a_connection_that_does_not_receive_gets_no_door() -> None:
    connection = make_connection(enabled_capabilities={"webhook": False, "polling": True})
    assert error_of(client_of().post(doors(connection), {}), 409)["code"] == "CAPABILITY_DISABLED"


def test_after_a_rotation_both_secrets_work_until_the_grace_ends(settings: Any) -> None:
    settings.WEBHOOK_SECRET_GRACE_SECONDS = 600
    told = client_of().post(doors(make := make_connection()), {}).json()
    rotated = client_of().post(f"{doors(make)}/{told['registration_id']}/rotate", {}).json()
    assert rotated["public_url"] == told["public_url"]
    assert rotated["secret"] != told["secret"]
    assert knock(told["public_url"], rotated["secret"]) == 202
    assert knock(told["public_url"], told["secret"]) == 200  # a duplicate, but proven
    WebhookRegistration.objects.update(previous_secret_until=timezone.now() - timedelta(seconds=1))
    assert knock(told["public_url"], told["secret"]) == 401


def test_a_second_rotation_forgets_the_oldest_secret() -> None:
    connection = make_connection()
    told = client_of().post(doors(connection), {}).json()
    before = StoredSecret.objects.count()
    for _ in range(2):
        response = client_of().post(f"{doors(connection)}/{told['registration_id']}/rotate", {"secret": "by-vendor-2"})
        assert response.json()["secret"] == "by-vendor-2"
        knock(told["public_url"], "by-vendor-2")
    assert StoredSecret.objects.count() == before + 1
    assert knock(told["public_url"], told["secret"]) == 401


def test_a_rotation_asked_twice_keeps_the_secret_the_provider_has_for_the_grace_that_was_promised() -> None:
    """The answer to the first was lost, so that the provider cannot have its secret."""
    connection = make_connection()
    told = client_of().post(doors(connection), {}).json()
    before = StoredSecret.objects.count()
    address = f"{doors(connection)}/{told['registration_id']}/rotate"
    lost, lost_too, last = (client_of().post(address, {}).json() for _ in range(3))
    assert [answer["secret_version"] for answer in (lost, lost_too, last)] == [2, 3, 4]
    assert last["previous_secret_until"] == lost["previous_secret_until"]
    assert knock(told["public_url"], told["secret"]) == 202
    assert knock(told["public_url"], last["secret"]) == 200  # a duplicate, but proven
    assert [knock(told["public_url"], answer["secret"]) for answer in (lost, lost_too)] == [401, 401]
    assert StoredSecret.objects.count() == before + 1
    assert AdapterEvent.objects.get().proof == "hmac:1"


def test_after_the_grace_an_unused_secret_is_the_one_before_the_next() -> None:
    connection = make_connection()
    told = client_of().post(doors(connection), {}).json()
    address = f"{doors(connection)}/{told['registration_id']}/rotate"
    second = client_of().post(address, {}).json()
    WebhookRegistration.objects.update(previous_secret_until=timezone.now() - timedelta(seconds=1))
    client_of().post(address, {})
    assert knock(told["public_url"], second["secret"]) == 202
    assert AdapterEvent.objects.get().proof == "hmac:2"
    assert knock(told["public_url"], told["secret"]) == 401


def test_deleting_a_registration_closes_its_door_for_good() -> None:
    connection = make_connection()
    told = client_of().post(doors(connection), {}).json()
    url = f"{doors(connection)}/{told['registration_id']}"
    assert client_of().delete(url).status_code == 204
    assert knock(told["public_url"], told["secret"]) == 404
    error_of(client_of().delete(url), 404)
    error_of(client_of().post(f"{url}/rotate", {}), 404)
    assert client_of().get(doors(connection)).json()["results"] == []
    assert StoredSecret.objects.count() == 1  # the connection's own credential


def test_a_secret_two_doors_share_outlives_the_first() -> None:
    connection = make_connection()
    reference = secret_store().put(ACME, "kept-in-the-store")
    first, second = (client_of().post(doors(connection), {"secret_ref": reference}).json() for _ in range(2))
    client_of().delete(f"{doors(connection)}/{first['registration_id']}")
    assert knock(second["public_url"], "kept-in-the-store") == 202


def test_a_registration_of_another_connection_is_not_found_under_this_one() -> None:
    mine, other = make_connection(), make_connection()
    registration, _, _ = make_registration(other)
    error_of(client_of().delete(f"{doors(mine)}/{registration.pk}"), 404)
    error_of(client_of().post(f"{doors(mine)}/{registration.pk}/rotate", {}), 404)


def test_a_suspended_door_answers_as_if_it_were_not_there() -> None:
    connection = make_connection()
    issued = create_registration(connection, actor="staff:ravi")
    suspend_registration(issued.registration, actor="staff:ravi")
    assert knock(issued.public_url, issued.secret) == 404
    assert resume_registration(issued.registration, actor="staff:ravi").status == RegistrationStatus.ACTIVE
    assert knock(issued.public_url, issued.secret) == 202


def test_a_deleted_connection_gets_no_new_door() -> None:
    connection = make_connection()
    type(connection).objects.update(status=ConnectionStatus.DELETED)
    error_of(client_of().post(doors(connection), {}), 404)


def test_what_was_taken_is_not_told_as_refused() -> None:
    connection = make_connection()
    door, _, _ = make_registration(connection)
    make_rejection(door, reason="unrouted")
    (told,) = client_of().get(f"{doors(connection)}/{door.pk}/rejections").json()["results"]
    assert told["explanation"] == "Taken, but no connection belongs to the account they name."
