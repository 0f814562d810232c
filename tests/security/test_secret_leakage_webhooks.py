"""SEC-IA-01: the ways in. Signing secrets, those before a rotation, and the addresses of doors stay inside."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.test import Client

from connections.models import IntegrationConnection
from connections.secret_store import secret_store
from events.models import AdapterEvent
from events.outbox import deliver_batch
from providers import registry
from providers.verification import HmacScheme, sign
from tests.api import CONNECTIONS
from tests.security.leakage_canaries import SHAPES
from tests.security.leakage_parrot import Parrot, ParrotAdapter
from tests.security.leakage_watch import Watch, parrot, watch
from tests.staff import list_of, operator
from webhooks.models import QuarantinedDelivery, WebhookRegistration
from webhooks.services import WebhookService

__all__ = ["parrot", "watch"]

pytestmark = pytest.mark.django_db


class Door:
    """A registration that was made through the API, and requests at it."""

    def __init__(self, watch: Watch, connection: IntegrationConnection, secret: str) -> None:
        self.watch, self.secret, self.number = watch, secret, 0
        self.url = f"{CONNECTIONS}/{connection.pk}/webhooks"
        # The one answer that tells secret and address.
        told = watch.answer("post", self.url, {"secret": secret}).json()
        self.registration = told["registration_id"]
        self.path = "/v1/" + told["public_url"].partition("/v1/")[2]
        self.token = watch.plant(f"the address of a door of {secret}", value=self.path.rsplit("/", 1)[1])

    def knock(self, secret: str, **more: Any) -> None:
        self.number += 1
        event = {"type": "issue.created", "id": f"{self.registration}-{self.number}", "at": "2026-03-01T09:00:00Z"}
        body = json.dumps({**event, "issue": {"key": "WEB-1"}, **more}).encode()
        self.send(body, secret)

    def send(self, body: bytes, secret: str) -> None:
        webhook = registry.get("parrot").webhook
        assert webhook is not None
        scheme = webhook.schemes["hmac"]
        assert isinstance(scheme, HmacScheme)
        headers = sign(scheme, body=body, secret=secret.encode(), timestamp=int(time.time()))
        # A proxy may add the secret where a sender of another kind would carry it.
        sent = {**headers, "x-webhook-token": self.secret, "referer": f"https://example{self.path}"}
        client = Client(raise_request_exception=False)
        self.watch.hear("the door", client.post(self.path, body, content_type="application/json", headers=sent))


def test_signing_secrets_and_addresses_of_doors_stay_inside(watch: Watch, parrot: Parrot) -> None:
    """SEC-IA-01"""
    for shape in SHAPES:
        connection = watch.create(parrot, {"token": watch.plant("a token", shape)})
        door = Door(watch, connection, watch.plant("a signing secret", shape))
        door.knock(door.secret)
        door.knock("guessed-wrongly-4711")
        door.send(b"{", door.secret)
        door.send(b'{"no": "type"}', door.secret)
        watch.call("post", f"{door.url}/{door.registration}/rotate", {"secret": "kurz"})
        new = watch.plant("a signing secret after a rotation", shape)
        watch.answer("post", f"{door.url}/{door.registration}/rotate", {"secret": new})
        door.knock(door.secret)
        door.knock(new)
        for place in ("webhook", "normalise"):
            ParrotAdapter.broken = {place}
            ParrotAdapter.knows = {"secret": door.secret, "new": new, "door": door.token}
            door.knock(new)
            watch.called(deliver_batch)
        ParrotAdapter.broken = set()
        watch.called(WebhookService().process_webhook, "parrot", door.token, b"{}", {"x-fake-signature": door.secret})
        for path in ("", f"/{door.registration}/diagnosis"):
            watch.call("get", door.url + path, roles=("tenant_reader",))
        watch.call("delete", f"{door.url}/{door.registration}")
    assert AdapterEvent.objects.exists()
    assert QuarantinedDelivery.objects.exists()
    assert "adapter_failed" in watch.lines.getvalue()
    assert watch.leaks(admin_too=True) == []


def test_what_the_admin_shows_once_is_in_no_log_line(watch: Watch, parrot: Parrot) -> None:
    """SEC-IA-01"""
    connection = watch.create(parrot, {"token": watch.plant("a token")})
    made = operator().post(list_of(WebhookRegistration, "add"), {"connection": str(connection.pk), "events": ""})
    registration = WebhookRegistration.objects.get()
    watch.plant("a signing secret", value=secret_store().get("acme", registration.secret_ref))
    watch.plant("an address", value=secret_store().get("acme", registration.url_ref).rsplit("/", 1)[1])
    client = operator()
    made = client.post(f"/admin/webhooks/webhookregistration/{registration.pk}/rotate/", {"secret": ""})
    watch.plant("a rotated secret", value=secret_store().get("acme", WebhookRegistration.objects.get().secret_ref))
    page = client.get(made.headers["Location"]).content.decode()
    assert watch.planted["a rotated secret (words)"] in page
    assert watch.leaks() == []
