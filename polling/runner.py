"""One run of one cursor: budget, then page by page, each page's events and the position after it together.

No transaction spans the network. A crash repeats at most the page that was being read; its events are
already known by their dedupe keys.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from connections.models import record_success
from connections.runtime import client_for
from events.models import Source
from events.services import hold_back, record
from polling import failures, intervals, lease, outages, reading
from polling.lease import LeaseLost, from_now
from polling.metrics import POLLS
from polling.models import PollingCursor, PollOutcome
from providers.errors import ProviderError, QuotaSpent, StaleMark
from providers.quotas import Traffic
from providers.spi import Page, ProviderEvent, Window

log = structlog.get_logger(__name__)

LEASE_LOST = "lease_lost"
NOT_POLLED = "not_polled"
# Health is for people, and each cursor tells its own: not every quiet poll need write the connection's row as well.
HEALTH_EVERY = timedelta(minutes=15)


@dataclass(slots=True)
class RunResult:
    """What one run came to. ``outcome``: a ``PollOutcome``, ``lease_lost`` or ``not_polled``."""

    outcome: str = ""
    pages: int = 0
    events_found: int = 0
    events_new: int = 0
    requests: int = 0
    error: str = ""


def poll_once(
    cursor_id: uuid.UUID | str, lease_token: uuid.UUID | str, *, default_interval_seconds: int | None = None
) -> RunResult:
    """Read the cursor's stream on from its position, if ``lease_token`` still holds it."""
    cursor = PollingCursor.objects.select_related("connection").filter(pk=cursor_id, lease_token=lease_token).first()
    if cursor is None:
        return RunResult(LEASE_LOST)
    run = _Run(cursor, default_interval_seconds)
    try:
        run.go()
    except LeaseLost:
        run.result.outcome = LEASE_LOST
    _tell(cursor, run.result)
    return run.result


class _Run:
    def __init__(self, cursor: PollingCursor, default_interval_seconds: int | None) -> None:
        self.result = RunResult()
        self._cursor = cursor
        self._connection = cursor.connection
        self._token = cursor.lease_token
        self._bounds = reading.bounds_of(self._connection, default_interval_seconds)
        self._wish: float | None = None
        self._quota_left: float | None = None

    def go(self) -> None:
        if not (self._cursor.active and reading.may_poll(self._connection)):
            self._stand_down()
            return
        self._hold()
        decision = reading.ask_budget(self._connection)
        if not decision.allowed:
            self._wait_for_budget(decision.reason, decision.retry_after_seconds)
            return
        try:
            with reading.every_failure_told(self._connection, self._cursor.stream):
                self._read()
        except QuotaSpent as spent:
            self._wait_for_budget(str(spent), spent.retry_after_seconds or 0.0)
        except ProviderError as error:
            self._fail(error)

    def _read(self) -> None:
        connection, cursor = self._connection, self._cursor
        stream = reading.stream_of(connection, cursor.stream)
        window = Window(since=cursor.started_from)
        ends_at = time.monotonic() + lease.run_seconds()
        seen = [cursor.cursor_position]
        with client_for(connection, Traffic.POLL) as client:
            while True:
                page = stream.page(
                    client,
                    partition=cursor.partition,
                    settings=connection.settings,
                    position=seen[-1],
                    window=window,
                )
                self._quota_left = client.quota_left
                for wish in (page.poll_after_seconds, client.asked_to_wait):
                    self._wish = self._wish if wish is None else max(self._wish or 0.0, wish)
                repeated = reading.repeats(page, seen)
                # A wish between two pages is kept like one between two polls.
                wished = bool(page.poll_after_seconds) or client.asked_to_wait is not None
                full = wished or self.result.pages + 1 >= settings.POLL_PAGES_PER_RUN or time.monotonic() >= ends_at
                requests = client.requests_made - self.result.requests
                self.result.requests = client.requests_made
                self._commit(page, requests=requests, last=repeated or full or not page.more, repeated=repeated)
                if repeated:
                    raise reading.repeated_page()
                if full or not page.more:
                    break
                seen.append(page.position)

    def _commit(self, page: Page, *, requests: int, last: bool, repeated: bool) -> None:
        """A page's events and the position after it: both, or neither if the lease is lost."""
        # Connection before cursor, as everywhere: recording may lock the connection's row. Where nothing came in
        # there is but one statement, which needs no transaction around it.
        with transaction.atomic() if page.events else nullcontext():
            recorded = record(self._connection, page.events, Source.POLL)
            new = recorded.new
            if new and settings.POLL_YIELDS_SECONDS and reading.webhooks_arrive(self._connection):
                # A webhook of the same happening says more than a list, so it goes first if it comes.
                hold_back(recorded.event_ids, settings.POLL_YIELDS_SECONDS)
            values: dict[str, Any] = {
                "cursor_position": self._cursor.cursor_position if repeated else page.position,
                "run_in_progress": page.more,
                "requests_total": F("requests_total") + requests,
            }
            if new:
                values |= {"events_total": F("events_total") + new, "last_event_at": Now(), **_newest(page.events)}
            if last and not repeated:
                values |= self._ended(continues=page.more, events_new=self.result.events_new + new)
            self._write(values, release=last and not repeated)
        self._cursor.cursor_position = values["cursor_position"]
        self.result.pages += 1
        self.result.events_found += len(page.events)
        self.result.events_new += new
        if last and not repeated:
            self._note_success()

    def _ended(self, *, continues: bool, events_new: int) -> dict[str, Any]:
        """Values of a run that worked; the next is due by the interval, or at once if pages wait."""
        self.result.outcome = PollOutcome.CONTINUES if continues else PollOutcome.COMPLETED
        values: dict[str, Any] = {
            "last_outcome": self.result.outcome,
            "last_polled_at": Now(),
            "last_error": "",
            "consecutive_failures": 0,
            "consecutive_refused": 0,
        }
        if continues:
            wish = self._wish or 0.0
            reason = "more pages wait" if not wish else f"the provider asked to wait {wish:.0f} s"
            due = from_now(intervals.with_jitter(0, at_least=wish))
            return values | {"next_poll_at": due, "interval_reason": reason}
        quiet_runs = 0 if events_new else self._cursor.consecutive_quiet + 1
        interval = intervals.after_success(
            self._bounds,
            current=self._cursor.interval_seconds,
            events_new=events_new,
            quiet_runs=quiet_runs,
            provider_wish=self._wish,
            webhooks_arrive=reading.webhooks_arrive(self._connection),
            quota_left=self._quota_left,
        )
        return values | {
            "last_success_at": Now(),
            "consecutive_quiet": quiet_runs,
            "interval_seconds": interval.seconds,
            "interval_reason": interval.reason,
            "next_poll_at": from_now(intervals.with_jitter(interval.seconds, at_least=self._wish or 0.0)),
        }

    def _fail(self, error: ProviderError) -> None:
        """Record it on the cursor and in the connection's health. A failure is never "no events"."""
        self.result.outcome, self.result.error = error.category, str(error)
        failed = self._cursor.consecutive_failures + 1
        interval = intervals.after_failure(
            self._bounds, failures=failed, retryable=error.retryable, provider_wish=error.retry_after_seconds
        )
        refused = self._cursor.consecutive_refused + 1 if failures.is_refusal(error) else 0
        wait = intervals.with_jitter(interval.seconds, at_least=error.retry_after_seconds or 0.0)
        values = {
            "last_outcome": error.category,
            "last_polled_at": Now(),
            "last_error": str(error)[:1000],
            "consecutive_failures": failed,
            "consecutive_refused": refused,
            "interval_seconds": interval.seconds,
            "interval_reason": interval.reason[:200],
            "next_poll_at": from_now(wait),
        }
        if isinstance(error, StaleMark):
            values["cursor_position"] = dict(error.position)
        self._write(values, release=True)
        failures.note(self._connection, error, self._cursor)

    def _wait_for_budget(self, reason: str, seconds: float) -> None:
        self.result.outcome, self.result.error = PollOutcome.BUDGET, reason
        values = {
            "last_outcome": PollOutcome.BUDGET,
            "last_error": reason[:1000],
            "budget_refusals": F("budget_refusals") + 1,
            "interval_reason": "waits for the budget",
            "next_poll_at": from_now(intervals.with_jitter(seconds, at_least=seconds)),
        }
        self._write(values, release=True)
        outages.consider(self._connection, self._cursor, PollOutcome.BUDGET, reason)

    def _stand_down(self) -> None:
        """Not active any more: released untouched. Whether it stays on is decided where cursors are synced."""
        self.result.outcome = NOT_POLLED
        self._write({"next_poll_at": from_now(self._bounds.clamp(self._bounds.base))}, release=True)

    def _hold(self) -> None:
        """Hold on longer if the message waited for much of the lease."""
        if self._cursor.next_poll_at - timezone.now() < timedelta(seconds=settings.POLL_LEASE_SECONDS / 2):
            self._write({}, release=False)

    def _write(self, values: dict[str, Any], *, release: bool) -> None:
        held = PollingCursor.objects.filter(pk=self._cursor.pk, lease_token=self._token)
        self._token = lease.write(held, values, due_field="next_poll_at", release=release)

    def _note_success(self) -> None:
        connection, now = self._connection, timezone.now()
        known = connection.last_success_at is not None and now - connection.last_success_at < HEALTH_EVERY
        if connection.consecutive_failures or not known:
            record_success(connection.pk, now)
        outages.worked(connection, self._cursor)


def _newest(events: Sequence[ProviderEvent]) -> dict[str, Any]:
    """How late the newest event of a page is seen; by our clock, so a provider's that is ahead shows as no time."""
    newest = max((event.occurred_at for event in events if event.occurred_at), default=None)
    if newest is None:
        return {}
    return {"newest_event_at": newest, "seen_after_seconds": max((timezone.now() - newest).total_seconds(), 0.0)}


def _tell(cursor: PollingCursor, result: RunResult) -> None:
    connection = cursor.connection
    POLLS.labels(connection.provider_id, cursor.tenant_id, "live", result.outcome).inc()
    level = log.warning if result.error else log.info if result.events_found else log.debug
    level(
        "cursor_polled",
        tenant_id=cursor.tenant_id,
        provider_id=connection.provider_id,
        connection_id=str(connection.connection_id),
        stream=cursor.stream,
        outcome=result.outcome,
        pages=result.pages,
        events_new=result.events_new,
        error=result.error,
    )
