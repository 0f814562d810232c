"""What tests of backfills share: windows, ticks, ledgers read in slices, and ledgers that keep thirty days only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from connections.models import IntegrationConnection
from polling.backfill import start_backfill
from polling.cursors import sync_now
from polling.models import Backfill, PollingCursor
from polling.tasks import run_due_backfills
from tests.factories import ACME, make_connection
from tests.polling_provider import TOKEN, EntryStream, Ledger, LedgerAdapter

ACTOR = "api:zoe"
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = datetime(2026, 2, 1, tzinfo=UTC)
WITHIN = datetime(2026, 1, 15, tzinfo=UTC)
DAY = timedelta(days=1)
KEPT = timedelta(days=30)


class SlicedEntries(EntryStream):
    """Read in slices of ten days."""

    slice = timedelta(days=10)


class SlicedLedger(LedgerAdapter):
    slug = "sliced_ledger"
    streams = (SlicedEntries(),)


class ForgettingEntries(SlicedEntries):
    """Kept for thirty days only."""

    retention = KEPT


class LastingEntries(EntryStream):
    """The same entries under another name, kept for as long as they exist."""

    name = "lasting"
    enabled_by_default = False


class ForgettingLedger(LedgerAdapter):
    slug = "forgetting_ledger"
    streams = (ForgettingEntries(), LastingEntries())


LEDGERS = {
    "ledger": "tests.polling_provider.LedgerAdapter",
    "sliced_ledger": "tests.backfills.SlicedLedger",
    "forgetting_ledger": "tests.backfills.ForgettingLedger",
}


def connect(ledger: Ledger, provider_id: str = "ledger", tenant_id: str = ACME, **values: Any) -> IntegrationConnection:
    """An active connection whose live polling has nothing to do for an hour."""
    values.setdefault("credential", {"token": TOKEN})
    values["settings"] = {"base_url": ledger.url, **values.get("settings", {})}
    connection = make_connection(provider_id, tenant_id, **values)
    sync_now(connection)
    quieten(connection)
    return connection


def quieten(connection: IntegrationConnection) -> None:
    PollingCursor.objects.filter(connection=connection).update(next_poll_at=timezone.now() + timedelta(hours=1))


def asked(
    connection: IntegrationConnection, since: datetime = SINCE, until: datetime = UNTIL, **values: Any
) -> Backfill:
    return start_backfill(connection, since, until, actor=ACTOR, **values)


def make_due() -> None:
    Backfill.objects.update(next_run_at=timezone.now() - timedelta(seconds=1))


def tick(backfill: Backfill) -> Backfill:
    """The backfill as it stands after one more tick."""
    make_due()
    run_due_backfills()
    backfill.refresh_from_db()
    return backfill


def runs_until_it_ends(backfill: Backfill, limit: int = 20) -> Iterator[Backfill]:
    """The backfill as it stands after each tick."""
    for _ in range(limit):
        yield tick(backfill)
        if backfill.completed_at:
            return
    raise AssertionError("it does not end")


def spans(ledger: Ledger) -> list[tuple[str, str]]:
    """The windows the provider was asked for, first day and last, in the order of asking."""
    return [(query["since"][:10], query.get("until", "")[:10]) for query in ledger.requests]
