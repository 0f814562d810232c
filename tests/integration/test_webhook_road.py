"""The providers' door over HTTP, with the fake provider."""

from __future__ import annotations

import json
import time
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.utils import timezone
from prometheus_client import REGISTRY

from connections.models import ConnectionStatus
from events.models import AdapterEvent, DeliveryStatus
from events.outbox import deliver_batch
from providers import registry
from providers.verification import HmacScheme, sign
from tests.factories import GLOBEX, make_connection, make_registration
from tests.neighbours import Pm3Stub
from webhooks.models import QuarantinedDelivery, RegistrationStatus
from webhooks.services import WebhookService

pytestmark = pytest.mark.django_db


def issue_event(number: int = 1, **values: Any) -> dict[str, Any]:
    at = "2026-11-20T10:00:00Z"
    issue = {"key": f"WEB-{number}", "title": "Door sticks", "state": "open", "updated": at}
    return {
        "type": "issue.created",
        "id": f"evt_{uuid.uuid4().hex}",
        "at": at,
        "actor": "zoe",
        "issue": issue,
        **values,
    }


class Sender:
    """What the provider does: signs raw bytes and posts them."""

    def __init__(self, scheme: str = "hmac", **values: Any) -> None:
        self.connection = make_connection(**values)
        self.registration, self.token, self.secret = make_registration(self.connection, scheme=scheme)
        webhook = registry.get("fake").webhook
        assert webhook is not None
        found = webhook.schemes[scheme]
        assert isinstance(found, HmacScheme)
        self.scheme = found
        self.client = Client()

    def signed(self, body: bytes, *, at: float | None = None, secret: str | None = None) -> dict[str, str]:
        stamp = int(time.time() if at is None else at)
        return sign(self.scheme, body=body, secret=(secret or self.secret).encode(), timestamp=stamp)

    def post(self, body: bytes, headers: dict[str, str], *, path: str = "", **extra: Any) -> Any:
        url = path or f"/v1/integrations/webhooks/fake/{self.token}"
        return self.client.post(url, body, content_type="application/json", headers=headers, **extra)

    def deliver(self, event: dict[str, Any], *, at: float | None = None) -> Any:
        body = json.dumps(event).encode()
        return self.post(body, {**self.signed(body, at=at), "x-fake-delivery": uuid.uuid4().hex})


def code_of(response: Any) -> str:
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "details", "timestamp"}
    return str(body["error"]["code"])


def test_a_signed_webhook_becomes_one_delivered_signal(pm3: Pm3Stub) -> None:
    """IT-IA-02: webhook to PM-3."""
    sender = Sender()
    answer = sender.deliver(issue_event())
    assert answer.status_code == 202
    assert answer.json() == {"status": "accepted", "events": 1}
    assert deliver_batch().delivered == 1
    (signal,) = pm3.signals.values()
    assert signal["signal_type"] == "issue_created"
    assert signal["tenant_id"] == "acme"
    assert signal["occurred_at"] == "2026-11-20T10:00:00.000Z"
    assert signal["payload"]["canonical_keys"]["issue_key"] == "WEB-1"
    assert AdapterEvent.objects.get().delivery_status == DeliveryStatus.DELIVERED


@pytest.mark.parametrize(
    ("spoil", "outcome"),
    [
        (lambda _sender, _body: {}, "SIGNATURE_INVALID"),
        (lambda s, body: s.signed(body, secret="another secret"), "SIGNATURE_INVALID"),
        (lambda s, body: s.signed(body + b" "), "SIGNATURE_INVALID"),
        (lambda s, body: {**s.signed(body), "x-fake-signature": "v1=\xe9\xe9"}, "SIGNATURE_INVALID"),
        (lambda s, body: {**s.signed(body), "x-fake-timestamp": "soon"}, "SIGNATURE_INVALID"),
        (lambda s, body: s.signed(body, at=time.time() - 400), "SIGNATURE_INVALID"),
        (lambda s, body: s.signed(body, at=time.time() + 120), "SIGNATURE_INVALID"),
    ],
    ids=["unsigned", "wrong secret", "other bytes", "not ascii", "no clock", "stale", "from the future"],
)
def test_what_does_not_prove_its_sender_is_refused_and_leaves_no_row(spoil: Any, outcome: str) -> None:
    """UT-IA-01 at the door: a missing signature is as bad as a wrong one."""
    sender = Sender()
    body = json.dumps(issue_event()).encode()
    answer = sender.post(body, spoil(sender, body))
    assert answer.status_code == 401
    assert code_of(answer) == outcome
    assert not AdapterEvent.objects.exists()


@pytest.mark.parametrize("body", [b"{", b"[1]", b'"text"', b"\xff\xfe", b"", b"[" * 5000])
def test_a_signed_body_that_is_no_object_is_kept_aside_and_taken(body: bytes) -> None:
    """Sent again it would be no clearer, so the provider is not made to."""
    sender = Sender()
    answer = sender.post(body, sender.signed(body))
    assert (answer.status_code, answer.json()) == (202, {"status": "quarantined", "events": 0})
    assert QuarantinedDelivery.objects.get().reason == "unreadable"
    assert not AdapterEvent.objects.exists()


def test_the_same_delivery_again_is_200_and_changes_no_event() -> None:
    sender = Sender()
    event = issue_event()
    assert sender.deliver(event).status_code == 202
    before = AdapterEvent.objects.values().get()
    again = sender.deliver(event, at=time.time() - 5)  # another second, so another signature
    assert (again.status_code, again.json()["status"]) == (200, "duplicate")
    assert AdapterEvent.objects.values().get() == before


def test_the_same_signature_under_a_new_delivery_id_is_a_replay() -> None:
    """UT-IA-02 at the door, for a scheme that signs no clock."""
    sender = Sender(scheme="hmac_body")
    event = issue_event()
    del event["id"]  # only the unsigned header is left to tell deliveries apart
    body = json.dumps(event).encode()
    assert sender.post(body, {**sender.signed(body), "x-fake-delivery": "first"}).status_code == 202
    again = sender.post(body, {**sender.signed(body), "x-fake-delivery": "second"})
    assert (again.status_code, again.json()["status"]) == (200, "duplicate")
    assert AdapterEvent.objects.count() == 1


def test_a_batch_replayed_under_new_ids_is_refused_as_a_whole(settings: Any) -> None:
    sender = Sender(scheme="hmac_body")
    events = [issue_event(n) for n in (1, 2)]
    for event in events:
        del event["id"]
    body = json.dumps({"events": events}).encode()
    assert sender.post(body, {**sender.signed(body), "x-fake-delivery": "first"}).json()["events"] == 2
    settings.REDIS_URL = "redis://127.0.0.1:1/0"  # nobody listens: the database decides
    again = sender.post(body, {**sender.signed(body), "x-fake-delivery": "second"})
    assert again.json()["status"] == "duplicate"
    assert AdapterEvent.objects.count() == 2


def test_without_redis_nothing_is_lost_and_replays_are_still_caught(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    sender = Sender(scheme="hmac_body")
    body = json.dumps(issue_event()).encode()
    assert sender.post(body, sender.signed(body)).status_code == 202
    assert sender.post(body, sender.signed(body)).status_code == 200
    assert AdapterEvent.objects.count() == 1


@pytest.mark.parametrize("path", ["wrong provider", "unknown token", "odd token"])
def test_doors_that_are_not_there_all_look_alike(path: str) -> None:
    sender = Sender()
    body = json.dumps(issue_event()).encode()
    target = {
        "wrong provider": f"/v1/integrations/webhooks/other/{sender.token}",
        "unknown token": "/v1/integrations/webhooks/fake/" + "A" * 43,
        "odd token": "/v1/integrations/webhooks/fake/%F0%9F%98%80",
    }[path]
    answer = sender.post(body, sender.signed(body), path=target)
    assert answer.status_code == 404
    assert code_of(answer) == "NOT_FOUND"


@pytest.mark.parametrize(
    ("registration", "connection"),
    [
        (RegistrationStatus.SUSPENDED, ConnectionStatus.ACTIVE),
        (RegistrationStatus.DELETED, ConnectionStatus.ACTIVE),
        (RegistrationStatus.ACTIVE, ConnectionStatus.SUSPENDED),
        (RegistrationStatus.ACTIVE, ConnectionStatus.DELETED),
    ],
)
def test_suspended_and_deleted_answer_like_unknown(registration: str, connection: str) -> None:
    sender = Sender()
    type(sender.registration).objects.update(status=registration)
    type(sender.connection).objects.update(status=connection)
    answer = sender.deliver(issue_event())
    assert answer.status_code == 404
    assert not AdapterEvent.objects.exists()


def test_unknown_kinds_are_stored_as_ignored() -> None:
    sender = Sender()
    assert sender.deliver(issue_event(type="issue.teleported")).status_code == 202
    event = AdapterEvent.objects.get()
    assert event.delivery_status == DeliveryStatus.IGNORED
    assert event.ignored_reason
    assert event.signal_id is None


def test_a_body_over_the_cap_is_413() -> None:
    sender = Sender()
    limit = registry.get("fake").manifest.body_limit_bytes
    body = b"{" + b" " * limit + b"}"
    answer = sender.post(body, sender.signed(body))
    assert answer.status_code == 413
    assert code_of(answer) == "PAYLOAD_TOO_LARGE"


@pytest.mark.parametrize(("outcome", "fills_the_cap"), [("too_large", 1.1), ("signature_mismatch", 0.1)])
def test_every_refusal_at_the_door_is_counted_by_its_reason(outcome: str, fills_the_cap: float) -> None:
    body = b" " * int(registry.get("fake").manifest.body_limit_bytes * fills_the_cap)
    sender = Sender()
    labels = {"provider": "fake", "tenant": sender.connection.tenant_id, "outcome": outcome}
    before = REGISTRY.get_sample_value("integration_webhooks_total", labels) or 0.0
    sender.post(body, sender.signed(b"something else"))
    assert REGISTRY.get_sample_value("integration_webhooks_total", labels) == before + 1


def test_a_handshake_is_answered_after_verification_only() -> None:
    sender = Sender()
    body = b'{"type": "handshake", "challenge": "c-42"}'
    assert sender.post(body, {}).status_code == 401
    answer = sender.post(body, sender.signed(body))
    assert (answer.status_code, answer.json()) == (200, {"challenge": "c-42"})
    assert not AdapterEvent.objects.exists()


def test_the_first_delivery_verifies_a_connection_that_only_receives() -> None:
    sender = Sender(
        status=ConnectionStatus.PENDING_VERIFICATION, credential=None, enabled_capabilities={"webhook": True}
    )
    assert sender.deliver(issue_event()).status_code == 202
    sender.connection.refresh_from_db()
    assert sender.connection.status == ConnectionStatus.ACTIVE
    assert sender.connection.history.get().operation == "verified"


def test_a_pending_connection_that_also_polls_stays_pending() -> None:
    sender = Sender(status=ConnectionStatus.PENDING_VERIFICATION)
    assert sender.deliver(issue_event()).status_code == 202
    sender.connection.refresh_from_db()
    assert sender.connection.status == ConnectionStatus.PENDING_VERIFICATION


def test_old_and_new_secret_verify_until_the_grace_ends() -> None:
    sender = Sender()
    fresh, _, old_secret = make_registration(sender.connection, secret="the new secret"), None, sender.secret
    sender.registration.previous_secret_ref = sender.registration.secret_ref
    sender.registration.secret_ref = fresh[0].secret_ref
    sender.registration.previous_secret_until = timezone.now() + timedelta(hours=1)
    sender.registration.save()
    for number, secret in enumerate([old_secret, "the new secret"]):
        body = json.dumps(issue_event(number)).encode()
        assert sender.post(body, sender.signed(body, secret=secret)).status_code == 202
    sender.registration.previous_secret_until = timezone.now() - timedelta(seconds=1)
    sender.registration.save()
    body = json.dumps(issue_event(9)).encode()
    assert sender.post(body, sender.signed(body, secret=old_secret)).status_code == 401


def test_process_webhook_works_from_code_and_unpacks() -> None:
    sender = Sender()
    body = json.dumps(issue_event()).encode()
    headers = {name.title(): value for name, value in sender.signed(body).items()}
    success, error = WebhookService().process_webhook("fake", sender.token, body, headers)
    assert (success, error) == (True, None)
    success, error = WebhookService().process_webhook("fake", sender.token, body + b" ", headers)
    assert (success, error) == (False, "The signature is not valid.")
    with pytest.raises(TypeError):
        WebhookService().process_webhook("fake", sender.token, json.loads(body), headers)


def test_a_secret_that_cannot_be_read_is_our_fault() -> None:
    sender = Sender()
    type(sender.registration).objects.update(secret_ref="secret:" + str(uuid.uuid4()))
    answer = sender.deliver(issue_event())
    assert answer.status_code == 503
    assert code_of(answer) == "TEMPORARILY_UNAVAILABLE"


def test_secrets_in_a_payload_are_redacted_before_the_row_is_written() -> None:
    sender = Sender()
    canary = "ghp_" + "c4nary" * 6
    sender.deliver(issue_event(note=f"use {canary}", password="hunter2hunter2", mail="zoe@acme.example"))
    stored = json.dumps(AdapterEvent.objects.get().raw)
    assert canary not in stored
    assert "hunter2hunter2" not in stored
    assert "zoe@acme.example" not in stored


def test_text_postgresql_cannot_hold_is_no_error() -> None:
    sender = Sender()
    event = issue_event(id="evt\x00nul", type="issue.created")
    event["issue"]["title"] = "cut \ud83d here"
    assert sender.deliver(event).status_code == 202
    assert deliver_batch().delivered == 1


def test_another_tenants_connection_has_its_own_memory() -> None:
    event = issue_event()
    first, second = Sender(), Sender(tenant_id=GLOBEX)
    assert first.deliver(event).status_code == 202
    assert second.deliver(event).status_code == 202
    assert {e.tenant_id for e in AdapterEvent.objects.all()} == {"acme", "globex"}


def test_an_accepted_delivery_needs_few_statements(django_assert_num_queries: Any) -> None:
    sender = Sender()
    for number in (1, 2):  # opens the door and writes the time of receipt; is then known as it is
        sender.deliver(issue_event(number))
    with django_assert_num_queries(2):  # whether the door changed, insert; the first only every other second
        assert sender.deliver(issue_event(3)).status_code == 202
    assert database.vendor == "postgresql"
