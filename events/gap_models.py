"""Windows in which deliveries were missed, and what became of them."""

from __future__ import annotations

import uuid6
from django.db import models
from django.db.models.functions import Now

from connections.models import IntegrationConnection
from connections.tenancy import TenantManager


class GapCause(models.TextChoices):
    """Why deliveries did not come in."""

    DELIVERIES_FAILED = "deliveries_failed", "Deliveries failed"
    HOOK_PAUSED = "hook_paused", "Hook paused by the provider"
    HOOK_DISABLED = "hook_disabled", "Hook switched off"
    HOOK_GONE = "hook_gone", "Hook removed at the provider"
    HOOK_MOVED = "hook_moved", "Hook posts elsewhere"
    DOOR_DOWN = "door_down", "No web process was running"
    LEDGER_ENDED = "ledger_ended", "Older than the provider's ledger"
    NOT_OBTAINABLE = "not_obtainable", "In the ledger, but not to be had"


class GapRepair(models.TextChoices):
    """How a gap is filled."""

    LEDGER = "ledger", "From the provider's delivery ledger"
    POLL = "poll", "By polling the window"
    PROVIDER = "provider", "By the provider's own retries"
    NONE = "none", "Not at all"


class GapStatus(models.TextChoices):
    OPEN = "open", "Open"
    FILLING = "filling", "Being filled"
    FILLED = "filled", "Filled"
    LOST = "lost", "Lost, in part or whole"


UNSETTLED = (GapStatus.OPEN, GapStatus.FILLING)


class DeliveryGap(models.Model):
    """A window of one connection in which deliveries were missed. Written by ``events.gaps``."""

    gap_id = models.UUIDField(primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7).")
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant it belongs to.")
    connection = models.ForeignKey(
        IntegrationConnection, on_delete=models.CASCADE, related_name="gaps", help_text="Whose deliveries."
    )
    key = models.CharField(
        max_length=120, editable=False, help_text="What it was found by: once a connection, however often it is found."
    )
    registration_id = models.UUIDField(null=True, blank=True, help_text="Door they were meant for, if it is one.")
    place = models.CharField(max_length=500, blank=True, help_text="Where at the provider, such as a repository.")
    cause = models.CharField(max_length=30, choices=GapCause, help_text="Closed set.")
    explanation = models.CharField(max_length=500, blank=True, help_text="The cause in words; redacted.")
    since = models.DateTimeField(help_text="Nothing was missed before.")
    until = models.DateTimeField(null=True, blank=True, help_text="Nothing was missed after; empty while it lasts.")
    repair = models.CharField(max_length=10, choices=GapRepair, help_text="How it is filled.")
    status = models.CharField(max_length=10, choices=GapStatus, default=GapStatus.OPEN, help_text="How far that is.")
    missing = models.PositiveIntegerField(
        default=0, help_text="Deliveries known to be missed; by polling: events that had been missed."
    )
    asked = models.PositiveIntegerField(default=0, help_text="Of those, asked for again.")
    arrived = models.PositiveIntegerField(default=0, help_text="Of those, came in after all.")
    fetched = models.PositiveIntegerField(default=0, help_text="Of those, fetched by us.")
    lost = models.PositiveIntegerField(default=0, help_text="Of those, not recoverable.")
    irrelevant = models.PositiveIntegerField(default=0, help_text="Missed too, but they become no signal: left alone.")
    deliberate = models.PositiveIntegerField(default=0, help_text="Refused on purpose, as while suspended: left alone.")
    causes = models.JSONField(default=dict, blank=True, help_text="Missed deliveries by what went wrong.")
    looked_at = models.PositiveIntegerField(default=0, help_text="By polling: events read there, known ones too.")
    filled_to = models.DateTimeField(null=True, blank=True, help_text="By polling: read up to here so far.")
    backfill_id = models.UUIDField(null=True, blank=True, help_text="By polling: the backfill that reads it now.")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="By polling: tries that failed in a row.")
    next_try_at = models.DateTimeField(db_default=Now(), help_text="When it is looked at again.")
    last_error = models.CharField(max_length=1000, blank=True, help_text="What stands in the way; redacted.")
    detected_at = models.DateTimeField(db_default=Now(), help_text="When it was noticed.")
    settled_at = models.DateTimeField(null=True, blank=True, help_text="When it was filled or given up.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        db_table = "delivery_gaps"
        ordering = ("-gap_id",)
        verbose_name = "gap"
        constraints = [models.UniqueConstraint(fields=["connection", "key"], name="gap_once_a_key")]
        indexes = [
            models.Index(fields=["connection", "-gap_id"], name="gap_by_connection"),
            models.Index(
                fields=["next_try_at"], condition=models.Q(status__in=["open", "filling"]), name="gap_unsettled"
            ),
        ]

    def __str__(self) -> str:
        end = f"{self.until:%Y-%m-%d %H:%M}" if self.until else "now"
        return f"{self.get_cause_display()}, {self.since:%Y-%m-%d %H:%M} to {end}"

    @property
    def repaired(self) -> int:
        """Deliveries or events that were missed and are here now."""
        return self.arrived + self.fetched
