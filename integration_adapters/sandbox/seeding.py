"""The demonstration's rows: a verified connection with a webhook for each simulated provider and tenant."""

from __future__ import annotations

import time
from collections.abc import Callable

from connections.models import ConnectionQuerySet, ConnectionStatus, IntegrationConnection
from connections.secret_store import secret_store
from connections.services import create_connection, update_connection, verify_connection
from integration_adapters.sandbox.sink import TOKEN_PREFIX
from integration_adapters.sandbox.worlds import TENANTS, base_url, simulator_class
from providers import registry
from providers.verification import new_secret
from webhooks.models import RegistrationStatus, WebhookRegistration
from webhooks.registrations import create_registration

ACTOR = "system:sandbox"
SANDBOX_TAG = "sandbox"
POLL_INTERVAL_SECONDS = 30
VERIFY_TRIES = 5


def demo_connections(slug: str, tenant_id: str) -> ConnectionQuerySet:
    """The demonstration's connections of one tenant to one provider."""
    return (
        IntegrationConnection.objects.present()
        .filter(provider_id=slug, tenant_id=tenant_id, metadata_tags__contains={SANDBOX_TAG: "true"})
        .order_by("connection_id")
    )


def seed(sandbox_url: str, slugs: list[str], say: Callable[[str], None]) -> None:
    """Make what is missing; what is there is only led to the sandbox's address, and verified if it is not yet."""
    for tenant_id in TENANTS:
        secret_store().put(tenant_id, f"{TOKEN_PREFIX}{tenant_id}", name="platform/pm3")
        for slug in slugs:
            connection = _connection(slug, tenant_id, base_url(sandbox_url, slug, tenant_id))
            connection = _verified(connection)
            _register(connection)
            say(f"{connection.display_name} of {tenant_id} is {connection.status}")


def _connection(slug: str, tenant_id: str, url: str) -> IntegrationConnection:
    simulator, adapter = simulator_class(slug), registry.get(slug)
    if simulator is None:
        raise LookupError(f"{slug} has no simulator")
    settings = dict(simulator.settings(url))
    interval = adapter.settings_schema.get("properties", {}).get("poll_interval_seconds")
    if interval is not None:
        settings["poll_interval_seconds"] = max(POLL_INTERVAL_SECONDS, interval.get("minimum", 0))
    existing: IntegrationConnection | None = demo_connections(slug, tenant_id).first()
    if existing is None:
        return create_connection(
            tenant_id=tenant_id,
            provider_id=slug,
            display_name=f"{adapter.label} sandbox",
            credential=dict(simulator.credential),
            metadata_tags={SANDBOX_TAG: "true"},
            settings=settings,
            actor=ACTOR,
        )
    if existing.settings.get("base_url") != settings["base_url"]:
        moved = {**existing.settings, "base_url": settings["base_url"]}
        return update_connection(existing, actor=ACTOR, settings=moved)
    return existing


def _verified(connection: IntegrationConnection) -> IntegrationConnection:
    """The simulated provider fails now and then, so a failed verification is tried again."""
    for attempt in range(VERIFY_TRIES):
        if connection.status not in (ConnectionStatus.PENDING_VERIFICATION, ConnectionStatus.ERROR):
            break
        time.sleep(0.5 * min(attempt, 2))
        connection = verify_connection(connection, actor=ACTOR)
    return connection


def _register(connection: IntegrationConnection) -> None:
    simulator = simulator_class(connection.provider_id)
    doors = WebhookRegistration.objects.filter(connection=connection).exclude(status=RegistrationStatus.DELETED)
    webhook = registry.get(connection.provider_id).webhook
    if simulator is None or webhook is None or not connection.uses("webhook") or doors.exists():
        return
    scheme = simulator.webhook_scheme
    # Where the provider makes the secret, the simulated one does.
    secret = new_secret(webhook.schemes[scheme].secret_form) if scheme in webhook.secret_from_provider else ""
    create_registration(connection, actor=ACTOR, scheme=scheme, secret=secret)
