"""The circuit breaker of a connection: thresholds, trials, fencing, what people decide, and what it tells."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.db import IntegrityError, transaction
from django.db import connection as database
from django.db.models import F
from prometheus_client import REGISTRY

from connections import breaker
from connections.breaker import CLOSES_AFTER, OPENS_AFTER, RESTS_SECONDS, TRIAL_SECONDS, Admission, BreakerOpen
from connections.breaker_models import BreakerState, ConnectionBreaker
from connections.breaker_overrides import force_closed, force_open, reset
from connections.incidents import Cause
from connections.models import ConnectionHistory, Incident, IncidentStatus, IntegrationConnection
from polling.outages import settle_all
from providers.errors import (
    AuthFailed,
    Misconfigured,
    OutOfTime,
    ProviderError,
    ProviderFault,
    QuotaSpent,
    RateLimited,
    Rejected,
    StaleMark,
    Unreachable,
)
from tests.breakers import DOWN, fail, later, opened, work
from tests.factories import ACME, GLOBEX, make_connection
from tests.incidents import only

pytestmark = pytest.mark.django_db

LIMITED = RateLimited("The provider's rate limit is reached.", status=429)


def state(connection: IntegrationConnection) -> BreakerState:
    return breaker.state_of(connection).state


def refused(connection: IntegrationConnection) -> float:
    with pytest.raises(BreakerOpen) as caught:
        breaker.admit(connection)
    assert caught.value.retry_after_seconds is not None
    return caught.value.retry_after_seconds


def tried(connection: IntegrationConnection) -> Admission:
    """The trial call after its rest."""
    later(RESTS_SECONDS)
    return breaker.admit(connection)


def metric(name: str, connection: IntegrationConnection) -> float:
    labels = {"provider": connection.provider_id, "tenant": connection.tenant_id}
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_five_failures_in_a_row_open_it_and_four_do_not() -> None:
    connection, other = make_connection(), make_connection(tenant_id=GLOBEX)
    fail(connection, OPENS_AFTER - 1)
    assert state(connection) == BreakerState.CLOSED
    fail(connection)
    assert state(connection) == BreakerState.OPEN
    assert RESTS_SECONDS - 5 < refused(connection) <= RESTS_SECONDS
    breaker.admit(other)


def test_a_success_in_between_begins_the_row_anew() -> None:
    connection = make_connection()
    fail(connection, OPENS_AFTER - 1)
    work(connection)
    fail(connection, OPENS_AFTER - 1)
    assert state(connection) == BreakerState.CLOSED


@pytest.mark.parametrize("error", [Unreachable("no answer"), OutOfTime("too slow"), DOWN])
def test_what_means_the_provider_is_down_counts(error: ProviderError) -> None:
    connection = make_connection()
    fail(connection, OPENS_AFTER, error)
    assert state(connection) == BreakerState.OPEN


@pytest.mark.parametrize(
    "error",
    [
        Rejected("gone", status=404),
        StaleMark("forgotten", position={}),
        AuthFailed("refused", status=401),
        RateLimited("too many", status=429),
        QuotaSpent("kept"),
        Misconfigured("no address"),
    ],
)
def test_what_says_nothing_of_that_does_not(error: ProviderError) -> None:
    connection = make_connection()
    fail(connection, 2 * OPENS_AFTER, error)
    assert state(connection) == BreakerState.CLOSED
    assert not ConnectionBreaker.objects.exists()


def test_limits_and_our_own_faults_do_not_break_a_row_of_failures_but_an_answer_does() -> None:
    connection = make_connection()
    for error in (RateLimited("slow down"), QuotaSpent("kept"), Misconfigured("wrong")):
        fail(connection)
        fail(connection, 1, error)
    assert breaker.state_of(connection).failures == 3
    fail(connection, 1, Rejected("gone", status=404))
    assert breaker.state_of(connection).failures == 0


def test_while_all_is_well_a_call_costs_one_read_and_its_success_nothing(
    django_assert_num_queries: Callable[[int], Any],
) -> None:
    fresh, recovered = make_connection(), make_connection(tenant_id=GLOBEX)
    fail(recovered)
    work(recovered)
    for connection in (fresh, recovered):
        with django_assert_num_queries(1):
            admission = breaker.admit(connection)
        with django_assert_num_queries(0):
            breaker.succeeded(admission)
    with django_assert_num_queries(1):
        breaker.state_of(recovered)


def test_a_refusal_costs_one_read(django_assert_num_queries: Callable[[int], Any]) -> None:
    connection = opened()
    with django_assert_num_queries(1):
        refused(connection)


def test_after_a_minute_of_the_databases_clock_one_trial_at_a_time_is_let_through() -> None:
    connection = opened()
    later(RESTS_SECONDS - 5)
    assert 0 < refused(connection) <= 5
    later(5)
    assert state(connection) == BreakerState.HALF_OPEN
    trial = breaker.admit(connection)
    assert trial.trial is not None
    assert 0 < refused(connection) <= RESTS_SECONDS
    breaker.succeeded(trial)
    assert breaker.admit(connection).trial not in (None, trial.trial)


def test_two_trials_that_work_close_it() -> None:
    connection = opened()
    breaker.succeeded(tried(connection))
    assert state(connection) == BreakerState.HALF_OPEN
    work(connection, CLOSES_AFTER - 1)
    assert state(connection) == BreakerState.CLOSED
    fail(connection, OPENS_AFTER - 1)
    assert state(connection) == BreakerState.CLOSED


@pytest.mark.parametrize("worked_before", [0, 1])
def test_a_trial_that_fails_opens_it_again_for_a_minute(worked_before: int) -> None:
    connection = opened()
    later(RESTS_SECONDS)
    work(connection, worked_before)
    fail(connection)
    assert state(connection) == BreakerState.OPEN
    assert RESTS_SECONDS - 5 < refused(connection) <= RESTS_SECONDS
    breaker.succeeded(tried(connection))
    assert state(connection) == BreakerState.HALF_OPEN, "what worked before it failed does not count"


@pytest.mark.parametrize("end", [lambda trial: breaker.abandoned(trial), lambda trial: breaker.failed(trial, LIMITED)])
def test_a_trial_that_says_nothing_makes_room_for_the_next(end: Callable[[Admission], None]) -> None:
    connection = opened()
    end(tried(connection))
    assert state(connection) == BreakerState.HALF_OPEN
    work(connection, CLOSES_AFTER)
    assert state(connection) == BreakerState.CLOSED


def test_a_trial_the_provider_refuses_shows_that_it_answers() -> None:
    connection = opened()
    breaker.failed(tried(connection), AuthFailed("refused", status=401))
    fail(connection, 1, Rejected("gone", status=404))
    assert state(connection) == BreakerState.CLOSED


def test_a_killed_trial_holds_nobody_up_for_long_and_its_late_word_does_not_count() -> None:
    connection = opened()
    killed = tried(connection)
    later(TRIAL_SECONDS - 1)
    refused(connection)
    later(1)
    second = breaker.admit(connection)
    breaker.succeeded(killed)
    breaker.failed(killed, DOWN)
    breaker.abandoned(killed)
    assert state(connection) == BreakerState.HALF_OPEN
    refused(connection)
    breaker.succeeded(second)
    work(connection)
    assert state(connection) == BreakerState.CLOSED


def test_calls_let_through_before_it_opened_neither_close_nor_open_it() -> None:
    connection = make_connection()
    fail(connection)
    before = [breaker.admit(connection) for _ in range(OPENS_AFTER + 2)]
    fail(connection, OPENS_AFTER - 1)
    for admission in before[:2]:
        breaker.succeeded(admission)
    assert state(connection) == BreakerState.OPEN
    trial = tried(connection)
    breaker.failed(before[2], DOWN)
    breaker.succeeded(before[3])
    breaker.succeeded(trial)
    work(connection)
    assert state(connection) == BreakerState.CLOSED
    for admission in before:
        breaker.failed(admission, DOWN)
    assert breaker.state_of(connection).failures == 0


def test_an_opening_is_one_incident_however_often_it_flaps_and_closing_ends_it() -> None:
    connection = opened()
    for _ in range(3):
        breaker.failed(tried(connection), DOWN)
    incident = only()
    assert (incident.cause, incident.status) == (Cause.BREAKER_OPEN, IncidentStatus.OPEN)
    breaker.succeeded(tried(connection))
    work(connection)
    assert only().status == IncidentStatus.RESOLVED
    fail(connection, OPENS_AFTER)
    assert (only().status, only().reopened) == (IncidentStatus.OPEN, 1)


@pytest.mark.django_db(transaction=True)
def test_an_opening_is_counted_once_and_told_in_the_history() -> None:
    connection = make_connection()
    before = metric("integration_breaker_opens_total", connection)
    fail(connection, OPENS_AFTER)
    breaker.failed(tried(connection), DOWN)
    breaker.succeeded(tried(connection))
    work(connection)
    assert metric("integration_breaker_opens_total", connection) == before + 1
    entries = ConnectionHistory.objects.filter(connection=connection).order_by("entry_id")
    assert list(entries.values_list("operation", "actor")) == [
        ("breaker_opened", breaker.ACTOR),
        ("breaker_closed", breaker.ACTOR),
    ]


def test_the_last_error_is_kept_without_its_secrets() -> None:
    connection = make_connection()
    fail(
        connection,
        OPENS_AFTER,
        ProviderFault("failed for Authorization: Bearer ghp_0123456789abcdefghij0123456789abcdef"),
    )
    told = [breaker.state_of(connection).last_error, only().detail, ConnectionHistory.objects.get().detail]
    assert all(text and "ghp_" not in text for text in told)


def test_held_open_nothing_goes_through_until_it_is_reset() -> None:
    connection = make_connection()
    under_way = breaker.admit(connection)
    force_open(connection.pk, actor="staff:zoe", reason="maintenance")
    breaker.succeeded(under_way)
    breaker.failed(under_way, DOWN)
    later(10 * RESTS_SECONDS)
    refused(connection)
    assert breaker.state_of(connection).held
    assert not Incident.objects.exists(), "a decision is no trouble"
    reset(connection.pk, actor="staff:zoe")
    work(connection)
    fail(connection, OPENS_AFTER)
    assert state(connection) == BreakerState.OPEN


def test_held_closed_everything_goes_through_until_it_is_reset() -> None:
    connection = opened()
    force_closed(connection.pk, actor="staff:zoe", reason="false alarm")
    assert only().status == IncidentStatus.RESOLVED
    fail(connection, 3 * OPENS_AFTER)
    assert breaker.state_of(connection) == breaker.Standing(state=BreakerState.CLOSED, held=True, last_error=str(DOWN))
    reset(connection.pk, actor="staff:zoe")
    fail(connection, OPENS_AFTER)
    assert state(connection) == BreakerState.OPEN


def test_a_trial_under_way_when_a_person_decides_does_not_overrule_them() -> None:
    connection = opened()
    trial = tried(connection)
    force_open(connection.pk, actor="staff:zoe")
    breaker.succeeded(trial)
    assert breaker.state_of(connection).held
    reset(connection.pk, actor="staff:zoe")
    breaker.failed(trial, DOWN)
    assert state(connection) == BreakerState.CLOSED


def test_each_decision_is_in_the_history_with_its_reason() -> None:
    connection = make_connection()
    force_open(connection.pk, actor="staff:zoe", reason="maintenance at night")
    force_closed(connection.pk, actor="staff:yan", reason="it is over")
    reset(connection.pk, actor="staff:zoe")
    entries = ConnectionHistory.objects.filter(connection=connection).order_by("entry_id")
    assert list(entries.values_list("operation", "actor", "detail")) == [
        ("breaker_held_open", "staff:zoe", "maintenance at night"),
        ("breaker_held_closed", "staff:yan", "it is over"),
        ("breaker_reset", "staff:zoe", ""),
    ]


def test_what_ends_the_incidents_of_polling_leaves_this_one_alone() -> None:
    opened()
    settle_all()
    assert only().status == IncidentStatus.OPEN


def test_losing_redis_changes_nothing() -> None:
    closed, opened_one = make_connection(tenant_id=GLOBEX), opened()
    fail(closed, OPENS_AFTER - 1)
    redis.Redis.from_url(django_settings.REDIS_URL).flushdb()
    refused(opened_one)
    fail(closed)
    refused(closed)


def test_the_database_keeps_a_trial_to_the_half_open_state() -> None:
    connection = opened()
    with pytest.raises(IntegrityError), transaction.atomic():
        ConnectionBreaker.objects.filter(pk=connection.pk).update(trial_token=uuid.uuid4(), trial_until=F("retry_at"))


def at_once(number: int, do: Callable[[], Any]) -> list[Any]:
    """What each of so many threads got that began together, each with a database connection of its own."""
    start, results = threading.Barrier(number), []

    def run() -> None:
        try:
            start.wait()
            results.append(do())
        except ProviderError as error:
            results.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == number
    return results


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_is_the_trial() -> None:
    connection = opened()
    for _ in range(3):
        later(RESTS_SECONDS)
        results = at_once(8, lambda: breaker.admit(connection))
        (trial,) = [result for result in results if isinstance(result, Admission)]
        assert all(isinstance(result, BreakerOpen) for result in results if result is not trial)
        breaker.failed(trial, DOWN)


@pytest.mark.django_db(transaction=True)
def test_failures_at_once_are_all_counted_and_open_it_once() -> None:
    connection = make_connection(tenant_id=ACME)
    before = metric("integration_breaker_opens_total", connection)
    admissions = [breaker.admit(connection) for _ in range(OPENS_AFTER - 1)]
    at_once(len(admissions), lambda: breaker.failed(admissions.pop(), DOWN))
    assert breaker.state_of(connection).failures == OPENS_AFTER - 1
    late = [breaker.admit(connection) for _ in range(6)]
    at_once(len(late), lambda: breaker.failed(late.pop(), DOWN))
    assert state(connection) == BreakerState.OPEN
    assert ConnectionBreaker.objects.get().generation == 1
    assert (only().occurrences, metric("integration_breaker_opens_total", connection)) == (1, before + 1)
