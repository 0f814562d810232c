"""Every road to a provider passes the ledger of its quotas: polls, backfills, verification, redirects."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from prometheus_client import REGISTRY

from connections.errors import ServiceError
from connections.models import ConnectionStatus, IntegrationConnection
from connections.quota import QuotaGate, owner_of
from connections.quota_state import QuotaState, quota_state
from connections.runtime import calling, client_for
from connections.services import verify_connection
from connections.turns import within
from integration_adapters.embedded import free_port
from polling.models import PollingCursor, PollOutcome
from providers.errors import OutOfTime, ProviderFault, QuotaSpent, Unreachable
from providers.quotas import Quota, Traffic
from providers.spi import Identity
from tests.factories import ACME, GLOBEX
from tests.polling_provider import Ledger, LedgerAdapter, ledger_connection, poll
from tests.quota_rig import HEADERS

pytestmark = pytest.mark.django_db

REQUESTS = Quota(name="requests", units=2, window_seconds=600)


@pytest.fixture
def metered(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A provider that allows two requests in ten minutes."""
    limit(monkeypatch, REQUESTS)
    return ledger


def limit(monkeypatch: pytest.MonkeyPatch, *quotas: Quota) -> None:
    monkeypatch.setattr(LedgerAdapter, "manifest", replace(LedgerAdapter.manifest, quotas=quotas))


def only(connection: IntegrationConnection) -> QuotaState:
    (state,) = quota_state(connection)
    return state


def test_a_poll_that_meets_a_spent_quota_keeps_its_place_and_comes_back_when_it_may(metered: Ledger) -> None:
    connection = ledger_connection(metered)
    metered.add(25)
    ran = poll(connection)
    assert (ran.outcome, ran.pages, len(metered.requests)) == (PollOutcome.BUDGET, 2, 2)
    cursor = PollingCursor.objects.get()
    assert cursor.cursor_position == {"after": 20}
    assert "quota" in cursor.last_error
    assert (cursor.budget_refusals, cursor.consecutive_failures) == (1, 0)
    assert cursor.lease_token is None
    assert timedelta(seconds=590) < cursor.next_poll_at - timezone.now() < timedelta(seconds=900)
    connection.refresh_from_db()
    assert connection.consecutive_failures == 0


def test_what_one_connection_spends_another_with_the_same_token_misses(metered: Ledger) -> None:
    first, second = ledger_connection(metered), ledger_connection(metered, GLOBEX)
    for _ in range(2):
        assert poll(first).outcome == PollOutcome.COMPLETED
    assert poll(second).outcome == PollOutcome.BUDGET
    assert len(metered.requests) == 2


def test_a_limit_one_connection_meets_closes_the_token_for_the_others(ledger: Ledger) -> None:
    first, second = ledger_connection(ledger), ledger_connection(ledger, GLOBEX)
    ledger.answers = [(429, {"Retry-After": "50"})]
    assert poll(first).outcome == "rate_limit"
    assert poll(second).outcome == PollOutcome.BUDGET
    assert len(ledger.requests) == 1
    assert PollingCursor.objects.get(connection=second).last_error == "The provider asked to wait."


def test_a_redirect_is_a_request_of_its_own(metered: Ledger) -> None:
    metered.answers = [(302, {"Location": "/entries?list=main&since=1"})] * 2
    with client_for(ledger_connection(metered)) as client, pytest.raises(QuotaSpent):
        client.get("/entries", params={"list": "main", "since": "1"})
    assert len(metered.requests) == 2


def test_what_could_not_be_sent_is_given_back_and_what_may_have_arrived_is_not(metered: Ledger) -> None:
    connection = ledger_connection(metered, settings={"base_url": f"http://127.0.0.1:{free_port()}"})
    with client_for(connection) as client, pytest.raises(Unreachable):
        client.get("/entries")
    assert only(connection).remaining == 2
    connection = ledger_connection(metered, settings={"base_url": metered.url})
    metered.answers = [(200, {"Content-Encoding": "gzip"})]
    with client_for(connection) as client, pytest.raises((Unreachable, ProviderFault)):
        client.get("/entries", params={"list": "main"})
    assert only(connection).remaining == 1


def test_without_time_to_wait_for_the_quota_the_time_is_over(metered: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, Quota(name="writes", write_spacing_seconds=2))
    connection = ledger_connection(metered)
    with within(1), client_for(connection) as client:
        with pytest.raises(ProviderFault):  # this provider takes no writes; it counts them
            client.write("POST", "/entries", json={})
        with pytest.raises(OutOfTime):
            client.write("POST", "/entries", json={})
    assert client.requests_made == 1


def test_calls_that_are_not_made_are_counted_as_such(metered: Ledger) -> None:
    labels = {"provider": "ledger", "tenant": ACME, "outcome": "budget"}
    before = REGISTRY.get_sample_value("integration_provider_calls_total", labels) or 0.0
    connection = ledger_connection(metered)
    for _ in range(3):
        poll(connection)
    assert REGISTRY.get_sample_value("integration_provider_calls_total", labels) == before + 1


def test_a_verification_that_cannot_be_asked_for_says_so_and_changes_nothing(
    metered: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        LedgerAdapter, "verify", lambda _self, client: Identity(account=str(client.get("/entries?list=main&since=1")))
    )
    connection = ledger_connection(metered)
    for _ in range(2):
        poll(connection)
    with pytest.raises(ServiceError) as caught:
        verify_connection(connection, actor="zoe")
    assert (caught.value.status, caught.value.code) == (503, "TEMPORARILY_UNAVAILABLE")
    assert caught.value.details["retry_after_seconds"] > 0
    connection.refresh_from_db()
    assert (connection.status, connection.last_error) == (ConnectionStatus.ACTIVE, "")


class TestState:
    def test_shows_what_is_left_and_what_is_under_way(self, metered: Ledger) -> None:
        connection = ledger_connection(metered)
        assert quota_state(connection) == [
            QuotaState(
                name="requests", limit=2, remaining=2, resets_at=None, blocked_until=None, reason="", in_flight=0
            )
        ]
        how = calling(connection)
        gate = QuotaGate(owner_of(connection, how.config, how.identity), how.adapter.manifest, connection, Traffic.POLL)
        passage = gate.enter("GET", "/entries")
        assert (only(connection).remaining, only(connection).in_flight) == (1, 1)
        passage.answered(200, {}, limited=False)
        assert (only(connection).remaining, only(connection).in_flight) == (1, 0)

    def test_shows_until_when_it_is_closed_and_why(self, metered: Ledger) -> None:
        connection = ledger_connection(metered)
        metered.answers = [(429, {"Retry-After": "50"})]
        poll(connection)
        state = only(connection)
        assert state.blocked_until is not None
        assert 40 < (state.blocked_until - datetime.now(UTC)).total_seconds() <= 50
        assert state.reason == "The provider asked to wait."

    def test_shows_the_reset_the_provider_told(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        limit(monkeypatch, Quota(name="requests", kind="fixed", units=9, window_seconds=60, headers=HEADERS))
        connection = ledger_connection(ledger)
        resets_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=40)
        told = {"X-Limit": "300", "X-Remaining": "200", "X-Reset": str(int(resets_at.timestamp()))}
        ledger.answers = [(200, told)]
        with client_for(connection) as client:
            client.get("/entries", params={"list": "main"})
        state = only(connection)
        assert (state.limit, state.remaining) == (300, 200)
        assert state.resets_at is not None
        assert timedelta(0) <= state.resets_at - resets_at <= timedelta(seconds=2)

    def test_shows_of_a_quota_in_parts_the_one_with_least_left_and_names_none(
        self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        quota = Quota(name="a list", units=5, path=r"/([a-z]+)$", separate=True)
        limit(monkeypatch, quota, Quota(name="at once", concurrency=3))
        connection = ledger_connection(ledger)
        assert [state.name for state in quota_state(connection)] == ["at once"]
        poll(connection)
        how = calling(connection)
        gate = QuotaGate(
            owner_of(connection, how.config, how.identity), how.adapter.manifest, connection, Traffic.ACTION
        )
        for _ in range(2):
            gate.enter("GET", "/others").answered(200, {}, limited=False)
        states = {state.name: state for state in quota_state(connection)}
        assert len(quota_state(connection)) == 2
        assert (states["a list"].remaining, states["at once"].limit) == (3, None)

    def test_shows_a_block_where_nothing_is_counted(self, ledger: Ledger) -> None:
        connection = ledger_connection(ledger)
        assert quota_state(connection) == []
        ledger.answers = [(429, {"Retry-After": "50"})]
        poll(connection)
        assert only(connection).name == "all calls"

    def test_shows_nothing_where_nothing_can_be_known(self, metered: Ledger, settings: Any) -> None:
        connection = ledger_connection(metered)
        settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
        assert quota_state(connection) == []
        assert quota_state(IntegrationConnection(provider_id="gone", tenant_id=ACME)) == []
