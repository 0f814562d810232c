"""Doors of providers that sign nothing: shut, until somebody says by name that this is accepted."""

from __future__ import annotations

from typing import Any

import pytest

from connections.models import ConnectionHistory, ConnectionStatus
from connections.services import waive_signatures, withdraw_waiver
from events.models import AdapterEvent
from tests.api import CONNECTIONS, client_of, error_of, pointers_of
from tests.factories import GLOBEX, make_connection, make_registration
from tests.hub_provider import Hub, hub_connection, post
from tests.integration.test_webhook_road import Sender, issue_event
from webhooks.models import RejectedDelivery

pytestmark = pytest.mark.django_db

REASON = "The appliance cannot sign; its network is ours alone."


def test_an_unsigned_delivery_is_refused_without_a_waiver_and_after_it_is_withdrawn(hub: Hub) -> None:
    connection = hub_connection(hub)
    door = make_registration(connection, scheme="unsigned")
    assert post(door, {"kind": "made", "id": "1"}, scheme="unsigned").status_code == 401
    assert RejectedDelivery.objects.get().reason == "unsigned"
    waive_signatures(connection, actor="staff:ravi", reason=REASON)
    assert post(door, {"kind": "made", "id": "2"}, scheme="unsigned").status_code == 202
    withdraw_waiver(connection, actor="staff:ravi")
    assert post(door, {"kind": "made", "id": "3"}, scheme="unsigned").status_code == 401
    assert [event.proof for event in AdapterEvent.objects.all()] == ["unsigned:waived"]


def test_a_waiver_opens_no_signed_door(hub: Hub) -> None:
    connection = hub_connection(hub)
    waive_signatures(connection, actor="staff:ravi", reason=REASON)
    door = make_registration(connection, scheme="hmac")
    assert post(door, {"kind": "made"}, scheme="unsigned").status_code == 401
    assert not AdapterEvent.objects.exists()


def test_a_waiver_of_one_connection_opens_no_door_of_another(hub: Hub) -> None:
    waive_signatures(hub_connection(hub), actor="staff:ravi", reason=REASON)
    door = make_registration(hub_connection(hub, tenant_id=GLOBEX), scheme="unsigned")
    assert post(door, {"kind": "made"}, scheme="unsigned").status_code == 401


def test_the_api_accepts_with_a_reason_shows_who_and_why_and_takes_it_back() -> None:
    connection = make_connection()
    address = f"{CONNECTIONS}/{connection.pk}/waiver"
    told = client_of().post(address, {"reason": REASON}).json()["unsigned_waiver"]
    assert (told["accepted_by"], told["reason"]) == ("api:zoe", REASON)
    assert told["accepted_at"]
    assert client_of().delete(address).status_code == 204
    assert client_of().get(f"{CONNECTIONS}/{connection.pk}").json()["unsigned_waiver"] is None
    done = ConnectionHistory.objects.values_list("operation", "actor", "detail").order_by("entry_id")
    assert list(done) == [("signatures_waived", "api:zoe", REASON), ("waiver_withdrawn", "api:zoe", "")]


@pytest.mark.parametrize("body", [{}, {"reason": "because"}, {"reason": " " * 40}, {"reason": "x" * 501}])
def test_without_a_real_reason_nothing_is_accepted(body: dict[str, Any]) -> None:
    connection = make_connection()
    assert pointers_of(client_of().post(f"{CONNECTIONS}/{connection.pk}/waiver", body)) == {"/reason"}
    connection.refresh_from_db()
    assert not connection.waives_signatures


def test_where_every_scheme_signs_there_is_nothing_to_waive() -> None:
    connection = make_connection("github")
    error = error_of(client_of().post(f"{CONNECTIONS}/{connection.pk}/waiver", {"reason": REASON}), 409)
    assert error["code"] == "NOTHING_TO_WAIVE"


def test_an_unsigned_door_is_made_only_under_a_waiver_and_has_no_secret() -> None:
    connection = make_connection()
    address = f"{CONNECTIONS}/{connection.pk}/webhooks"
    refused = error_of(client_of().post(address, {"scheme": "unsigned"}), 409)
    assert refused["code"] == "WAIVER_REQUIRED"
    waive_signatures(connection, actor="staff:ravi", reason=REASON)
    made = client_of().post(address, {"scheme": "unsigned"}).json()
    assert made["secret"] is None
    assert pointers_of(client_of().post(address, {"scheme": "unsigned", "secret": "useless-here"})) == {"/secret"}
    rotate = f"{address}/{made['registration_id']}/rotate"
    assert error_of(client_of().post(rotate, {}), 409)["code"] == "NOTHING_TO_ROTATE"


def test_an_unsigned_delivery_opens_a_connection_that_only_receives_and_the_history_says_what_it_is_worth() -> None:
    connection = make_connection(
        status=ConnectionStatus.PENDING_VERIFICATION, credential=None, enabled_capabilities={"webhook": True}
    )
    waive_signatures(connection, actor="staff:ravi", reason=REASON)
    door = make_registration(connection, scheme="unsigned")
    path = f"/v1/integrations/webhooks/fake/{door[1]}"
    assert Sender().client.post(path, issue_event(), content_type="application/json").status_code == 202
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ACTIVE
    detail = ConnectionHistory.objects.get(connection=connection, operation="verified").detail
    assert detail == "The first delivery came. It proves nothing, which staff:ravi accepted."
