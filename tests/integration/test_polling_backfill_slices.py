"""A window in slices: they meet, they are resumed, they begin where the provider's memory does; progress is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from connections.errors import ServiceError
from connections.models import IntegrationConnection
from events.models import AdapterEvent
from polling import backfill_turns as turns
from polling.backfill import pause_backfill, resume_backfill
from polling.models import Backfill, BackfillStatus
from providers.spi import Page
from tests.backfills import (
    ACTOR,
    DAY,
    KEPT,
    LEDGERS,
    SINCE,
    UNTIL,
    WITHIN,
    asked,
    connect,
    runs_until_it_ends,
    spans,
    tick,
)
from tests.polling_provider import EntryStream, Ledger, at_once

pytestmark = pytest.mark.django_db

INSTANT = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
EDGE = SINCE + 10 * DAY


@pytest.fixture(autouse=True)
def _ledgers(ledger: Ledger, settings: object) -> None:
    settings.EXTRA_ADAPTERS = LEDGERS  # type: ignore[attr-defined]


@pytest.fixture
def one_page_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PAGES_A_RUN", 1)


def told() -> list[datetime]:
    return sorted(AdapterEvent.objects.values_list("occurred_at", flat=True))


@pytest.mark.parametrize("provider_id", ["ledger", "sliced_ledger"])
def test_the_start_of_the_window_is_inside_and_its_end_is_not(ledger: Ledger, provider_id: str) -> None:
    for moment in (SINCE - INSTANT, SINCE, UNTIL - INSTANT, UNTIL):
        ledger.add(1, at=moment)
    list(runs_until_it_ends(asked(connect(ledger, provider_id))))
    assert told() == [SINCE, UNTIL - INSTANT]


def test_slices_meet_without_a_hole_and_without_reading_anything_twice(ledger: Ledger) -> None:
    moments = [EDGE - INSTANT, EDGE, EDGE + INSTANT, EDGE + 10 * DAY, UNTIL - DAY, WITHIN]
    for moment in moments:
        ledger.add(1, at=moment)
    backfill = asked(connect(ledger, "sliced_ledger"))
    list(runs_until_it_ends(backfill))
    assert spans(ledger) == [
        ("2026-01-01", "2026-01-11"),
        ("2026-01-11", "2026-01-21"),
        ("2026-01-21", "2026-01-31"),
        ("2026-01-31", "2026-02-01"),
    ]
    assert told() == sorted(moments)
    assert (backfill.events_found, backfill.events_new) == (6, 6)


def test_a_slice_of_several_pages_is_gone_on_with_page_by_page(ledger: Ledger, one_page_a_run: None) -> None:
    ledger.add(25, at=WITHIN)
    backfill = asked(connect(ledger, "sliced_ledger"))
    places = [(b.position["since"][:10], b.position["page"]) for b in runs_until_it_ends(backfill)]
    assert places == [
        ("2026-01-11", {}),
        ("2026-01-11", {"after": 10}),
        ("2026-01-11", {"after": 20}),
        ("2026-01-21", {}),
        ("2026-01-31", {}),
        ("2026-01-31", {}),  # where the last page began
    ]
    assert (backfill.pages, backfill.events_new) == (6, 25)


def test_progress_is_by_time_and_part(ledger: Ledger, one_page_a_run: None) -> None:
    connection = connect(ledger, "sliced_ledger", settings={"lists": ["a", "b"]})
    backfill = asked(connection, until=SINCE + 40 * DAY)
    percents = [(b.progress_percent, b.parts_done) for b in runs_until_it_ends(backfill)]
    assert percents == [(12, 0), (25, 0), (37, 0), (50, 1), (62, 1), (75, 1), (87, 1), (100, 2)]


def test_a_list_read_in_one_go_tells_progress_by_what_its_pages_tell_of(ledger: Ledger, one_page_a_run: None) -> None:
    now = timezone.now()
    for days in (80, 60, 40, 20):
        ledger.add(10, at=now - days * DAY + HOUR)
    backfill = asked(connect(ledger), since=now - 100 * DAY, until=now)
    # 20 of 100 days are told of by the first page, and so on; never all before the end.
    assert [b.progress_percent for b in runs_until_it_ends(backfill)] == [20, 40, 60, 100]


def test_an_older_window_of_such_a_list_is_not_said_to_be_nearly_done(ledger: Ledger, one_page_a_run: None) -> None:
    """The list is read on to the present, far behind the window's end."""
    now = timezone.now()
    ledger.add(20, at=now - 90 * DAY + HOUR)
    backfill = asked(connect(ledger), since=now - 100 * DAY, until=now - 80 * DAY)
    assert tick(backfill).progress_percent == 10


def test_a_place_stored_before_there_were_slices_is_gone_on_with(ledger: Ledger) -> None:
    ledger.add(15, at=WITHIN)
    backfill = asked(connect(ledger, "sliced_ledger"))
    Backfill.objects.update(position={"stream": "entries", "partition": "main", "page": {"after": 10}})
    list(runs_until_it_ends(backfill))
    assert [(query["since"][:10], query["after"]) for query in ledger.requests] == [("2026-01-01", "10")]
    assert (backfill.status, backfill.events_new) == (BackfillStatus.COMPLETED, 5)


def test_what_the_provider_keeps_no_more_is_said_and_not_asked_for(ledger: Ledger) -> None:
    now = timezone.now()
    ledger.add(3, at=now - 5 * DAY)
    backfill = asked(connect(ledger, "forgetting_ledger"), since=now - 300 * DAY, until=now)
    begins = backfill.planned_at - KEPT
    assert backfill.notice == (
        f"The provider keeps only 30 days of entries: the window begins at {begins:%Y-%m-%d %H:%M} UTC."
    )
    assert backfill.since == now - 300 * DAY  # what was asked for stays as it was asked
    list(runs_until_it_ends(backfill))
    assert datetime.fromisoformat(ledger.requests[0]["since"]) == begins
    assert len(ledger.requests) == 3
    assert backfill.events_new == 3


def test_a_window_the_provider_has_forgotten_altogether_is_refused(ledger: Ledger) -> None:
    now = timezone.now()
    connection = connect(ledger, "forgetting_ledger")
    with pytest.raises(ServiceError) as caught:
        asked(connection, since=now - 300 * DAY, until=now - 31 * DAY)
    assert "keeps only 30 days of entries: nothing of the window is left" in caught.value.message
    assert not Backfill.objects.exists()
    # Beside a stream that has it, the other one is left out, and that is said.
    both = asked(connection, now - 300 * DAY, now - 31 * DAY, streams=["entries", "lasting"])
    assert "nothing of the window is left" in both.notice
    list(runs_until_it_ends(both))
    assert spans(ledger) == [(f"{now - 300 * DAY:%Y-%m-%d}", f"{now - 31 * DAY:%Y-%m-%d}")]


def test_what_was_forgotten_during_a_pause_is_said_when_it_is_resumed(ledger: Ledger, one_page_a_run: None) -> None:
    now = timezone.now()
    backfill = asked(connect(ledger, "forgetting_ledger"), since=now - 29 * DAY, until=now - DAY)
    assert backfill.notice == ""
    tick(backfill)
    pause_backfill(backfill, actor=ACTOR)
    # As if the pause had been in a time when less was kept of the window: it is moved 25 days into the past.
    earlier = {name: getattr(backfill, name) - 25 * DAY for name in ("since", "until", "planned_at")}
    moved = {
        name: (datetime.fromisoformat(backfill.position[name]) - 25 * DAY).isoformat() for name in ("since", "until")
    }
    Backfill.objects.update(**earlier, position={**backfill.position, **moved})
    backfill.refresh_from_db()
    resume_backfill(backfill, actor=ACTOR)
    backfill.refresh_from_db()
    assert "keeps only 30 days of entries: the window begins at" in backfill.notice
    ledger.requests.clear()
    list(runs_until_it_ends(backfill))
    # The slice it stood in, and then only what is still kept.
    assert datetime.fromisoformat(ledger.requests[1]["since"]) == backfill.planned_at - KEPT


def test_only_the_streams_asked_for_are_read(ledger: Ledger) -> None:
    connection = connect(ledger, "forgetting_ledger")
    now = timezone.now()
    ledger.add(2, at=now - 2 * DAY)
    backfill = asked(connection, now - 3 * DAY, now, streams=["lasting"])
    list(runs_until_it_ends(backfill))
    assert (backfill.parts_total, backfill.events_new) == (1, 2)
    with pytest.raises(ServiceError) as caught:
        asked(connection, now - 3 * DAY, now, streams=["entries", "no_such"])
    assert caught.value.details["problems"][0]["pointer"] == "/streams"


def test_settings_that_name_nothing_to_read_are_refused(ledger: Ledger) -> None:
    with pytest.raises(ServiceError) as caught:
        asked(connect(ledger, settings={"lists": []}))
    assert "name nothing to read" in caught.value.message


def test_a_part_added_meanwhile_is_read_and_one_removed_is_not(ledger: Ledger, one_page_a_run: None) -> None:
    connection = connect(ledger, "sliced_ledger", settings={"lists": ["b", "c"]})
    for name in ("a", "b", "c", "d"):
        ledger.add(1, name, at=WITHIN)
    backfill = asked(connection, until=SINCE + 20 * DAY)
    tick(backfill)
    connection.refresh_from_db()
    lists = {"base_url": ledger.url, "lists": ["a", "b", "d"]}
    IntegrationConnection.objects.update(settings=lists)
    list(runs_until_it_ends(backfill))
    assert {query["list"] for query in ledger.requests} == {"b", "d"}
    assert (backfill.parts_total, backfill.progress_percent) == (3, 100)
    # That "a" was passed before it was there is said.
    assert "were not read" in backfill.notice


def test_a_part_added_behind_the_present_one_needs_no_notice(ledger: Ledger, one_page_a_run: None) -> None:
    backfill = asked(connect(ledger, "sliced_ledger", settings={"lists": ["b"]}), until=SINCE + 20 * DAY)
    tick(backfill)
    IntegrationConnection.objects.update(settings={"base_url": ledger.url, "lists": ["b", "c"]})
    list(runs_until_it_ends(backfill))
    assert (backfill.parts_total, backfill.notice) == (2, "")


def test_slices_meet_at_whole_seconds_since_providers_round_down(ledger: Ledger) -> None:
    odd = timedelta(microseconds=123456)
    list(runs_until_it_ends(asked(connect(ledger, "sliced_ledger"), SINCE + odd, SINCE + 20 * DAY + odd)))
    asked_for = [(query["since"][11:26], query["until"][11:26]) for query in ledger.requests]
    assert asked_for == [("00:00:00.123456", "00:00:00+00:00"), ("00:00:00+00:00", "00:00:00.123456")]


@pytest.mark.parametrize("pages_a_run", [1, 5])
def test_a_provider_that_leads_in_a_circle_is_stopped(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, pages_a_run: int
) -> None:
    monkeypatch.setattr(turns, "PAGES_A_RUN", pages_a_run)
    page = EntryStream.page

    def circling(self: EntryStream, *given: Any, **values: Any) -> Page:
        after = {10: 20, 20: 10}.get(values["position"].get("after", 0), 10)
        return replace(page(self, *given, **values), position={"after": after}, more=True)

    monkeypatch.setattr(EntryStream, "page", circling)
    backfill = asked(connect(ledger))
    assert list(runs_until_it_ends(backfill))
    assert backfill.status == BackfillStatus.FAILED
    assert "repeats a page" in backfill.last_error


def test_an_outage_in_the_middle_of_a_slice_is_gone_on_from_there(ledger: Ledger) -> None:
    ledger.add(25, at=WITHIN)

    def fail_once(query: dict[str, str]) -> None:
        if query["after"] == "20":
            ledger.before_answer = at_once
            ledger.answers = [(503, {})]

    ledger.before_answer = fail_once
    backfill = asked(connect(ledger, "sliced_ledger"))
    first = tick(backfill)
    assert (first.position["since"][:10], first.position["page"]) == ("2026-01-11", {"after": 20})
    assert (first.events_new, first.waiting_for) == (20, "failed once: backing off")
    list(runs_until_it_ends(backfill))
    assert (backfill.events_found, backfill.events_new, backfill.status) == (25, 25, BackfillStatus.COMPLETED)


@pytest.mark.parametrize("since", [datetime(1999, 12, 31, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)])
def test_a_window_from_before_anybody_kept_anything_is_refused(ledger: Ledger, since: datetime) -> None:
    with pytest.raises(ServiceError) as caught:
        asked(connect(ledger), since=since)
    assert "must not be before the year 2000" in caught.value.message
