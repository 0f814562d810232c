"""Verified deliveries that could not be read: kept within bounds, redacted, read again after a fix."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
import time_machine
from django.utils import timezone

from connections.errors import ServiceError
from connections.models import ConnectionHistory, ConnectionStatus
from connections.services import verify_connection
from events.ledger import ledger
from events.models import AdapterEvent
from providers.catalogue import sync_providers
from providers.console.filters import first_key_at
from tests.factories import make_connection, make_quarantined, make_registration
from tests.hub_provider import Hub, HubWebhook, hub_connection, post
from webhooks.models import QuarantinedDelivery, RejectedDelivery
from webhooks.quarantine import discard, read_again
from webhooks.registrations import create_shared_registration, delete_registration, suspend_registration
from webhooks.tasks import purge

pytestmark = pytest.mark.django_db

CANARY = "ghp_" + "c4nary" * 6


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The adapter has a fault until the test undoes it."""
    monkeypatch.setattr(HubWebhook, "broken", True)
    return monkeypatch


def test_a_fault_of_the_adapter_costs_no_event(hub: Hub, broken: pytest.MonkeyPatch) -> None:
    connection = hub_connection(hub)
    door = make_registration(connection)
    answer = post(door, {"kind": "made", "id": "1"}, **{"x-hub-event": "made"})
    assert (answer.status_code, answer.json()) == (202, {"status": "quarantined", "events": 0})
    kept = QuarantinedDelivery.objects.get()
    assert (kept.reason, kept.detail, kept.proof) == ("adapter_failed", "RuntimeError", "hmac:1")
    with pytest.raises(ServiceError, match="still fails"):
        read_again(kept, actor="staff:ravi")
    assert QuarantinedDelivery.objects.exists()
    broken.undo()
    assert read_again(kept, actor="staff:ravi") == 1
    event = AdapterEvent.objects.get()
    assert (event.dedupe_key, event.proof, event.registration_id) == ("1", "hmac:1", door[0].pk)
    assert bytes(event.signature_hash or b"") == bytes(kept.signature_hash or b"x")
    assert not QuarantinedDelivery.objects.exists()
    assert ledger(connection.pk).unaccounted == 0
    entry = ConnectionHistory.objects.get(operation="quarantine_read")
    assert (entry.actor, entry.detail) == ("staff:ravi", "1 new events.")


def test_reading_again_what_came_by_another_way_meanwhile_stores_nothing_twice(
    hub: Hub, broken: pytest.MonkeyPatch
) -> None:
    door = make_registration(hub_connection(hub))
    post(door, {"kind": "made", "id": "1"})
    broken.undo()
    post(door, {"kind": "made", "id": "1"})
    assert read_again(QuarantinedDelivery.objects.get(), actor="staff:ravi") == 0
    assert AdapterEvent.objects.count() == 1


def test_what_is_kept_is_redacted_and_holds_no_proof_of_the_sender(hub: Hub, broken: pytest.MonkeyPatch) -> None:
    door = make_registration(hub_connection(hub))
    body = {"kind": "made", "password": "hunter2hunter2", "note": CANARY, "mail": "zoe@acme.example"}
    post(door, body, **{"authorization": "Bearer abc", "x-hub-event": "made", "x-note": CANARY, "x-api-key": "k3y"})
    kept = QuarantinedDelivery.objects.get()
    stored = repr(QuarantinedDelivery.objects.values().get()) + kept.text
    for secret in ("hunter2hunter2", CANARY, "zoe@acme.example", "Bearer abc", "k3y", door[2]):
        assert secret not in stored
    assert "x-hub-signature" not in kept.headers
    assert kept.headers["x-hub-event"] == "made"
    assert json.loads(kept.text)["kind"] == "made"
    assert kept.body_bytes == len(json.dumps(body, separators=(",", ":")))


def test_a_secret_is_told_by_its_name_in_json_and_in_forms(hub: Hub, broken: pytest.MonkeyPatch) -> None:
    door = make_registration(hub_connection(hub))
    nested = {"kind": "made", "authorization": "plain-words", "deep": [{"client_secret": "no-shape-at-all"}]}
    form = urlencode(
        {"payload": json.dumps(nested), "token": "no-shape-at-all", "text": "hello & good bye", "note": f'"{CANARY}"'}
    )
    post(door, nested)
    post(door, form.encode(), **{"content-type": "application/x-www-form-urlencoded"})
    first, second = (kept.text for kept in QuarantinedDelivery.objects.order_by("quarantine_id"))
    for text in (first, second):
        assert "plain-words" not in text
        assert "no-shape-at-all" not in text
        assert CANARY not in text
    fields = dict(parse_qsl(second))
    assert json.loads(fields["payload"]) == json.loads(first)
    assert fields["text"] == "hello & good bye"


def test_of_a_body_without_names_nothing_is_kept_but_that_it_came(hub: Hub) -> None:
    """In such a text no secret could be told from anything else."""
    post(make_registration(hub_connection(hub)), b"{our-own-credential-in-words")
    kept = QuarantinedDelivery.objects.get()
    assert (kept.text, kept.body_bytes) == ("", 28)
    assert kept.detail == "The body is not valid JSON. Neither JSON nor a form, so the body is not kept."
    with pytest.raises(ServiceError, match="still cannot be read"):
        read_again(kept, actor="staff:ravi")


def test_a_repetition_is_kept_once_and_the_place_is_bounded(
    hub: Hub, broken: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.WEBHOOK_QUARANTINE_SIZE = 2
    door = make_registration(hub_connection(hub))
    for number in (1, 1, 2):
        assert post(door, {"kind": "made", "id": str(number)}).status_code == 202
    assert QuarantinedDelivery.objects.count() == 2
    full = post(door, {"kind": "made", "id": "3"})
    assert full.status_code == 503
    assert post(door, {"kind": "made", "id": "2"}).status_code == 202  # kept already
    assert QuarantinedDelivery.objects.count() == 2
    assert RejectedDelivery.objects.get().reason == "quarantine_full"
    other = make_registration(hub_connection(hub))
    assert post(other, {"kind": "made", "id": "3"}).status_code == 202


def test_an_unreadable_body_says_what_is_wrong_with_it(hub: Hub) -> None:
    door = make_registration(hub_connection(hub))
    post(door, {"id": "1"})
    kept = QuarantinedDelivery.objects.get()
    assert (kept.reason, kept.detail) == ("unreadable", "The event has no kind.")
    with pytest.raises(ServiceError, match=r"still cannot be read: The event has no kind\."):
        read_again(kept, actor="staff:ravi")


@pytest.mark.parametrize(
    "body", [b"\x00\xff{", b'{"kind": "a\\u0000b"}', '{"kind": "\ud83d"}'.encode("utf-8", "surrogatepass")]
)
def test_bytes_no_column_can_hold_are_kept_all_the_same(hub: Hub, body: bytes) -> None:
    answer = post(make_registration(hub_connection(hub)), body)
    assert answer.status_code == 202
    assert AdapterEvent.objects.count() + QuarantinedDelivery.objects.count() == 1


def test_a_delivery_of_an_unknown_account_is_read_once_its_connection_is_there(hub: Hub) -> None:
    sync_providers()
    issued = create_shared_registration("hub", actor="staff:ravi")
    door = (issued.registration, issued.public_url.rsplit("/", 1)[1], issued.secret)
    post(door, {"kind": "made", "id": "1", "accounts": ["T-late"]})
    kept = QuarantinedDelivery.objects.get()
    with pytest.raises(ServiceError, match="still no connection"):
        read_again(kept, actor="staff:ravi")
    connection = hub_connection(hub)
    hub.accounts = ["T-late"]
    verify_connection(connection, actor="staff:ravi")
    assert read_again(kept, actor="staff:ravi") == 1
    assert AdapterEvent.objects.get().connection_id == connection.pk


def test_an_authorisation_that_ended_counts_also_when_it_is_read_late(hub: Hub, broken: pytest.MonkeyPatch) -> None:
    connection = hub_connection(hub)
    post(make_registration(connection), {"kind": "revoked", "id": "1"})
    broken.undo()
    read_again(QuarantinedDelivery.objects.get(), actor="staff:ravi")
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ERROR


@pytest.mark.parametrize("close", [suspend_registration, delete_registration])
def test_behind_a_closed_door_nothing_is_read(hub: Hub, broken: pytest.MonkeyPatch, close: Any) -> None:
    door = make_registration(hub_connection(hub))
    post(door, {"kind": "made", "id": "1"})
    broken.undo()
    close(door[0], actor="staff:ravi")
    with pytest.raises(ServiceError, match="takes no deliveries"):
        read_again(QuarantinedDelivery.objects.get(), actor="staff:ravi")
    assert not AdapterEvent.objects.exists()


def test_two_people_reading_it_again_store_it_once(hub: Hub, broken: pytest.MonkeyPatch) -> None:
    post(make_registration(hub_connection(hub)), {"kind": "made", "id": "1"})
    broken.undo()
    first = QuarantinedDelivery.objects.get()
    second = QuarantinedDelivery.objects.get()
    assert read_again(first, actor="staff:ravi") == 1
    with pytest.raises(ServiceError, match="Somebody else"):
        read_again(second, actor="staff:zoe")
    assert AdapterEvent.objects.count() == 1


def test_what_nobody_dealt_with_goes_with_the_events_of_its_age(settings: Any) -> None:
    registration, _, _ = make_registration(make_connection())
    for days in (31, 29):
        made = timezone.now() - timedelta(days=days)
        make_quarantined(registration, quarantine_id=first_key_at(made), detail=f"{days} days", created_at=made)
    assert [purge(), purge()] == [1, 0]
    assert QuarantinedDelivery.objects.get().detail == "29 days"


def test_a_worker_whose_clock_jumps_ahead_removes_nothing() -> None:
    registration, _, _ = make_registration(make_connection())
    make_quarantined(registration)
    with time_machine.travel(timezone.now() + timedelta(days=31)):
        assert purge() == 0
    assert QuarantinedDelivery.objects.exists()


def test_discarding_leaves_who_did_it_and_why() -> None:
    connection = make_connection()
    registration, _, _ = make_registration(connection)
    row = make_quarantined(registration)
    discard(row, actor="staff:ravi", reason=f"A test of ours, sent with {CANARY}.")
    assert not QuarantinedDelivery.objects.exists()
    entry = ConnectionHistory.objects.get(operation="quarantine_discarded")
    assert entry.actor == "staff:ravi"
    assert "A test of ours" in entry.detail
    assert CANARY not in entry.detail
