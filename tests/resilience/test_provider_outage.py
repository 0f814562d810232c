"""A provider goes down, in every way one after the other, while everything else goes on; then it comes back."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import REGISTRY
from urllib3.util.retry import Retry

from connections.incidents import CALM
from connections.models import ConnectionHistory, ConnectionStatus, Incident, IncidentStatus, IntegrationConnection
from events.models import AdapterEvent, DeliveryStatus, Source
from polling.models import PollingCursor
from providers import client
from tests.factories import ACME, GLOBEX, make_connection
from tests.integration.test_webhook_road import Sender, issue_event
from tests.neighbours import AlertingStub, Pm3Stub
from tests.polling_provider import TOKEN, Ledger, ledger_connection, running_ledger
from tests.resilience.broken_provider import FAILS, GARBAGE, HANGS, REFUSED, BrokenProvider, broken_provider
from tests.resilience.simulated_time import STEP_SECONDS, SimulatedTime

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = 3600.0
LISTS = ("a", "b", "c")
SAID = {REFUSED: "No answer", HANGS: "No answer", FAILS: "500", GARBAGE: "not valid JSON"}


@pytest.fixture
def broken(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[BrokenProvider]:
    settings.EXTRA_ADAPTERS = {
        "ledger": "tests.polling_provider.LedgerAdapter",
        "steady": "tests.resilience.broken_provider.SteadyAdapter",
    }
    settings.POLLS_PER_MINUTE = 1_000_000  # the minutes of the budget are real ones
    monkeypatch.setattr(client, "READ_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(client, "_CONNECT_RETRIES", Retry(total=0))
    with broken_provider() as provider:
        yield provider


@pytest.fixture
def steady() -> Iterator[Ledger]:
    with running_ledger() as ledger:
        yield ledger


def steady_connection(ledger: Ledger, tenant_id: str) -> IntegrationConnection:
    return make_connection(
        "steady",
        tenant_id,
        credential={"token": TOKEN},
        settings={"base_url": ledger.url, "poll_interval_seconds": 600},
    )


def calls_of(provider_id: str) -> float:
    """Calls that were made, whether anybody heard them or not."""
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        if metric.name == "integration_provider_calls"
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["provider"] == provider_id
    )


def most_calls(seconds: float) -> int:
    """Calls of one stream that fails for so long: pauses from 30 s, doubled up to an hour, at most 10 % shorter."""
    calls, passed, pause = 1, 0.0, 30.0
    while (passed := passed + 0.9 * pause) <= seconds:
        calls, pause = calls + 1, min(2 * pause, HOUR)
    return calls


def test_an_outage_is_recorded_backed_off_told_once_and_overcome(
    broken: BrokenProvider,
    steady: Ledger,
    pm3: Pm3Stub,
    alerting: AlertingStub,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RF-IA-01: provider outage."""
    hurt = [ledger_connection(broken.ledger, tenant, settings={"lists": [*LISTS]}) for tenant in (ACME, ACME, GLOBEX)]
    well = [steady_connection(steady, tenant) for tenant in (ACME, GLOBEX)]
    sender = Sender(enabled_capabilities={"webhook": True})
    time = SimulatedTime(monkeypatch)
    webhooks = 0

    def life_goes_on() -> None:
        nonlocal webhooks
        while webhooks * 300 <= time.elapsed:
            assert sender.deliver(issue_event(webhooks)).status_code == 202
            webhooks += 1
            broken.ledger.add(1, LISTS[webhooks % 3])
            if webhooks % 5 == 0:
                steady.add(1)
        # The last tick has read all that was due, and nobody has taken it from those that are well.
        assert not PollingCursor.objects.filter(connection__in=well, consecutive_failures__gt=0).exists()

    time.run(600, life_goes_on)
    assert AdapterEvent.objects.filter(connection=hurt[0], source=Source.POLL).exists()
    assert not PollingCursor.objects.filter(active=True, consecutive_failures__gt=0).exists()
    rows = PollingCursor.objects.count()

    began, asked, heard = time.elapsed, calls_of("ledger"), len(steady.requests)
    known = AdapterEvent.objects.filter(connection__in=hurt).count()
    longest: Counter[Any] = Counter()
    for mode in (REFUSED, HANGS, FAILS, GARBAGE):
        broken.be(mode)
        before = calls_of("ledger")

        def intervals_grow() -> None:
            life_goes_on()
            for cursor in PollingCursor.objects.filter(connection__in=hurt, consecutive_failures__gt=0):
                assert longest[cursor.pk] <= cursor.interval_seconds <= HOUR
                longest[cursor.pk] = cursor.interval_seconds

        time.run(1.2 * HOUR, intervals_grow)
        alone = len(LISTS) * most_calls(1.2 * HOUR)
        # Streams that get no answer take turns: after 30, 60, 120 and 240 s, then after the connection's interval.
        in_turn = 5 + (1.2 * HOUR - 450) / 270
        most = min(alone, in_turn) if mode in (REFUSED, HANGS) else alone
        assert 0 < calls_of("ledger") - before <= len(hurt) * most
        for connection in hurt:
            connection.refresh_from_db()
            assert SAID[mode] in connection.last_error
            assert connection.status == ConnectionStatus.ACTIVE
            failing = PollingCursor.objects.filter(connection=connection, consecutive_failures__gt=0)
            assert any(SAID[mode] in cursor.last_error for cursor in failing)
        incidents = Incident.objects.filter(status=IncidentStatus.OPEN)
        assert {incident.connection_id for incident in incidents} == {connection.pk for connection in hurt}
        assert len(incidents) == len(hurt)
    lasted = time.elapsed - began
    assert calls_of("ledger") - asked <= len(hurt) * len(LISTS) * most_calls(lasted)
    assert broken.arrivals[HANGS] > 0
    for connection in hurt:
        assert connection.consecutive_failures >= 5

    # Nothing has piled up, and the others were read at their own pace.
    assert len(time.messages) <= 1
    assert PollingCursor.objects.count() == rows
    assert AdapterEvent.objects.filter(connection__in=hurt).count() == known
    assert not AdapterEvent.objects.exclude(delivery_status=DeliveryStatus.DELIVERED).exists()
    assert not ConnectionHistory.objects.exists()
    assert [what for what, _ in alerting.told] == ["raised"] * len(hurt)
    assert len(alerting.requests) == len(hurt)
    assert len(steady.requests) - heard >= len(well) * int(lasted / (4 * 600 * 1.1))

    broken.be("")
    for _ in range(200):
        time.run(60, life_goes_on)
        if not PollingCursor.objects.filter(active=True, consecutive_failures__gt=0).exists():
            break
    assert time.elapsed - began - lasted <= 1.1 * HOUR + 120
    assert not Incident.objects.filter(status=IncidentStatus.OPEN).exists()
    time.pass_by(CALM.total_seconds())
    time.run(1400)
    for connection in hurt:
        connection.refresh_from_db()
        assert (connection.consecutive_failures, connection.status) == (0, ConnectionStatus.ACTIVE)
        keys = AdapterEvent.objects.filter(connection=connection).values_list("dedupe_key", flat=True)
        assert sorted(keys) == sorted(f"entry:{e['id']}" for name in LISTS for e in broken.ledger.entries[name])
    for connection in well:
        assert AdapterEvent.objects.filter(connection=connection).count() == len(steady.entries["main"])
    assert AdapterEvent.objects.filter(connection=sender.connection).count() == webhooks
    # All of it went on, once, and each connection's trouble was told once and ended once.
    assert len(pm3.signals) == AdapterEvent.objects.count()
    assert set(pm3.arrivals.values()) == {1}
    assert Incident.objects.count() == len(hurt)
    assert set(Incident.objects.values_list("reopened", flat=True)) == {0}
    told = Counter(alerting.told)
    assert told == {(what, f"{c.pk}:provider_down"): 1 for c in hurt for what in ("raised", "resolved")}


def test_one_stream_that_never_gets_an_answer_costs_the_others_little(
    broken: BrokenProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RF-IA-01: part of a provider is down."""
    connection = ledger_connection(broken.ledger, settings={"lists": ["a", "mute", "z"]})
    time, never = SimulatedTime(monkeypatch), threading.Event()
    read_at: dict[str, list[float]] = {"a": [], "mute": [], "z": []}

    def note_and_hold(query: dict[str, str]) -> None:
        read_at[query["list"]].append(time.elapsed)
        if query["list"] == "mute":
            never.wait(2)

    broken.ledger.before_answer = note_and_hold
    time.run(3 * HOUR)
    never.set()
    assert len(read_at["mute"]) <= most_calls(3 * HOUR)
    for name in ("a", "z"):
        pauses = [after - before for before, after in itertools.pairwise(read_at[name])]
        # Four times the interval where nothing is new, a tenth for chance, and the pause for the one that is silent.
        assert max(pauses) <= 4 * 300 * 1.1 + 2 * 35 + STEP_SECONDS
    assert Incident.objects.get().connection_id == connection.pk
    assert (Incident.objects.get().status, Incident.objects.get().reopened) == (IncidentStatus.OPEN, 0)


def test_many_streams_of_a_dead_provider_do_not_all_wait_for_it(
    broken: BrokenProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RF-IA-01: each call that gets no answer holds a worker for its whole time."""
    connection = ledger_connection(broken.ledger, settings={"lists": [f"list{number}" for number in range(30)]})
    time = SimulatedTime(monkeypatch)
    time.pass_by(5)
    broken.be(REFUSED)
    before = calls_of("ledger")
    calls_a_tick = []

    def count() -> None:
        calls_a_tick.append(calls_of("ledger"))

    time.run(HOUR, count)
    # Pauses of 30, 60, 120 and 240 s, and then the connection's interval.
    assert 5 <= calls_of("ledger") - before <= 5 + (HOUR - 450) / 270
    assert max(after - earlier for earlier, after in itertools.pairwise(calls_a_tick)) <= 2  # a tick, two messages
    assert Incident.objects.get(connection=connection).cause == "provider_down"
    broken.be("")
    for number in range(30):
        broken.ledger.add(1, f"list{number}")
    time.run(900)
    assert AdapterEvent.objects.filter(connection=connection).count() == 30
    assert Incident.objects.get().status == IncidentStatus.RESOLVED
