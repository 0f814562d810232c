"""From a stored row to a delivered signal, against a real HTTP ingestion service."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.db.models.functions import Now
from django.utils import timezone

from connections.models import IntegrationConnection
from events.claiming import claim
from events.envelope import problems, signal_id
from events.ledger import Ledger, ledger
from events.mapping import seal_event
from events.models import AdapterEvent, DeliveryAttempt, DeliveryStatus, SignalProducer, Source
from events.outbox import Delivered, _mark_delivered, deliver_batch
from events.retention import purge_batch
from events.services import hold_back, record, replay
from providers.canonical import SignalType
from providers.spi import ProviderEvent
from tests.factories import ACME, GLOBEX, make_connection
from tests.neighbours import Pm3Stub

pytestmark = pytest.mark.django_db


def issue(number: int, **values: Any) -> ProviderEvent:
    event_type = values.pop("event_type", "issue.created")
    signal_type = values.pop("signal_type", SignalType.ISSUE_CREATED)
    payload = {
        "type": event_type,
        "at": "2026-11-20T10:00:00Z",
        "actor": "zoe",
        "issue": {"key": f"WEB-{number}", "title": "Door sticks", "state": "open", **values.pop("issue", {})},
    }
    return ProviderEvent(
        **{
            "event_type": event_type,
            "dedupe_key": f"event:{number}",
            "payload": payload,
            "signal_type": signal_type,
            **values,
        }
    )


def make_due() -> None:
    AdapterEvent.objects.update(next_attempt_at=Now())


def stored(number: int) -> AdapterEvent:
    return AdapterEvent.objects.get(dedupe_key=f"event:{number}")


def test_each_tenant_gets_its_own_request(pm3: Pm3Stub) -> None:
    for tenant_id in (ACME, GLOBEX):
        record(make_connection(tenant_id=tenant_id), [issue(n) for n in range(3)], Source.WEBHOOK)
    assert deliver_batch().delivered == 6
    ingests = [headers for method, path, headers in pm3.requests if path == "/v1/signals/ingest"]
    assert sorted((h["x-tenant-id"], h["authorization"]) for h in ingests) == [
        ("acme", "Bearer token-of-acme"),
        ("globex", "Bearer token-of-globex"),
    ]
    assert {s["tenant_id"] for s in pm3.signals.values()} == {"acme", "globex"}


def test_a_producer_is_registered_first_and_updated_for_new_types(pm3: Pm3Stub) -> None:
    connection = make_connection()
    record(connection, [issue(1)], Source.WEBHOOK)
    deliver_batch()
    record(connection, [issue(2, event_type="issue.closed", signal_type=SignalType.ISSUE_CLOSED)], Source.WEBHOOK)
    deliver_batch()
    producer = pm3.producers[str(connection.pk)]
    assert producer["allowed_signal_types"] == ["issue_closed", "issue_created"]
    assert producer["plane"] == "tenant_cloud"
    calls = [(m, p) for m, p, _ in pm3.requests if "producers" in p]
    assert calls == [
        ("POST", "/v1/producers/register"),
        ("POST", "/v1/producers/register"),
        ("PUT", f"/v1/producers/{connection.pk}"),
    ]


def test_a_producer_forgotten_over_there_is_registered_again(pm3: Pm3Stub) -> None:
    connection = make_connection()
    record(connection, [issue(1)], Source.WEBHOOK)
    deliver_batch()
    pm3.producers.clear()
    record(connection, [issue(2)], Source.WEBHOOK)
    assert deliver_batch().failed == 1
    assert not SignalProducer.objects.exists()
    make_due()
    assert deliver_batch().delivered == 1


def test_a_duplicate_over_there_is_success(pm3: Pm3Stub) -> None:
    connection = make_connection()
    record(connection, [issue(1)], Source.WEBHOOK)
    pm3.commit_then_drop = True
    assert deliver_batch().failed == 1  # taken, but the answer was lost
    make_due()
    assert deliver_batch().delivered == 1
    key = str(signal_id(connection.pk, "event:1"))
    assert pm3.arrivals[key] == 2
    assert list(pm3.signals) == [key]


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ({"status": "rejected", "error_code": "ROUTING_ERROR"}, "failed", "ROUTING_ERROR"),
        ({"status": "rejected", "error_code": "QUOTA_EXCEEDED"}, "failed", "QUOTA_EXCEEDED"),
        ({"status": "rejected", "error_code": "SCHEMA_VIOLATION"}, "dead", "SCHEMA_VIOLATION"),
        ({"status": "rejected", "error_code": "TENANT_ISOLATION_VIOLATION"}, "dead", "TENANT_ISOLATION_VIOLATION"),
        ({"status": "rejected", "error_code": None, "error_message": "No idea"}, "dead", "REJECTED"),
        ({"status": "dlq", "error_code": "VALIDATION_ERROR", "dlq_id": "dlq-7"}, "dead", "VALIDATION_ERROR"),
    ],
)
def test_each_signal_is_marked_by_its_own_result(pm3: Pm3Stub, answer: Any, status: str, code: str) -> None:
    pm3.answers["issue_closed"] = answer
    connection = make_connection()
    closed = issue(1, event_type="issue.closed", signal_type=SignalType.ISSUE_CLOSED)
    record(connection, [closed, issue(2)], Source.WEBHOOK)
    deliver_batch()
    event = stored(1)
    assert (event.delivery_status, event.last_error_code) == (status, code)
    assert stored(2).delivery_status == "delivered"
    attempt = DeliveryAttempt.objects.get(event=event)
    assert (attempt.number, attempt.error_code, attempt.tenant_id) == (1, code, ACME)


@pytest.mark.parametrize("outage", [500, 503, 429, 401])
def test_an_outage_delays_and_loses_nothing(pm3: Pm3Stub, outage: int) -> None:
    record(make_connection(), [issue(n) for n in range(5)], Source.WEBHOOK)
    pm3.outage = outage
    assert deliver_batch().failed == 5
    assert deliver_batch().claimed == 0  # not due yet
    assert not AdapterEvent.objects.filter(next_attempt_at__lte=Now()).exists()
    pm3.outage = 0
    make_due()
    assert deliver_batch().delivered == 5
    assert len(pm3.signals) == 5


def test_one_poisonous_signal_does_not_hold_up_the_rest(pm3: Pm3Stub) -> None:
    pm3.poison = "skull"
    events = [issue(n, issue={"title": "skull" if n == 3 else "fine"}) for n in range(8)]
    record(make_connection(), events, Source.WEBHOOK)
    done = deliver_batch()
    assert (done.delivered, done.dead) == (7, 1)
    assert stored(3).last_error_code == "HTTP_422"


def test_after_24_hours_of_failures_an_event_is_dead_and_can_be_replayed(pm3: Pm3Stub) -> None:
    record(make_connection(), [issue(1)], Source.WEBHOOK)
    pm3.outage = 503
    deliver_batch()
    AdapterEvent.objects.update(first_attempt_at=Now() - timedelta(hours=25), next_attempt_at=Now())
    assert deliver_batch().dead == 1
    pm3.outage = 0
    make_due()
    assert deliver_batch().claimed == 0
    assert replay(AdapterEvent.objects.all(), actor="staff:zoe") == 1
    assert deliver_batch().delivered == 1


def test_a_replayed_delivery_is_the_same_signal(pm3: Pm3Stub) -> None:
    record(make_connection(), [issue(1)], Source.WEBHOOK)
    deliver_batch()
    replay(AdapterEvent.objects.all(), actor="staff:zoe")
    assert deliver_batch().delivered == 1
    assert len(pm3.signals) == 1
    assert sum(pm3.arrivals.values()) == 2


def test_a_mapping_fault_costs_no_event(pm3: Pm3Stub) -> None:
    record(make_connection(), [issue(1), issue(2)], Source.WEBHOOK)
    AdapterEvent.objects.filter(dedupe_key="event:1").update(signal_type="no_such_type")
    assert deliver_batch().delivered == 1
    event = stored(1)
    assert (event.delivery_status, event.last_error_code) == ("dead", "MAPPING_FAILED")
    AdapterEvent.objects.filter(pk=event.pk).update(signal_type="issue_created")  # the mapping is mended
    replay(AdapterEvent.objects.filter(pk=event.pk), actor="staff:zoe")
    assert deliver_batch().delivered == 1


def test_two_workers_never_hold_the_same_event() -> None:
    record(make_connection(), [issue(n) for n in range(10)], Source.WEBHOOK)
    first, second = claim(6), claim(6)
    assert len(first.events) == 6
    assert len(second.events) == 4
    assert not {e.pk for e in first.events} & {e.pk for e in second.events}


def test_a_worker_that_wakes_after_its_lease_changes_nothing() -> None:
    record(make_connection(), [issue(1)], Source.WEBHOOK)
    slow = claim(10)
    make_due()  # its lease is over
    quick = claim(10)
    envelope = seal_event(quick.events[0])
    done = Delivered()
    _mark_delivered(slow, [(slow.events[0], envelope)], done)
    assert (done.delivered, stored(1).delivery_status) == (0, "pending")
    _mark_delivered(quick, [(quick.events[0], envelope)], done)
    assert (done.delivered, stored(1).delivery_status) == (1, "delivered")


def test_a_killed_workers_events_are_due_again_when_the_lease_ends(settings: Any, pm3: Pm3Stub) -> None:
    settings.DELIVERY_LEASE_SECONDS = 0
    record(make_connection(), [issue(1)], Source.WEBHOOK)
    assert len(claim(10).events) == 1  # and then it was killed
    settings.DELIVERY_LEASE_SECONDS = 60
    assert deliver_batch().delivered == 1


def test_the_same_happening_by_webhook_and_poll_is_one_signal(pm3: Pm3Stub) -> None:
    connection = make_connection()
    happening = "issue:WEB-1:created:2026"
    record(connection, [issue(1, happening=happening)], Source.WEBHOOK)
    record(connection, [issue(2, happening=happening), issue(3, happening="another")], Source.POLL)
    done = deliver_batch()
    assert (done.delivered, done.superseded) == (2, 1)
    event = stored(2)
    assert event.delivery_status == "ignored"
    assert str(stored(1).pk) in event.ignored_reason


def test_a_webhook_after_its_poll_gives_way_only_to_the_same_type(pm3: Pm3Stub) -> None:
    connection = make_connection()
    record(connection, [issue(1, happening="h1"), issue(2, happening="h2")], Source.POLL)
    deliver_batch()
    closed = issue(4, happening="h2", event_type="issue.closed", signal_type=SignalType.ISSUE_CLOSED)
    record(connection, [issue(3, happening="h1"), closed], Source.WEBHOOK)
    deliver_batch()
    assert stored(3).delivery_status == "ignored"
    assert stored(4).delivery_status == "delivered"


def test_a_poll_that_knew_only_of_a_change_stands_for_one_webhook_of_it(pm3: Pm3Stub) -> None:
    connection = make_connection()
    record(connection, [issue(1, happening="h", signal_type=SignalType.ISSUE_UPDATED)], Source.POLL)
    deliver_batch()
    told = [issue(2, happening="h", signal_type=SignalType.ISSUE_ASSIGNED)]
    told += [issue(3, happening="h", signal_type=SignalType.ISSUE_LABELED)]
    for event in told:
        record(connection, [event], Source.WEBHOOK)
        deliver_batch()
    assert [stored(number).delivery_status for number in (1, 2, 3)] == ["delivered", "ignored", "delivered"]
    assert str(stored(1).pk) in stored(2).ignored_reason
    assert len(pm3.signals) == 2


def test_of_two_lists_the_one_that_knows_what_changed_tells_it(pm3: Pm3Stub) -> None:
    connection = make_connection()
    record(connection, [issue(1, happening="h", signal_type=SignalType.ISSUE_UPDATED)], Source.POLL)
    record(connection, [issue(2, happening="h", signal_type=SignalType.ISSUE_COMMENTED)], Source.POLL)
    assert deliver_batch().superseded == 1
    assert [stored(number).delivery_status for number in (1, 2)] == ["ignored", "delivered"]


def test_two_webhooks_of_a_polled_change_in_one_batch_are_one_signal_more(pm3: Pm3Stub) -> None:
    connection = make_connection()
    record(connection, [issue(1, happening="h", signal_type=SignalType.ISSUE_UPDATED)], Source.POLL)
    deliver_batch()
    types = (SignalType.ISSUE_ASSIGNED, SignalType.ISSUE_LABELED)
    both = [issue(number, happening="h", signal_type=name) for number, name in enumerate(types, start=2)]
    record(connection, both, Source.WEBHOOK)
    assert deliver_batch().superseded == 1
    assert len(pm3.signals) == 2


def test_a_poll_gives_way_to_a_webhook_that_another_webhook_tells(pm3: Pm3Stub) -> None:
    connection = make_connection()
    record(connection, [issue(1, happening="h1", signal_type=None, ignored_reason="told elsewhere")], Source.WEBHOOK)
    record(connection, [issue(2, happening="h1")], Source.POLL)
    assert deliver_batch().superseded == 1
    assert pm3.signals == {}


def test_without_an_ingestion_service_the_envelope_is_kept_here() -> None:
    record(make_connection(), [issue(1)], Source.WEBHOOK)
    assert deliver_batch().delivered == 1
    event = stored(1)
    assert event.sealed["signal_id"] == str(event.signal_id)
    assert problems(event.sealed) == []
    assert event.delivered_at is not None


def test_the_ledger_adds_up_for_every_connection(pm3: Pm3Stub) -> None:
    connection, other = make_connection(), make_connection(tenant_id=GLOBEX)
    pm3.answers["issue_closed"] = {"status": "rejected", "error_code": "SCHEMA_VIOLATION"}
    record(connection, [issue(1), issue(1), issue(2)], Source.WEBHOOK)
    record(connection, [issue(3, signal_type=None, ignored_reason="unknown event type")], Source.WEBHOOK)
    record(connection, [issue(4, event_type="issue.closed", signal_type=SignalType.ISSUE_CLOSED)], Source.WEBHOOK)
    record(other, [issue(1)], Source.WEBHOOK)
    deliver_batch()
    record(connection, [issue(5)], Source.POLL)
    found = ledger(connection.pk)
    assert found == Ledger(received=6, delivered=2, duplicate=1, ignored=1, dead=1, pending=1, failed=0)
    assert found.unaccounted == 0


def test_a_long_key_is_not_cut_into_a_collision() -> None:
    connection = make_connection()
    keys = ["k" * 200 + "1", "k" * 200 + "2"]
    recorded = record(connection, [issue(n, dedupe_key=key) for n, key in enumerate(keys)], Source.WEBHOOK)
    assert recorded.new == 2


def test_a_signed_request_is_stored_or_refused_as_a_whole() -> None:
    connection = make_connection()
    signature = b"s" * 32
    assert record(connection, [issue(1), issue(2)], Source.WEBHOOK, signature_hash=signature).new == 2
    again = record(connection, [issue(3), issue(4)], Source.WEBHOOK, signature_hash=signature)
    assert (again.new, again.duplicates) == (0, 2)
    assert ledger(connection.pk).duplicate == 2


def test_purge_removes_old_events_and_never_undelivered_ones() -> None:
    record(make_connection(), [issue(n) for n in (1, 2, 3)], Source.WEBHOOK)
    AdapterEvent.objects.exclude(dedupe_key="event:2").update(delivery_status=DeliveryStatus.DELIVERED)
    long_ago = int((timezone.now() - timedelta(days=31)).timestamp() * 1000)
    for number in (1, 2):  # ids are times
        AdapterEvent.objects.filter(dedupe_key=f"event:{number}").update(
            event_id=uuid.UUID(int=(long_ago << 80) + number), received_at=Now() - timedelta(days=31)
        )
    assert purge_batch() == 1
    assert set(AdapterEvent.objects.values_list("dedupe_key", flat=True)) == {"event:2", "event:3"}


def test_recent_events_of_a_connection_come_newest_first() -> None:
    connection = make_connection()
    record(connection, [issue(n) for n in range(3)], Source.WEBHOOK)
    record(make_connection(), [issue(9)], Source.WEBHOOK)
    hour_ago = stored(0).received_at - timedelta(hours=1)
    found = AdapterEvent.objects.get_recent_by_connection(connection.pk, hour_ago)
    assert [e.dedupe_key for e in found] == ["event:2", "event:1", "event:0"]
    AdapterEvent.objects.filter(dedupe_key="event:0").update(received_at=Now() - timedelta(hours=2))
    assert found.all().count() == 2


def test_storing_costs_one_statement_whatever_the_number(django_assert_num_queries: Any) -> None:
    connection = make_connection()
    with django_assert_num_queries(1):
        record(connection, [issue(1)], Source.WEBHOOK)
    with django_assert_num_queries(1):
        record(connection, [issue(n) for n in range(2, 100)], Source.POLL)


def test_a_signals_id_depends_on_connection_and_dedupe_key_alone() -> None:
    one, two = uuid.uuid4(), uuid.uuid4()
    assert signal_id(one, "k") == signal_id(one, "k")
    assert len({signal_id(one, "k"), signal_id(one, "l"), signal_id(two, "k")}) == 3


def test_the_engine_under_test_is_postgresql() -> None:
    assert database.vendor == "postgresql"
    assert IntegrationConnection.objects.count() == 0


def test_a_webhook_that_comes_while_its_poll_waits_is_the_one_that_is_told(pm3: Pm3Stub) -> None:
    connection = make_connection()
    record(connection, [issue(1, happening="h")], Source.POLL)
    record(connection, [issue(2, happening="h")], Source.WEBHOOK)
    assert deliver_batch().superseded == 1
    assert [stored(number).delivery_status for number in (1, 2)] == ["ignored", "delivered"]


def test_two_polls_that_name_one_happening_twice_are_one_signal(pm3: Pm3Stub) -> None:
    connection = make_connection()
    record(connection, [issue(1, happening="h")], Source.POLL)
    deliver_batch()
    record(connection, [issue(2, happening="h")], Source.POLL)
    record(connection, [issue(3, happening="h")], Source.BACKFILL)
    assert deliver_batch().superseded == 2
    assert len(pm3.signals) == 1


def test_what_is_held_back_stays_so_when_its_entity_is_woken(pm3: Pm3Stub) -> None:
    connection = make_connection()
    record(connection, [issue(1, ordering_key="issue:A")], Source.WEBHOOK)
    vague = issue(2, happening="h", ordering_key="issue:A", signal_type=SignalType.ISSUE_UPDATED)
    hold_back(record(connection, [vague], Source.POLL).event_ids, 60)
    assert deliver_batch().delivered == 1
    assert stored(2).next_attempt_at > timezone.now()
    assert deliver_batch().delivered == 0


def test_what_says_what_happened_is_not_held_back() -> None:
    connection = make_connection()
    hold_back(record(connection, [issue(1, happening="h")], Source.POLL).event_ids, 60)
    assert stored(1).next_attempt_at <= timezone.now()
