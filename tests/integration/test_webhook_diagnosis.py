"""Why is this quiet, or failing: one line for each way a door can stand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connections.models import ConnectionStatus, IntegrationConnection
from connections.services import waive_signatures
from events.models import DeliveryStatus
from providers.spi import TEST_DELIVERY
from tests.api import CONNECTIONS, client_of
from tests.factories import make_connection, make_event, make_quarantined, make_registration, make_rejection
from tests.hub_provider import Hub, hub_connection
from webhooks.diagnosis import EVENTS_LOOKED_AT, Diagnosis, diagnose, diagnose_connection
from webhooks.models import RegistrationStatus, WebhookRegistration

pytestmark = pytest.mark.django_db


def minutes(number: float) -> datetime:
    return timezone.now() - timedelta(minutes=number)


def door(connection: IntegrationConnection | None = None, **values: Any) -> WebhookRegistration:
    """A door that took a delivery three minutes ago."""
    values.setdefault("last_received_at", minutes(3))
    registration, _, _ = make_registration(connection or make_connection(), **values)
    return registration


def line(registration: WebhookRegistration) -> Diagnosis:
    row = WebhookRegistration.objects.select_related("connection").get(pk=registration.pk)
    return diagnose([row])[row.pk]


def facts_line(registration: WebhookRegistration, now: datetime) -> str:
    """The line as it is at that time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("webhooks.diagnosis.timezone.now", lambda: now)
        return line(registration).summary


def test_a_door_that_takes_deliveries_is_fine() -> None:
    found = line(door())
    assert (found.state, found.code, found.summary) == ("ok", "fine", "The last delivery came 3 min ago.")
    assert (found.advice, found.others) == ("", ())


def test_a_new_door_waits_and_an_older_one_that_is_silent_needs_attention() -> None:
    fresh = door(last_received_at=None, status=RegistrationStatus.PENDING)
    assert (line(fresh).state, line(fresh).code) == ("waiting", "never_received")
    WebhookRegistration.objects.update(created_at=minutes(200))
    found = line(fresh)
    assert found.state == "attention"
    assert "3 h ago" in found.summary
    assert found.advice.startswith("Enter the URL and the secret at the provider")


def test_lengths_of_less_than_a_second_read_as_words() -> None:
    fresh = door(last_received_at=None, status=RegistrationStatus.PENDING)
    assert facts_line(fresh, fresh.created_at) == "Nothing has arrived since it was made, a moment ago."


def test_an_unsigned_door_says_who_accepted_that_and_asks_for_no_secret() -> None:
    connection = make_connection()
    waive_signatures(connection, actor="staff:ravi", reason="The appliance cannot sign.")
    silent = door(connection, scheme="unsigned", secret_ref="", last_received_at=None)
    assert line(silent).advice == "Enter the URL at the provider, then have it send a test."
    fine = line(door(connection, scheme="unsigned", secret_ref=""))
    assert (fine.state, fine.code) == ("ok", "fine")
    assert fine.others == ("Deliveries prove nothing here; staff:ravi accepted that: The appliance cannot sign.",)


def test_a_silent_door_with_hooks_says_that_they_were_made(hub: Hub) -> None:
    silent = door(hub_connection(hub, "north"), last_received_at=None)
    assert line(silent).advice.startswith("Make the hook at the provider")
    WebhookRegistration.objects.update(provider_hooks={"north": "h1"})
    assert "though 1 hook was made at the provider" in line(silent).summary


def test_hooks_that_are_missing_in_some_places_are_named(hub: Hub) -> None:
    found = line(door(hub_connection(hub, "north", "south"), provider_hooks={"north": "h1"}))
    assert (found.state, found.code, found.summary) == (
        "attention",
        "hooks_missing",
        "No hook at the provider in south.",
    )


def test_refusals_say_how_many_since_when_and_what_to_do() -> None:
    failing = door(last_received_at=minutes(30))
    make_rejection(failing, number=7, at=minutes(2))
    found = line(failing)
    assert (found.state, found.code) == ("failing", "refused")
    assert found.summary.startswith("7 deliveries were refused since ")
    assert "the last 2 min ago: their signature was made with another secret" in found.summary
    assert found.advice.startswith("Rotate the secret")


def test_refusals_while_others_are_taken_need_attention_only() -> None:
    mixed = door(last_received_at=minutes(1))
    make_rejection(mixed, number=1, at=minutes(5))
    found = line(mixed)
    assert (found.state, found.code) == ("attention", "refused")
    assert found.summary.startswith("1 delivery was refused")
    assert found.summary.endswith("Others are taken.")


def test_refusals_of_long_ago_are_over() -> None:
    recovered = door()
    make_rejection(recovered, at=minutes(61))
    assert line(recovered).code == "fine"


def test_too_many_deliveries_are_told_as_such() -> None:
    busy = door()
    make_rejection(busy, reason="rate_limited", number=40, at=minutes(2))
    found = line(busy)
    assert (found.state, found.code) == ("attention", "rate_limited")
    assert "WEBHOOK_RATE_PER_CONNECTION" in found.advice


def test_a_quarantine_that_fills_needs_attention_and_a_full_one_fails(settings: Any) -> None:
    settings.WEBHOOK_QUARANTINE_SIZE = 3
    unreadable = door()
    for _ in range(2):
        make_quarantined(unreadable)
    found = line(unreadable)
    assert (found.state, found.code) == ("attention", "quarantined")
    assert found.summary.endswith("could not be read: 2 because the body is not what the provider documents.")
    settings.WEBHOOK_QUARANTINE_SIZE = 2
    assert (line(unreadable).state, line(unreadable).code) == ("failing", "quarantine_full")


def test_each_reason_has_room_of_its_own_and_unknown_accounts_put_nothing_off(settings: Any) -> None:
    settings.WEBHOOK_QUARANTINE_SIZE = 2
    unreadable = door()
    make_quarantined(unreadable)
    for _ in range(2):
        make_quarantined(unreadable, reason="unrouted")
    assert (line(unreadable).state, line(unreadable).code) == ("attention", "quarantined")


def test_trouble_on_the_way_to_the_platform_is_not_blamed_on_the_provider() -> None:
    stuck = door()
    assert stuck.connection is not None
    make_event(stuck.connection, registration_id=stuck.pk, delivery_status=DeliveryStatus.DELIVERED)
    make_event(
        stuck.connection, registration_id=stuck.pk, delivery_status=DeliveryStatus.FAILED, last_error_code="HTTP_503"
    )
    found = line(stuck)
    assert (found.state, found.code) == ("attention", "undelivered")
    assert found.summary == "1 of the last 2 events did not reach the platform (HTTP_503), 0 for good."
    make_event(stuck.connection, registration_id=stuck.pk, delivery_status=DeliveryStatus.DEAD)
    assert line(stuck).state == "failing"


def test_only_test_deliveries_and_only_unknown_events_are_told_apart() -> None:
    tested = door()
    assert tested.connection is not None
    ignored = {"registration_id": tested.pk, "delivery_status": DeliveryStatus.IGNORED}
    make_event(tested.connection, ignored_reason=TEST_DELIVERY, **ignored)
    assert (line(tested).state, line(tested).code) == ("waiting", "only_tests")
    make_event(tested.connection, ignored_reason="unknown event type", **ignored)
    found = line(tested)
    assert (found.state, found.code) == ("attention", "only_ignored")
    assert found.summary == "All of the last 2 events became no signal: unknown event type."
    make_event(tested.connection, registration_id=tested.pk)
    assert line(tested).code == "fine"


def test_polled_events_and_those_of_another_door_say_nothing_about_this_one() -> None:
    mine = door()
    assert mine.connection is not None
    other = door(mine.connection)
    make_event(mine.connection, source="poll", delivery_status=DeliveryStatus.DEAD)
    make_event(mine.connection, registration_id=other.pk, delivery_status=DeliveryStatus.DEAD)
    assert line(mine).code == "fine"
    assert line(other).code == "undelivered"


@pytest.mark.parametrize(
    ("registration", "connection", "code"),
    [
        ({"status": RegistrationStatus.SUSPENDED}, {}, "suspended"),
        ({"status": RegistrationStatus.DELETED}, {}, "deleted"),
        ({"status": RegistrationStatus.DELETED, "provider_hooks": {"north": "h1"}}, {}, "hooks_left"),
        ({}, {"status": ConnectionStatus.SUSPENDED}, "connection_suspended"),
    ],
)
def test_what_is_off_says_so_and_nothing_else(
    registration: dict[str, Any], connection: dict[str, Any], code: str
) -> None:
    closed = door(make_connection(**connection), **registration)
    make_rejection(closed, at=minutes(2))
    assert line(closed).code == code
    assert line(closed).others == ()


def test_an_unsigned_door_without_a_waiver_fails_and_with_one_is_fine() -> None:
    unsigned = door(scheme="unsigned")
    assert (line(unsigned).state, line(unsigned).code) == ("failing", "unsigned")
    assert unsigned.connection is not None
    waive_signatures(unsigned.connection, actor="staff:ravi", reason="Only for this test of ours.")
    assert line(unsigned).code == "fine"


def test_a_scheme_this_deployment_does_not_have_fails() -> None:
    assert line(door(scheme="hmac", secret="a secret of ours")).code == "fine"
    WebhookRegistration.objects.update(scheme="of-another-release")
    assert line(WebhookRegistration.objects.get()).code == "scheme_missing"


def test_a_door_that_was_busy_and_fell_silent_is_told_after_a_week() -> None:
    found = line(door(last_received_at=minutes(9 * 24 * 60)))
    assert (found.state, found.code, found.summary) == ("waiting", "quiet", "Nothing has arrived for 9 d.")


def test_the_most_urgent_finding_comes_first_and_the_others_behind_it() -> None:
    troubled = door(last_received_at=minutes(30))
    make_rejection(troubled, at=minutes(2))
    make_rejection(troubled, reason="rate_limited", at=minutes(2))
    make_quarantined(troubled)
    found = line(troubled)
    assert found.code == "refused"
    assert [other.partition(" ")[2][:20] for other in found.others] == ["deliveries were put ", "came through that co"]


def test_a_connection_tells_of_its_most_urgent_door() -> None:
    connection = make_connection()
    assert diagnose_connection(connection).code == "no_door"
    door(connection)
    assert diagnose_connection(connection).code == "fine"
    failing = door(connection, last_received_at=minutes(30))
    make_rejection(failing, at=minutes(2))
    found = diagnose_connection(connection)
    assert found.code == "refused"
    assert any("The last delivery came" in other for other in found.others)
    connection.enabled_capabilities = {"webhook": False}
    assert diagnose_connection(connection).code == "not_used"


def test_a_list_of_doors_costs_as_many_statements_as_one() -> None:
    connection = make_connection()
    counts = []
    for _ in range(2):
        for _ in range(5):
            make_event(connection, registration_id=door(connection).pk)
        with CaptureQueriesContext(database) as captured:
            client_of().get(f"{CONNECTIONS}/{connection.pk}/webhooks")
        counts.append(len([q for q in captured.captured_queries if "stored_secrets" not in q["sql"]]))
    assert counts[0] == counts[1]


def test_of_many_events_only_the_newest_are_looked_at() -> None:
    registration = door()
    assert registration.connection is not None
    make_event(registration.connection, registration_id=registration.pk, delivery_status=DeliveryStatus.DEAD)
    for _ in range(EVENTS_LOOKED_AT):
        make_event(registration.connection, registration_id=registration.pk)
    assert line(registration).code == "fine"


def test_the_api_shows_it() -> None:
    registration = door(last_received_at=minutes(30))
    make_rejection(registration, at=minutes(2))
    address = f"{CONNECTIONS}/{registration.connection_id}/webhooks"
    for told in (
        client_of().get(address).json()["results"][0],
        client_of().get(f"{address}/{registration.pk}").json(),
    ):
        assert set(told["diagnosis"]) == {"state", "code", "summary", "advice", "others"}
        assert told["diagnosis"]["code"] == "refused"
