"""The budget is asked first, and what it refuses is resumed."""

from __future__ import annotations

import time
from typing import Any

import pytest
from prometheus_client import REGISTRY

from connections.budget import budget
from integration_adapters.embedded import free_port
from polling.models import PollingCursor, PollOutcome
from tests.factories import ACME
from tests.polling_provider import Ledger, ledger_connection, poll

pytestmark = pytest.mark.django_db


def refusals(cause: str) -> float:
    labels = {"resource_type": "integration.ledger.poll", "tenant": ACME, "cause": cause}
    return REGISTRY.get_sample_value("integration_budget_refusals_total", labels) or 0.0


def test_polls_beyond_the_budget_are_refused_recorded_counted_and_resumed(ledger: Ledger, settings: Any) -> None:
    settings.POLLS_PER_MINUTE = 1
    connection = ledger_connection(ledger)
    ledger.add(2)
    assert poll(connection).outcome == PollOutcome.COMPLETED
    before = refusals("limit")
    assert poll(connection).outcome == PollOutcome.BUDGET
    assert len(ledger.requests) == 1
    cursor = PollingCursor.objects.get()
    assert (cursor.last_outcome, cursor.budget_refusals) == (PollOutcome.BUDGET, 1)
    assert "1 polls for a minute" in cursor.last_error
    assert cursor.consecutive_failures == 0
    assert refusals("limit") == before + 1
    settings.POLLS_PER_MINUTE = 60
    ledger.add(1)
    assert poll(connection).events_new == 1
    assert PollingCursor.objects.get().last_error == ""


def test_the_budget_is_each_connections_own(settings: Any, db: None) -> None:
    settings.POLLS_PER_MINUTE = 1
    asked = [budget().ask(ACME, "integration.ledger.poll", key).allowed for key in ("one", "one", "two")]
    assert asked == [True, False, True]


def test_a_refusal_says_when_to_ask_again(settings: Any, db: None) -> None:
    settings.POLLS_PER_MINUTE = 1
    budget().ask(ACME, "integration.ledger.poll", "one")
    refused = budget().ask(ACME, "integration.ledger.poll", "one")
    assert 1 <= refused.retry_after_seconds <= 61


def test_without_redis_polling_is_refused_and_resumed_and_actions_go_on(ledger: Ledger, settings: Any) -> None:
    redis_url = settings.REDIS_URL
    connection = ledger_connection(ledger)
    ledger.add(3)
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    before, started = refusals("unreachable"), time.monotonic()
    assert poll(connection).outcome == PollOutcome.BUDGET
    assert time.monotonic() - started < 3
    assert ledger.requests == []
    cursor = PollingCursor.objects.get()
    assert "budget cannot be asked" in cursor.last_error
    assert refusals("unreachable") == before + 1
    assert budget().ask(ACME, "integration.ledger.action", "one").allowed
    settings.REDIS_URL = redis_url
    assert poll(connection).events_new == 3


def test_the_fail_mode_may_be_opened(ledger: Ledger, settings: Any) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    settings.BUDGET_FAIL_MODE = "open"
    assert poll(ledger_connection(ledger)).outcome == PollOutcome.COMPLETED
