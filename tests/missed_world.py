"""A provider at work for hours of simulated time, a door that takes or loses what it tells, and the workers behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

from django.db import OperationalError
from django.test import Client

from connections.models import IntegrationConnection
from events.models import AdapterEvent, DeliveryGap
from events.tasks import deliver_due
from polling.backfill_turns import run_due
from polling.gap_repair import fill_gaps
from providers import registry
from providers.simulation import SimulatedAnswer, SimulatedAttempt, SimulatedDelivery
from providers.spi import Adapter, WebhookRequest
from providers.verification import sign
from tests.contract.provider_server import Server, serving
from tests.factories import make_connection
from tests.simulated_time import SimulatedTime
from webhooks import ingress, provider_hooks
from webhooks.models import MissedDelivery
from webhooks.reconciliation import reconcile_due
from webhooks.registrations import create_registration

ROUND = timedelta(seconds=30)
ROUNDS_A_MINUTE = 2
# Providers tell their times in seconds; what happens to one thing in the same second is one happening.
APART = timedelta(seconds=2)
DETECTED_WITHIN = timedelta(minutes=5)
REPAIRED_WITHIN = timedelta(minutes=15)
NEVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass
class Told:
    """One happening of the provider's world that becomes a signal: what it is known by, and what became of it."""

    key: str
    delivery_id: str
    at: datetime
    tellings: set[str] = field(default_factory=set)
    """Dedupe keys of the webhooks that tell of it: a review and its comment change the same thing at the same time."""
    taken: bool = False
    noticed_at: datetime | None = None
    here_at: datetime | None = None


@dataclass
class World:
    """One connection with hooks made at a simulated provider that is served on loopback."""

    time: SimulatedTime
    simulator: Any
    server: Server
    connection: IntegrationConnection
    adapter: Adapter
    open_issue: Callable[[], list[SimulatedDelivery]]
    told: list[Told] = field(default_factory=list)
    loses_each: int = 0
    """Of so many deliveries one is lost on the way; 0: none."""
    door_fails: bool = False
    web_runs: bool = True
    down_at: datetime = NEVER
    """When the provider's API went away."""
    reachable_since: datetime = NEVER
    """When it was back."""
    _sent: int = 0

    # --- the provider --------------------------------------------------------------------------------

    def happen(self, deliveries: list[SimulatedDelivery]) -> None:
        """Something happened; it is told to the hooks that are switched on."""
        for delivery in deliveries:
            told = self._expected(delivery)
            attempts = self.simulator.attempts_of(delivery)
            for attempt in attempts:
                self._sent += 1
                lost = not self.web_runs or (self.loses_each and self._sent % self.loses_each == 0)
                status = 0 if lost else self.post(attempt)
                self.simulator.attempted(attempt, status)
                for one in told:
                    one.taken = one.taken or 200 <= status < 300

    def _expected(self, delivery: SimulatedDelivery) -> list[Told]:
        """What this delivery tells, after the adapter; a happening told in several deliveries is expected once."""
        events = self.adapter.process_webhook(WebhookRequest(headers=delivery.headers, body=delivery.body))
        known = {one.key: one for one in self.told}
        found = []
        for event in events:
            if event.signal_type is None:
                continue
            key = event.happening or event.dedupe_key
            if key not in known:
                known[key] = Told(key, event.correlation_id, self.time.now())
                self.told.append(known[key])
            known[key].tellings.add(event.dedupe_key)
            found.append(known[key])
        return found

    def post(self, attempt: SimulatedAttempt) -> int:
        """Signed and posted as the provider would, to the real door."""
        scheme = self.adapter.webhook.schemes[self.simulator.webhook_scheme]  # type: ignore[union-attr]
        delivery_id = attempt.delivery.headers.get("webhook-id", "")
        proof = sign(scheme, body=attempt.delivery.body, secret=attempt.secret.encode(), identifier=delivery_id)
        headers = {**attempt.delivery.headers, **proof}
        content_type = headers.pop("content-type")
        fault = OperationalError("on purpose") if self.door_fails else None
        with patch("webhooks.door.find_door", side_effect=fault) if fault else _as_it_is():
            answer = Client(raise_request_exception=False).post(
                urlsplit(attempt.url).path, data=attempt.delivery.body, content_type=content_type, headers=headers
            )
        return int(answer.status_code)

    # --- time ----------------------------------------------------------------------------------------

    def minute(self, *happenings: Callable[[], list[SimulatedDelivery]]) -> None:
        """A minute goes by: things happen at its beginning, one after the other, and the workers have some turns."""
        for happening in happenings:
            self.time.pass_by(APART)
            self.happen(happening())
        for _ in range(ROUNDS_A_MINUTE):
            self.time.pass_by(ROUND)
            if self.web_runs:
                ingress.beat()
            self.work()

    def work(self) -> None:
        """One turn of every task that has to do with this."""
        ingress.notice_silence()
        ingress.tell_connections(10)
        reconcile_due()
        for attempt in self.simulator.asked_again():
            self.simulator.attempted(attempt, self.post(attempt) if self.web_runs else 0)
        fill_gaps()
        run_due()
        deliver_due()
        self._look()

    def _look(self) -> None:
        """Note what was noticed and what has come in by now."""
        waiting = [one for one in self.told if one.here_at is None]
        if not waiting:
            return
        rows = AdapterEvent.objects.filter(connection=self.connection)
        known = set(rows.values_list("dedupe_key", flat=True)) | set(rows.values_list("happening", flat=True))
        missed = set(MissedDelivery.objects.values_list("delivery_id", flat=True))
        gaps = list(DeliveryGap.objects.exclude(repair="ledger").values_list("since", "until"))
        now = self.time.now()
        for one in waiting:
            in_gap = any(since <= one.at <= (until or now) for since, until in gaps)
            if one.noticed_at is None and (one.delivery_id in missed or in_gap):
                one.noticed_at = now
            if one.key in known:
                one.here_at = now

    # --- verdict -------------------------------------------------------------------------------------

    @property
    def missed(self) -> list[Told]:
        return [one for one in self.told if not one.taken]

    def late(self) -> list[tuple[str, timedelta, timedelta]]:
        """Those that were not noticed, or not here, in time; reckoned from when the provider could be asked."""
        found = []
        for one in self.missed:
            begin = max(one.at, self.reachable_since) if one.at >= self.down_at else one.at
            noticed, here = ((at or NEVER) - begin for at in (one.noticed_at or one.here_at, one.here_at))
            if noticed > DETECTED_WITHIN or here > REPAIRED_WITHIN:
                found.append((one.key, noticed, here))
        return found

    def go_down(self) -> None:
        self.down_at = self.time.now()
        self.server.answer = _nobody_answers

    def come_back(self) -> None:
        self.reachable_since = self.time.now()
        self.server.answer = self.simulator.handle

    def told_twice(self) -> dict[str, int]:
        """Happenings that became more signals than webhooks tell of them."""
        tellings = {one.key: len(one.tellings) for one in self.told}
        return {key: number for key, number in self.delivered().items() if number > tellings.get(key, 1)}

    def delivered(self) -> Counter[str]:
        """How often each happening became a signal that was taken downstream."""
        rows = AdapterEvent.objects.filter(connection=self.connection, delivery_status="delivered")
        return Counter(happening or key for key, happening in rows.values_list("dedupe_key", "happening"))


class ByHand:
    """The hook of a simulator without an API for hooks: somebody entered its address and secret there."""

    address = secret = ""

    def attempts_of(self, delivery: SimulatedDelivery) -> list[SimulatedAttempt]:
        return [SimulatedAttempt("by hand", self.address, self.secret, delivery)]

    def attempted(self, attempt: SimulatedAttempt, status: int) -> None:
        pass

    def asked_again(self) -> list[SimulatedAttempt]:
        return []


def _nobody_answers(*request: Any) -> SimulatedAnswer:
    raise ConnectionAbortedError("on purpose")


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def world(slug: str, simulator: Any, time: SimulatedTime, open_issue: Any, settings: Any) -> Iterator[World]:
    """The connection is active, polls, and has its hooks made at the provider, as far as there is an API for them."""
    settings.PUBLIC_BASE_URL = "https://signals.example"
    settings.POLLS_PER_MINUTE = 100_000
    adapter = registry.get(slug)
    # The ledger of quotas goes by the clock of Redis, which is not simulated.
    without_quotas = replace(adapter.manifest, quotas=())
    with patch.object(type(adapter), "manifest", without_quotas), serving(simulator.handle) as server:
        connection = make_connection(
            slug, settings=simulator.settings(server.url), credential=dict(simulator.credential)
        )
        made = World(time, simulator, server, connection, adapter, lambda: open_issue(simulator))
        ingress.beat()
        if adapter.webhook is not None and adapter.webhook.registrar is not None:
            provider_hooks.register(connection, actor="staff:ravi")
        else:
            issued = create_registration(connection, actor="staff:ravi")
            simulator.address, simulator.secret = issued.public_url, issued.secret
        yield made
