"""Sixteen workers, fifty connections, five credentials, one provider that bans whoever goes over its limits."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import REGISTRY

from connections.models import IntegrationConnection
from connections.quota import WHY, QuotaGate, owner_of
from providers.client import ClientConfig, ProviderClient
from providers.errors import ProviderError, QuotaSpent
from providers.outbound import OutboundPolicy
from providers.quotas import Quota, Traffic
from tests.factories import ACME, GLOBEX
from tests.quota_rig import HEADERS, manifest
from tests.resilience.metered import Metered, running_metered

WINDOWS, WINDOW_SECONDS, BUDGET = 4, 3, 60
# More than the budget needs in the long run, less than it could be used with at once.
POINTS, POINTS_SECONDS, READ_COST, WRITE_COST, AT_ONCE = 100, 1, 4, 5, 3
CREDENTIALS, CONNECTIONS = 5, 50
WORKERS = {Traffic.BACKFILL: 10, Traffic.POLL: 5, Traffic.ACTION: 1}
PAGES_A_RUN = 5
# Each credential in turn: what one action takes from the reserve is there again before its next.
ACTION_EVERY_SECONDS = 0.5
LOOPBACK = OutboundPolicy.parse(["127.0.0.1"])
MANIFEST = manifest(
    # What is assumed is not what holds: both are learned.
    Quota(name="requests", kind="fixed", units=10, window_seconds=WINDOW_SECONDS, headers=HEADERS),
    Quota(
        name="points",
        units=POINTS,
        window_seconds=POINTS_SECONDS,
        read_cost=READ_COST,
        write_cost=WRITE_COST,
        concurrency=AT_ONCE,
    ),
)


@dataclass
class Count:
    """What one class of workers met."""

    passed: int = 0
    refused: int = 0
    failed: list[str] = field(default_factory=list)


class Crew:
    """Workers of all classes; each goes round the connections and comes back to one when it was told to."""

    def __init__(self, metered: Metered) -> None:
        self._metered = metered
        self._connections = [
            IntegrationConnection(tenant_id=(ACME, GLOBEX)[number % 2], provider_id="metered", settings={})
            for number in range(CONNECTIONS)
        ]
        self.counts = {traffic: Count() for traffic in WORKERS}
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(traffic, number), daemon=True)
            for traffic, workers in WORKERS.items()
            for number in range(workers)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, traffic: Traffic, number: int) -> None:
        if traffic is Traffic.ACTION:
            return self._act()
        due = dict.fromkeys(range(number, CONNECTIONS, WORKERS[traffic]), 0.0)
        while not self._stop.is_set():
            place = min(due, key=lambda each: due[each])
            if not self._stop.wait(due[place] - time.monotonic()):
                due[place] = time.monotonic() + self._read(place, traffic)
        return None

    def _act(self) -> None:
        for place in itertools.cycle(range(CONNECTIONS)):
            if self._stop.wait(ACTION_EVERY_SECONDS):
                return
            with self._client(place, Traffic.ACTION) as client:
                self._counted(Traffic.ACTION, lambda: client.write("POST", "/notes", json={}))

    def _read(self, place: int, traffic: Traffic) -> float:
        with self._client(place, traffic) as client:
            for _ in range(PAGES_A_RUN):
                wait = self._counted(traffic, lambda: client.get("/items"))
                if wait:
                    return wait
        return 0.0

    def _counted(self, traffic: Traffic, send: Callable[[], object]) -> float:
        count = self.counts[traffic]
        try:
            send()
        except QuotaSpent as spent:
            count.refused += 1
            return spent.retry_after_seconds or 0.0
        except ProviderError as error:
            count.failed.append(str(error))
            self._stop.set()
            return 1.0
        count.passed += 1
        return 0.0

    def _client(self, place: int, traffic: Traffic) -> ProviderClient:
        token = f"token-{place % CREDENTIALS}"
        config = ClientConfig(base_url=self._metered.url, headers={"Authorization": f"Bearer {token}"})
        connection = self._connections[place]
        gate = QuotaGate(owner_of(connection, config, {"token": token}), MANIFEST, connection, traffic)
        return ProviderClient(config, LOOPBACK, gate=gate)


def pauses_of_actions() -> float:
    labels = {"provider": "metered", "traffic": "action"}
    samples = [REGISTRY.get_sample_value("integration_quota_pauses_total", {**labels, "cause": why}) for why in WHY]
    return sum(sample or 0.0 for sample in samples)


def test_no_call_goes_over_a_limit_all_of_it_is_used_and_an_action_passes_at_once() -> None:
    limits = Metered(
        budget=BUDGET,
        window_seconds=WINDOW_SECONDS,
        points=POINTS,
        points_seconds=POINTS_SECONDS,
        costs={"GET": READ_COST, "POST": WRITE_COST},
        at_once=AT_ONCE,
        work_seconds=0.01,
    )
    paused = pauses_of_actions()
    with running_metered(limits) as metered:
        crew = Crew(metered)
        # The window in which it begins is not whole, and in the next one sixteen workers are still starting.
        first = int(metered.clock()) // WINDOW_SECONDS + 2
        crew.start()
        time.sleep((first + WINDOWS) * WINDOW_SECONDS - metered.clock())
        crew.stop()
    assert metered.offences == []
    assert [count.failed for count in crew.counts.values()] == [[], [], []]
    used = [account.windows[first + number] for account in metered.accounts.values() for number in range(WINDOWS)]
    assert sum(used) >= 0.95 * BUDGET * WINDOWS * CREDENTIALS
    # There was more demand than budget, and no action ever waited for it, not even for a moment.
    assert crew.counts[Traffic.BACKFILL].refused > 0
    actions = crew.counts[Traffic.ACTION]
    assert actions.passed > WINDOWS * WINDOW_SECONDS
    assert (actions.refused, pauses_of_actions()) == (0, paused)
