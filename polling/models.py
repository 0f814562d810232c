"""How far polling has read, and backfills beside it."""

from __future__ import annotations

import uuid6
from django.db import models
from django.db.models.functions import Now

from connections.models import IntegrationConnection
from connections.tenancy import TenantManager

_NONE = models.Value([], output_field=models.JSONField())


class PollOutcome(models.TextChoices):
    """What became of a run. The failures are the categories of ``providers.errors``."""

    COMPLETED = "completed", "Read to the end"
    CONTINUES = "continues", "Stopped between pages"
    BUDGET = "budget", "Waits for the budget"
    AUTH = "auth", "Credential refused"
    CONFIG = "config", "Settings cannot work"
    CLIENT = "client", "Request refused"
    RATE_LIMIT = "rate_limit", "Rate limit reached"
    SERVER = "server", "Provider failed"
    NETWORK = "network", "Provider not reached"
    INTERNAL = "internal", "Our own fault"


class PollingCursor(models.Model):
    """One stream of one connection: where it stands, when it is due, who holds it."""

    cursor_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    # Every claim and every run writes each index of this table anew: it has those only that something is found by.
    tenant_id = models.CharField(max_length=100, help_text="Tenant it belongs to.")
    connection = models.ForeignKey(
        IntegrationConnection,
        on_delete=models.CASCADE,
        db_index=False,
        related_name="cursors",
        help_text="Polled as.",
    )
    stream = models.CharField(max_length=60, help_text="Stream of the adapter.")
    partition = models.CharField(
        max_length=200, blank=True, help_text="Part of the stream, such as a repository; empty if it has no parts."
    )
    cursor_position = models.JSONField(default=dict, blank=True, help_text="Where the next page starts; the adapter's.")
    started_from = models.DateTimeField(help_text="Live polling tells of nothing older than this.")
    run_in_progress = models.BooleanField(
        default=False, help_text="A run stopped between pages; the next one goes on there."
    )
    active = models.BooleanField(default=True, help_text="Off when the settings no longer name this stream or part.")
    next_poll_at = models.DateTimeField(help_text="When it is due. While a run holds the cursor: when its lease ends.")
    interval_seconds = models.PositiveIntegerField(help_text="Current pause between polls, adapted inside bounds.")
    interval_reason = models.CharField(max_length=200, blank=True, help_text="Why the interval is what it is.")
    lease_token = models.UUIDField(null=True, blank=True, editable=False, help_text="Fencing token of the holder.")
    last_polled_at = models.DateTimeField(null=True, blank=True, help_text="End of the last run.")
    last_success_at = models.DateTimeField(null=True, blank=True, help_text="End of the last run that read to the end.")
    last_event_at = models.DateTimeField(null=True, blank=True, help_text="Last run that brought a new event.")
    newest_event_at = models.DateTimeField(
        null=True, blank=True, help_text="Provider's time of the newest event that was told."
    )
    seen_after_seconds = models.FloatField(
        null=True, blank=True, help_text="How long after it happened the newest event was stored."
    )
    last_outcome = models.CharField(
        max_length=20, choices=PollOutcome, blank=True, help_text="What became of the last run; empty before the first."
    )
    last_error = models.TextField(
        blank=True, help_text="What stops it, in words a person can act on; empty if it works."
    )
    consecutive_failures = models.PositiveIntegerField(default=0, help_text="Failed runs since the last good one.")
    consecutive_refused = models.PositiveIntegerField(
        default=0, help_text="Runs in a row in which credential or settings were refused."
    )
    budget_refusals = models.PositiveBigIntegerField(default=0, help_text="Runs the budget did not allow.")
    consecutive_quiet = models.PositiveIntegerField(default=0, help_text="Successful runs without a new event.")
    events_total = models.PositiveBigIntegerField(default=0, help_text="New events this cursor has brought.")
    requests_total = models.PositiveBigIntegerField(default=0, help_text="Requests made to the provider.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        db_table = "polling_cursors"
        ordering = ("-cursor_id",)
        verbose_name = "polling cursor"
        constraints = [
            models.UniqueConstraint(fields=["connection", "stream", "partition"], name="cursor_once_a_stream")
        ]
        indexes = [
            models.Index(fields=["next_poll_at"], condition=models.Q(active=True), name="cursor_due"),
        ]

    def __str__(self) -> str:
        return f"{self.stream} {self.partition}".strip()


class BackfillStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    PAUSED = "paused", "Paused"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


class BackfillPurpose(models.TextChoices):
    """Why a window is read. A repair goes before what somebody asked for."""

    ASKED = "asked", "Asked for"
    REPAIR = "repair", "Repair of a gap"


# Those that are read when they are due; a paused one has not ended either, but waits for a person.
UNFINISHED = (BackfillStatus.PENDING, BackfillStatus.RUNNING)
OPEN = (*UNFINISHED, BackfillStatus.PAUSED)


class Backfill(models.Model):
    """A window of the past read beside live polling, without moving its cursor."""

    backfill_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant it belongs to.")
    connection = models.ForeignKey(
        IntegrationConnection, on_delete=models.CASCADE, related_name="backfills", help_text="Read as."
    )
    purpose = models.CharField(
        max_length=20,
        choices=BackfillPurpose,
        default=BackfillPurpose.ASKED,
        db_default=BackfillPurpose.ASKED,
        help_text="Why it is read.",
    )
    since = models.DateTimeField(help_text="Start of the window, itself inside; provider's clock.")
    until = models.DateTimeField(help_text="End of the window, itself outside; provider's clock.")
    streams = models.JSONField(
        default=list, db_default=_NONE, blank=True, help_text="Streams to read; empty: those polling reads."
    )
    status = models.CharField(
        max_length=20, choices=BackfillStatus, default=BackfillStatus.PENDING, help_text="How far it is."
    )
    requested_by = models.CharField(max_length=200, blank=True, help_text="Who asked for it.")
    paused_by = models.CharField(
        max_length=200, blank=True, db_default="", help_text="Who paused it; empty unless it is paused."
    )
    paused_at = models.DateTimeField(null=True, blank=True, help_text="When it was paused; empty unless it is.")
    parts_total = models.PositiveIntegerField(default=0, help_text="Streams and parts to read.")
    parts_done = models.PositiveIntegerField(default=0, help_text="Streams and parts read to the end.")
    position = models.JSONField(default=dict, blank=True, help_text="Part being read and where its next page starts.")
    share_done = models.FloatField(default=0, db_default=0, help_text="Share of the parts' time that is read, 0 to 1.")
    pace = models.JSONField(
        default=list,
        db_default=_NONE,
        blank=True,
        editable=False,
        help_text="When the last runs began, and the share done then.",
    )
    pages = models.PositiveIntegerField(default=0, help_text="Pages read so far.")
    events_found = models.PositiveBigIntegerField(default=0, help_text="Events the pages held.")
    events_new = models.PositiveBigIntegerField(default=0, help_text="Events that were not known before.")
    notice = models.TextField(
        blank=True, db_default="", help_text="What of the window the provider does not keep any more."
    )
    planned_at = models.DateTimeField(
        db_default=Now(), help_text="Moment from which it is reckoned what the provider still keeps."
    )
    waiting_for = models.TextField(
        blank=True, db_default="", help_text="What it waits for, in words; empty while it only waits for its turn."
    )
    next_run_at = models.DateTimeField(help_text="When it is due. While a run holds it: when its lease ends.")
    last_run_at = models.DateTimeField(null=True, blank=True, help_text="When its last run began.")
    lease_token = models.UUIDField(null=True, blank=True, editable=False, help_text="Fencing token of the holder.")
    consecutive_failures = models.PositiveIntegerField(default=0, help_text="Failed pages since the last good one.")
    last_error = models.TextField(blank=True, help_text="Last failure, in words a person can act on.")
    started_at = models.DateTimeField(null=True, blank=True, help_text="First page asked for.")
    completed_at = models.DateTimeField(null=True, blank=True, help_text="Ended, well or not.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        db_table = "backfills"
        ordering = ("-backfill_id",)
        constraints = [
            models.CheckConstraint(condition=models.Q(since__lt=models.F("until")), name="backfill_window_is_forward")
        ]
        indexes = [
            models.Index(
                fields=["next_run_at"], condition=models.Q(status__in=["pending", "running"]), name="backfill_due"
            )
        ]

    def __str__(self) -> str:
        return f"{self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M}"

    @property
    def progress_percent(self) -> int:
        """Share of the parts' time that is read; 100 only when nothing is left."""
        if self.status == BackfillStatus.COMPLETED:
            return 100
        return max(0, min(99, int(self.share_done * 100)))
