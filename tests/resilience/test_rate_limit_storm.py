"""A provider answers every call with 429, for hours, whatever it says of when to come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from connections.incidents import CALM
from connections.models import ConnectionHistory, ConnectionStatus, Incident, IncidentStatus, IntegrationConnection
from connections.secret_store import put_credential
from events.models import AdapterEvent
from integration_adapters.embedded import free_port
from polling.models import PollingCursor, PollOutcome
from tests.extent import extent
from tests.factories import ACME, GLOBEX
from tests.neighbours import AlertingStub
from tests.polling_provider import TOKEN, Ledger, ledger_connection
from tests.resilience.simulated_time import SimulatedTime, seconds_until

pytestmark = pytest.mark.django_db(transaction=True)

HOUR, DAY = 3600.0, 24 * 3600.0
STORMY = "a token the provider has had enough of"
Told = Callable[[], dict[str, str]]


class Storm:
    """A ledger that refuses one token. ``calls`` are those of each token; ``told`` makes the headers of a refusal."""

    def __init__(self, ledger: Ledger) -> None:
        self.told: Told | None = None
        self.with_answers: dict[str, str] = {}
        self.calls: Counter[str] = Counter()
        self.refused_at: list[datetime] = []
        self._answer = ledger.answer
        ledger.answer = self.answer  # type: ignore[method-assign]

    def answer(self, query: dict[str, str], authorization: str) -> tuple[int, dict[str, str], Any]:
        token = authorization.removeprefix("Bearer ")
        self.calls[token] += 1
        if token == STORMY and self.told is not None:
            self.refused_at.append(datetime.now(UTC))
            return 429, self.told(), {}
        status, headers, body = self._answer(query, f"Bearer {TOKEN}")
        return status, {**headers, **self.with_answers}, body


@pytest.fixture
def storm(ledger: Ledger, settings: Any) -> Storm:
    settings.POLLS_PER_MINUTE = 1_000_000  # the minutes of the budget are real ones
    return Storm(ledger)


@pytest.fixture(params=["Redis is there", "Redis is away"])
def with_redis_or_not(request: pytest.FixtureRequest, settings: Any) -> None:
    """The ledger of quotas is in Redis and may vanish with it; the due columns stay."""
    if request.param == "Redis is away":
        settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
        settings.BUDGET_FAIL_MODE = "open"


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> SimulatedTime:
    return SimulatedTime(monkeypatch)


def sharing(ledger: Ledger, number: int = 2) -> list[IntegrationConnection]:
    """Connections of one tenant with one credential and two lists each."""
    reference = put_credential(ACME, {"token": STORMY})
    return [
        ledger_connection(ledger, credential=None, auth_ref=reference, settings={"lists": [f"{name}1", f"{name}2"]})
        for name in "abcdefgh"[:number]
    ]


def of_others(ledger: Ledger) -> list[IntegrationConnection]:
    """Another credential of the same tenant, and one of another tenant."""
    return [
        ledger_connection(ledger, tenant, credential={"token": token}, settings={"poll_interval_seconds": 1800})
        for tenant, token in ((ACME, "ours too"), (GLOBEX, "theirs"))
    ]


def cursors_of(connections: list[IntegrationConnection]) -> list[PollingCursor]:
    return list(PollingCursor.objects.filter(connection__in=connections))


def in_seconds(seconds: float) -> dict[str, str]:
    return {"Retry-After": f"{seconds:.0f}"}


def at_date(seconds: float) -> dict[str, str]:
    return {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)}


def most_calls(seconds: float) -> int:
    """Calls of one stream that fails for so long: pauses from 30 s, doubled up to an hour, at most 10 % shorter."""
    calls, passed, pause = 1, 0.0, 30.0
    while (passed := passed + 0.9 * pause) <= seconds:
        calls, pause = calls + 1, min(2 * pause, HOUR)
    return calls


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        pytest.param(lambda: in_seconds(20), 20, id="shorter than a lease"),
        pytest.param(lambda: at_date(900), 899, id="date"),
        pytest.param(lambda: in_seconds(7 * DAY), DAY, id="absurd seconds"),
        *extent(
            [],
            [
                pytest.param(lambda: in_seconds(900), 900, id="seconds"),
                pytest.param(lambda: {"Retry-After": "9" * 400}, DAY, id="more than a number holds"),
                pytest.param(lambda: at_date(400 * DAY), DAY, id="absurd date"),
            ],
        ),
    ],
)
@pytest.mark.usefixtures("with_redis_or_not")
def test_the_time_that_is_told_is_kept_by_all_that_use_the_credential(
    ledger: Ledger, storm: Storm, time: SimulatedTime, told: Told, seconds: float
) -> None:
    """RF-IA-02: a pause stands in the due columns, to the second, and only of those who are meant."""
    stormy, others = sharing(ledger), of_others(ledger)
    storm.told = told
    time.pass_by(5)
    time.tick()
    assert storm.calls == {STORMY: 1, "ours too": 1, "theirs": 1}
    for cursor in cursors_of(stormy):
        assert cursor.next_poll_at >= storm.refused_at[0] + timedelta(seconds=seconds)
        assert seconds_until(cursor) <= max(1.1 * seconds, 33) + 1
        assert cursor.lease_token is None
    assert {c.last_outcome for c in cursors_of(others)} == {PollOutcome.COMPLETED}

    # Nobody asks a second too early; then they do.
    first = min(seconds_until(cursor) for cursor in cursors_of(stormy))
    time.pass_by(first - 2)
    time.tick()
    assert storm.calls[STORMY] == 1
    storm.told = None
    ledger.add(1, "a1")
    time.pass_by(0.2 * seconds + 40)
    time.tick()
    time.run(600)
    assert {c.last_outcome for c in cursors_of(stormy)} == {PollOutcome.COMPLETED}
    assert AdapterEvent.objects.filter(connection=stormy[0]).count() == 1
    assert not Incident.objects.exists()


@pytest.mark.parametrize(
    "value", extent(["0", "soon", None], ["0", "-5", "soon", "", "1e3", "Tue, 01 Jan 2019 00:00:00 GMT", None])
)
@pytest.mark.usefixtures("with_redis_or_not")
def test_what_tells_no_time_is_no_invitation(
    ledger: Ledger, storm: Storm, time: SimulatedTime, value: str | None
) -> None:
    """RF-IA-02: zero, a past time, nonsense and nothing mean that we choose the pause."""
    stormy = sharing(ledger)
    storm.told = lambda: {} if value is None else {"Retry-After": value}
    time.pass_by(5)
    time.tick()
    time.tick()
    assert storm.calls == {STORMY: 1}
    for cursor in cursors_of(stormy):
        assert cursor.next_poll_at >= storm.refused_at[0] + timedelta(seconds=60)
        assert seconds_until(cursor) <= HOUR


@pytest.mark.parametrize(
    ("told", "shortest"),
    [
        pytest.param(lambda: in_seconds(900), 900, id="seconds"),
        *extent(
            [],
            [
                pytest.param(lambda: at_date(300), 299, id="dates"),
                pytest.param(dict, 60, id="nothing"),
                pytest.param(lambda: in_seconds(0), 60, id="zero"),
            ],
        ),
    ],
)
def test_a_storm_of_hours_is_bounded_told_once_and_overcome(
    ledger: Ledger, storm: Storm, time: SimulatedTime, alerting: AlertingStub, told: Told, shortest: float
) -> None:
    """RF-IA-02: 429 storm."""
    stormy, others = sharing(ledger), of_others(ledger)
    time.pass_by(5)
    time.tick()
    storm.calls.clear()
    rows, steady = PollingCursor.objects.count(), 0
    storm.told = told
    lists = [name for connection in stormy for name in connection.settings["lists"]]

    def life_goes_on() -> None:
        nonlocal steady
        while steady * 600 <= time.elapsed:
            for name in (*lists, "main"):
                ledger.add(1, name)
            steady += 1

    lasts = 5 * HOUR
    time.run(lasts, life_goes_on)
    calls = storm.calls[STORMY]
    assert 0 < calls <= min(len(lists) * most_calls(lasts), lasts / shortest + 1)
    # Recorded, backed off, and nothing else has happened.
    for cursor in cursors_of(stormy):
        assert seconds_until(cursor) <= 1.1 * HOUR + 1
        assert cursor.last_error or cursor.interval_reason == "the provider's rate limit is reached"
    assert PollingCursor.objects.filter(last_outcome=PollOutcome.RATE_LIMIT, consecutive_failures__gt=0).exists()
    for connection in stormy:
        connection.refresh_from_db()
        assert connection.status == ConnectionStatus.ACTIVE
    assert any(connection.consecutive_failures for connection in stormy)
    assert PollingCursor.objects.count() == rows
    assert not ConnectionHistory.objects.exists()
    assert not AdapterEvent.objects.filter(connection__in=stormy).exists()
    assert {c.last_outcome for c in cursors_of(others)} == {PollOutcome.COMPLETED}
    raised = Incident.objects.filter(status=IncidentStatus.OPEN)
    assert {incident.cause for incident in raised} == {"rate_limited"}
    assert {incident.connection for incident in raised} <= set(stormy)
    assert len(alerting.told) == len(raised) == len(alerting.requests)

    storm.told = None
    time.run(1.2 * HOUR)
    time.pass_by(CALM.total_seconds())
    time.tick()
    assert not Incident.objects.filter(status=IncidentStatus.OPEN).exists()
    assert Counter(what for what, _ in alerting.told) == {"raised": len(raised), "resolved": len(raised)}
    for connection in stormy:
        connection.refresh_from_db()
        assert connection.consecutive_failures == 0
        keys = AdapterEvent.objects.filter(connection=connection).values_list("dedupe_key", flat=True)
        entries = [entry for name in connection.settings["lists"] for entry in ledger.entries[name]]
        assert sorted(keys) == sorted(f"entry:{entry['id']}" for entry in entries)


def test_a_wish_that_comes_with_an_answer_is_a_wish_as_well(ledger: Ledger, storm: Storm, time: SimulatedTime) -> None:
    """RF-IA-02: Retry-After beside a 200 asks to wait before the next call; the answer itself counts."""
    connection = ledger_connection(ledger, credential={"token": STORMY})
    ledger.add(35)
    storm.with_answers = in_seconds(700)
    for page in range(1, 5):
        time.pass_by(5)
        time.tick()
        assert storm.calls == {STORMY: page}
        (cursor,) = cursors_of([connection])
        assert 695 <= seconds_until(cursor) <= 770
        assert AdapterEvent.objects.count() == min(35, 10 * page)
        time.pass_by(600)
        time.tick()
        assert storm.calls == {STORMY: page}
        time.pass_by(170)
    assert cursor.last_outcome == PollOutcome.COMPLETED
    assert not Incident.objects.exists()
