"""Time that passes without waiting for it: everything that was noted becomes so much older, and beat ticks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db.models import F, Min, Model
from django.db.models.functions import Now

from connections.models import Incident, IntegrationConnection
from connections.tasks import send_incidents
from events.models import UNDELIVERED, AdapterEvent
from events.outbox import deliver_batch
from polling import schedule, tasks
from polling.models import Backfill, PollingCursor

NOTED: dict[type[Model], tuple[str, ...]] = {
    PollingCursor: ("next_poll_at", "last_polled_at", "last_success_at", "last_event_at", "started_from"),
    IntegrationConnection: ("last_success_at", "last_error_at", "last_verified_at"),
    Incident: ("started_at", "last_seen_at", "resolved_at", "next_attempt_at"),
    Backfill: ("next_run_at",),
}


STEP_SECONDS = 20.0


class SimulatedTime:
    """Beat, a worker and a clock in one. ``elapsed`` is in seconds; ``messages`` are those of the last tick."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.elapsed = 0.0
        self.ticks = 0
        self.messages: list[tuple[list[str], str]] = []

        def keep(name: str, *, args: tuple[list[str], str], **options: Any) -> None:
            assert name == "polling.poll_cursors"
            self.messages.append(args)

        monkeypatch.setattr(schedule.current_app, "send_task", keep)

    def tick(self) -> None:
        """What beat starts every few seconds, done by one worker."""
        self.ticks += 1
        self.messages.clear()
        tasks.poll_due_connections()
        for cursor_ids, token in self.messages:
            tasks.poll_cursors(cursor_ids, token)
        tasks.settle_incidents()
        send_incidents()
        while deliver_batch().claimed:
            pass

    def pass_by(self, seconds: float) -> None:
        """Let time pass. What Redis knew goes by the real clock, so it is forgotten, as it may be at any moment."""
        self.elapsed += seconds
        for model, columns in NOTED.items():
            model._default_manager.update(**{name: F(name) - timedelta(seconds=seconds) for name in columns})
        AdapterEvent.objects.filter(delivery_status__in=UNDELIVERED).update(
            next_attempt_at=F("next_attempt_at") - timedelta(seconds=seconds)
        )
        with suppress(redis.ConnectionError):
            redis.Redis.from_url(settings.REDIS_URL).flushdb()

    def run(self, seconds: float, each: Callable[[], None] | None = None) -> None:
        """Tick whenever a cursor is due, until so much time has passed. ``each`` is done before every tick."""
        ends_at = self.elapsed + seconds
        while True:
            if each is not None:
                each()
            self.tick()
            wait = min(self.until_due(), ends_at - self.elapsed)
            if wait <= 0:
                return
            self.pass_by(wait)

    def until_due(self) -> float:
        """Seconds until the next cursor is due, but not less than are worth a tick of their own."""
        due = PollingCursor.objects.filter(active=True).aggregate(left=Min(F("next_poll_at") - Now()))["left"]
        return max(STEP_SECONDS, due.total_seconds() if due is not None else 0.0)


def seconds_until(cursor: PollingCursor) -> float:
    """Until it is due, by the database's clock."""
    row = PollingCursor.objects.annotate(left=F("next_poll_at") - Now()).get(pk=cursor.pk)
    return float(row.left.total_seconds())
