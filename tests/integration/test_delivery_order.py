"""Whose turn it is: order within one entity, and no tenant, entity or event that holds up another."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from connections.models import IntegrationConnection
from events.claiming import _claim_plainly, claim, wake_next
from events.models import AdapterEvent, DeliveryStatus, Source
from events.outbox import deliver_batch
from events.services import record, replay
from events.tasks import deliver_due
from providers.canonical import SignalType
from providers.spi import ProviderEvent
from tests.factories import ACME, GLOBEX, make_connection
from tests.integration.test_delivery import issue, make_due, stored
from tests.integration.test_event_roads_hardening import at_once
from tests.neighbours import Pm3Stub

pytestmark = pytest.mark.django_db

CLOSED = {"event_type": "issue.closed", "signal_type": SignalType.ISSUE_CLOSED}


def receive(connection: IntegrationConnection, *events: ProviderEvent, source: Source = Source.WEBHOOK) -> None:
    """One after the other, each by itself, so that the order of receipt is theirs."""
    for event in events:
        record(connection, [event], source)


def statuses(*numbers: int) -> list[str]:
    return [stored(number).delivery_status for number in numbers]


def arrived(pm3: Pm3Stub) -> list[int]:
    """Numbers of the issues, in the order in which the ingestion service took them."""
    return [int(s["payload"]["canonical_keys"]["issue_key"].removeprefix("WEB-")) for s in pm3.signals.values()]


# --- order within one entity --------------------------------------------------------------------------


def test_one_entitys_events_arrive_in_the_order_they_came_in(pm3: Pm3Stub) -> None:
    connection = make_connection()
    receive(connection, *(issue(number, ordering_key="issue:A") for number in range(12)))
    assert deliver_due() == 12
    assert arrived(pm3) == list(range(12))


def test_order_is_kept_over_an_outage_and_retries(pm3: Pm3Stub) -> None:
    connection = make_connection()
    receive(connection, *(issue(number, ordering_key=f"issue:{number % 2}") for number in range(8)))
    pm3.outage = 503
    for _ in range(3):
        deliver_batch()
        make_due()
    pm3.outage = 0
    assert deliver_due() == 8
    assert [n for n in arrived(pm3) if n % 2] == [1, 3, 5, 7]
    assert [n for n in arrived(pm3) if not n % 2] == [0, 2, 4, 6]


def test_a_failure_holds_up_its_own_entity_only(pm3: Pm3Stub) -> None:
    pm3.answers["issue_created"] = {"status": "rejected", "error_code": "ROUTING_ERROR"}
    connection = make_connection()
    first, second = issue(1, ordering_key="issue:A"), issue(2, ordering_key="issue:A", **CLOSED)
    receive(connection, first, second, issue(3, ordering_key="issue:B", **CLOSED), issue(4, **CLOSED))
    deliver_due()
    assert statuses(1, 2, 3, 4) == ["failed", "pending", "delivered", "delivered"]
    pm3.answers.clear()
    AdapterEvent.objects.filter(dedupe_key="event:1").update(next_attempt_at=Now(), updated_at=Now())
    assert deliver_due() == 2
    assert arrived(pm3)[-2:] == [1, 2]


def test_a_dead_event_lets_the_next_of_its_entity_go_on_at_once(pm3: Pm3Stub) -> None:
    pm3.answers["issue_created"] = {"status": "rejected", "error_code": "SCHEMA_VIOLATION"}
    receive(
        make_connection(),
        issue(1, ordering_key="issue:A"),
        issue(2, ordering_key="issue:A", **CLOSED),
        issue(3, ordering_key="issue:A", **CLOSED),
    )
    deliver_due()
    assert statuses(1, 2, 3) == ["dead", "delivered", "delivered"]


def test_an_event_that_cannot_be_mapped_lets_the_next_of_its_entity_go_on(pm3: Pm3Stub) -> None:
    receive(make_connection(), *(issue(number, ordering_key="issue:A") for number in (1, 2)))
    AdapterEvent.objects.filter(dedupe_key="event:1").update(signal_type="no_such_type")
    deliver_due()
    assert statuses(1, 2) == ["dead", "delivered"]


def test_one_bad_envelope_holds_up_neither_its_batch_nor_its_entity(pm3: Pm3Stub) -> None:
    pm3.poison = "skull"
    connection = make_connection()
    receive(
        connection,
        issue(1, ordering_key="issue:A", issue={"title": "skull"}),
        issue(2, ordering_key="issue:A"),
        *(issue(number, ordering_key=f"issue:{number}") for number in range(3, 9)),
    )
    deliver_due()
    assert statuses(*range(1, 9)) == ["dead", *["delivered"] * 7]


def test_a_superseded_event_lets_the_next_of_its_entity_go_on(pm3: Pm3Stub) -> None:
    connection = make_connection()
    receive(connection, issue(1, happening="h"))
    deliver_due()
    polled = [issue(2, happening="h", ordering_key="issue:A"), issue(3, ordering_key="issue:A")]
    receive(connection, *polled, source=Source.POLL)
    deliver_due()
    assert statuses(2, 3) == ["ignored", "delivered"]


def test_what_arrives_out_of_order_is_delivered_as_it_arrived_and_keeps_the_providers_time(pm3: Pm3Stub) -> None:
    connection = make_connection()
    late, early = issue(1, ordering_key="issue:A"), issue(2, ordering_key="issue:A")
    late.payload["at"], early.payload["at"] = "2026-11-20T12:00:00Z", "2026-11-20T11:00:00Z"
    receive(connection, late, early)
    deliver_due()
    assert [s["occurred_at"] for s in pm3.signals.values()] == ["2026-11-20T12:00:00.000Z", "2026-11-20T11:00:00.000Z"]


def test_a_replayed_event_goes_before_what_came_after_it(pm3: Pm3Stub) -> None:
    connection = make_connection()
    receive(connection, issue(1, ordering_key="issue:A"))
    deliver_due()
    receive(connection, issue(2, ordering_key="issue:A"))
    replay(AdapterEvent.objects.filter(dedupe_key="event:1"), actor="staff:zoe")
    assert [event.dedupe_key for event in claim(10).events] == ["event:1"]


def test_nothing_overtakes_an_event_whose_worker_was_killed(settings: Any, pm3: Pm3Stub) -> None:
    receive(make_connection(), *(issue(number, ordering_key="issue:A") for number in (1, 2)))
    assert [event.dedupe_key for event in claim(10).events] == ["event:1"]  # and then it was killed
    assert deliver_due() == 0
    assert statuses(1, 2) == ["pending", "pending"]
    AdapterEvent.objects.filter(dedupe_key="event:1").update(next_attempt_at=Now(), updated_at=Now())  # its lease ended
    assert deliver_due() == 2
    assert arrived(pm3) == [1, 2]


def test_an_event_that_waits_for_one_that_vanished_waits_as_long_as_a_lease(settings: Any) -> None:
    receive(make_connection(), *(issue(number, ordering_key="issue:A") for number in (1, 2)))
    claim(10)
    stored(1).delete()
    assert stored(2).next_attempt_at - stored(2).updated_at == timedelta(seconds=settings.DELIVERY_LEASE_SECONDS)
    make_due()
    assert [event.dedupe_key for event in claim(10).events] == ["event:2"]


def test_an_event_that_failed_keeps_the_pause_it_was_given(pm3: Pm3Stub) -> None:
    pm3.answers["issue_created"] = {"status": "rejected", "error_code": "ROUTING_ERROR"}
    connection = make_connection()
    receive(connection, issue(1, ordering_key="issue:A", **CLOSED), issue(2, ordering_key="issue:A"))
    deliver_due()
    assert statuses(1, 2) == ["delivered", "failed"]
    due = stored(2).next_attempt_at
    replay(AdapterEvent.objects.filter(dedupe_key="event:1"), actor="staff:zoe")
    assert deliver_due() == 1
    assert stored(2).next_attempt_at == due


def fail_behind_a_replayed_event(pm3: Pm3Stub, connection: IntegrationConnection, entities: range) -> None:
    """Two events an entity: the later one failed, then the one before it is asked for again and fails as well."""
    receive(connection, *(issue(n, ordering_key=f"issue:{n}") for n in entities))
    deliver_due()
    receive(connection, *(issue(100 + n, ordering_key=f"issue:{n}") for n in entities))
    pm3.outage = 503
    deliver_due()
    replay(AdapterEvent.objects.filter(dedupe_key__in=[f"event:{n}" for n in entities]), actor="staff:zoe")
    deliver_due()
    pm3.outage = 0
    assert statuses(*entities, *(100 + n for n in entities)) == ["failed"] * 2 * len(entities)


def pauses_are_over() -> None:
    failed = AdapterEvent.objects.filter(delivery_status=DeliveryStatus.FAILED)
    failed.update(next_attempt_at=F("next_attempt_at") - timedelta(hours=1), updated_at=Now())


def test_failed_events_that_wait_for_a_replayed_one_do_not_stop_their_tenant(pm3: Pm3Stub, settings: Any) -> None:
    settings.DELIVERY_BATCH_SIZE = 1  # the window is smaller than the number of those that wait
    connection = make_connection()
    fail_behind_a_replayed_event(pm3, connection, range(8))
    pauses_are_over()
    receive(connection, issue(99))
    assert deliver_due() == 17
    assert [n for n in arrived(pm3) if n % 100 == 3] == [3, 103]


def test_a_failed_event_that_was_parked_goes_on_at_once_when_its_turn_comes(pm3: Pm3Stub) -> None:
    fail_behind_a_replayed_event(pm3, make_connection(), range(1))
    pauses_are_over()
    first = claim(1)
    assert ([event.dedupe_key for event in first.events], first.parked) == (["event:0"], 1)
    assert stored(100).next_attempt_at > stored(100).updated_at
    AdapterEvent.objects.filter(dedupe_key="event:0").update(delivery_status=DeliveryStatus.DELIVERED)
    wake_next(first.events)
    assert stored(100).next_attempt_at < stored(100).updated_at
    wake_next(first.events)  # what was woken is not parked any more
    assert [event.dedupe_key for event in claim(1).events] == ["event:100"]


def test_what_waits_for_a_long_pause_is_not_looked_at_before_that_is_over(pm3: Pm3Stub) -> None:
    receive(make_connection(), *(issue(number, ordering_key="issue:A") for number in range(3)))
    pause_ends = timezone.now() + timedelta(minutes=9)
    AdapterEvent.objects.filter(dedupe_key="event:0").update(delivery_status="failed", next_attempt_at=pause_ends)
    assert claim(10).parked == 2
    assert {stored(number).next_attempt_at for number in (1, 2)} == {pause_ends}


@pytest.mark.django_db(transaction=True)
def test_order_is_kept_by_several_workers_whose_leases_end_and_calls_fail(
    pm3: Pm3Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = make_connection()
    for turn in range(10):
        record(connection, [issue(3 * turn + n, ordering_key=f"issue:{n}") for n in range(3)], Source.WEBHOOK)
    requests: list[int] = []
    handle = pm3.handle

    def fails_now_and_then(*request: Any) -> tuple[int, Any]:
        requests.append(1)
        return (503, {}) if len(requests) % 4 == 0 else handle(*request)

    monkeypatch.setattr(pm3, "handle", fails_now_and_then)
    done = threading.Event()

    def work(number: int) -> None:
        while not done.is_set():
            deliver_batch(limit=2)
            if number == 0:
                # Failures are due again, and every lease is over, whoever holds it.
                waiting = list(AdapterEvent.objects.filter(delivery_status__in=["pending", "failed"]))
                for event in waiting:
                    AdapterEvent.objects.filter(pk=event.pk).update(next_attempt_at=Now(), updated_at=Now())
                if not waiting:
                    done.set()

    at_once(3, work)
    for entity in range(3):
        assert [n for n in arrived(pm3) if n % 3 == entity] == list(range(entity, 30, 3))


# --- fairness -----------------------------------------------------------------------------------------


def test_one_tenants_backlog_does_not_hold_up_another_tenants_event(pm3: Pm3Stub) -> None:
    busy, quiet = make_connection(), make_connection(tenant_id=GLOBEX)
    record(busy, [issue(number) for number in range(300)], Source.POLL)
    record(quiet, [issue(1)], Source.WEBHOOK)
    done = deliver_batch(limit=10)
    assert done.delivered == 10  # a batch that others leave room in is filled
    assert AdapterEvent.objects.get(tenant_id=GLOBEX).delivery_status == DeliveryStatus.DELIVERED


def test_where_a_batch_is_too_small_for_all_tenants_they_take_turns() -> None:
    for number in range(7):
        record(make_connection(tenant_id=f"tenant-{number}"), [issue(n) for n in range(20)], Source.POLL)
    served: list[str] = []
    for _ in range(7):
        events = claim(2).events
        assert len({event.tenant_id for event in events}) == 2
        served += [event.tenant_id for event in events]
    assert {served.count(tenant_id) for tenant_id in served} == {2}


def test_tenants_whose_events_wait_for_a_later_try_take_nobodys_turn() -> None:
    for number in range(5):
        record(make_connection(tenant_id=f"tenant-{number}"), [issue(number)], Source.WEBHOOK)
    AdapterEvent.objects.update(delivery_status="failed", next_attempt_at=Now() + timedelta(minutes=5))
    record(make_connection(tenant_id="zeta"), [issue(9)], Source.WEBHOOK)
    for _ in range(3):
        (event,) = claim(2).events
        assert event.tenant_id == "zeta"
        AdapterEvent.objects.filter(pk=event.pk).update(next_attempt_at=Now(), updated_at=Now())


def test_what_waits_for_one_entity_does_not_hide_the_others(pm3: Pm3Stub) -> None:
    pm3.answers["issue_created"] = {"status": "rejected", "error_code": "ROUTING_ERROR"}
    connection = make_connection()
    record(connection, [issue(0, ordering_key="issue:A")], Source.WEBHOOK)
    for number in range(1, 60):
        record(connection, [issue(number, ordering_key="issue:A", **CLOSED)], Source.WEBHOOK)
    record(connection, [issue(99, ordering_key="issue:B", **CLOSED)], Source.WEBHOOK)
    looked_at = 0
    while stored(99).delivery_status != DeliveryStatus.DELIVERED:
        done = deliver_batch(limit=5)
        assert done.claimed + done.parked > 0
        looked_at += done.claimed + done.parked
    assert looked_at == 61
    # Nobody looks at them again while the first one waits.
    assert (deliver_batch(limit=5).claimed, deliver_batch(limit=5).parked) == (0, 0)


def test_a_tenant_that_is_behind_gets_no_less_than_its_share() -> None:
    busy, quiet = make_connection(), make_connection(tenant_id=GLOBEX)
    record(quiet, [issue(number) for number in range(50)], Source.POLL)
    record(busy, [issue(number) for number in range(50)], Source.POLL)
    AdapterEvent.objects.filter(tenant_id=ACME).update(next_attempt_at=F("next_attempt_at") - timedelta(hours=3))
    owners = [event.tenant_id for event in claim(20).events]
    assert (owners.count(ACME), owners.count(GLOBEX)) == (10, 10)


def test_databases_without_row_locks_give_tenants_turns_and_keep_order_too() -> None:
    busy, quiet = make_connection(), make_connection(tenant_id=GLOBEX)
    record(busy, [issue(number) for number in range(30)], Source.POLL)
    receive(quiet, *(issue(number, ordering_key="issue:A") for number in range(3)))
    keys = _claim_plainly(10, uuid.uuid4())
    owners = list(AdapterEvent.objects.filter(pk__in=keys).values_list("tenant_id", flat=True))
    assert (owners.count(ACME), owners.count(GLOBEX)) == (5, 1)
    assert AdapterEvent.objects.get(pk__in=keys, tenant_id=GLOBEX).dedupe_key == "event:0"
