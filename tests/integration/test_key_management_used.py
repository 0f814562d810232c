"""Key management in use: what depends on it waits while it is away, and what nobody needs is forgotten there."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.urls import reverse

from connections import incident_outbox, receipt_outbox, secret_kms, secret_store, services
from connections.budget_platform import PlatformBudget
from connections.errors import ServiceError
from connections.exchange import exchange
from connections.models import ConnectionStatus, ForgottenSecret, IntegrationConnection
from connections.outbox import Sent
from connections.runtime import calling
from connections.secret_forgetting import forget_due
from connections.secret_kms import forget_remembered
from connections.secret_port import SecretStore
from connections.secret_store import SecretUnavailable
from connections.tenancy import TENANT_ADMIN
from events.outbox import deliver_batch
from providers.catalogue import sync_providers
from providers.errors import CredentialAway, Misconfigured
from providers.verification import sign
from tests.api import CONNECTIONS, client_of
from tests.budget_service import running_budget_service
from tests.evidence_service import EvidenceStub
from tests.factories import ACME, make_connection, make_event, make_registration
from tests.incidents import trouble
from tests.key_management import KeyManagementStub
from tests.neighbours import AlertingStub, Pm3Stub
from tests.receipts import emit
from webhooks import lookup, registrations
from webhooks.lookup import open_door
from webhooks.models import RejectedDelivery, WebhookRegistration

pytestmark = pytest.mark.django_db


def store() -> SecretStore:
    return secret_store.secret_store()


def test_a_connection_is_not_held_for_broken_while_key_management_is_away(kms: KeyManagementStub) -> None:
    connection = make_connection(credential={"token": "good"})
    kms.outage = 503
    forget_remembered()
    with pytest.raises(CredentialAway) as away:
        calling(connection)
    assert away.value.retryable
    with pytest.raises(ServiceError) as refused:
        services.verify_connection(connection, actor="api:zoe")
    assert refused.value.status == 503
    connection.refresh_from_db()
    assert (connection.status, connection.consecutive_failures) == (ConnectionStatus.ACTIVE, 0)
    kms.outage = 0
    kms.secrets.clear()
    with pytest.raises(Misconfigured):
        calling(connection)


def test_a_caller_is_told_to_come_back(kms: KeyManagementStub) -> None:
    kms.outage = 503
    asked = {"provider_id": "fake", "display_name": "x", "credential": {"token": "t"}}
    sync_providers()
    answer = client_of(ACME, TENANT_ADMIN).post(CONNECTIONS, asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert int(answer["Retry-After"]) > 0
    assert not IntegrationConnection.objects.filter(tenant_id=ACME).exists()


def test_nobody_speaks_with_another_token_while_a_tenants_own_cannot_be_read(
    kms: KeyManagementStub, pm3: Pm3Stub, alerting: AlertingStub, evidence: EvidenceStub, settings: Any
) -> None:
    """Each would fall back on ``PLATFORM_TOKEN`` where a tenant has none."""
    with running_budget_service() as budgets:
        settings.PLATFORM_TOKEN, settings.BUDGET_SERVICE_URL = "everybodys", budgets.url
        connection = make_connection()
        event = make_event(connection)
        trouble(connection)
        emit(connection)
        kms.outage = 503
        forget_remembered()
        assert deliver_batch().failed == 1
        event.refresh_from_db()
        assert (event.delivery_status, event.last_error_code) == ("failed", "TOKEN_UNREACHABLE")
        assert incident_outbox.send_due().failed == 1
        assert receipt_outbox.send_due().failed == 1
        asked = PlatformBudget(budgets.url, 2.0).ask(ACME, "integration.fake.action", "c")
        assert asked.allowed  # actions go on without a budget service
        assert (pm3.requests, alerting.requests, evidence.requests, budgets.asked) == ([], [], 0, [])


def delivered(registration: WebhookRegistration, token: str, secret: str) -> Any:
    door = open_door(registration)
    assert door is not None
    body = json.dumps({"type": "issue.created", "id": "e1", "issue": {"key": "WEB-1", "title": "x"}}).encode()
    headers = sign(door.scheme, body=body, secret=secret.encode(), identifier="d1")
    address = f"/v1/integrations/webhooks/fake/{token}"
    return Client().post(address, body, content_type="application/json", headers=headers)


def test_a_door_whose_secret_cannot_be_read_asks_the_sender_to_try_again(kms: KeyManagementStub) -> None:
    registration, token, secret = make_registration(make_connection())
    assert delivered(registration, token, secret).status_code == 202
    kms.outage = 503
    assert delivered(registration, token, secret).status_code == 200  # taken before, its secret is remembered
    forget_remembered()
    lookup._doors.clear()
    assert delivered(registration, token, secret).status_code == 503
    assert RejectedDelivery.objects.get().reason == "secret_unavailable"


def test_a_door_does_not_remember_a_secret_of_key_management_for_ever(kms: KeyManagementStub, settings: Any) -> None:
    settings.WEBHOOK_DOOR_CACHE_SECONDS = 0.0
    registration, token, secret = make_registration(make_connection())
    assert delivered(registration, token, secret).status_code == 202
    store().replace(ACME, registration.secret_ref, "another-secret-of-the-operator")
    assert delivered(registration, token, secret).status_code == 401


def test_the_secret_before_a_rotation_is_not_taken_for_gone_while_it_cannot_be_read(kms: KeyManagementStub) -> None:
    registration, token, secret = make_registration(make_connection())
    registrations.rotate_secret(registration, actor="api:zoe")
    registration.refresh_from_db()
    forget_remembered()
    previous = f"integration-adapters-{registration.previous_secret_ref.removeprefix('kms:')}"
    usual = kms._answer

    def broken(verb: str, tenant: str, name: str, body: Any) -> tuple[int, Any]:
        return (503, {}) if name == previous else usual(verb, tenant, name, body)

    kms._answer = broken  # type: ignore[method-assign]
    assert delivered(registration, token, secret).status_code == 503
    kms._answer = usual  # type: ignore[method-assign]
    assert delivered(registration, token, secret).status_code == 202


def test_a_forgotten_secret_is_overwritten_there_when_it_can_be(kms: KeyManagementStub) -> None:
    reference = store().put(ACME, "hush")
    (ours,) = kms.secrets
    kms.outage = 503
    store().delete(ACME, reference)
    store().delete(ACME, reference)
    assert forget_due() == Sent(claimed=1, failed=1)
    assert "503" in ForgottenSecret.objects.get().last_send_error
    kms.outage = 0
    ForgottenSecret.objects.update(next_attempt_at=datetime.now(UTC) - timedelta(seconds=1))
    assert forget_due() == Sent(claimed=1, taken=1)
    assert not ForgottenSecret.objects.exists()
    assert "hush" not in str(kms.secrets)
    assert set(kms.secrets) == {ours}
    with pytest.raises(SecretUnavailable):
        store().get(ACME, reference)


def test_an_operators_secret_there_is_never_forgotten(kms: KeyManagementStub) -> None:
    kms.secrets[ACME, "trackers/acme"] = "v"
    store().delete(ACME, "trackers/acme")
    assert not ForgottenSecret.objects.exists()
    assert store().get(ACME, "trackers/acme") == "v"


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_key_management_is_asked(
    kms: KeyManagementStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watched(*args: Any, **options: Any) -> Any:
        seen.append((args[0], database.in_atomic_block))
        return exchange(*args, **options)

    monkeypatch.setattr(secret_kms, "exchange", watched)
    make_connection()
    connection = services.create_connection(
        tenant_id=ACME, provider_id="fake", display_name="x", credential={"token": "t"}, actor="api:zoe"
    )
    issued = registrations.create_registration(connection, actor="api:zoe")
    registrations.rotate_secret(issued.registration, actor="api:zoe")
    registrations.drop_previous_secret(issued.registration, actor="api:zoe")
    services.delete_connection(connection, actor="api:zoe")
    assert forget_due().taken == 4  # URL, both signing secrets, credential
    assert {verb for verb, _ in seen} == {"PUT", "GET"}
    assert {inside for _, inside in seen} == {False}


@pytest.mark.django_db(transaction=True)
def test_a_secret_of_what_was_not_made_in_the_end_is_forgotten(kms: KeyManagementStub) -> None:
    connection = make_connection()
    before = set(kms.secrets)
    IntegrationConnection.objects.filter(pk=connection.pk).update(status=ConnectionStatus.DELETED)
    with pytest.raises(ServiceError):
        registrations.create_registration(connection, actor="api:zoe")
    assert not WebhookRegistration.objects.exists()
    made = len(set(kms.secrets) - before)
    assert made == 2
    assert forget_due().taken == made


def test_no_page_and_no_repr_shows_a_secret(kms: KeyManagementStub, admin_client: Client) -> None:
    connection = make_connection(credential={"token": "kanarienvogel-4711"})
    page = reverse("admin:connections_integrationconnection_change", args=[connection.pk])
    assert "kanarienvogel-4711" not in admin_client.get(page).content.decode()
    answer = exchange("GET", f"{kms.url}/v1/secrets/x", {}, timeout_seconds=3.0, service="key management")
    kms.faults.clear()
    assert "Not authenticated" not in repr(answer)
