"""The demonstration end to end without processes: seeded connections, signed deliveries, a real web server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connections.models import ConnectionHistory, ConnectionStatus, IntegrationConnection
from connections.services import suspend_connection
from events.models import AdapterEvent, Source
from integration_adapters.sandbox.driver import POLL_ONLY_EVERY, Driver, signed_headers
from integration_adapters.sandbox.faults import Switchboard
from integration_adapters.sandbox.seeding import demo_connections, seed
from integration_adapters.sandbox.server import Sandbox, serve
from integration_adapters.sandbox.sink import Sink
from integration_adapters.sandbox.worlds import TENANTS, World, build, simulated_slugs
from providers import registry
from providers.catalogue import sync_providers
from providers.simulation import SimulatedDelivery
from providers.verification import (
    BasicScheme,
    Header,
    HmacScheme,
    JwtScheme,
    Scheme,
    SecretForm,
    SharedTokenScheme,
    new_secret,
    verify,
)
from webhooks.models import WebhookRegistration

Worlds = dict[tuple[str, str], World]


def quiet(text: str) -> None:
    """Says nothing."""


@pytest.fixture
def worlds() -> Worlds:
    return build(simulated_slugs(), faults=False)


@pytest.fixture
def sandbox_url(worlds: Worlds, tmp_path: Path) -> Iterator[str]:
    switchboard = Switchboard(simulated_slugs())
    server = serve(Sandbox(worlds, Sink(tmp_path / "sink.sqlite3", switchboard), switchboard), "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def seeded(db: None, sandbox_url: str) -> str:
    sync_providers()
    seed(sandbox_url, simulated_slugs(), quiet)
    return sandbox_url


def test_every_simulated_provider_has_a_verified_connection_of_each_tenant(seeded: str) -> None:
    assert simulated_slugs()
    for slug in simulated_slugs():
        for tenant_id in TENANTS:
            connection = demo_connections(slug, tenant_id).get()
            assert connection.status == ConnectionStatus.ACTIVE, connection.last_error
            assert WebhookRegistration.objects.filter(connection=connection).count() == 1


def test_seeding_again_changes_nothing(seeded: str) -> None:
    before = ConnectionHistory.objects.count()
    suspended = demo_connections(simulated_slugs()[0], TENANTS[0]).get()
    suspend_connection(suspended, actor="staff:zoe")
    seed(seeded, simulated_slugs(), quiet)
    assert ConnectionHistory.objects.count() == before + 1
    assert IntegrationConnection.objects.get(pk=suspended.pk).status == ConnectionStatus.SUSPENDED


def test_seeding_leads_connections_to_the_sandboxs_new_address(seeded: str, worlds: Worlds, tmp_path: Path) -> None:
    switchboard = Switchboard(simulated_slugs())
    moved = serve(Sandbox(worlds, Sink(tmp_path / "other.sqlite3", switchboard), switchboard), "127.0.0.1", 0)
    threading.Thread(target=moved.serve_forever, daemon=True).start()
    new_url = f"http://127.0.0.1:{moved.server_address[1]}"
    try:
        seed(new_url, simulated_slugs(), quiet)
    finally:
        moved.shutdown()
        moved.server_close()
    for connection in IntegrationConnection.objects.all():
        assert connection.settings["base_url"].startswith(new_url)
        assert connection.status == ConnectionStatus.ACTIVE


@pytest.mark.django_db(transaction=True)
def test_what_happens_in_a_simulated_world_arrives_as_signed_webhooks(
    live_server: Any, worlds: Worlds, sandbox_url: str
) -> None:
    sync_providers()
    seed(sandbox_url, simulated_slugs(), quiet)
    said: list[str] = []
    driver = Driver(worlds, live_server.url, said.append)
    for _ in worlds:
        driver.step()
    # What a tenant sees first must not be left for a poll that comes in half a minute, or never.
    slug, tenant_id = next(iter(worlds))
    assert AdapterEvent.objects.filter(tenant_id=tenant_id, provider_id=slug, source=Source.WEBHOOK).exists()
    for _ in range((POLL_ONLY_EVERY - 1) * len(worlds)):
        driver.step()
    assert said == []
    arrived = set(AdapterEvent.objects.values_list("tenant_id", "provider_id", "source"))
    assert arrived == {(tenant_id, slug, Source.WEBHOOK) for slug, tenant_id in worlds}


SIGNS_ITS_ID = HmacScheme(
    signature=Header(name="x-signature", prefix="v1,", separator=" "),
    encoding="base64",
    template="{id}.{timestamp}.{body}",
    timestamp=Header(name="x-time"),
    id=Header(name="x-id"),
    secret_form=SecretForm.WHSEC,
)


@pytest.mark.parametrize(
    "scheme",
    [
        HmacScheme(signature=Header(name="x-signature", prefix="sha256=")),
        HmacScheme(
            signature=Header(name="x-signature", prefix="v1=", separator=","),
            template="{timestamp}.{body}",
            timestamp=Header(name="x-signature", prefix="t=", separator=","),
        ),
        SIGNS_ITS_ID,
        SharedTokenScheme(token=Header(name="x-token", prefix="Token ")),
        BasicScheme(),
        JwtScheme(),
    ],
)
def test_deliveries_are_signed_so_that_they_verify(scheme: Scheme) -> None:
    delivery = SimulatedDelivery({"X-Event": "made"}, b'{"a": 1}')
    secret = new_secret(scheme.secret_form).encode()
    headers = signed_headers(scheme, delivery, secret)
    assert headers["x-event"] == "made"
    assert verify(scheme, headers=headers, body=delivery.body, secrets=[secret]).secret_index == 0


def test_a_signed_id_stays_the_same_on_every_try() -> None:
    delivery = SimulatedDelivery({"X-Id": "msg_1"}, b'{"a": 1}')
    secret = new_secret(SIGNS_ITS_ID.secret_form).encode()
    tries = [signed_headers(SIGNS_ITS_ID, delivery, secret) for _ in range(2)]
    assert [headers["x-id"] for headers in tries] == ["msg_1", "msg_1"]
    assert all(verify(SIGNS_ITS_ID, headers=headers, body=delivery.body, secrets=[secret]) for headers in tries)


def test_the_demonstration_leaves_out_the_teaching_provider() -> None:
    assert [slug for slug in simulated_slugs() if registry.get(slug).development_only] == []
