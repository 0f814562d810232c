"""Whether anybody listens: the clock of the web processes, its silences, and what they mean for each connection."""

from __future__ import annotations

import os
import subprocess
import sys
import time as real_time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError
from django.db import connection as database
from django.utils import timezone

from connections.models import ConnectionRoute, ConnectionStatus
from events.models import DeliveryGap
from tests.factories import ACME, GLOBEX, make_connection, make_registration
from tests.hub_provider import Hub, hub_connection
from tests.simulated_time import SimulatedTime, simulated_time
from webhooks import ingress
from webhooks.ingress import beat, is_open, notice_silence, tell_connections
from webhooks.models import IngressClock, IngressOutage, WebhookRegistration
from webhooks.registrations import create_shared_registration
from webhooks.repair_lease import claim_due

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


@pytest.fixture
def time() -> Iterator[SimulatedTime]:
    with simulated_time() as passing:
        yield passing


def silence(time: SimulatedTime, length: timedelta = 10 * MINUTE) -> IngressOutage:
    """Nobody beats for so long, then somebody does again."""
    beat()
    time.pass_by(length)
    outage = beat()
    assert outage is not None
    return outage


def test_the_first_beat_ever_ends_no_silence(time: SimulatedTime) -> None:
    assert not is_open()
    assert beat() is None
    assert is_open()


def test_while_any_process_beats_there_is_no_outage(time: SimulatedTime) -> None:
    for _ in range(20):
        assert beat() is None
        assert notice_silence() is None
        time.pass_by(timedelta(seconds=40))
    assert not IngressOutage.objects.exists()


def test_the_first_beat_after_a_silence_tells_of_it(time: SimulatedTime) -> None:
    outage = silence(time)
    assert outage.until is not None
    assert 10 * MINUTE <= outage.until - outage.since < 11 * MINUTE
    assert is_open()
    assert beat() is None
    assert IngressOutage.objects.count() == 1


def test_a_silence_that_lasts_is_noticed_once_and_ended_by_the_next_beat(time: SimulatedTime) -> None:
    connection = make_connection("fake")
    make_registration(connection)
    beat()
    time.pass_by(2 * MINUTE)
    assert not is_open()
    for _ in range(3):
        assert notice_silence() == IngressOutage.objects.get()
        tell_connections(5)
        time.pass_by(MINUTE)
    gap = DeliveryGap.objects.get()
    assert (gap.until, gap.cause, gap.repair, gap.connection_id) == (None, "door_down", "poll", connection.pk)
    assert IngressOutage.objects.get().told_at is None
    beat()
    tell_connections(5)
    outage = IngressOutage.objects.get()
    assert outage.told_at is not None
    assert DeliveryGap.objects.get().until == outage.until
    assert tell_connections(5) == 0


def test_everybody_who_receives_webhooks_is_told_and_nobody_else(time: SimulatedTime) -> None:
    receiving = [make_connection("fake", tenant) for tenant in (ACME, ACME, GLOBEX)]
    for connection in receiving:
        make_registration(connection)
    without_door = make_connection("fake")
    closed = make_connection("fake")
    make_registration(closed, status="suspended")
    suspended = make_connection("fake", status=ConnectionStatus.SUSPENDED)
    make_registration(suspended)
    polled_only = make_connection("fake", enabled_capabilities={"polling": True})
    make_registration(polled_only)
    outage = silence(time)
    with patch.object(ingress, "CONNECTIONS_A_BATCH", 2):
        assert tell_connections(30) == 3
    gaps = DeliveryGap.objects.all()
    assert {gap.connection_id for gap in gaps} == {connection.pk for connection in receiving}
    assert {(gap.since, gap.until) for gap in gaps} == {(outage.since, outage.until)}
    assert {gap.tenant_id for gap in gaps} == {ACME, GLOBEX}
    outage.refresh_from_db()
    assert outage.connections == 3
    assert not DeliveryGap.objects.filter(connection__in=[without_door, closed, suspended, polled_only]).exists()


def test_whose_deliveries_stand_in_a_ledger_is_looked_at_at_once_instead(time: SimulatedTime) -> None:
    with_ledger, by_hand = make_connection("github"), make_connection("github")
    make_registration(with_ledger, provider_hooks={"acme/web": "1"})
    make_registration(by_hand)
    WebhookRegistration.objects.update(reconcile_at=timezone.now() + timedelta(hours=5))
    silence(time)
    tell_connections(5)
    assert DeliveryGap.objects.get().connection_id == by_hand.pk
    due = WebhookRegistration.objects.filter(reconcile_at__lte=time.now())
    assert [row.connection_id for row in due] == [with_ledger.pk]


def test_connections_of_a_shared_webhook_are_told_too(time: SimulatedTime, hub: Hub) -> None:
    routed, other = hub_connection(hub), hub_connection(hub)
    ConnectionRoute.objects.create(tenant_id=ACME, connection=routed, provider_id="hub", route="team-1")
    create_shared_registration("hub", actor="staff:ravi")
    silence(time)
    tell_connections(5)
    assert [gap.connection_id for gap in DeliveryGap.objects.all()] == [routed.pk]
    assert other.pk != routed.pk


def test_old_outages_are_removed(time: SimulatedTime) -> None:
    silence(time)
    tell_connections(5)
    assert ingress.purge_outages() == 0
    time.pass_by(timedelta(days=31))
    assert ingress.purge_outages() == 1


def test_a_database_that_is_away_does_not_end_the_beating() -> None:
    beats: list[str] = []

    def failing() -> None:
        beats.append("tried")
        raise OperationalError("on purpose")

    def pause(seconds: float) -> None:
        if len(beats) == 3:
            raise StopIteration

    with patch.object(ingress, "beat", failing), patch.object(ingress.database, "close"), pytest.raises(StopIteration):
        ingress._beat_for_ever(pause)
    assert len(beats) == 3


@pytest.mark.django_db(transaction=True)
def test_what_the_web_server_loads_beats_and_what_others_load_does_not() -> None:
    config = database.settings_dict
    host = config["HOST"] or config["OPTIONS"].get("host", "")
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "integration_adapters.settings",
        "DATABASE_URL": f"postgresql://{config['USER']}:{config['PASSWORD']}@/{config['NAME']}?host={host}",
        "REDIS_URL": django_settings.REDIS_URL,
    }
    subprocess.run([sys.executable, "-c", "import integration_adapters.wsgi"], env=environment, check=True, timeout=60)
    assert not IngressClock.objects.exists()
    script = "import integration_adapters.serving, sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], env=environment, stdin=subprocess.PIPE) as server:
        try:
            deadline = real_time.monotonic() + 60
            while not is_open():
                assert server.poll() is None
                assert real_time.monotonic() < deadline, "it does not say that it runs"
                real_time.sleep(0.05)
        finally:
            server.kill()


def test_a_registration_that_is_claimed_is_left_to_its_worker(time: SimulatedTime) -> None:
    connection: Any = make_connection("github")
    registration, _, _ = make_registration(connection, provider_hooks={"acme/web": "1"})
    assert ingress.make_due([registration.pk]) == 1
    (taken,) = claim_due(5)
    before = WebhookRegistration.objects.get()
    assert ingress.make_due([registration.pk]) == 0
    after = WebhookRegistration.objects.get()
    assert (after.reconcile_at, after.reconcile_token) == (before.reconcile_at, taken.token)
