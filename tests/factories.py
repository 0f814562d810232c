"""Rows for tests: two tenants and a stranger, always."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from django.utils import timezone

from actions.models import NormalisedAction
from connections.models import ConnectionStatus, IntegrationConnection
from connections.secret_store import put_credential, secret_store
from events.compression import pack
from events.envelope import signal_id
from events.models import AdapterEvent, DeliveryGap, Source
from events.services import tally
from providers import registry
from providers.catalogue import sync_providers
from providers.verification import new_secret
from webhooks.models import (
    MissedDelivery,
    QuarantinedDelivery,
    RegistrationStatus,
    RejectedDelivery,
    WatchedHook,
    WebhookRegistration,
)

ACME = "acme"
GLOBEX = "globex"
STRANGER = "stranger"


def make_connection(provider_id: str = "fake", tenant_id: str = ACME, **values: Any) -> IntegrationConnection:
    """An active connection that uses all its adapter can do; ``credential`` goes into the secret store."""
    sync_providers()
    adapter = registry.get(provider_id)
    credential = values.pop("credential", {"token": "test-token-" + secrets.token_hex(8)})
    active = values.get("status", ConnectionStatus.ACTIVE) == ConnectionStatus.ACTIVE
    return IntegrationConnection.objects.create(
        **{
            "tenant_id": tenant_id,
            "provider_id": provider_id,
            "display_name": f"{provider_id} of {tenant_id}",
            "status": ConnectionStatus.ACTIVE,
            "auth_ref": put_credential(tenant_id, credential) if credential else "",
            "api_version": adapter.api_versions[0],
            "enabled_capabilities": adapter.capabilities(),
            "last_verified_at": timezone.now() if active else None,
            **values,
        }
    )


def make_event(connection: IntegrationConnection, **values: Any) -> AdapterEvent:
    """An event as ``record`` would store it: pending, of signal type ``issue_created``."""
    key = values.pop("dedupe_key", f"event:{secrets.token_hex(8)}")
    tally(connection.pk, received=1, duplicate=0)
    payload = values.pop("payload", {"type": "issue.created", "issue": {"key": "WEB-1", "title": "Door sticks"}})
    return AdapterEvent.objects.create(
        **{
            "connection": connection,
            "tenant_id": connection.tenant_id,
            "provider_id": connection.provider_id,
            "provider_event_type": "issue.created",
            "source": Source.WEBHOOK,
            "dedupe_key": key,
            "payload": pack(payload),
            "signal_id": signal_id(connection.pk, key),
            "signal_type": "issue_created",
            **values,
        }
    )


def make_action(connection: IntegrationConnection, **values: Any) -> NormalisedAction:
    """A finished action."""
    return NormalisedAction.objects.create(
        **{
            "tenant_id": connection.tenant_id,
            "provider_id": connection.provider_id,
            "connection": connection,
            "canonical_type": "comment_on_issue",
            "target": {"issue_key": "WEB-1"},
            "payload": {"body": "Seen."},
            "idempotency_key": secrets.token_hex(8),
            "status": "completed",
            "result": {"reference": "c1", "url": "https://fake.example/c1"},
            **values,
        }
    )


def make_registration(connection: IntegrationConnection, **values: Any) -> tuple[WebhookRegistration, str, str]:
    """An active registration, its URL token and its signing secret."""
    token = secrets.token_urlsafe(32)
    store = secret_store()
    webhook = registry.get(connection.provider_id).webhook
    assert webhook is not None
    scheme = webhook.schemes[values.get("scheme", next(iter(webhook.schemes)))]
    secret = values.pop("secret", None) or new_secret(scheme.secret_form)
    registration = WebhookRegistration.objects.create(
        **{
            "tenant_id": connection.tenant_id,
            "provider_id": connection.provider_id,
            "connection": connection,
            "token_hash": hashlib.sha256(token.encode()).digest(),
            "url_ref": store.put(
                connection.tenant_id, f"http://testserver/v1/integrations/webhooks/{connection.provider_id}/{token}"
            ),
            "scheme": next(iter(webhook.schemes)),
            "secret_ref": store.put(connection.tenant_id, secret),
            "status": RegistrationStatus.ACTIVE,
            **values,
        }
    )
    return registration, token, secret


def make_rejection(registration: WebhookRegistration, **values: Any) -> RejectedDelivery:
    """Deliveries that were refused at a door ``at`` some time."""
    at = values.pop("at", timezone.now())
    return RejectedDelivery.objects.create(
        **{
            "tenant_id": registration.tenant_id,
            "registration": registration,
            "connection": registration.connection,
            "reason": "signature_mismatch",
            "hour": at.replace(minute=0, second=0, microsecond=0),
            "number": 3,
            "first_at": at,
            "last_at": at,
            "header_names": ["content-type", "x-hub-signature"],
            "body_bytes": 120,
            **values,
        }
    )


def make_quarantined(registration: WebhookRegistration, **values: Any) -> QuarantinedDelivery:
    """A verified delivery that could not be read."""
    return QuarantinedDelivery.objects.create(
        **{
            "tenant_id": registration.tenant_id,
            "registration": registration,
            "connection": registration.connection,
            "reason": "unreadable",
            "detail": "The event has no kind.",
            "body_hash": secrets.token_bytes(32),
            "proof": "hmac:1",
            "headers": {"content-type": "application/json"},
            "body": pack('{"id": 1}'),
            "body_bytes": 9,
            **values,
        }
    )


def make_gap(connection: IntegrationConnection, **values: Any) -> DeliveryGap:
    """Deliveries that were missed an hour ago, and came in since."""
    now = timezone.now()
    return DeliveryGap.objects.create(
        **{
            "tenant_id": connection.tenant_id,
            "connection": connection,
            "key": f"test:{secrets.token_hex(8)}",
            "cause": "deliveries_failed",
            "explanation": "Deliveries to the hook in acme/web did not come in.",
            "place": "acme/web",
            "since": now - timedelta(hours=1),
            "until": now - timedelta(minutes=50),
            "repair": "ledger",
            "status": "filled",
            "missing": 3,
            "asked": 2,
            "arrived": 2,
            "fetched": 1,
            "causes": {"our_fault": 3},
            "settled_at": now,
            **values,
        }
    )


def make_watched_hook(registration: WebhookRegistration, **values: Any) -> WatchedHook:
    """A hook that delivers, as was last asked a minute ago."""
    now = timezone.now()
    return WatchedHook.objects.create(
        **{
            "tenant_id": registration.tenant_id,
            "connection": registration.connection,
            "registration": registration,
            "place": "acme/web",
            "hook_id": "480001",
            "standing": "enabled",
            "checked_at": now - timedelta(minutes=1),
            "read_at": now - timedelta(minutes=1),
            "read_to": now - timedelta(minutes=5),
            **values,
        }
    )


def make_missed(watch: WatchedHook, **values: Any) -> MissedDelivery:
    """A delivery that nobody answered and that was fetched since."""
    now = timezone.now()
    gap = values.pop("gap", None) or make_gap(watch.connection)
    return MissedDelivery.objects.create(
        **{
            "tenant_id": watch.tenant_id,
            "connection": watch.connection,
            "watch": watch,
            "gap": gap,
            "delivery_id": secrets.token_hex(8),
            "attempt_id": "7000001",
            "event_type": "issues.opened",
            "delivered_at": now - timedelta(hours=1),
            "status_code": 503,
            "cause": "our_fault",
            "state": "fetched",
            "settled_at": now,
            **values,
        }
    )
