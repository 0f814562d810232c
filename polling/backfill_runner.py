"""One run of one backfill: a few pages on from its own position, part after part."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now

from connections.models import ConnectionStatus
from connections.runtime import adapter_for, client_for
from events.models import Source
from events.services import record
from polling import failures, intervals, lease, reading
from polling.cursors import Part, parts_of
from polling.lease import LeaseLost, from_now
from polling.metrics import POLLS
from polling.models import UNFINISHED, Backfill, BackfillStatus, PollOutcome
from polling.runner import LEASE_LOST, NOT_POLLED, RunResult
from providers import registry
from providers.canonical import JSON
from providers.errors import Misconfigured, ProviderError, RateLimited
from providers.spi import Page, Window

log = structlog.get_logger(__name__)

# Failures in a row after which a part is left unread: the first for what may pass, the second for the rest.
FAILURES_UNTIL_GIVEN_UP = 8
REFUSALS_UNTIL_GIVEN_UP = 3
UNREAD_TOLD = 10


def run_once(backfill_id: uuid.UUID, lease_token: uuid.UUID, *, pages: int) -> RunResult:
    """Read up to ``pages`` pages on from where the backfill stands, if ``lease_token`` still holds it."""
    backfill = (
        Backfill.objects.select_related("connection")
        .filter(pk=backfill_id, lease_token=lease_token, status__in=UNFINISHED)
        .first()
    )
    if backfill is None:
        return RunResult(LEASE_LOST)
    run = _Run(backfill, pages)
    try:
        run.go()
    except LeaseLost:
        run.result.outcome = LEASE_LOST
    POLLS.labels(backfill.connection.provider_id, backfill.tenant_id, "backfill", run.result.outcome).inc()
    log.info(
        "backfill_run",
        tenant_id=backfill.tenant_id,
        connection_id=str(backfill.connection_id),
        backfill_id=str(backfill.pk),
        outcome=run.result.outcome,
        pages=run.result.pages,
        events_new=run.result.events_new,
        error=run.result.error,
    )
    return run.result


@dataclass(frozen=True, slots=True)
class _Place:
    """The part being read and where its next page starts."""

    part: Part
    page: JSON


class _Run:
    def __init__(self, backfill: Backfill, pages: int) -> None:
        self.result = RunResult()
        self._backfill = backfill
        self._connection = backfill.connection
        self._token = backfill.lease_token
        self._pages = pages
        self._parts: list[Part] = []
        self._place: _Place | None = None
        self._unread: list[str] = list(backfill.position.get("unread", []))

    def go(self) -> None:
        if not reading.may_poll(self._connection):
            self._stand_down()
            return
        decision = reading.ask_budget(self._connection)
        if not decision.allowed:
            self.result.outcome, self.result.error = PollOutcome.BUDGET, decision.reason
            self._pause(decision.reason, decision.retry_after_seconds)
            return
        try:
            with reading.every_failure_told(self._connection, "backfill"):
                self._find_place()
                self._read()
        except ProviderError as error:
            self._fail(error)

    def _find_place(self) -> None:
        """The stored place; or the part after it, if the settings no longer name that one."""
        try:
            adapter = adapter_for(self._connection)
        except registry.UnknownProvider:
            raise Misconfigured("This deployment has no adapter for the provider.") from None
        self._parts = sorted(parts_of(adapter, self._connection.settings))
        position = self._backfill.position
        if "stream" not in position:
            self._place = self._start_of(self._parts)
            return
        part = (str(position["stream"]), str(position["partition"]))
        self._place = _Place(part, position["page"]) if part in self._parts else self._after(part)

    def _after(self, part: Part) -> _Place | None:
        return self._start_of([later for later in self._parts if later > part])

    def _start_of(self, parts: list[Part]) -> _Place | None:
        return _Place(parts[0], {}) if parts else None

    def _read(self) -> None:
        if self._place is None:
            self._write(self._progress(None), release=True)
            self.result.outcome = PollOutcome.COMPLETED
            return
        window = Window(since=self._backfill.since, until=self._backfill.until)
        ends_at = time.monotonic() + lease.run_seconds()
        seen = [self._place.page]
        with client_for(self._connection) as client:
            while self._place is not None:
                stream, partition = self._place.part
                page = reading.stream_of(self._connection, stream).page(
                    client,
                    partition=partition,
                    settings=self._connection.settings,
                    position=self._place.page,
                    window=window,
                )
                self.result.requests = client.requests_made
                if reading.repeats(page, seen):
                    raise reading.repeated_page()
                following = _Place(self._place.part, page.position) if page.more else self._after(self._place.part)
                wish = page.poll_after_seconds if page.more and page.poll_after_seconds else 0.0
                full = self.result.pages + 1 >= self._pages or time.monotonic() >= ends_at
                stop = following is None or full or wish > 0
                self._commit(page, following, stop=stop, wish=wish)
                if stop:
                    return
                seen = [*seen, page.position] if page.more else [{}]
                self._place = following

    def _commit(self, page: Page, following: _Place | None, *, stop: bool, wish: float) -> None:
        """A page's events and the place after it: both, or neither if the lease is lost."""
        with transaction.atomic():
            new = record(self._connection, page.events, Source.BACKFILL).new
            values = self._progress(following) | {
                "pages": F("pages") + 1,
                "events_found": F("events_found") + len(page.events),
                "events_new": F("events_new") + new,
                "started_at": Coalesce("started_at", Now()),
                "consecutive_failures": 0,
            }
            if stop:
                values["next_run_at"] = from_now(intervals.with_jitter(0, at_least=wish))
            self._write(values, release=stop)
        self._backfill.consecutive_failures = 0
        self.result.pages += 1
        self.result.events_found += len(page.events)
        self.result.events_new += new
        self.result.outcome = PollOutcome.CONTINUES if following else PollOutcome.COMPLETED

    def _progress(self, following: _Place | None) -> dict[str, Any]:
        """Where it stands when ``following`` is next; with nothing left, how it ended."""
        values: dict[str, Any] = {"parts_total": len(self._parts), "last_error": ""}
        if following is not None:
            stream, partition = following.part
            position = {"stream": stream, "partition": partition, "page": following.page}
            return values | {
                "status": BackfillStatus.RUNNING,
                "parts_done": self._parts.index(following.part),
                "position": position | ({"unread": self._unread} if self._unread else {}),
            }
        if self._unread:
            told = "; ".join(self._unread[:UNREAD_TOLD])
            values |= {"status": BackfillStatus.FAILED, "last_error": f"Not read: {told}"}
        else:
            values |= {"status": BackfillStatus.COMPLETED}
        done = len(self._parts) - len(self._unread)
        return values | {"parts_done": max(done, 0), "completed_at": Now()}

    def _fail(self, error: ProviderError) -> None:
        """Wait and try again; after some failures in a row leave the part unread. A rate limit is only a pause."""
        self.result.outcome, self.result.error = error.category, str(error)
        failed = self._backfill.consecutive_failures + (0 if isinstance(error, RateLimited) else 1)
        if failed >= (FAILURES_UNTIL_GIVEN_UP if error.retryable else REFUSALS_UNTIL_GIVEN_UP):
            self._write(self._given_up(error), release=True)
        else:
            interval = intervals.after_failure(
                reading.bounds_of(self._connection),
                failures=max(failed, 1),
                retryable=error.retryable,
                provider_wish=error.retry_after_seconds,
            )
            wait = intervals.with_jitter(interval.seconds, at_least=error.retry_after_seconds or 0.0)
            values = {
                "next_run_at": from_now(wait),
                "consecutive_failures": failed,
                "last_error": str(error)[:1000],
            }
            self._write(values, release=True)
        failures.note(self._connection, error)

    def _given_up(self, error: ProviderError) -> dict[str, Any]:
        """One part that cannot be read does not keep the others from being read."""
        if self._place is None:
            return {"status": BackfillStatus.FAILED, "completed_at": Now(), "last_error": str(error)[:1000]}
        self._unread.append(f"{' '.join(self._place.part).strip()} ({error})"[:300])
        values = self._progress(self._after(self._place.part)) | {"consecutive_failures": 0, "next_run_at": Now()}
        return values if "completed_at" in values else values | {"last_error": str(error)[:1000]}

    def _stand_down(self) -> None:
        """Wait while the connection is not polled; end with it if it was deleted."""
        self.result.outcome = NOT_POLLED
        if self._connection.status != ConnectionStatus.DELETED:
            self._pause("The connection is not polled now.", settings.POLL_INTERVAL_SECONDS)
            return
        values = {"status": BackfillStatus.CANCELLED, "completed_at": Now(), "last_error": "Connection deleted."}
        self._write(values, release=True)

    def _pause(self, reason: str, seconds: float) -> None:
        wait = intervals.with_jitter(seconds, at_least=seconds)
        self._write({"next_run_at": from_now(wait), "last_error": reason[:1000]}, release=True)

    def _write(self, values: dict[str, Any], *, release: bool) -> None:
        # A cancelled backfill has lost its lease, whoever holds the token.
        held = Backfill.objects.filter(pk=self._backfill.pk, lease_token=self._token, status__in=UNFINISHED)
        self._token = lease.write(held, values, due_field="next_run_at", release=release)
