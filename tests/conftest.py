"""Fixtures every test may use."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings

from connections.oauth_clients import put_client
from connections.secret_kms import forget_remembered
from connections.secret_store import secret_store
from providers.catalogue import sync_providers
from providers.outbound import OutboundPolicy
from tests.authorisation_server import (
    CLIENT_ID,
    CLIENT_SECRET,
    PUBLIC,
    AuthorisationServer,
    GateAdapter,
    gate_oauth,
    running_authorisation_server,
)
from tests.evidence_service import EvidenceStub, running_evidence_service
from tests.factories import ACME, GLOBEX
from tests.hub_provider import HUB, Hub, running_hub
from tests.key_management import KeyManagementStub, running_key_management
from tests.neighbours import AlertingStub, Pm3Stub, running_alerting, running_pm3
from tests.polling_provider import Ledger, running_ledger


@cache
def _valkey() -> redis.Redis:
    """One connection a process: making one for each of thousands of tests costs more than the tests it is for."""
    return redis.Redis.from_url(django_settings.REDIS_URL)


@pytest.fixture(autouse=True)
def _clean_valkey() -> None:
    """Each test starts with an empty cache; the engine is real and shared by the run."""
    _valkey().flushdb()


@pytest.fixture
def pm3(settings: Any, db: None) -> Iterator[Pm3Stub]:
    """A running ingestion service that delivery is pointed at, with a token for two tenants."""
    for tenant_id in (ACME, GLOBEX):
        secret_store().put(tenant_id, f"token-of-{tenant_id}", name="platform/pm3")
    with running_pm3() as stub:
        settings.PM3_SERVICE_URL = stub.url
        yield stub
        assert stub.faults == []


@pytest.fixture
def alerting(settings: Any, db: None) -> Iterator[AlertingStub]:
    """A running alerting service that incidents are told, with the keys of two tenants."""
    with running_alerting() as stub:
        for tenant_id in (ACME, GLOBEX):
            stub.keys[tenant_id] = f"key-of-{tenant_id}".ljust(32, "-")
            secret_store().put(tenant_id, stub.keys[tenant_id], name="platform/alerting")
        settings.ALERTING_SERVICE_URL = stub.url
        yield stub
        assert stub.faults == []


@pytest.fixture
def evidence(settings: Any, db: None) -> Iterator[EvidenceStub]:
    """A running evidence service that receipts are sent to, with tokens of two tenants."""
    with running_evidence_service() as stub:
        for tenant_id in (ACME, GLOBEX):
            stub.tokens[tenant_id] = f"evidence-of-{tenant_id}"
            secret_store().put(tenant_id, stub.tokens[tenant_id], name="platform/eris")
        settings.ERIS_SERVICE_URL = stub.url
        yield stub
        assert stub.faults == []


@pytest.fixture
def kms(settings: Any, db: None) -> Iterator[KeyManagementStub]:
    """A running key management that secrets are kept in, with tokens of two tenants."""
    forget_remembered()
    with running_key_management() as stub:
        for tenant_id in (ACME, GLOBEX):
            stub.tokens[tenant_id] = f"kms-token-of-{tenant_id}"
            secret_store().put(tenant_id, stub.tokens[tenant_id], name="platform/kms")
        settings.KMS_SERVICE_URL = stub.url
        yield stub
        assert stub.faults == []
    forget_remembered()


@pytest.fixture
def ledger(settings: Any, db: None) -> Iterator[Ledger]:
    """A running provider whose answers the test decides, with its adapter registered."""
    settings.EXTRA_ADAPTERS = {"ledger": "tests.polling_provider.LedgerAdapter"}
    with running_ledger() as running:
        yield running


@pytest.fixture
def hub(settings: Any, db: None) -> Iterator[Hub]:
    """A running provider with an API for hooks, with its adapter registered."""
    settings.EXTRA_ADAPTERS = HUB
    with running_hub() as running:
        yield running


@pytest.fixture(scope="session")
def gate_server() -> Iterator[AuthorisationServer]:
    with running_authorisation_server() as running:
        yield running


@pytest.fixture
def gate(
    settings: Any, db: None, monkeypatch: pytest.MonkeyPatch, gate_server: AuthorisationServer
) -> Iterator[AuthorisationServer]:
    """A running authorisation server with the API behind it, its adapter, and the operator's app at it."""
    settings.EXTRA_ADAPTERS = {"gate": "tests.authorisation_server.GateAdapter"}
    settings.PUBLIC_BASE_URL = PUBLIC
    settings.OUTBOUND_POLICY = OutboundPolicy.parse(["127.0.0.1"])
    gate_server.begin_anew()
    monkeypatch.setattr(GateAdapter, "oauth", gate_oauth(gate_server))
    sync_providers()
    put_client(provider_id="gate", client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
    yield gate_server
    assert gate_server.faults == []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, so that no worker of a run is left alone with them at its end."""
    items.sort(key=lambda item: "/resilience/" not in item.path.as_posix())
