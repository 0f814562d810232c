"""Backfills over HTTP: asked for, listed, read, paused, resumed and cancelled."""

from __future__ import annotations

from typing import Any

import pytest

from connections.models import ConnectionHistory
from connections.tenancy import TENANT_READER
from polling.backfill import pause_backfill
from polling.models import Backfill, BackfillPurpose, BackfillStatus
from tests.api import CONNECTIONS, client_of, error_of, pointers_of
from tests.backfills import LEDGERS, WITHIN, asked, connect, tick
from tests.factories import ACME, GLOBEX, make_connection
from tests.polling_provider import Ledger

pytestmark = pytest.mark.django_db

WINDOW = {"since": "2026-01-01T00:00:00Z", "until": "2026-01-31T00:00:00Z"}


def place_of(backfill: Backfill, verb: str = "") -> str:
    return f"{CONNECTIONS}/{backfill.connection_id}/backfills/{backfill.pk}" + (f"/{verb}" if verb else "")


def test_a_backfill_is_asked_for_and_followed_to_its_end(ledger: Ledger, settings: Any) -> None:
    settings.EXTRA_ADAPTERS = LEDGERS
    connection = connect(ledger, "sliced_ledger", settings={"lists": ["a", "b"]})
    ledger.add(12, "b", at=WITHIN)
    response = client_of().post(f"{CONNECTIONS}/{connection.pk}/backfill", {**WINDOW, "streams": ["entries"]})
    assert response.status_code == 202, response.content
    told = response.json()
    assert (told["status"], told["purpose"], told["streams"], told["reading"]) == (
        "pending",
        "asked",
        ["entries"],
        None,
    )
    backfill = Backfill.objects.get()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("polling.backfill_turns.PAGES_A_RUN", 4)
        tick(backfill)
    reader = client_of(ACME, TENANT_READER)
    half = reader.get(place_of(backfill)).json()
    assert half["reading"] == {
        "stream": "entries",
        "partition": "b",
        "since": "2026-01-11T00:00:00Z",
        "until": "2026-01-21T00:00:00Z",
    }
    assert (half["progress_percent"], half["parts_done"], half["parts_total"], half["pages"]) == (66, 1, 2, 4)
    tick(backfill)
    whole = reader.get(place_of(backfill)).json()
    assert (whole["status"], whole["progress_percent"], whole["events_new"]) == ("completed", 100, 12)
    assert (whole["reading"], whole["eta_seconds"], whole["eta_at"]) == (None, None, None)
    shown = reader.get(f"{CONNECTIONS}/{connection.pk}/polling").json()["backfills"]
    assert shown == [whole]


def test_backfills_are_listed_newest_first_page_by_page_and_by_status(ledger: Ledger) -> None:
    connection = connect(ledger)
    asked(connect(ledger))
    mine = [asked(connection) for _ in range(3)]
    repair = asked(connection, purpose=BackfillPurpose.REPAIR)
    url = f"{CONNECTIONS}/{connection.pk}/backfills"
    first = client_of(ACME, TENANT_READER).get(url, {"page_size": 3}).json()
    second = client_of(ACME, TENANT_READER).get(first["next"]).json()
    ids = [row["backfill_id"] for row in first["results"] + second["results"]]
    assert ids == [str(backfill.pk) for backfill in (repair, *reversed(mine))]
    assert second["next"] is None
    pause_backfill(mine[0], actor="staff:mia")
    (paused,) = client_of().get(url, {"status": "paused"}).json()["results"]
    assert (paused["backfill_id"], paused["paused_by"]) == (str(mine[0].pk), "staff:mia")
    assert [row["purpose"] for row in client_of().get(url, {"purpose": "repair"}).json()["results"]] == ["repair"]
    error_of(client_of().get(url, {"status": "asleep"}), 400)
    error_of(client_of().get(url, {"state": "paused"}), 400)


def test_it_is_paused_resumed_and_cancelled_by_name(ledger: Ledger) -> None:
    backfill = asked(connect(ledger))
    paused = client_of().post(place_of(backfill, "pause"))
    assert paused.status_code == 200
    assert (paused.json()["status"], paused.json()["paused_by"]) == ("paused", "api:zoe")
    assert paused.json()["paused_at"] is not None
    resumed = client_of().post(place_of(backfill, "resume")).json()
    assert (resumed["status"], resumed["paused_by"], resumed["paused_at"]) == ("pending", "", None)
    cancelled = client_of().post(place_of(backfill, "cancel")).json()
    assert (cancelled["status"], cancelled["completed_at"] is None) == ("cancelled", False)
    operations = ConnectionHistory.objects.order_by("entry_id").values_list("operation", "actor")
    assert list(operations) == [
        (f"backfill_{what}", "api:zoe") for what in ("started", "paused", "resumed", "cancelled")
    ]


@pytest.mark.parametrize(
    ("status", "verb", "code"),
    [
        (BackfillStatus.PENDING, "resume", "BACKFILL_NOT_PAUSED"),
        (BackfillStatus.RUNNING, "resume", "BACKFILL_NOT_PAUSED"),
        (BackfillStatus.PAUSED, "pause", "BACKFILL_PAUSED"),
        *[
            (ended, verb, "BACKFILL_ENDED")
            for ended in (BackfillStatus.COMPLETED, BackfillStatus.FAILED, BackfillStatus.CANCELLED)
            for verb in ("pause", "resume", "cancel")
        ],
    ],
)
def test_an_impossible_change_is_a_conflict_that_names_itself(
    ledger: Ledger, status: BackfillStatus, verb: str, code: str
) -> None:
    backfill = asked(connect(ledger))
    Backfill.objects.update(status=status)
    error = error_of(client_of().post(place_of(backfill, verb)), 409)
    assert (error["code"], error["details"]) == (code, {"status": status.value})
    backfill.refresh_from_db()
    assert backfill.status == status


def test_a_backfill_of_somebody_else_is_not_there(ledger: Ledger) -> None:
    theirs = asked(connect(ledger, tenant_id=GLOBEX))
    mine = connect(ledger)
    another = asked(connect(ledger))
    for backfill in (theirs, another):
        under_mine = f"{CONNECTIONS}/{mine.pk}/backfills/{backfill.pk}"
        error_of(client_of().get(under_mine), 404)
        for verb in ("pause", "resume", "cancel"):
            error_of(client_of().post(f"{under_mine}/{verb}"), 404)
    error_of(client_of().get(place_of(theirs)), 404)
    error_of(client_of().get(f"{CONNECTIONS}/{theirs.connection_id}/backfills"), 404)
    assert set(Backfill.objects.values_list("status", flat=True)) == {BackfillStatus.PENDING}


def test_a_reader_looks_and_changes_nothing(ledger: Ledger) -> None:
    backfill = asked(connect(ledger))
    reader = client_of(ACME, TENANT_READER)
    assert reader.get(place_of(backfill)).status_code == 200
    for verb in ("pause", "resume", "cancel"):
        error_of(reader.post(place_of(backfill, verb)), 403)


@pytest.mark.parametrize(
    ("asked_for", "pointers"),
    [
        ({**WINDOW, "streams": ["no_such"]}, {"/streams"}),
        ({**WINDOW, "streams": "issues"}, {"/streams"}),
        ({**WINDOW, "streams": [7]}, {"/streams/0"}),
        ({**WINDOW, "streams": ["x"] * 51}, {"/streams"}),
        ({**WINDOW, "since": "2026-02-01T00:00:00Z"}, {"/since"}),
        ({**WINDOW, "until": "2999-01-01T00:00:00Z"}, {"/until"}),
        ({**WINDOW, "since": "1999-01-01T00:00:00Z"}, {"/since"}),
        ({**WINDOW, "purpose": "repair"}, {"/purpose"}),
    ],
)
def test_what_cannot_be_asked_for_is_refused_at_its_place(asked_for: dict[str, Any], pointers: set[str]) -> None:
    connection = make_connection()
    assert pointers_of(client_of().post(f"{CONNECTIONS}/{connection.pk}/backfill", asked_for)) == pointers
    assert not Backfill.objects.exists()


def test_times_of_any_zone_are_the_same_instant(ledger: Ledger) -> None:
    connection = connect(ledger)
    window = {"since": "2026-01-01T05:30:00+05:30", "until": "2026-01-30T14:00:00-10:00"}
    told = client_of().post(f"{CONNECTIONS}/{connection.pk}/backfill", window).json()
    assert (told["since"], told["until"]) == ("2026-01-01T00:00:00Z", "2026-01-31T00:00:00Z")
