"""Backfills in the admin: asked for, seen, paused, resumed and cancelled."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import Model
from django.utils import timezone

from connections.models import IntegrationConnection
from polling.backfill import pause_backfill
from polling.models import Backfill, BackfillStatus
from tests.backfills import DAY, LEDGERS, SINCE, UNTIL, asked, connect, tick
from tests.polling_provider import Ledger
from tests.staff import auditor, list_of, operator, page_of, said, select

pytestmark = pytest.mark.django_db

WINDOW = {"since_0": "2026-01-01", "since_1": "00:00:00", "until_0": "2026-02-01", "until_1": "00:00:00"}


@pytest.fixture(autouse=True)
def _ledgers(ledger: Ledger, settings: Any) -> None:
    settings.EXTRA_ADAPTERS = LEDGERS


def press(row: Model, verb: str) -> list[str]:
    return said(operator().post(page_of(row, verb)))


def half_done(connection: IntegrationConnection, **values: Any) -> Backfill:
    """Half of it in ten minutes, and the other half to come."""
    backfill = asked(connection)
    now = timezone.now()
    half = {
        "status": BackfillStatus.RUNNING,
        "share_done": 0.5,
        "pace": [[now.timestamp() - 600, 0.0]],
        "position": {
            "stream": "entries",
            "partition": "main",
            "since": WINDOW["since_0"] + "T00:00:00+00:00",
            "until": WINDOW["until_0"] + "T00:00:00+00:00",
            "page": {"after": 10},
        },
        "pages": 1234,
        "events_found": 98765,
        "events_new": 4321,
        "updated_at": now,
    }
    Backfill.objects.filter(pk=backfill.pk).update(**{**half, **values})
    backfill.refresh_from_db()
    return backfill


def test_list_page_and_connection_show_the_bar_and_the_time_left(ledger: Ledger) -> None:
    connection = connect(ledger)
    backfill = half_done(connection)
    for address in (list_of(Backfill), page_of(backfill), page_of(connection)):
        page = auditor().get(address).content.decode()
        assert 'aria-label="50 %"' in page, address
        assert "50 %, about 9 min left" in page or "50 %, about 10 min left" in page, address
        assert "4,321 new of 98,765" in page
        assert "integration_adapters/live.js" in page
    page = auditor().get(page_of(backfill)).content.decode()
    assert "entries main, 2026-01-01 00:00 to 2026-02-01 00:00" in page
    assert "0 of 1 part, 1,234 pages" in page


def test_what_holds_it_up_is_said(ledger: Ledger) -> None:
    connection = connect(ledger)
    soon = timezone.now() + timedelta(minutes=20)
    half_done(connection, waiting_for="The provider asked to wait.", next_run_at=soon)
    shown = auditor().get(list_of(Backfill)).content.decode()
    assert "The provider asked to wait." in shown
    assert "Again <time" in shown
    Backfill.objects.update(last_error="The provider answered 503.")
    assert "The provider answered 503." in auditor().get(list_of(Backfill)).content.decode()
    Backfill.objects.update(last_error="", waiting_for="", pace=[])
    assert "50 %, time left unknown" in auditor().get(list_of(Backfill)).content.decode()
    pause_backfill(Backfill.objects.get(), actor="staff:mia")
    assert "Paused by staff:mia." in auditor().get(list_of(Backfill)).content.decode()


def test_only_what_goes_on_is_brought_up_to_date(ledger: Ledger) -> None:
    backfill = half_done(connect(ledger))
    assert 'data-goes-on="yes"' in auditor().get(list_of(Backfill)).content.decode()
    for status in (BackfillStatus.PAUSED, BackfillStatus.COMPLETED):
        Backfill.objects.filter(pk=backfill.pk).update(status=status)
        assert 'data-goes-on="yes"' not in auditor().get(list_of(Backfill)).content.decode()


def test_it_is_paused_and_resumed_by_its_verbs(ledger: Ledger) -> None:
    backfill = asked(connect(ledger))
    assert press(backfill, "pause") == [f"The backfill {backfill} is paused."]
    backfill.refresh_from_db()
    assert (backfill.status, backfill.paused_by) == (BackfillStatus.PAUSED, "staff:operator-zoe")
    assert press(backfill, "pause") == [f"{backfill}: nothing to do, as it is now."]
    assert press(backfill, "resume") == [f"The backfill {backfill} goes on."]
    assert tick(backfill).status == BackfillStatus.COMPLETED


def test_a_selection_is_paused_and_what_has_ended_is_left_out(ledger: Ledger) -> None:
    connection = connect(ledger)
    rows = [asked(connection) for _ in range(2)]
    ended = asked(connection)
    Backfill.objects.filter(pk=ended.pk).update(status=BackfillStatus.FAILED)
    client = operator()
    select(client, [*rows, ended], "pause", confirmed="yes")
    statuses = Backfill.objects.order_by("backfill_id").values_list("status", flat=True)
    assert list(statuses) == [BackfillStatus.PAUSED, BackfillStatus.PAUSED, BackfillStatus.FAILED]


def test_an_auditor_looks_and_changes_nothing(ledger: Ledger) -> None:
    backfill = asked(connect(ledger))
    for verb in ("pause", "resume", "cancel"):
        assert auditor().post(page_of(backfill, verb)).status_code == 403
    assert auditor().get(list_of(Backfill, "add")).status_code == 403


def test_only_verbs_that_make_sense_are_offered_on_its_page(ledger: Ledger) -> None:
    backfill = asked(connect(ledger))
    for status, offered in (
        (BackfillStatus.RUNNING, {"pause", "cancel"}),
        (BackfillStatus.PAUSED, {"resume", "cancel"}),
        (BackfillStatus.COMPLETED, set()),
    ):
        Backfill.objects.update(status=status)
        page = operator().get(page_of(backfill)).content.decode()
        assert {verb for verb in ("pause", "resume", "cancel") if page_of(backfill, verb) in page} == offered


def test_from_a_connections_page_its_streams_are_offered_with_what_is_kept_of_them(ledger: Ledger) -> None:
    connection = connect(ledger, "forgetting_ledger")
    asking = f"{list_of(Backfill, 'add')}?connection={connection.pk}"
    page = operator().get(asking).content.decode()
    assert "entries: Kept for 30 d." in page
    assert 'value="lasting"' in page
    answer = operator().post(asking, {**WINDOW, "connection": str(connection.pk), "streams": ["lasting"]})
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    backfill = Backfill.objects.get()
    assert (backfill.streams, backfill.since, backfill.until) == (["lasting"], SINCE, UNTIL)
    shown = operator().get(page_of(backfill)).content.decode()
    assert "lasting" in shown


def test_without_a_connection_yet_all_its_streams_are_asked_for(ledger: Ledger) -> None:
    connection = connect(ledger)
    assert "start from the connection" in operator().get(list_of(Backfill, "add")).content.decode()
    answer = operator().post(list_of(Backfill, "add"), {**WINDOW, "connection": str(connection.pk)})
    assert answer.status_code == 302
    assert Backfill.objects.get().streams == []


def test_what_the_provider_keeps_no_more_is_seen_on_its_page(ledger: Ledger) -> None:
    now = timezone.now()
    backfill = asked(connect(ledger, "forgetting_ledger"), since=now - 90 * DAY, until=now)
    assert "The provider keeps only 30 days of entries" in auditor().get(page_of(backfill)).content.decode()
