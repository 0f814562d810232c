"""Circuit breakers as staff see them: on the page of their connection, in a list, in the metrics."""

from __future__ import annotations

import pytest
from django.test import Client

from connections import breaker
from connections.breaker import RESTS_SECONDS, BreakerOpen
from connections.breaker_models import BreakerState, ConnectionBreaker
from connections.models import ConnectionHistory, IncidentStatus
from tests.breakers import fail, later, opened
from tests.factories import GLOBEX, make_connection
from tests.incidents import only
from tests.staff import auditor, list_of, operator, page_of, select

pytestmark = pytest.mark.django_db


def test_the_page_of_a_connection_says_how_its_breaker_stands() -> None:
    connection = make_connection()
    client = auditor()
    assert "circuit breaker" in client.get(page_of(connection)).content.decode().lower()
    fail(connection, breaker.OPENS_AFTER)
    page = client.get(page_of(connection)).content.decode()
    assert "5 failed in a row" in page
    assert page_of(ConnectionBreaker.objects.get()) in page


def test_the_page_of_a_breaker_says_why_and_until_when() -> None:
    connection = opened()
    page = auditor().get(page_of(ConnectionBreaker.objects.get())).content.decode()
    for words in (str(connection), "The provider failed (503).", ">open<"):
        assert words in page
    later(RESTS_SECONDS)
    assert ">half open<" in auditor().get(page_of(ConnectionBreaker.objects.get())).content.decode()


def test_the_list_shows_those_that_are_not_closed_unless_others_are_asked_for() -> None:
    failing, broken, held = make_connection(), opened(), make_connection(tenant_id=GLOBEX)
    fail(failing)
    client = operator()
    client.post(page_of(held, "hold-breaker-open"), {"reason": "maintenance"})
    wanted = {"": {broken.pk, held.pk}, "open": {broken.pk}, "held": {held.pk}, "closed": {failing.pk}}
    for value, found in wanted.items():
        listed = client.get(list_of(ConnectionBreaker), {"standing": value} if value else {})
        assert {row.pk for row in listed.context["cl"].result_list} == found, value


def test_staff_hold_a_breaker_that_never_failed_and_give_it_back() -> None:
    connection = make_connection()
    client = operator()
    client.post(page_of(connection, "hold-breaker-open"), {"reason": "their maintenance"})
    with pytest.raises(BreakerOpen):
        breaker.admit(connection)
    row = ConnectionBreaker.objects.get()
    client.post(page_of(row, "hold-breaker-closed"), {"reason": "it is over"})
    fail(connection, 2 * breaker.OPENS_AFTER)
    client.post(page_of(connection, "reset-breaker"))
    assert breaker.state_of(connection).held is False
    told = ConnectionHistory.objects.filter(connection=connection).order_by("entry_id")
    assert list(told.values_list("operation", "actor", "detail")) == [
        ("breaker_held_open", "staff:operator-zoe", "their maintenance"),
        ("breaker_held_closed", "staff:operator-zoe", "it is over"),
        ("breaker_reset", "staff:operator-zoe", ""),
    ]


def test_a_decision_needs_a_reason() -> None:
    connection = make_connection()
    assert operator().post(page_of(connection, "hold-breaker-open"), {"reason": ""}).status_code == 200
    assert breaker.state_of(connection).held is False


def test_several_are_reset_at_once() -> None:
    connections = [opened(), opened()]
    select(operator(), list(ConnectionBreaker.objects.all()), "reset_breaker", confirmed="yes")
    assert {breaker.state_of(connection).state for connection in connections} == {BreakerState.CLOSED}


def test_resetting_ends_the_incident_by_name() -> None:
    connection = opened()
    operator().post(page_of(connection, "reset-breaker"))
    assert (only().status, only().resolution) == (IncidentStatus.RESOLVED, "Reset by staff:operator-zoe.")


def test_a_breaker_offers_only_the_verbs_that_make_sense() -> None:
    connection = make_connection()
    client = operator()
    page = client.get(page_of(connection)).content.decode()
    assert page_of(connection, "hold-breaker-open") in page
    assert page_of(connection, "reset-breaker") not in page
    client.post(page_of(connection, "hold-breaker-open"), {"reason": "maintenance"})
    page = client.get(page_of(connection)).content.decode()
    assert page_of(connection, "hold-breaker-open") not in page
    assert page_of(connection, "reset-breaker") in page


def test_an_auditor_decides_nothing() -> None:
    connection = opened()
    row = ConnectionBreaker.objects.get()
    for target, verb in ((connection, "reset-breaker"), (row, "reset-breaker"), (row, "hold-breaker-closed")):
        assert auditor().post(page_of(target, verb), {"reason": "because"}).status_code == 403
    assert breaker.state_of(connection).state == BreakerState.OPEN


def test_breakers_that_are_not_closed_are_a_gauge() -> None:
    fail(make_connection())
    for _ in range(2):
        opened()
    held = make_connection()
    operator().post(page_of(held, "hold-breaker-closed"), {"reason": "drill"})
    text = Client().get("/metrics").content.decode()
    assert 'integration_breakers{held="no",provider="fake",state="open"} 2.0' in text
    assert 'integration_breakers{held="yes",provider="fake",state="closed"} 1.0' in text
    assert "# HELP integration_breaker_opens_total" in text
