"""Fixtures every test may use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings

from connections.secret_store import secret_store
from tests.factories import ACME, GLOBEX
from tests.hub_provider import HUB, Hub, running_hub
from tests.neighbours import AlertingStub, Pm3Stub, running_alerting, running_pm3
from tests.polling_provider import Ledger, running_ledger


@pytest.fixture(autouse=True)
def _clean_valkey() -> None:
    """Each test starts with an empty cache; the engine is real and shared by the run."""
    redis.Redis.from_url(django_settings.REDIS_URL).flushdb()


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
