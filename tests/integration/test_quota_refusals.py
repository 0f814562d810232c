"""What a provider refuses, or asks to wait with, closes the quota for everybody. On the real Valkey."""

from __future__ import annotations

import email.utils
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import REGISTRY

from connections.quota import QuotaGate
from integration_adapters.embedded import free_port
from providers.quotas import Quota, Traffic
from tests.factories import ACME, GLOBEX
from tests.quota_rig import HEADERS, Rig, call, entered, refused, running_rig

REQUESTS = Quota(name="requests", units=1000)
METHODS = Quota(name="a method", units=1000, path=r"/([a-z.]+)$", separate=True)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with running_rig(monkeypatch) as running:
        yield running


def limited(gate: QuotaGate, **headers: str) -> None:
    call(gate, {name.replace("_", "-"): value for name, value in headers.items()}, status=429, limited=True)


def wait_of(gate: QuotaGate, path: str = "/items") -> float:
    return refused(gate, path=path).retry_after_seconds or 0


class TestRetryAfter:
    def test_closes_the_credential_for_all_its_connections_and_classes(self, rig: Rig) -> None:
        limited(rig.gate(REQUESTS, traffic=Traffic.BACKFILL), retry_after="17")
        assert wait_of(rig.gate(REQUESTS)) == 17
        assert wait_of(rig.gate(REQUESTS, tenant=GLOBEX, traffic=Traffic.POLL)) == 17
        call(rig.gate(REQUESTS, token="another"))
        rig.advance(17)
        call(rig.gate(REQUESTS))

    def test_holds_where_the_provider_counts_nothing_we_know(self, rig: Rig) -> None:
        limited(rig.gate(), retry_after="17")
        assert wait_of(rig.gate()) == 17

    def test_may_be_a_date_by_the_providers_clock(self, rig: Rig) -> None:
        there = rig.now + 5000
        dates = {name: email.utils.formatdate(at, usegmt=True) for name, at in (("date", there), ("after", there + 40))}
        limited(rig.gate(REQUESTS), date=dates["date"], retry_after=dates["after"])
        assert wait_of(rig.gate(REQUESTS)) == 40

    @pytest.mark.parametrize("hint", ["0", "-5", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", ""])
    def test_of_zero_or_in_the_past_is_no_hint(self, rig: Rig, hint: str) -> None:
        gate = rig.gate(REQUESTS, pause_seconds=60)
        limited(gate, retry_after=hint)
        assert wait_of(gate) == 60

    def test_is_bounded(self, rig: Rig) -> None:
        gate = rig.gate(REQUESTS)
        limited(gate, retry_after="999999999")
        assert wait_of(gate) == 24 * 3600

    def test_with_success_slows_down_too(self, rig: Rig) -> None:
        gate = rig.gate(REQUESTS)
        call(gate, {"retry-after": "3"})
        assert wait_of(gate) == 3

    def test_with_a_fault_does_too(self, rig: Rig) -> None:
        gate = rig.gate(REQUESTS)
        call(gate, {"retry-after": "8"}, status=503)
        assert wait_of(gate) == 8

    def test_the_longer_of_two_holds(self, rig: Rig) -> None:
        gate = rig.gate(REQUESTS)
        first, second = entered(gate, 2)
        first.answered(429, {"retry-after": "60"}, limited=True)
        second.answered(429, {"retry-after": "5"}, limited=True)
        assert wait_of(gate) == 60

    def test_a_delay_the_provider_has_made_is_waited_before_the_next(self, rig: Rig) -> None:
        gate = rig.gate(Quota(name="load", units=200, delay_header="x-delay"))
        call(gate, {"x-delay": "2.5"})
        assert wait_of(gate) == pytest.approx(2.5)


class TestWithoutAHint:
    def test_the_pause_grows_until_a_call_succeeds(self, rig: Rig) -> None:
        gate, waits = rig.gate(REQUESTS, pause_seconds=60), []
        for _ in range(6):
            limited(gate)
            waits.append(wait_of(gate))
            rig.advance(waits[-1])
        assert waits == [60, 120, 240, 480, 900, 900]
        call(gate)
        limited(gate)
        assert wait_of(gate) == 60

    def test_calls_that_were_under_way_together_are_refused_once(self, rig: Rig) -> None:
        gate = rig.gate(REQUESTS, pause_seconds=60)
        rig.advance(1)
        for passage in entered(gate, 5):
            rig.advance(0.1)
            passage.answered(429, {}, limited=True)
        assert wait_of(gate) == pytest.approx(60 - 0.4)

    def test_one_that_left_before_and_succeeds_ends_no_pause(self, rig: Rig) -> None:
        gate = rig.gate(REQUESTS, pause_seconds=60)
        lucky, unlucky = entered(gate, 2)
        unlucky.answered(429, {}, limited=True)
        lucky.answered(200, {}, limited=False)
        assert wait_of(gate) == 60

    @pytest.mark.parametrize("kind", ["fixed", "leaky"])
    def test_an_empty_quota_explains_the_refusal_until_its_reset(self, rig: Rig, kind: Any) -> None:
        quota = Quota(name="requests", kind=kind, units=100, window_seconds=100, headers=HEADERS)
        gate = rig.gate(quota, pause_seconds=1)
        call(gate, rig.told(100, 0, 50), status=403, limited=True)
        assert wait_of(gate) == pytest.approx(51)
        rig.advance(52)
        call(gate)


class TestPerMethod:
    def test_only_the_method_that_was_refused_waits(self, rig: Rig) -> None:
        gate = rig.gate(METHODS)
        call(gate, {"retry-after": "30"}, path="/api/users.list", status=429, limited=True)
        assert wait_of(gate, "/api/users.list") == 30
        call(gate, path="/api/users.info")

    def test_without_a_hint_too(self, rig: Rig) -> None:
        gate = rig.gate(METHODS, pause_seconds=5)
        call(gate, path="/api/users.list", limited=True)
        assert wait_of(gate, "/api/users.list") == 5
        call(gate, path="/api/users.info")


class TestWithoutRedis:
    @pytest.fixture
    def nowhere(self, settings: Any) -> None:
        settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"

    def gate(self, traffic: Traffic) -> QuotaGate:
        return Rig.gate(None, REQUESTS, traffic=traffic)  # type: ignore[arg-type]

    def unreachable(self, kind: str, mode: str) -> float:
        labels = {"resource_type": f"integration.metered.{kind}", "tenant": ACME, "mode": mode}
        return REGISTRY.get_sample_value("integration_budget_unreachable_total", labels) or 0.0

    @pytest.mark.parametrize("traffic", [Traffic.POLL, Traffic.BACKFILL, Traffic.REPAIR])
    def test_what_can_wait_waits_and_is_counted(self, nowhere: None, traffic: Traffic) -> None:
        before = self.unreachable("poll", "closed")
        assert wait_of(self.gate(traffic)) == 30
        assert self.unreachable("poll", "closed") == before + 1

    def test_an_action_passes_and_is_counted(self, nowhere: None) -> None:
        before = self.unreachable("action", "open")
        call(self.gate(Traffic.ACTION), {"retry-after": "9"})
        entered(self.gate(Traffic.ACTION))[0].unanswered(sent=True)
        assert self.unreachable("action", "open") == before + 2

    @pytest.mark.parametrize(("mode", "traffic"), [("open", Traffic.POLL), ("closed", Traffic.ACTION)])
    def test_the_fail_mode_decides_for_all(self, nowhere: None, settings: Any, mode: str, traffic: Traffic) -> None:
        settings.BUDGET_FAIL_MODE = mode
        if mode == "open":
            call(self.gate(traffic))
        else:
            assert wait_of(self.gate(traffic)) == 30

    def test_one_that_goes_away_meanwhile_takes_no_answer_with_it(self, settings: Any) -> None:
        (passage,) = entered(self.gate(Traffic.POLL))
        settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
        passage.answered(200, {}, limited=False)


def test_refusals_are_counted_by_their_cause(rig: Rig) -> None:
    labels = {"provider": "metered", "tenant": ACME, "traffic": "poll", "cause": "asked"}
    before = REGISTRY.get_sample_value("integration_quota_refusals_total", labels) or 0.0
    gate = rig.gate(REQUESTS, traffic=Traffic.POLL)
    limited(gate, retry_after="9")
    refused(gate)
    assert REGISTRY.get_sample_value("integration_quota_refusals_total", labels) == before + 1


def test_a_short_wait_is_waited_out_by_those_who_may(rig: Rig) -> None:
    rig.be_patient(Traffic.ACTION, 3.0)
    limited(rig.gate(REQUESTS), retry_after="2")
    began = rig.now
    assert wait_of(rig.gate(REQUESTS, traffic=Traffic.POLL)) == 2
    call(rig.gate(REQUESTS))
    assert rig.now == began + 2
