"""The hostile sender: captured requests, floods, and requests that become more than they are."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from django.test import Client

from connections.models import ConnectionStatus, IntegrationConnection
from events.models import AdapterEvent, IntakeTally, SpentSignature
from events.retention import purge_signatures
from providers import registry
from providers.verification import sign
from tests.factories import GLOBEX, make_connection, make_registration
from tests.hub_provider import Hub, post
from tests.integration.test_front import ask
from tests.integration.test_webhook_road import Sender, issue_event
from tests.integration.test_webhook_shared import door, installed, owners
from webhooks import intake, lookup
from webhooks.models import QuarantinedDelivery, RejectedDelivery
from webhooks.registrations import rotate_secret

pytestmark = pytest.mark.django_db

__all__ = ["door"]  # a fixture


def unsigned_id_body(number: int) -> bytes:
    event = issue_event(number)
    del event["id"]
    return json.dumps(event).encode()


class Captured:
    """A delivery told twice with different bodies, as after a rotation; the second signature belongs to no event."""

    def __init__(self) -> None:
        self.sender = Sender(scheme="hmac_body")
        first, self.body = unsigned_id_body(1), unsigned_id_body(2)
        assert self._post(first, "d1") == 202
        assert self._post(self.body, "d1") == 200

    def replayed_as(self, delivery: str) -> int:
        return self._post(self.body, delivery)

    def _post(self, body: bytes, delivery: str) -> int:
        return int(self.sender.post(body, {**self.sender.signed(body), "x-fake-delivery": delivery}).status_code)


class TestSpentSignatures:
    def test_the_signature_of_a_known_delivery_is_remembered_too(self) -> None:
        assert Captured().replayed_as("d2") == 200
        assert AdapterEvent.objects.count() == 1

    def test_also_where_redis_has_forgotten_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        captured = Captured()
        monkeypatch.setattr("webhooks.replay.note", lambda *_: True)
        assert captured.replayed_as("d2") == 200
        assert AdapterEvent.objects.count() == 1
        assert sum(IntakeTally.objects.values_list("received", flat=True)) == 3
        assert sum(IntakeTally.objects.values_list("duplicate", flat=True)) == 2

    def test_also_where_a_request_tells_several_events(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sender = Sender(scheme="hmac_body")
        one, two = ({"events": [issue_event(n), issue_event(n + 1)]} for n in (1, 3))
        for event, known in zip(two["events"], one["events"], strict=True):
            event["id"] = known["id"]
        first, second = json.dumps(one).encode(), json.dumps(two).encode()
        assert sender.post(first, sender.signed(first)).status_code == 202
        assert sender.post(second, sender.signed(second)).status_code == 200
        AdapterEvent.objects.all().delete()  # only the signature can tell now
        monkeypatch.setattr("webhooks.replay.note", lambda *_: True)
        assert sender.post(second, sender.signed(second)).status_code == 200
        assert not AdapterEvent.objects.exists()

    def test_a_redelivery_after_a_rotation_cannot_be_replayed_under_new_ids(self) -> None:
        registration, token, secret = make_registration(make_connection("github"))
        webhook = registry.get("github").webhook
        assert webhook is not None
        scheme = webhook.schemes["hmac"]
        issue = {"number": 1, "title": "x"}
        body = json.dumps({"action": "opened", "issue": issue, "repository": {"full_name": "a/b", "id": 1}}).encode()

        def send(secret: str, delivery: str) -> int:
            signed = sign(scheme, body=body, secret=secret.encode())
            headers = {**signed, "x-github-event": "issues", "x-github-delivery": delivery}
            path = f"/v1/integrations/webhooks/github/{token}"
            return Client().post(path, body, content_type="application/json", headers=headers).status_code

        assert send(secret, "one") == 202
        rotated = rotate_secret(registration, actor="test").secret
        assert rotated is not None
        lookup._doors.clear()
        assert send(rotated, "one") == 200
        assert [send(rotated, "two"), send(rotated, "three")] == [200, 200]
        assert AdapterEvent.objects.count() == 1

    def test_a_redelivery_shows_that_the_new_secret_is_in_use(self) -> None:
        sender = Sender(scheme="hmac_body")
        body = unsigned_id_body(1)
        assert sender.post(body, {**sender.signed(body), "x-fake-delivery": "one"}).status_code == 202
        rotated = rotate_secret(sender.registration, actor="test").secret
        lookup._doors.clear()
        headers = {**sender.signed(body, secret=rotated), "x-fake-delivery": "one"}
        assert sender.post(body, headers).status_code == 200
        sender.registration.refresh_from_db()
        assert sender.registration.secret_used_at is not None

    def test_one_owner_may_know_a_delivery_that_is_new_to_another(self, hub: Hub, door: Any) -> None:
        installed(hub, "T-acme")
        known = installed(hub, "T-globex", tenant_id=GLOBEX)
        assert post(door, {"kind": "made", "id": "x", "accounts": ["T-globex"]}).status_code == 202
        assert post(door, {"kind": "made", "id": "x", "accounts": ["T-acme", "T-globex"]}).status_code == 202
        assert SpentSignature.objects.get().connection == known

    def test_it_is_forgotten_with_the_events_of_its_age(self, settings: Any) -> None:
        Captured()
        assert purge_signatures() == 0
        settings.EVENT_RETENTION_DAYS = 0
        assert purge_signatures() == 1
        assert not SpentSignature.objects.exists()


class TestLimits:
    def test_captured_requests_of_long_ago_do_not_use_up_the_limit(self, settings: Any) -> None:
        settings.WEBHOOK_RATE_PER_CONNECTION = "5/minute"
        sender = Sender()
        body = json.dumps(issue_event()).encode()
        old = sender.signed(body, at=time.time() - 86400 * 30)
        assert {sender.post(body, old).status_code for _ in range(6)} == {401}
        assert sender.deliver(issue_event()).status_code == 202

    def test_a_captured_request_sent_again_and_again_has_a_limit_of_its_own(self, settings: Any) -> None:
        settings.WEBHOOK_RATE_PER_CONNECTION = "5/minute"
        sender = Sender()
        body = json.dumps(issue_event()).encode()
        signed = sender.signed(body)
        assert sender.post(body, signed).status_code == 202
        assert [sender.post(body, signed).status_code for _ in range(8)] == [200] * 5 + [429] * 3
        assert sender.deliver(issue_event()).status_code == 202

    def test_events_are_counted_not_requests(self, settings: Any) -> None:
        settings.WEBHOOK_RATE_PER_CONNECTION = "10/minute"
        sender = Sender()
        many = {"events": [issue_event(n) for n in range(10)]}
        statuses = [sender.deliver(many).status_code]
        statuses += [sender.deliver(issue_event(n)).status_code for n in range(100, 112)]
        assert statuses[0] == 202
        assert statuses.count(202) < 11

    def test_one_owner_over_its_limit_costs_the_others_of_a_shared_door_nothing(
        self,
        hub: Hub,
        door: Any,
        settings: Any,
    ) -> None:
        settings.WEBHOOK_RATE_PER_CONNECTION = "2/minute"
        installed(hub, "T-acme")
        installed(hub, "T-globex", tenant_id=GLOBEX)
        for number in range(2):
            told = {"kind": "made", "id": f"a{number}", "accounts": ["T-acme"]}
            assert post(door, told).status_code == 202
        # Asked for again, for the one; for the other it is a repetition then, and costs it nothing.
        both = {"kind": "made", "id": "both", "accounts": ["T-acme", "T-globex"]}
        assert [post(door, both).status_code for _ in range(5)] == [429] * 5
        assert (GLOBEX, "both") in owners()
        assert post(door, {"kind": "made", "id": "own", "accounts": ["T-globex"]}).status_code == 202

    def test_a_captured_request_at_a_shared_door_does_not_use_up_its_owners_limit(
        self,
        hub: Hub,
        door: Any,
        settings: Any,
    ) -> None:
        settings.WEBHOOK_RATE_PER_CONNECTION = "5/minute"
        installed(hub, "T-acme")
        told = {"kind": "made", "id": "1", "accounts": ["T-acme"]}
        assert [post(door, told).status_code for _ in range(10)] == [202] + [200] * 9
        assert post(door, {**told, "id": "2"}).status_code == 202


class TestTooMuch:
    def test_one_request_makes_a_bounded_number_of_rows_and_the_rest_is_kept_aside(self) -> None:
        sender = Sender()
        body = json.dumps({"events": [{"type": "a", "id": str(n)} for n in range(intake.MAX_EVENTS + 1)]}).encode()
        assert sender.post(body, sender.signed(body)).status_code == 202
        assert not AdapterEvent.objects.exists()
        assert QuarantinedDelivery.objects.get().reason == "too_many_events"

    def test_a_large_body_is_not_kept_once_for_each_of_its_events(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(intake, "MAX_STORED_BYTES", 5_000)
        sender = Sender()
        assert sender.deliver({"events": [issue_event(n) for n in range(2)]}).status_code == 202
        large = {"events": [issue_event(n) for n in range(3)], "rest": "x" * 2_000}
        assert sender.deliver(large).status_code == 202
        assert AdapterEvent.objects.count() == 2
        assert QuarantinedDelivery.objects.get().reason == "too_many_events"

    def test_a_large_body_of_one_event_is_taken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(intake, "MAX_STORED_BYTES", 5_000)
        assert Sender().deliver(issue_event(rest="x" * 6_000)).status_code == 202
        assert AdapterEvent.objects.count() == 1


@pytest.mark.django_db(transaction=True)
class TestRefusedUnread:
    @pytest.mark.parametrize(
        ("headers", "query", "status", "reason"),
        [
            ({"content-encoding": "gzip"}, "", 415, "encoded"),
            ({}, "&".join(f"a{n}=1" for n in range(1100)), 400, "too_many_parameters"),
        ],
    )
    def test_what_is_refused_for_its_form_is_seen_by_staff(
        self, headers: dict[str, str], query: str, status: int, reason: str
    ) -> None:
        sender = Sender()
        body = json.dumps(issue_event()).encode()
        path = f"/v1/integrations/webhooks/fake/{sender.token}"
        answer = ask(path, body, {**sender.signed(body), **headers}, QUERY_STRING=query)
        assert answer.status == status
        assert RejectedDelivery.objects.get().reason == reason

    def test_a_body_that_broke_off_is_no_delivery(self) -> None:
        """A web server hands over what came; a scheme that signs no body would take it for whole."""
        _, token, secret = make_registration(make_connection("gitlab"), scheme="token")
        body = json.dumps({"object_kind": "push", "ref": "refs/heads/x", "commits": []}).encode()
        headers = {"x-gitlab-token": secret, "x-gitlab-event": "Push Hook", "idempotency-key": uuid.uuid4().hex}
        path = f"/v1/integrations/webhooks/gitlab/{token}"
        assert ask(path, body[:30], headers, CONTENT_LENGTH=str(len(body))).status == 400
        assert RejectedDelivery.objects.get().reason == "broken_off"
        assert not QuarantinedDelivery.objects.exists()
        assert ask(path, body, headers).status == 202


def test_an_owner_deleted_while_a_delivery_is_stored_costs_the_others_nothing(
    hub: Hub,
    door: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = installed(hub, "T-acme")
    installed(hub, "T-globex", tenant_id=GLOBEX)
    find = intake.routed_connections

    def racing(*given: Any) -> list[IntegrationConnection]:
        found = find(*given)
        IntegrationConnection.objects.filter(pk=one.pk).update(status=ConnectionStatus.DELETED)
        return found

    monkeypatch.setattr(intake, "routed_connections", racing)
    assert post(door, {"kind": "revoked", "id": "r", "accounts": ["T-acme", "T-globex"]}).status_code == 202
    assert (GLOBEX, "r") in owners()
