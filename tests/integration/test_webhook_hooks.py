"""Hooks made at the provider through its API: none or all, committed one by one, removed with their door."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.utils import timezone

from connections.models import ConnectionHistory, ConnectionStatus, IntegrationConnection
from connections.secret_store import secret_store
from connections.services import delete_connection
from providers.outbound import OutboundPolicy
from tests.api import CONNECTIONS, client_of, error_of, pointers_of
from tests.factories import make_connection, make_registration
from tests.hub_provider import Hub, hub_connection, post
from webhooks.hook_upkeep import PAUSES, _claimed, settle, settle_due
from webhooks.models import RegistrationStatus, WebhookRegistration

pytestmark = pytest.mark.django_db


def doors(connection: IntegrationConnection, registration_id: str = "", part: str = "") -> str:
    return f"{CONNECTIONS}/{connection.pk}/webhooks" + "".join(f"/{step}" for step in (registration_id, part) if step)


def registered(connection: IntegrationConnection, **values: Any) -> dict[str, Any]:
    response = client_of().post(doors(connection), {"register": True, **values})
    assert response.status_code == 201, response.content
    told: dict[str, Any] = response.json()
    return told


def row() -> WebhookRegistration:
    return WebhookRegistration.objects.get()


def due_again() -> None:
    """Pauses and leases are over."""
    WebhookRegistration.objects.exclude(hook_retry_at=None).update(hook_retry_at=timezone.now(), hooks_held_until=None)


def door_of(told: dict[str, Any]) -> tuple[Any, str, str]:
    return None, told["public_url"].rsplit("/", 1)[1], told["secret"]


def test_hooks_are_made_in_every_place_with_url_secret_and_events_and_their_deliveries_verify(hub: Hub) -> None:
    told = registered(hub_connection(hub, "north", "south"), events_subscribed=["made"])
    assert {hook["place"] for hook in hub.hooks.values()} == {"north", "south"}
    for hook_id, hook in hub.hooks.items():
        assert hook["url"] == told["public_url"]
        assert hook["events"] == ["made"]
        assert told["provider_hooks"][hook["place"]] == hook_id
    hook = hub.hooks["h1"]
    door = (None, hook["url"].rsplit("/", 1)[1], hook["secret"])
    assert post(door, {"kind": "made", "id": "1"}).status_code == 202
    entries = ConnectionHistory.objects.filter(operation="hooks_made").values_list("outcome", "detail")
    assert list(entries) == [("ok", "In north, south.")]


def test_a_secret_given_or_referred_to_is_the_one_the_hook_gets(hub: Hub) -> None:
    connection = hub_connection(hub, "north")
    registered(connection, secret="brought-by-the-customer")
    reference = secret_store().put(connection.tenant_id, "kept-in-the-store")
    registered(connection, secret_ref=reference)
    assert [hook["secret"] for hook in hub.hooks.values()] == ["brought-by-the-customer", "kept-in-the-store"]


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_provider_is_asked_and_each_hook_is_committed_before_the_next(
    hub: Hub,
) -> None:
    seen: list[dict[str, str]] = []

    def look() -> None:
        # The server's thread has a session of its own: it sees what is committed, and must not wait for a lock.
        seen.append(WebhookRegistration.objects.select_for_update(nowait=True).get().provider_hooks)
        database.close()

    def in_transaction() -> None:
        from django.db import transaction

        with transaction.atomic():
            look()

    hub.before_answer = in_transaction
    registered(hub_connection(hub, "north", "south"))
    # Two requests a place: it looks for the URL, then makes the hook.
    assert seen == [{"north": ""}, {"north": ""}, {"north": "h1", "south": ""}, {"north": "h1", "south": ""}]


def test_a_refusal_in_the_second_place_removes_the_hook_of_the_first_and_closes_the_door(hub: Hub) -> None:
    hub.refused_places = {"south"}
    response = client_of().post(doors(hub_connection(hub, "north", "south")), {"register": True})
    error = error_of(response, 409)
    assert error["code"] == "PROVIDER_REFUSED"
    assert "404" in error["message"]
    assert hub.hooks == {}
    assert (row().status, row().provider_hooks, row().hook_error) == ("deleted", {}, "")
    assert ConnectionHistory.objects.filter(operation="hooks_made", outcome="failed").exists()


def test_a_credential_that_is_refused_is_409_and_leaves_nothing(hub: Hub) -> None:
    connection = hub_connection(hub, "north", credential={"token": "revoked"})
    error = error_of(client_of().post(doors(connection), {"register": True}), 409)
    assert (error["code"], error["details"]["category"]) == ("PROVIDER_REFUSED", "auth")
    assert row().provider_hooks == {}


def test_a_provider_that_fails_is_502_and_what_it_may_have_made_is_looked_for_and_removed(hub: Hub) -> None:
    hub.faults = [0, "made-then-500"]
    error = error_of(client_of().post(doors(hub_connection(hub, "north")), {"register": True}), 502)
    assert error["code"] == "PROVIDER_FAILED"
    assert hub.hooks == {}
    assert row().provider_hooks == {}


def test_a_hook_that_may_be_left_is_said_to_the_client_and_shown_on_the_closed_door(hub: Hub) -> None:
    hub.faults = [0, "made-then-500", 500]
    error = error_of(client_of().post(doors(hub_connection(hub, "north")), {"register": True}), 502)
    assert "may be left in north" in error["message"]
    assert row().provider_hooks == {"north": ""}
    assert "remove it by hand" in row().hook_error
    assert row().hook_retry_at is None


def test_what_could_not_be_removed_after_a_failure_is_removed_by_the_task(hub: Hub) -> None:
    connection = hub_connection(hub, "north", "south")
    # north: look, make; south: look, fails; then looked for again, and north cannot be removed.
    hub.faults = [0, 0, 500, 500, 503]
    error_of(client_of().post(doors(connection), {"register": True}), 502)
    assert list(hub.hooks) == ["h1"]
    assert row().status == RegistrationStatus.DELETED
    assert row().provider_hooks == {"north": "h1", "south": ""}
    due_again()
    settle_due()
    assert hub.hooks == {}
    assert row().provider_hooks == {"south": ""}


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"status": ConnectionStatus.PENDING_VERIFICATION}, "CONNECTION_NOT_ACTIVE"),
        ({"status": ConnectionStatus.ERROR}, "CONNECTION_NOT_ACTIVE"),
        ({"credential": None}, "CREDENTIAL_REQUIRED"),
    ],
)
def test_a_connection_that_may_not_call_makes_no_hooks(hub: Hub, values: dict[str, Any], code: str) -> None:
    connection = hub_connection(hub, "north", **values)
    assert error_of(client_of().post(doors(connection), {"register": True}), 409)["code"] == code
    assert not WebhookRegistration.objects.exists()
    assert hub.asked == []


@pytest.mark.parametrize("places", [[], [f"p{n}" for n in range(51)]], ids=["none", "too many"])
def test_settings_that_name_no_places_or_too_many_are_refused_before_anything_is_made(
    hub: Hub, places: list[str]
) -> None:
    error = error_of(client_of().post(doors(hub_connection(hub, *places)), {"register": True}), 409)
    assert error["code"] == "HOOKS_NOT_POSSIBLE"
    assert not WebhookRegistration.objects.exists()


def test_a_provider_without_such_an_api_and_another_scheme_are_refused_at_their_places(hub: Hub) -> None:
    assert pointers_of(client_of().post(doors(make_connection()), {"register": True})) == {"/register"}
    connection = hub_connection(hub, "north")
    assert pointers_of(client_of().post(doors(connection), {"register": True, "scheme": "timed"})) == {"/scheme"}
    assert pointers_of(client_of().post(doors(connection), {"register": "yes"})) == {"/register"}


@pytest.mark.parametrize(
    ("public_url", "reachable"),
    [
        ("http://127.0.0.1:8000", False),
        ("https://10.0.0.8", False),
        ("https://localhost", False),
        ("https://signals", False),
        ("http://signals.example.com", False),
        ("https://signals.example.com", True),
        ("https://93.184.216.34", True),
    ],
)
def test_an_address_the_provider_cannot_reach_is_refused_in_clear_words(
    hub: Hub, settings: Any, public_url: str, reachable: bool
) -> None:
    settings.PUBLIC_BASE_URL = public_url
    # The provider is not one of our own network here; the call itself is refused by the address filter.
    settings.OUTBOUND_POLICY = OutboundPolicy.parse([])
    error = client_of().post(doors(hub_connection(hub, "north")), {"register": True}).json()["error"]
    assert (error["code"] != "PUBLIC_URL_UNREACHABLE") is reachable
    assert reachable or public_url in error["message"]


def test_deleting_a_registration_removes_its_hooks_and_gone_ones_are_no_failure(hub: Hub) -> None:
    connection = hub_connection(hub, "north", "south")
    told = registered(connection)
    del hub.hooks["h2"]
    assert client_of().delete(doors(connection, told["registration_id"])).status_code == 204
    assert hub.hooks == {}
    assert (row().provider_hooks, row().hook_error, row().hook_retry_at) == ({}, "", None)


def test_a_door_is_closed_even_if_the_provider_is_down_and_its_hooks_are_removed_later(hub: Hub) -> None:
    connection = hub_connection(hub, "north", "south")
    told = registered(connection)
    hub.outage = 503
    assert client_of().delete(doors(connection, told["registration_id"])).status_code == 204
    assert post(door_of(told), {"kind": "made"}).status_code == 404
    left = row()
    assert left.provider_hooks == {"north": "h1", "south": "h2"}
    assert "north, south" in left.hook_error
    assert left.hook_retry_at is not None
    assert timedelta(0) < left.hook_retry_at - timezone.now() <= PAUSES[0]
    assert settle_due() == 0  # not yet
    hub.outage = 0
    due_again()
    assert settle_due() == 1
    assert hub.hooks == {}
    assert (row().provider_hooks, row().hook_error, row().hook_retry_at) == ({}, "", None)


def test_a_place_that_refuses_does_not_keep_the_hook_of_another(hub: Hub) -> None:
    connection = hub_connection(hub, "north", "south")
    told = registered(connection)
    hub.refused_places = {"north"}
    client_of().delete(doors(connection, told["registration_id"]))
    assert [hook["place"] for hook in hub.hooks.values()] == ["north"]
    assert row().provider_hooks == {"north": "h1"}


def test_the_task_gives_up_after_a_bounded_number_of_tries_and_says_so(hub: Hub) -> None:
    connection = hub_connection(hub, "north")
    told = registered(connection)
    hub.outage = 500
    client_of().delete(doors(connection, told["registration_id"]))
    for _ in range(20):
        due_again()
        settle_due()
    assert row().hook_attempts == len(PAUSES) + 1
    assert row().hook_retry_at is None
    assert "by hand" in row().hook_error
    assert row().provider_hooks == {"north": "h1"}


def test_work_another_process_is_at_is_left_to_it_until_its_lease_ends(hub: Hub) -> None:
    connection = hub_connection(hub, "north")
    told = registered(connection)
    hub.outage = 500
    client_of().delete(doors(connection, told["registration_id"]))
    hub.outage = 0
    due_again()
    asked, read_before = len(hub.asked), row()
    assert _claimed(row()) is not None  # the other process, which then is slow
    assert settle_due() == 0
    assert settle(read_before) is None
    assert len(hub.asked) == asked
    due_again()  # its lease is over
    assert settle_due() == 1
    assert hub.hooks == {}


def test_deleting_the_connection_removes_its_hooks_while_there_is_a_credential(hub: Hub) -> None:
    connection = hub_connection(hub, "north")
    registered(connection)
    delete_connection(connection, actor="staff:ravi")
    assert hub.hooks == {}
    assert row().status == RegistrationStatus.DELETED


def test_hooks_left_when_the_connection_is_gone_are_shown_and_not_tried_without_a_credential(hub: Hub) -> None:
    connection = hub_connection(hub, "north")
    registered(connection)
    hub.outage = 500
    delete_connection(connection, actor="staff:ravi")
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.DELETED
    hub.outage, asked = 0, len(hub.asked)
    due_again()
    settle_due()
    assert len(hub.asked) == asked
    assert row().provider_hooks == {"north": "h1"}
    assert (row().hook_retry_at, "by hand" in row().hook_error) == (None, True)


def test_rotating_gives_the_hooks_the_new_secret_and_both_verify_meanwhile(hub: Hub) -> None:
    connection = hub_connection(hub, "north", "south")
    told = registered(connection)
    rotated = client_of().post(doors(connection, told["registration_id"], "rotate"), {}).json()
    assert {hook["secret"] for hook in hub.hooks.values()} == {rotated["secret"]}
    assert rotated["secret"] != told["secret"]
    for number, secret in enumerate((told["secret"], rotated["secret"])):
        assert post((None, door_of(told)[1], secret), {"kind": "made", "id": str(number)}).status_code == 202
    assert (row().hook_error, row().hook_retry_at) == ("", None)


def test_a_rotation_the_provider_was_not_told_of_is_told_when_asked_again(hub: Hub) -> None:
    connection = hub_connection(hub, "north")
    told = registered(connection)
    address = doors(connection, told["registration_id"], "rotate")
    hub.outage = 503
    error = error_of(client_of().post(address, {}), 502)
    assert "both verify" in error["message"]
    assert hub.hooks["h1"]["secret"] == told["secret"]
    assert post(door_of(told), {"kind": "made", "id": "1"}).status_code == 202
    assert client_of().get(doors(connection, told["registration_id"])).json()["diagnosis"]["code"] == "secret_untold"
    assert error_of(client_of().post(address, {"secret": "another-secret"}), 409)["code"] == "ROTATION_UNFINISHED"
    hub.outage = 0
    again = client_of().post(address, {}).json()
    assert again["secret_version"] == 2
    assert hub.hooks["h1"]["secret"] == again["secret"]
    assert again["hook_error"] == ""


def test_a_rotation_the_provider_was_not_told_of_is_told_by_the_task(hub: Hub) -> None:
    connection = hub_connection(hub, "north")
    told = registered(connection)
    hub.outage = 503
    client_of().post(doors(connection, told["registration_id"], "rotate"), {})
    hub.outage = 0
    due_again()
    settle_due()
    assert hub.hooks["h1"]["secret"] == secret_store().get(row().tenant_id, row().secret_ref)
    assert (row().hook_error, row().hook_retry_at) == ("", None)


def test_a_door_made_by_hand_is_closed_without_asking_the_provider(hub: Hub) -> None:
    connection = hub_connection(hub, "north")
    registration, _, _ = make_registration(connection)
    client_of().delete(doors(connection, str(registration.pk)))
    assert hub.asked == []


def test_neither_url_nor_secret_stands_in_an_error_or_in_the_history(hub: Hub) -> None:
    connection = hub_connection(hub, "north")
    told = registered(connection)
    hub.outage = 503
    errors = client_of().post(doors(connection, told["registration_id"], "rotate"), {}).content.decode()
    client_of().delete(doors(connection, told["registration_id"]))
    token = door_of(told)[1]
    evidence = errors + repr(list(ConnectionHistory.objects.values())) + repr(WebhookRegistration.objects.values())
    assert token not in evidence
    assert told["secret"] not in evidence
