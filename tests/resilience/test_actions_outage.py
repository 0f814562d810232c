"""Actions while their provider is down, or refuses for its limits: few calls, one incident, and all done afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import redis
from django.conf import settings
from django.db.models.functions import Now

from actions.dispatcher import execute
from actions.intake import Wish
from actions.models import ActionStatus, NormalisedAction
from connections import breaker
from connections.breaker_models import BreakerState, ConnectionBreaker
from connections.models import Incident, IncidentStatus, IntegrationConnection
from tests.tracker import Tracker, due_now, fails_before, limited, running_tracker, settled, work

pytestmark = pytest.mark.django_db
NUMBER = 12


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    with running_tracker() as running:
        yield running


def ask(connection: IntegrationConnection, number: int = NUMBER) -> None:
    for n in range(number):
        wish = Wish(
            provider_id=connection.provider_id,
            canonical_type="comment_on_issue",
            target={"issue_key": "ACME-1"},
            payload={"body": f"Comment {n}."},
            idempotency_key=f"key-{n}",
        )
        execute(connection, wish, actor="test", wait=False)


def a_minute_later() -> None:
    ConnectionBreaker.objects.exclude(retry_at=None).update(retry_at=Now() - timedelta(seconds=1))
    due_now()


def work_on(ticks: int) -> None:
    for _ in range(ticks):
        settled()
        due_now()
        work()


def test_an_outage_opens_the_breaker_spares_the_provider_and_is_overcome(tracker: Tracker) -> None:
    """RF-IA-01: provider outage, on the way out."""
    connection = tracker.connect()
    tracker.vices = [fails_before] * 1000
    ask(connection)
    work_on(4)
    assert breaker.state_of(connection).state == BreakerState.OPEN
    assert len(tracker.writes) == breaker.OPENS_AFTER, "no call goes out once it is open"
    incident = Incident.objects.get()
    assert (incident.cause, incident.status, incident.occurrences) == ("breaker_open", IncidentStatus.OPEN, 1)
    assert not NormalisedAction.objects.exclude(status=ActionStatus.PENDING).exists()

    a_minute_later()
    work()
    assert len(tracker.writes) == breaker.OPENS_AFTER + 1, "one trial"
    assert breaker.state_of(connection).state == BreakerState.OPEN

    tracker.vices = []
    for _ in range(NUMBER):
        a_minute_later()
        settled()
        work()
    assert breaker.state_of(connection).state == BreakerState.CLOSED
    assert set(NormalisedAction.objects.values_list("status", flat=True)) == {ActionStatus.COMPLETED}
    assert len(tracker.effects()) == NUMBER
    incident.refresh_from_db()
    assert incident.status == IncidentStatus.RESOLVED


def test_another_connection_of_the_same_provider_is_not_held_back(tracker: Tracker) -> None:
    down, well = tracker.connect(), tracker.connect()
    for _ in range(breaker.OPENS_AFTER):
        breaker.failed(breaker.admit(down), breaker.BreakerOpen("down"))
    ask(down, 2)
    ask(well, 2)
    work()
    assert NormalisedAction.objects.filter(connection=well, status=ActionStatus.COMPLETED).count() == 2
    assert NormalisedAction.objects.filter(connection=down, status=ActionStatus.PENDING).count() == 2


def test_a_storm_of_refusals_is_a_few_calls_and_no_failure(tracker: Tracker) -> None:
    """RF-IA-02: 429 storm, on the way out."""
    connection = tracker.connect()
    tracker.vices = [limited] * 1000
    ask(connection)
    work_on(10)
    # The first refusal closes the ledger of the quota for everybody, for as long as the provider said.
    assert len(tracker.writes) <= 2
    assert breaker.state_of(connection).state == BreakerState.CLOSED
    assert set(NormalisedAction.objects.values_list("status", flat=True)) == {ActionStatus.PENDING}
    tracker.vices = []
    redis.Redis.from_url(settings.REDIS_URL).flushdb()
    work_on(5)
    assert set(NormalisedAction.objects.values_list("status", flat=True)) == {ActionStatus.COMPLETED}
    assert len(tracker.effects()) == NUMBER
