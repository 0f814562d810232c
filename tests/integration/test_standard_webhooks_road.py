"""A connection that only receives, from any sender of the Standard Webhooks specification, over HTTP."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import Client
from standardwebhooks import Webhook as Reference

from connections.errors import ServiceError
from connections.models import ConnectionStatus, IntegrationConnection
from connections.services import create_connection
from events.models import AdapterEvent
from events.outbox import deliver_batch
from providers.catalogue import sync_providers
from tests.factories import ACME
from tests.neighbours import Pm3Stub
from webhooks.registrations import IssuedRegistration, create_registration

pytestmark = pytest.mark.django_db

SETTINGS = {
    "mapping": [{"type": "deploy.failed", "signal_type": "deployment_failed"}],
    "pointers": {"environment": "/data/target"},
}
BODY = b'{"type": "deploy.failed", "timestamp": "2026-03-02T10:00:00Z", "data": {"id": "d91", "target": "production"}}'


def opened(**values: Any) -> tuple[IntegrationConnection, IssuedRegistration]:
    sync_providers()
    connection = create_connection(
        tenant_id=ACME,
        provider_id="standard_webhooks",
        display_name="Deploys",
        settings=SETTINGS,
        actor="zoe",
    )
    return connection, create_registration(connection, actor="zoe", **values)


def posted(door: IssuedRegistration, message: str, signature: str, body: bytes, stamp: int) -> Any:
    headers = {"webhook-id": message, "webhook-timestamp": str(stamp), "webhook-signature": signature}
    path = "/" + door.public_url.split("/", 3)[3]
    return Client().post(path, body, content_type="application/json", headers=headers)


def sent(door: IssuedRegistration, message: str = "msg_1", body: bytes = BODY, *, ago: int = 0) -> Any:
    """As the library of the specification's authors signs."""
    stamp = int(time.time()) - ago
    signature = Reference(door.secret).sign(message, datetime.fromtimestamp(stamp, tz=UTC), body.decode())
    return posted(door, message, signature, body, stamp)


def test_first_delivery_verifies_the_connection_and_its_settings_say_what_it_means(pm3: Pm3Stub) -> None:
    """IT-IA-02."""
    connection, door = opened()
    assert connection.status == ConnectionStatus.PENDING_VERIFICATION
    assert sent(door).status_code == 202
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ACTIVE
    assert deliver_batch().delivered == 1
    (signal,) = pm3.signals.values()
    assert signal["signal_type"] == "deployment_failed"
    assert signal["payload"]["canonical_keys"]["deployment_id"] == "d91"
    assert signal["occurred_at"] == "2026-03-02T10:00:00.000Z"
    assert "production" in str(signal)


def test_retry_with_a_new_time_and_signature_is_the_same_message() -> None:
    """UT-IA-02."""
    _, door = opened()
    assert sent(door, ago=200).status_code == 202
    assert sent(door).status_code == 200
    assert AdapterEvent.objects.count() == 1


def test_old_attempt_is_refused() -> None:
    """UT-IA-02."""
    _, door = opened()
    assert sent(door, ago=310).status_code == 401
    assert not AdapterEvent.objects.exists()


def test_body_that_is_no_object_is_kept_and_answered_as_received() -> None:
    _, door = opened()
    assert sent(door, body=b"plain words").status_code in (200, 202)
    event = AdapterEvent.objects.get()
    assert (event.delivery_status, event.ignored_reason) == ("ignored", "The body is not valid JSON.")


def test_public_key_of_the_sender_opens_a_door_for_its_signatures_alone() -> None:
    """UT-IA-01."""
    key = Ed25519PrivateKey.generate()
    public = "whpk_" + base64.b64encode(key.public_key().public_bytes_raw()).decode()
    _, door = opened(scheme="ed25519", secret=public)
    stamp = int(time.time())
    signature = base64.b64encode(key.sign(f"msg_1.{stamp}.".encode() + BODY)).decode()
    assert posted(door, "msg_1", f"v1,{signature}", BODY, stamp).status_code == 401
    assert posted(door, "msg_1", f"v1,AAAA v1a,{signature}", BODY, stamp).status_code == 202


def test_door_for_a_public_key_needs_one() -> None:
    with pytest.raises(ServiceError):
        opened(scheme="ed25519")
    with pytest.raises(ServiceError):
        opened(scheme="ed25519", secret="whpk_not-a-key")
