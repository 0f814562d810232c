"""Replays of one tenant hold up nobody else's, finished ones go, and no moment is too early or too late."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError
from django.utils import timezone

from connections.models import IntegrationConnection
from events import replays
from events.models import AdapterEvent, Replay, ReplayStatus
from events.replays import RUNNING_A_TENANT, preview, run_batch, start_replay
from events.tasks import purge, run_replays
from providers.console.filters import first_key_at
from tests.api import EVENTS, client_of, error_of, pointers_of
from tests.factories import ACME, GLOBEX, make_connection
from tests.integration.test_event_roads_hardening import at_once
from tests.integration.test_events_replay import MATCHING, make_dead, replay_events, statuses
from tests.staff import list_of, operator

pytestmark = pytest.mark.django_db


def running_replays(connection: IntegrationConnection, number: int) -> None:
    make_dead(connection, 4)
    for _ in range(number):
        start_replay(connection.tenant_id, {"source": "webhook"}, actor="staff:zoe")


def running(tenant_id: str) -> int:
    return Replay.objects.filter(tenant_id=tenant_id, status=ReplayStatus.RUNNING).count()


def test_tenants_replays_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "ROWS_A_BATCH", 1)
    running_replays(make_connection(), 2)
    running_replays(make_connection(tenant_id=GLOBEX), 1)
    for _ in range(6):
        run_batch()
    done = {row.pk: row.replayed - 1 for row in Replay.objects.filter(tenant_id=ACME)}
    assert sorted(done.values()) == [1, 2]
    assert Replay.objects.get(tenant_id=GLOBEX).replayed - 1 == 3


def test_a_replay_that_always_fails_does_not_keep_the_others_from_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "ROWS_A_BATCH", 3)
    running_replays(make_connection(), 1)
    running_replays(make_connection(tenant_id=GLOBEX), 1)
    Replay.objects.filter(tenant_id=ACME).update(conditions={"no such": "condition"})
    with pytest.raises(KeyError):
        run_batch()
    assert run_batch() == 1
    assert (running(ACME), running(GLOBEX)) == (1, 0)


def test_a_tenant_has_few_replays_running_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "ROWS_A_BATCH", 1)
    connection, other = make_connection(), make_connection(tenant_id=GLOBEX)
    running_replays(connection, RUNNING_A_TENANT)
    refused = client_of().post(f"{EVENTS}/replay", {"source": "webhook"})
    assert error_of(refused, 409)["code"] == "TOO_MANY_REPLAYS"
    assert operator().post(f"{MATCHING}?tenant=acme").status_code == 302
    with pytest.raises(CommandError, match="still running"):
        replay_events("--tenant", ACME, "--yes")
    assert running(ACME) == RUNNING_A_TENANT
    make_dead(other, 2)
    assert client_of(GLOBEX).post(f"{EVENTS}/replay", {"source": "webhook"}).status_code == 202
    run_replays()
    assert client_of().post(f"{EVENTS}/replay", {"source": "webhook"}).status_code == 202


@pytest.mark.django_db(transaction=True)
def test_replays_asked_for_at_once_are_not_more_than_those_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "ROWS_A_BATCH", 1)
    make_dead(make_connection(), 2)
    codes: list[int] = []

    def ask(_number: int) -> None:
        codes.append(client_of().post(f"{EVENTS}/replay", {"source": "webhook"}).status_code)

    at_once(8, ask)
    assert sorted(codes) == [202] * RUNNING_A_TENANT + [409] * (8 - RUNNING_A_TENANT)


def test_finished_replays_go_when_events_of_their_age_do(settings: Any) -> None:
    for _ in range(3):
        start_replay(ACME, {"status": "dead"}, actor="staff:zoe")
    past = timezone.now() - timedelta(days=settings.EVENT_RETENTION_DAYS + 1)
    for number, row in enumerate(Replay.objects.all()):
        old = Replay.objects.filter(pk=row.pk)
        if number < 2:
            old.update(replay_id=first_key_at(past - timedelta(hours=number)), updated_at=past)
    unfinished = Replay.objects.order_by("pk").first()
    assert unfinished is not None
    Replay.objects.filter(pk=unfinished.pk).update(status=ReplayStatus.RUNNING)
    assert purge() == 1
    assert Replay.objects.count() == 2
    assert Replay.objects.filter(pk=unfinished.pk).exists()


# --- the ends of time ---------------------------------------------------------------------------------

ENDS_OF_TIME = [
    ("since", "0001-01-01T00:00:00+00:00", 1),
    ("since", "0001-01-01T00:00:00+14:00", 1),
    ("since", "1960-01-01T00:00:00+00:00", 1),
    ("since", "9999-12-31T23:59:59-14:00", 0),
    ("until", "0001-01-01T00:00:00+14:00", 0),
    ("until", "9999-12-31T23:59:59+00:00", 1),
    ("until", "9999-12-31T23:59:59-14:00", 1),
]


@pytest.mark.parametrize(("end", "moment", "found"), ENDS_OF_TIME)
def test_a_span_may_reach_to_the_ends_of_time(end: str, moment: str, found: int) -> None:
    make_dead(make_connection(), 1)
    span = {end: datetime.fromisoformat(moment)}
    assert sum(line.number for line in preview(ACME, span)) == found
    assert start_replay(ACME, span, actor="staff:zoe").replayed == found
    assert replay_events(f"--{end}", moment, "--yes").endswith(
        f"{found} events are due for delivery.\n" if found else "0  events would be delivered again\n"
    )


@pytest.mark.parametrize(("end", "moment", "found"), ENDS_OF_TIME)
def test_the_api_finds_and_replays_to_the_ends_of_time_or_refuses(end: str, moment: str, found: int) -> None:
    make_dead(make_connection(), 1)
    client = client_of()
    listed, answer = client.get(EVENTS, {end: moment}), client.post(f"{EVENTS}/replay", {end: moment})
    if listed.status_code == 200:
        assert len(listed.json()["results"]) == found
    else:
        assert pointers_of(listed) == {f"/{end}"}
    if answer.status_code == 202:
        assert answer.json() == {"count": found}
    else:
        assert pointers_of(answer) == {f"/{end}"}


def test_the_list_and_its_replay_reach_to_the_ends_of_time() -> None:
    connection = make_connection()
    make_dead(connection, 1)
    client = operator()
    query = "&".join(
        f"received_at_{end}_0={day}&received_at_{end}_1={clock}"
        for end, day, clock in (("from", "0001-01-01", "00:00:00"), ("to", "9999-12-31", "23:59:59"))
    )
    assert len(client.get(f"{list_of(AdapterEvent)}?{query}").context["cl"].result_list) == 1
    assert client.get(f"{MATCHING}?{query}").context["total"] == 1
    assert client.post(f"{MATCHING}?{query}").status_code == 302
    assert statuses(connection) == ["pending"]
