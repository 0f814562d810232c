"""The event roads against senders, neighbours and clocks that mean no good."""

from __future__ import annotations

import dataclasses
import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.db import connections
from django.db.models.functions import Now
from django.utils import timezone

from connections.models import IntegrationConnection
from events.ledger import ledger
from events.models import AdapterEvent, DeliveryStatus, Source
from events.outbox import deliver_batch
from events.retention import purge_batch
from events.services import record, replay
from providers import registry
from providers.canonical import Signal, SignalType
from providers.spi import ProviderEvent
from tests.factories import make_connection
from tests.integration.test_delivery import issue, make_due
from tests.integration.test_webhook_road import Sender, issue_event
from tests.neighbours import Pm3Stub
from webhooks.models import QuarantinedDelivery
from webhooks.services import WebhookService

pytestmark = pytest.mark.django_db

TAKEN = {"status": "accepted", "error_code": None, "error_message": None}


def at_once(number: int, work: Callable[[int], Any]) -> list[Any]:
    """The results of ``work`` in so many threads that start together."""
    barrier = threading.Barrier(number)

    def go(index: int) -> Any:
        barrier.wait()
        try:
            return work(index)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(go, range(number)))


@contextmanager
def neighbour(answer: Callable[[BaseHTTPRequestHandler, dict[str, Any]], None], settings: Any) -> Iterator[None]:
    """An ingestion service that answers as ``answer`` writes; delivery is pointed at it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            try:
                answer(self, body)
            except OSError:  # we hung up
                self.close_connection = True

        do_PUT = do_POST  # noqa: N815 - named by the standard library

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    settings.PM3_SERVICE_URL = f"http://127.0.0.1:{server.server_port}"
    settings.PM3_TIMEOUT_SECONDS = 1.0
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def say(handler: BaseHTTPRequestHandler, status: int, content: Any, **headers: str) -> None:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    handler.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(raw))}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(raw)


def knows_producers(ingest: Callable[[BaseHTTPRequestHandler, list[dict[str, Any]]], None]) -> Callable[..., None]:
    def answer(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        if "signals" in body:
            ingest(handler, body["signals"])
        else:
            say(handler, 201, {})

    return answer


@pytest.mark.django_db(transaction=True)
def test_one_delivery_told_sixteen_times_at_once_is_one_row_and_one_202() -> None:
    sender = Sender()
    body = json.dumps(issue_event()).encode()
    headers = sender.signed(body)
    told = at_once(16, lambda _n: WebhookService().process_webhook("fake", sender.token, body, headers).status)
    assert sorted(told) == [200] * 15 + [202]
    assert AdapterEvent.objects.count() == 1
    assert ledger(sender.connection.pk).received == 16


@pytest.mark.django_db(transaction=True)
def test_one_signature_under_sixteen_ids_at_once_is_stored_once() -> None:
    sender = Sender(scheme="hmac_body")
    event = issue_event()
    del event["id"]
    body = json.dumps({"events": [event] * 3}).encode()
    signed = sender.signed(body)

    def tell(number: int) -> int:
        headers = {**signed, "x-fake-delivery": f"delivery-{number}"}
        return WebhookService().process_webhook("fake", sender.token, body, headers).status

    assert sorted(at_once(16, tell)) == [200] * 15 + [202]
    assert AdapterEvent.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_requests_that_share_events_in_other_orders_do_not_wait_for_each_other() -> None:
    sender = Sender()
    events = [issue_event(number) for number in range(40)]

    def tell(number: int) -> int:
        chosen = random.Random(number).sample(events, 30)
        body = json.dumps({"events": chosen}).encode()
        return WebhookService().process_webhook("fake", sender.token, body, sender.signed(body)).status

    told = [status for _ in range(3) for status in at_once(8, tell)]
    assert set(told) <= {200, 202}
    assert AdapterEvent.objects.count() == 40


def test_a_request_that_repeats_one_event_loses_none_of_its_others() -> None:
    connection = make_connection()
    record(connection, [issue(1)], Source.WEBHOOK, signature_hash=b"a" * 32)
    recorded = record(connection, [issue(1), issue(2), issue(3)], Source.WEBHOOK, signature_hash=b"b" * 32)
    assert (recorded.new, recorded.duplicates) == (2, 1)
    assert AdapterEvent.objects.filter(signature_hash=b"b" * 32).count() == 1
    again = record(connection, [issue(4)], Source.WEBHOOK, signature_hash=b"b" * 32)
    assert again.new == 0


def test_a_signed_request_may_hold_more_events_than_one_statement() -> None:
    connection = make_connection()
    events = [issue(number) for number in range(3000)]
    assert record(connection, events, Source.WEBHOOK, signature_hash=b"a" * 32).new == 3000


@pytest.mark.parametrize("field", ["dedupe_key", "happening", "ordering_key", "correlation_id"])
def test_text_no_database_holds_is_stored_all_the_same(field: str) -> None:
    event = issue(1, **{field: "\ud800 half a pair, \x00 and more"})
    assert record(make_connection(), [event], Source.WEBHOOK).new == 1


def test_a_delivery_an_adapter_fails_on_is_kept_and_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    def events(*_args: object) -> list[ProviderEvent]:
        raise KeyError("issue")

    sender = Sender()
    monkeypatch.setattr(type(registry.get("fake").webhook), "events", events)
    answer = sender.deliver(issue_event())
    assert answer.status_code == 202
    assert QuarantinedDelivery.objects.get().registration == sender.registration


def test_a_lost_secret_of_before_the_rotation_closes_no_door() -> None:
    sender = Sender()
    registration = sender.registration
    registration.previous_secret_ref = f"secret:{uuid.uuid4()}"
    registration.previous_secret_until = timezone.now() + timedelta(hours=1)
    registration.save()
    assert sender.deliver(issue_event()).status_code == 202


def test_a_token_that_is_no_text_is_as_unknown_as_any_other() -> None:
    assert WebhookService().process_webhook("fake", "\ud800", b"{}", {}).status == 404


def results(**result: Any) -> Callable[..., None]:
    return knows_producers(
        lambda handler, signals: say(
            handler, 200, {"results": [{"signal_id": s["signal_id"], **TAKEN, **result} for s in signals]}
        )
    )


def whole(status: int, content: Any, **headers: str) -> Callable[..., None]:
    return knows_producers(lambda handler, _signals: say(handler, status, content, **headers))


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (results(status="rejected", error_code=["x"]), "failed"),
        (results(status={"a": 1}), "failed"),
        (results(status="rejected", error_code="SCHEMA_VIOLATION", error_message="a\x00b\ud800"), "dead"),
        (results(status="dlq", error_code="X" * 500, dlq_id="d" * 100_000), "dead"),
        (results(signal_id="another"), "failed"),
        (whole(200, {"results": ["a"]}), "failed"),
        (whole(200, b"<html>"), "failed"),
        (whole(200, b"[" * 100_000), "failed"),
        (whole(302, b"", Location="http://[::1"), "failed"),
        (whole(503, b"", Retry_After="9" * 5000), "failed"),
    ],
    ids=[
        *("code is a list", "status is an object", "unstorable message", "endless code", "other ids"),
        *("no objects", "a page", "too deep", "unreadable redirect", "absurd wish"),
    ],
)
def test_whatever_the_neighbour_answers_is_noted_and_stops_nothing(answer: Any, status: str, settings: Any) -> None:
    record(make_connection(), [issue(1), issue(2)], Source.WEBHOOK)
    with neighbour(answer, settings):
        deliver_batch()
    assert set(AdapterEvent.objects.values_list("delivery_status", flat=True)) == {status}
    assert not AdapterEvent.objects.filter(lease_token__isnull=False).exists()


def drips(handler: BaseHTTPRequestHandler, _signals: object) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        time.sleep(0.1)


def never_ends(handler: BaseHTTPRequestHandler, _signals: object) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 1024 * 1024)


@pytest.mark.parametrize("ingest", [drips, never_ends])
def test_an_answer_without_end_holds_no_worker(ingest: Any, settings: Any) -> None:
    record(make_connection(), [issue(1)], Source.WEBHOOK)
    started = time.monotonic()
    with neighbour(knows_producers(ingest), settings):
        assert deliver_batch().failed == 1
    assert time.monotonic() - started < 5


def test_a_refused_producer_holds_up_no_other_connection_of_its_tenant(settings: Any) -> None:
    refused, good = make_connection(), make_connection()
    for number, connection in enumerate((refused, good)):
        record(connection, [issue(number)], Source.WEBHOOK)

    def answer(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        if "signals" in body:
            say(handler, 200, {"results": [{"signal_id": s["signal_id"], **TAKEN} for s in body["signals"]]})
        else:
            say(handler, 400 if body["producer"]["producer_id"] == str(refused.pk) else 201, {})

    with neighbour(answer, settings):
        deliver_batch()
    assert AdapterEvent.objects.get(connection=good).delivery_status == DeliveryStatus.DELIVERED
    waiting = AdapterEvent.objects.get(connection=refused)
    assert (waiting.delivery_status, waiting.last_error_code) == ("failed", "PRODUCER_REGISTRATION")


def test_halving_a_refused_request_ends_with_the_lease(settings: Any) -> None:
    settings.DELIVERY_LEASE_SECONDS = 3
    record(make_connection(), [issue(number) for number in range(32)], Source.WEBHOOK)

    def slowly_refuses(handler: BaseHTTPRequestHandler, _signals: object) -> None:
        time.sleep(0.5)
        say(handler, 422, {})

    started = time.monotonic()
    with neighbour(knows_producers(slowly_refuses), settings):
        deliver_batch()
    assert time.monotonic() - started < 5
    assert AdapterEvent.objects.filter(delivery_status="pending", lease_token=None, attempts=0).exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _signal: None,
        lambda signal: dataclasses.replace(signal, attributes={"x": object()}),
        lambda signal: dataclasses.replace(signal, occurred_at="yesterday"),
    ],
    ids=["nothing", "not JSON", "no time"],
)
def test_a_mapping_that_returns_rubbish_spoils_one_event_only(
    spoil: Any, pm3: Pm3Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = type(registry.get("fake"))
    normalise = adapter.normalise

    def spoilt(self: Any, signal_type: SignalType, event_type: str, payload: dict[str, Any]) -> Signal:
        signal = normalise(self, signal_type, event_type, payload)
        return spoil(signal) if payload["issue"]["key"] == "WEB-1" else signal

    monkeypatch.setattr(adapter, "normalise", spoilt)
    record(make_connection(), [issue(1), issue(2)], Source.WEBHOOK)
    done = deliver_batch()
    assert (done.delivered, done.dead) == (1, 1)
    assert AdapterEvent.objects.get(dedupe_key="event:1").last_error_code == "MAPPING_FAILED"


def test_a_host_whose_clock_jumped_gives_no_event_up(pm3: Pm3Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    record(make_connection(), [issue(1)], Source.WEBHOOK)
    pm3.outage = 503
    now = timezone.now()
    monkeypatch.setattr("django.utils.timezone.now", lambda: now + timedelta(days=3))
    done = deliver_batch()
    assert (done.failed, done.dead) == (1, 0)


def test_a_host_whose_clock_jumped_purges_nothing_young(monkeypatch: pytest.MonkeyPatch) -> None:
    record(make_connection(), [issue(1)], Source.WEBHOOK)
    deliver_batch()
    now = timezone.now()
    monkeypatch.setattr("django.utils.timezone.now", lambda: now + timedelta(days=365))
    assert purge_batch() == 0
    assert AdapterEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_delivery_replay_and_purge_at_once_neither_block_nor_fail() -> None:
    events = [issue(number, ordering_key=f"entity:{number % 5}") for number in range(100)]
    record(make_connection(), events, Source.WEBHOOK)
    long_ago = int((timezone.now() - timedelta(days=40)).timestamp() * 1000)
    for number, key in enumerate(AdapterEvent.objects.values_list("pk", flat=True)):
        AdapterEvent.objects.filter(pk=key).update(
            event_id=uuid.UUID(int=(long_ago << 80) + number), received_at=Now() - timedelta(days=40)
        )
    ends_at = time.monotonic() + 3

    def work(number: int) -> None:
        while time.monotonic() < ends_at:
            if number < 3:
                deliver_batch(limit=20)
            elif number < 5:
                replay(AdapterEvent.objects.filter(delivery_status=DeliveryStatus.DELIVERED), actor="staff:zoe")
            else:
                purge_batch()

    at_once(6, work)


def polled_and_told(connection: IntegrationConnection) -> tuple[ProviderEvent, ProviderEvent]:
    closed = {"event_type": "issue.closed", "signal_type": SignalType.ISSUE_CLOSED}
    return issue(1, happening="issue:1"), issue(2, happening="issue:1", **closed)


def test_a_replayed_event_goes_again_whatever_else_tells_of_it(pm3: Pm3Stub) -> None:
    connection = make_connection()
    polled, told = polled_and_told(connection)
    for event, source in ((polled, Source.POLL), (told, Source.WEBHOOK)):
        record(connection, [event], source)
        assert deliver_batch().delivered == 1
    replay(AdapterEvent.objects.filter(source=Source.POLL), actor="staff:zoe")
    assert deliver_batch().delivered == 1


def test_a_poll_gives_way_to_a_waiting_webhook_that_says_more(pm3: Pm3Stub) -> None:
    connection = make_connection()
    polled, told = polled_and_told(connection)
    record(connection, [polled], Source.POLL)
    record(connection, [told], Source.WEBHOOK)
    make_due()
    done = deliver_batch()
    assert (done.delivered, done.superseded) == (1, 1)
    assert [signal["signal_type"] for signal in pm3.signals.values()] == ["issue_closed"]
