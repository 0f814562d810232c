"""Dead events by cause, and replay of many: counted first, in batches, with its progress to be seen."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from connections.models import IntegrationConnection
from events import replays
from events.ledger import ledger
from events.models import AdapterEvent, IntakeTally, LedgerCheck, Replay, ReplayStatus
from events.replays import preview, run_batch, start_replay
from events.tasks import check, run_replays
from tests.api import EVENTS, client_of, pointers_of
from tests.factories import ACME, GLOBEX, make_connection, make_event
from tests.staff import auditor, list_of, operator, page_of

pytestmark = pytest.mark.django_db

MATCHING = "/admin/events/adapterevent/replay-matching/"


def make_dead(connection: IntegrationConnection, number: int, code: str = "MAPPING_FAILED") -> list[AdapterEvent]:
    return [
        make_event(connection, delivery_status="dead", last_error_code=code, last_error=f"Because of {code}.")
        for _ in range(number)
    ]


def statuses(connection: IntegrationConnection) -> list[str]:
    return sorted(AdapterEvent.objects.filter(connection=connection).values_list("delivery_status", flat=True))


# --- many at a time -----------------------------------------------------------------------------------


def test_a_preview_counts_by_status_and_cause_and_changes_nothing() -> None:
    connection = make_connection()
    make_dead(connection, 3)
    make_dead(connection, 1, "HTTP_422")
    make_event(connection, delivery_status="ignored")
    make_dead(make_connection(tenant_id=GLOBEX), 5)
    found = [(line.status, line.cause, line.number) for line in preview(ACME, {"provider_id": "fake"})]
    assert found == [("dead", "MAPPING_FAILED", 3), ("dead", "HTTP_422", 1)]
    assert statuses(connection) == ["dead"] * 4 + ["ignored"]


def test_a_large_replay_goes_batch_by_batch_and_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "ROWS_A_BATCH", 4)
    connection, other = make_connection(), make_connection(tenant_id=GLOBEX)
    make_dead(connection, 10)
    make_dead(other, 2)
    asked = start_replay(ACME, {"status": "dead"}, actor="staff:zoe")
    assert (asked.matched, asked.replayed, asked.status) == (10, 4, ReplayStatus.RUNNING)
    later = make_dead(connection, 1)
    assert run_replays() == 6
    asked.refresh_from_db()
    assert (asked.replayed, asked.status) == (10, ReplayStatus.COMPLETED)
    assert statuses(connection) == ["dead", *["pending"] * 10]
    later[0].refresh_from_db()
    assert later[0].delivery_status == "dead"
    assert statuses(other) == ["dead"] * 2
    assert run_batch() is None
    assert ledger(connection.pk).unaccounted == 0


def test_what_was_delivered_while_the_replay_ran_is_not_delivered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "ROWS_A_BATCH", 1)
    first, second, third = make_dead(make_connection(), 3)
    asked = start_replay(ACME, {"status": "dead"}, actor="staff:zoe")
    AdapterEvent.objects.filter(pk=second.pk).update(delivery_status="delivered")
    assert run_replays() == 1
    asked.refresh_from_db()
    assert (asked.matched, asked.replayed) == (3, 2)
    assert [AdapterEvent.objects.get(pk=e.pk).delivery_status for e in (first, second, third)] == [
        *("pending", "delivered", "pending")
    ]


def test_a_replay_of_nothing_is_completed_at_once() -> None:
    asked = start_replay(ACME, {"status": "dead"}, actor="staff:zoe")
    assert (asked.matched, asked.replayed, asked.status) == (0, 0, ReplayStatus.COMPLETED)


def test_a_span_of_time_is_that_of_receipt() -> None:
    connection = make_connection()
    now = timezone.now()
    for minutes in (10, 20, 30):
        make_event(connection, delivery_status="dead", received_at=now - timedelta(minutes=minutes))
    span = {"since": now - timedelta(minutes=25), "until": now - timedelta(minutes=15)}
    assert sum(line.number for line in preview(ACME, span)) == 1
    assert start_replay(ACME, span, actor="staff:zoe").replayed == 1


# --- API ----------------------------------------------------------------------------------------------


def test_events_are_found_and_replayed_by_their_cause() -> None:
    connection = make_connection()
    (wanted,) = make_dead(connection, 1, "HTTP_422")
    make_dead(connection, 2)
    make_dead(make_connection(tenant_id=GLOBEX), 1, "HTTP_422")
    client = client_of()
    listed = client.get(f"{EVENTS}?status=dead&last_error_code=HTTP_422").json()["results"]
    assert [(row["event_id"], row["last_error_code"]) for row in listed] == [(str(wanted.pk), "HTTP_422")]
    answer = client.post(f"{EVENTS}/replay", {"status": "dead", "last_error_code": "HTTP_422"})
    assert (answer.status_code, answer.json()) == (202, {"count": 1})
    assert statuses(connection) == ["dead", "dead", "pending"]
    assert Replay.objects.get().tenant_id == ACME
    assert pointers_of(client.get(f"{EVENTS}?last_error_code=%00")) == {"/last_error_code"}


# --- command ------------------------------------------------------------------------------------------


def replay_events(*arguments: str) -> str:
    out = io.StringIO()
    call_command("replay_events", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_says_how_many_and_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = make_connection()
    make_dead(connection, 2)
    make_dead(connection, 1, "HTTP_422")
    monkeypatch.setattr("builtins.input", lambda _question: "n")
    said = replay_events("--status", "dead")
    assert [line.split() for line in said.splitlines()[:2]] == [
        ["2", "dead", "MAPPING_FAILED"],
        ["1", "dead", "HTTP_422"],
    ]
    assert said.endswith("Nothing was done.\n")
    assert statuses(connection) == ["dead"] * 3
    assert not Replay.objects.exists()


def test_the_command_without_a_terminal_says_what_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    make_dead(make_connection(), 1)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(CommandError, match="--yes"):
        replay_events("--status", "dead")


def test_the_command_replays_what_its_conditions_find(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "ROWS_A_BATCH", 1)
    connection, other = make_connection(), make_connection()
    make_dead(connection, 2)
    make_dead(connection, 1, "HTTP_422")
    make_dead(other, 1)
    since = (timezone.now() - timedelta(hours=1)).isoformat()
    said = replay_events(*("--connection", str(connection.pk), "--cause", "MAPPING_FAILED", "--since", since, "--yes"))
    assert said.endswith("2 events are due for delivery.\n")
    assert (statuses(connection), statuses(other)) == (["dead", "pending", "pending"], ["dead"])


@pytest.mark.parametrize(
    "arguments",
    [(), ("--connection", "01a20000-0000-7000-8000-000000000000"), ("--since", "yesterday"), ("--status", "ignored")],
)
def test_the_command_refuses_what_it_cannot_mean(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        replay_events(*arguments)


# --- staff --------------------------------------------------------------------------------------------


def test_dead_events_are_shown_by_cause_with_a_way_to_each() -> None:
    connection = make_connection()
    make_dead(connection, 3)
    (other,) = make_dead(connection, 1, "HTTP_422")
    make_dead(make_connection(tenant_id=GLOBEX), 2)
    address = list_of(AdapterEvent)
    response = operator().get(f"{address}?status=dead&tenant=acme")
    causes = [(cause["code"], cause["number"]) for cause in response.context["causes"]]
    assert causes == [("MAPPING_FAILED", 3), ("HTTP_422", 1)]
    page = response.content.decode()
    assert "?status=dead&amp;tenant=acme&amp;cause=HTTP_422" in page
    assert page_of(other) in page
    narrowed = operator().get(f"{address}?status=dead&tenant=acme&cause=HTTP_422")
    assert [row.pk for row in narrowed.context["cl"].result_list] == [other.pk]


def test_all_that_a_list_shows_is_replayed_after_a_preview() -> None:
    connection = make_connection()
    make_dead(connection, 3)
    make_dead(connection, 2, "HTTP_422")
    client = operator()
    query = f"status=dead&cause=MAPPING_FAILED&connection={connection.pk}"
    assert f"{MATCHING}?status=dead" in client.get(f"{list_of(AdapterEvent)}?{query}").content.decode()
    asked = client.get(f"{MATCHING}?{query}")
    assert (asked.context["total"], statuses(connection)) == (3, ["dead"] * 5)
    response = client.post(f"{MATCHING}?{query}")
    replay = Replay.objects.get()
    assert response.url == page_of(replay)
    assert (replay.replayed, replay.actor) == (3, "staff:operator-zoe")
    assert statuses(connection) == ["dead"] * 2 + ["pending"] * 3
    assert "3 of 3" in client.get(page_of(replay)).content.decode()


@pytest.mark.parametrize("query", ["", "q=something", "status=dead&what=ever", "connection=1", "within=ever"])
def test_what_no_replay_understands_replays_nothing(query: str) -> None:
    connection = make_connection()
    make_dead(connection, 1)
    client = operator()
    assert MATCHING not in client.get(f"{list_of(AdapterEvent)}?{query}").content.decode()
    client.post(f"{MATCHING}?{query}")
    assert statuses(connection) == ["dead"]
    assert not Replay.objects.exists()


def test_an_auditor_sees_the_causes_and_replays_nothing() -> None:
    connection = make_connection()
    make_dead(connection, 1)
    page = auditor().get(f"{list_of(AdapterEvent)}?status=dead")
    assert len(page.context["causes"]) == 1
    assert MATCHING not in page.content.decode()
    assert auditor().post(f"{MATCHING}?status=dead").status_code == 403
    assert statuses(connection) == ["dead"]


def conservation_of(client: Any) -> Any:
    return client.get("/admin/").context["conservation"]


def test_the_first_page_says_whether_everything_adds_up() -> None:
    connection = make_connection()
    make_dead(connection, 2)
    client = operator()
    assert conservation_of(client)["known"] is False
    check()
    shown = conservation_of(client)
    assert "2 received = 0 delivered + 0 duplicate + 0 ignored + 0 failed + 2 dead + 0 pending" in shown["line"]
    assert shown["broken"] == 0
    AdapterEvent.objects.first().delete()
    IntakeTally.objects.create(connection=make_connection(), received=1, duplicate=0)
    check()
    page = client.get("/admin/").content.decode()
    assert "2 connections do not add up" in page
    assert "1 of 2 events came in and are nowhere" in page
    assert LedgerCheck.objects.exclude(unaccounted=0).count() == 2


def test_a_connections_page_says_where_its_events_went() -> None:
    connection = make_connection()
    make_dead(connection, 2)
    assert "2 received = 0 delivered" in operator().get(page_of(connection)).content.decode()
    AdapterEvent.objects.first().delete()
    page = operator().get(page_of(connection)).content.decode()
    assert "1 events came in and are nowhere." in page
