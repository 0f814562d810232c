"""The platform's budget is asked before a run and told afterwards, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from connections import budget_platform
from connections.budget import EmbeddedBudget, budget
from connections.budget_platform import PlatformBudget
from connections.budget_port import Decision
from connections.secret_store import secret_store
from integration_adapters.embedded import free_port
from polling.models import PollingCursor, PollOutcome
from tests.budget_service import BUDGETS, COSTS, RATES, BudgetStub, running_budget_service
from tests.factories import ACME, GLOBEX
from tests.polling_provider import Ledger, ledger_connection, poll

pytestmark = pytest.mark.django_db

POLL, ACTION = "integration.ledger.poll", "integration.ledger.action"
REFUSED = {"allowed": False, "message": "Spent."}


@pytest.fixture
def service(settings: Any, db: None) -> Iterator[BudgetStub]:
    """A running budget service that is configured, with a token of each tenant."""
    for tenant in (ACME, GLOBEX):
        secret_store().put(tenant, f"token-of-{tenant}", name="platform/budget")
    with running_budget_service() as stub:
        settings.BUDGET_SERVICE_URL, settings.BUDGET_TIMEOUT_SECONDS = stub.url, 2.0
        yield stub
        assert stub.faults == []


def ask(kind: str = POLL, tenant: str = ACME) -> Decision:
    return budget().ask(tenant, kind, "c-1")


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def refusals(cause: str, kind: str = POLL) -> float:
    return counted("integration_budget_refusals_total", resource_type=kind, tenant=ACME, cause=cause)


def test_it_is_chosen_by_its_url(settings: Any) -> None:
    assert isinstance(budget(), EmbeddedBudget)
    settings.BUDGET_SERVICE_URL = "https://budget.example.com"
    assert isinstance(budget(), PlatformBudget)


class TestAsking:
    def test_the_budget_then_the_rate(self, service: BudgetStub) -> None:
        assert ask().allowed
        assert service.asked == [
            (
                BUDGETS,
                {
                    "tenant_id": ACME,
                    "resource_type": POLL,
                    "estimated_cost": 1,
                    "operation_context": {"connection_id": "c-1"},
                    "allocated_to_type": "tenant",
                    "allocated_to_id": ACME,
                },
            ),
            (
                RATES,
                {
                    "tenant_id": ACME,
                    "resource_type": POLL,
                    "request_count": 1,
                    "priority": "low",
                    "resource_key": "c-1",
                },
            ),
        ]

    def test_an_action_is_more_urgent(self, service: BudgetStub) -> None:
        assert ask(ACTION).allowed
        assert service.asked[1][1]["priority"] == "normal"

    def test_each_tenant_comes_with_its_own_token(self, service: BudgetStub) -> None:
        ask()
        ask(tenant=GLOBEX)
        assert service.tokens == [f"Bearer token-of-{ACME}"] * 2 + [f"Bearer token-of-{GLOBEX}"] * 2

    def test_a_refused_budget_spends_none_of_the_rate(self, service: BudgetStub) -> None:
        before = refusals("limit")
        service.answers[BUDGETS] = {**REFUSED, "enforcement_action": "hard_stop"}
        decision = ask()
        assert (decision.allowed, decision.retry_after_seconds) == (False, 300)
        assert decision.reason == "The platform's budget does not allow it. Spent."
        assert service.paths() == [BUDGETS]
        assert refusals("limit") == before + 1

    def test_a_throttle_passes_sooner(self, service: BudgetStub) -> None:
        service.answers[BUDGETS] = {**REFUSED, "enforcement_action": "throttle"}
        assert ask().retry_after_seconds == 60

    def test_what_it_says_is_kept_short_and_redacted(self, service: BudgetStub) -> None:
        service.answers[BUDGETS] = {
            "allowed": False,
            "message": "Bearer ghp_abcdefghijklmnopqrstuvwxyz0123456789 " * 40,
        }
        reason = ask().reason
        assert len(reason) < 300
        assert "ghp_" not in reason

    @pytest.mark.parametrize(
        ("told", "least", "most"),
        [
            ({"retry_after": 17}, 17, 17),
            ({"retry_after": 0, "reset_time": "2001-01-01T00:00:00Z"}, 60, 60),
            ({"retry_after": "soon"}, 60, 60),
            ({"retry_after": 1e12}, 86_400, 86_400),
            ({}, 60, 60),
        ],
    )
    def test_a_refused_rate_says_when_to_come_back(
        self, service: BudgetStub, told: dict[str, Any], least: float, most: float
    ) -> None:
        service.answers[RATES] = {"allowed": False, **told}
        decision = ask()
        assert not decision.allowed
        assert least <= decision.retry_after_seconds <= most

    def test_or_when_it_is_reset(self, service: BudgetStub) -> None:
        reset = (datetime.now(UTC) + timedelta(seconds=100)).isoformat()
        service.answers[RATES] = {"allowed": False, "retry_after": None, "reset_time": reset}
        assert 80 < ask().retry_after_seconds <= 100


class TestWithoutAnAnswer:
    @pytest.fixture(autouse=True)
    def _no_rest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(budget_platform, "REST_SECONDS", 0.0)

    @pytest.mark.parametrize("answer", [401, 404, 429, 500, b"<html>", b"[]", {"allowed": "yes"}, {}, b"x" * 100_000])
    def test_polls_wait_and_actions_go_on(self, service: BudgetStub, answer: Any) -> None:
        before = refusals("unreachable")
        service.answers[RATES] = answer
        assert (ask().allowed, ask(ACTION).allowed) == (False, True)
        assert refusals("unreachable") == before + 1

    def test_the_fail_mode_may_be_set(self, service: BudgetStub, settings: Any) -> None:
        service.answers[BUDGETS] = 500
        settings.BUDGET_FAIL_MODE = "open"
        assert ask().allowed
        settings.BUDGET_FAIL_MODE = "closed"
        assert not ask(ACTION).allowed

    def test_nobody_listening(self, settings: Any) -> None:
        settings.BUDGET_SERVICE_URL = f"http://127.0.0.1:{free_port()}"
        decision = ask()
        assert "cannot be asked" in decision.reason
        assert decision.retry_after_seconds == 30

    def test_silence_ends_with_the_time_allowed(self, service: BudgetStub, settings: Any) -> None:
        settings.BUDGET_TIMEOUT_SECONDS, service.silent_seconds = 0.2, 1.0
        assert "ReadTimeout" in ask().reason
        assert service.paths() == [BUDGETS]

    def test_a_new_token_is_looked_up_after_a_refused_one(self, service: BudgetStub) -> None:
        service.answers[BUDGETS] = 401
        ask()
        secret_store().put(ACME, "newer", name="platform/budget")
        del service.answers[BUDGETS]
        assert ask().allowed
        assert service.tokens[-1] == "Bearer newer"


def test_after_a_failure_it_is_left_alone_for_a_while(service: BudgetStub) -> None:
    service.answers[BUDGETS] = 500
    assert [ask().allowed, ask().allowed, ask(ACTION).allowed] == [False, False, True]
    assert service.paths() == [BUDGETS]


@pytest.mark.parametrize("answer", [401, 404, 429, b"<html>", {}])
def test_what_it_says_to_one_tenant_does_not_stop_the_others(
    service: BudgetStub, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    usual = service.handle

    def handle(path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, bytes]:
        service.answers = {BUDGETS: answer} if body["tenant_id"] == ACME else {}
        return usual(path, headers, body)

    monkeypatch.setattr(service, "handle", handle)
    assert [ask().allowed, ask(tenant=GLOBEX).allowed] == [False, True]


@pytest.mark.parametrize("token", ["two\nlines", "\N{EURO SIGN}"])
def test_a_token_that_cannot_be_sent_stops_its_tenant_only(service: BudgetStub, token: str) -> None:
    secret_store().put(ACME, token, name="platform/budget")
    assert [ask().allowed, ask(tenant=GLOBEX).allowed] == [False, True]


class TestTelling:
    def test_a_run_tells_what_it_used(self, service: BudgetStub, ledger: Ledger) -> None:
        connection = ledger_connection(ledger)
        ledger.add(25)
        assert poll(connection).pages == 3
        assert service.recorded.acquire(timeout=10)
        assert service.costs == [
            {
                "tenant_id": ACME,
                "resource_type": POLL,
                "cost_amount": 3,
                "usage_quantity": 3,
                "usage_unit": "requests",
                "service_name": "integration-adapters",
                "tags": {"connection_id": str(connection.pk)},
            }
        ]
        assert service.paths() == [BUDGETS, RATES, COSTS]

    def test_a_run_that_failed_tells_as_well(self, service: BudgetStub, ledger: Ledger) -> None:
        ledger.outage = 503
        assert poll(ledger_connection(ledger)).outcome == "server"
        assert service.recorded.acquire(timeout=10)
        assert service.costs[0]["usage_quantity"] == 1

    def test_what_is_refused_is_recorded_and_nothing_is_asked_of_the_provider(
        self, service: BudgetStub, ledger: Ledger
    ) -> None:
        service.answers[RATES] = {"allowed": False, "retry_after": 40}
        assert poll(ledger_connection(ledger)).outcome == PollOutcome.BUDGET
        cursor = PollingCursor.objects.get()
        assert (cursor.budget_refusals, cursor.last_error) == (1, "The platform's rate limit is reached.")
        assert ledger.requests == []
        assert service.paths() == [BUDGETS, RATES]

    def test_nobody_waits_for_it_and_nobody_fails_by_it(self, service: BudgetStub) -> None:
        service.silent_seconds = 30.0
        budget().record(ACME, POLL, "c-1", 3)
        assert service.recorded.acquire(timeout=10)

    def test_what_it_does_not_take_is_counted(self, service: BudgetStub) -> None:
        before = counted("integration_budget_usage_lost_total", tenant=ACME, cause="not_taken")
        service.answers[COSTS] = 500
        for _ in range(2):
            budget().record(ACME, POLL, "c-1", 3)
            assert service.recorded.acquire(timeout=10)
        # The second was sent after the first was counted.
        assert counted("integration_budget_usage_lost_total", tenant=ACME, cause="not_taken") >= before + 1

    def test_what_does_not_fit_is_counted(self, service: BudgetStub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(budget_platform, "QUEUE_SIZE", 1)
        monkeypatch.setattr(PlatformBudget, "_keep_telling", lambda _self: None)
        before = counted("integration_budget_usage_lost_total", tenant=ACME, cause="not_sent")
        full = PlatformBudget(service.url, 1.0)
        for _ in range(3):
            full.record(ACME, POLL, "c-1", 3)
        assert counted("integration_budget_usage_lost_total", tenant=ACME, cause="not_sent") == before + 2
