"""One run of one backfill: some pages on from its own place, slice after slice, part after part."""

from __future__ import annotations

import hashlib
import time
import uuid
from dataclasses import replace
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now

from connections.models import ConnectionStatus
from connections.runtime import adapter_for, client_for
from events.models import Source
from events.services import record
from polling import backfill_live, backfill_pace, failures, intervals, lease, reading
from polling.backfill_plan import CHANGED, Place, Plan
from polling.lease import LeaseLost, from_now
from polling.metrics import POLLS
from polling.models import UNFINISHED, Backfill, BackfillPurpose, BackfillStatus, PollOutcome
from polling.runner import LEASE_LOST, NOT_POLLED, RunResult
from providers import registry
from providers.canonical import JSON
from providers.errors import Misconfigured, ProviderError, QuotaSpent, RateLimited, StaleMark
from providers.quotas import Traffic
from providers.spi import Page, Window

log = structlog.get_logger(__name__)

# Failures in a row after which a part is left unread: the first for what may pass, the second for the rest.
FAILURES_UNTIL_GIVEN_UP = 8
REFUSALS_UNTIL_GIVEN_UP = 3
UNREAD_TOLD = 10
# Where each run is one page, a list that goes in circles is known by the places of so many pages before.
TRAIL = 20
# While live polling waits, one page a run and this long until the next one.
GIVE_WAY_SECONDS = 10.0
TRAFFIC: dict[str, Traffic] = {BackfillPurpose.ASKED: Traffic.BACKFILL, BackfillPurpose.REPAIR: Traffic.REPAIR}


def run_once(backfill_id: uuid.UUID, lease_token: uuid.UUID, *, pages: int, seconds: float | None = None) -> RunResult:
    """Read up to ``pages`` pages on from where the backfill stands, if ``lease_token`` still holds it.

    ``seconds``: how long new pages may be begun; never longer than a run may last. One page is always read.
    """
    backfill = (
        Backfill.objects.select_related("connection")
        .filter(pk=backfill_id, lease_token=lease_token, status__in=UNFINISHED)
        .first()
    )
    if backfill is None:
        return RunResult(LEASE_LOST)
    run = _Run(backfill, pages, min(lease.run_seconds(), seconds or lease.run_seconds()))
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


class _Run:
    def __init__(self, backfill: Backfill, pages: int, seconds: float) -> None:
        self.result = RunResult()
        self._backfill = backfill
        self._connection = backfill.connection
        self._token = backfill.lease_token
        self._pages = pages
        self._ends_at = time.monotonic() + seconds
        self._pace = backfill_pace.noted(backfill.pace, backfill.updated_at, backfill.share_done)
        self._unread: list[str] = list(backfill.position.get("unread", []))
        self._trail: list[str] = list(backfill.position.get("trail", []))
        self._changed = backfill.position.get("changed") is True
        self._plan: Plan | None = None
        self._place: Place | None = None

    def go(self) -> None:
        if not reading.may_poll(self._connection):
            self._stand_down()
            return
        self._write({"last_run_at": Now()}, release=False)
        decision = reading.ask_budget(self._connection, TRAFFIC[self._backfill.purpose])
        if not decision.allowed:
            self.result.outcome, self.result.error = PollOutcome.BUDGET, decision.reason
            self._wait(decision.reason, decision.retry_after_seconds)
            return
        try:
            with reading.every_failure_told(self._connection, "backfill"):
                self._plan = self._planned()
                self._place = self._plan.stored()
                self._note_change(self._plan)
                self._read(self._plan)
        except QuotaSpent as spent:
            self.result.outcome, self.result.error = PollOutcome.BUDGET, str(spent)
            self._wait(str(spent), spent.retry_after_seconds or GIVE_WAY_SECONDS)
        except ProviderError as error:
            self._fail(error)

    def _planned(self) -> Plan:
        try:
            return Plan(self._backfill, adapter_for(self._connection))
        except registry.UnknownProvider:
            raise Misconfigured("This deployment has no adapter for the provider.") from None

    def _note_change(self, plan: Plan) -> None:
        """Whether parts that were passed already are others now than when the place was stored."""
        here = self._backfill.position
        if "before" in here:
            self._changed |= plan.before((str(here["stream"]), str(here["partition"]))) != here["before"]

    def _read(self, plan: Plan) -> None:
        if self._place is None:
            self._write(self._progress(plan, None), release=True)
            self.result.outcome = PollOutcome.COMPLETED
            return
        credential = backfill_live.sharing_credential(self._connection)
        seen = [self._place.page]
        with client_for(self._connection, TRAFFIC[self._backfill.purpose]) as client:
            while self._place is not None:
                place = self._place
                page = reading.stream_of(self._connection, place.part[0]).page(
                    client,
                    partition=place.part[1],
                    settings=self._connection.settings,
                    position=place.page,
                    window=Window(since=place.since, until=place.until),
                )
                self.result.requests = client.requests_made
                place_told = _told(page.position)
                if reading.repeats(page, seen) or (page.more and place_told in self._trail):
                    raise reading.repeated_page()
                self._trail = [*self._trail, place_told][-TRAIL:] if page.more else []
                following = plan.after(place, page)
                if self._commit(plan, page, following, gives_way=self._gives_way(credential)):
                    return
                seen = [*seen, page.position] if page.more else [{}]
                self._place = following

    def _gives_way(self, credential: list[uuid.UUID]) -> bool:
        """A repair is as urgent as live polling; what was asked for is not."""
        asked = self._backfill.purpose == BackfillPurpose.ASKED
        return asked and backfill_live.live_polling_waits(credential)

    def _commit(self, plan: Plan, page: Page, following: Place | None, *, gives_way: bool) -> bool:
        """A page's events and the place after it: both, or neither if the lease is lost. Returns whether to stop."""
        wish = page.poll_after_seconds if page.more and page.poll_after_seconds else 0.0
        full = self.result.pages + 1 >= self._pages or time.monotonic() >= self._ends_at
        stop = following is None or full or gives_way or wish > 0
        with transaction.atomic():
            new = record(self._connection, page.events, Source.BACKFILL).new
            values = self._progress(plan, following) | {
                "pages": F("pages") + 1,
                "events_found": F("events_found") + len(page.events),
                "events_new": F("events_new") + new,
                "started_at": Coalesce("started_at", Now()),
                "consecutive_failures": 0,
                "pace": self._pace,
            }
            if stop:
                wait = max(wish, GIVE_WAY_SECONDS if gives_way else 0.0)
                values["next_run_at"] = from_now(intervals.with_jitter(0, at_least=wait))
                values["waiting_for"] = _why(following, gives_way, wish)
            self._write(values, release=stop)
        self._backfill.consecutive_failures = 0
        self.result.pages += 1
        self.result.events_found += len(page.events)
        self.result.events_new += new
        self.result.outcome = PollOutcome.CONTINUES if following else PollOutcome.COMPLETED
        return stop

    def _progress(self, plan: Plan, following: Place | None) -> dict[str, Any]:
        """Where it stands when ``following`` is next; with nothing left, how it ended."""
        values: dict[str, Any] = {"parts_total": len(plan.parts), "last_error": "", "waiting_for": ""}
        if self._changed and CHANGED not in self._backfill.notice:
            values["notice"] = f"{self._backfill.notice} {CHANGED}".strip()
        if following is not None:
            return values | {
                "status": BackfillStatus.RUNNING,
                "parts_done": plan.parts.index(following.part),
                "share_done": plan.share(following),
                "position": self._stored(plan, following),
            }
        done = max(len(plan.parts) - len(self._unread), 0)
        values |= {"parts_done": done, "completed_at": Now()}
        if not self._unread:
            return values | {"status": BackfillStatus.COMPLETED, "share_done": 1.0}
        told = "; ".join(self._unread[:UNREAD_TOLD])
        share = done / max(len(plan.parts), 1)
        return values | {"status": BackfillStatus.FAILED, "share_done": share, "last_error": f"Not read: {told}"}

    def _stored(self, plan: Plan, place: Place) -> JSON:
        beside = {"unread": self._unread, "trail": self._trail, "changed": self._changed}
        kept = {name: value for name, value in beside.items() if value}
        return place.position() | kept | {"before": plan.before(place.part)}

    def _fail(self, error: ProviderError) -> None:
        """Wait and try again; after some failures in a row leave the part unread. A rate limit is only a pause."""
        self.result.outcome, self.result.error = error.category, str(error)
        limited = isinstance(error, RateLimited)
        failed = self._backfill.consecutive_failures + (0 if limited else 1)
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
            told = {"waiting_for": str(error)[:1000]} if limited else {"last_error": str(error)[:1000]}
            values: dict[str, Any] = {"next_run_at": from_now(wait), "consecutive_failures": failed}
            values["waiting_for"] = interval.reason
            if isinstance(error, StaleMark) and self._plan is not None and self._place is not None:
                # What follows was read before.
                self._trail = []
                values["position"] = self._stored(self._plan, replace(self._place, page=dict(error.position)))
            self._write(values | told, release=True)
        failures.note(self._connection, error)

    def _given_up(self, error: ProviderError) -> dict[str, Any]:
        """One part that cannot be read does not keep the others from being read."""
        if self._plan is None or self._place is None:
            ended = {"status": BackfillStatus.FAILED, "completed_at": Now(), "waiting_for": ""}
            return ended | {"last_error": str(error)[:1000]}
        part = self._place.part
        self._trail = []
        self._unread.append(f"{' '.join(part).strip()} ({error})"[:300])
        values = self._progress(self._plan, self._plan.after_part(part))
        values |= {"consecutive_failures": 0, "next_run_at": Now()}
        return values if "completed_at" in values else values | {"last_error": str(error)[:1000]}

    def _stand_down(self) -> None:
        """Wait while the connection is not polled; end with it if it was deleted."""
        self.result.outcome = NOT_POLLED
        status = self._connection.status
        if status == ConnectionStatus.DELETED:
            ended = {"status": BackfillStatus.CANCELLED, "completed_at": Now(), "waiting_for": ""}
            self._write(ended | {"last_error": "The connection was deleted."}, release=True)
            return
        reason = "Polling is switched off for the connection."
        if status != ConnectionStatus.ACTIVE:
            reason = f"The connection is not active: {self._connection.get_status_display().lower()}."
        # How long that takes is nobody's pace.
        self._wait(reason, settings.POLL_INTERVAL_SECONDS, pace=[])

    def _wait(self, reason: str, seconds: float, **values: Any) -> None:
        due = from_now(intervals.with_jitter(seconds, at_least=seconds))
        self._write({"next_run_at": due, "waiting_for": reason[:1000], **values}, release=True)

    def _write(self, values: dict[str, Any], *, release: bool) -> None:
        # One that was paused or cancelled has lost its lease, whoever holds the token.
        held = Backfill.objects.filter(pk=self._backfill.pk, lease_token=self._token, status__in=UNFINISHED)
        self._token = lease.write(held, values, due_field="next_run_at", release=release)


def _told(position: JSON) -> str:
    """A page's place in short."""
    return hashlib.sha256(orjson.dumps(position, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]


def _why(following: Place | None, gives_way: bool, wish: float) -> str:
    if following is None:
        return ""
    if gives_way:
        return "Live polling goes first: one page at a time."
    return f"The provider asked to wait {wish:.0f} s." if wish else ""
