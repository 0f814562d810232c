"""What came in, and its way out: one row is inbox and outbox in one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import uuid6
from django.db import models
from django.db.models.functions import Now

from connections.models import IntegrationConnection
from connections.tenancy import TenantManager, TenantQuerySet
from events.compression import unpack
from events.gap_models import DeliveryGap as DeliveryGap
from providers.models import IntegrationProvider


class Source(models.TextChoices):
    WEBHOOK = "webhook", "Webhook"
    POLL = "poll", "Poll"
    BACKFILL = "backfill", "Backfill"
    API = "api", "API"


class DeliveryStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed, will be retried"
    DEAD = "dead", "Dead"
    IGNORED = "ignored", "Ignored"


UNDELIVERED = (DeliveryStatus.PENDING, DeliveryStatus.FAILED)


class AdapterEventQuerySet(TenantQuerySet):
    def get_recent_by_connection(self, connection_id: Any, since: datetime) -> AdapterEventQuerySet:
        """Events of one connection received at or after ``since``, newest first."""
        return self.filter(connection_id=connection_id, received_at__gte=since).order_by("-event_id")


class AdapterEvent(models.Model):
    """The durable row of one provider event. Written once by ``events.services.record``."""

    event_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    # No index of its own: those below begin with it.
    connection = models.ForeignKey(
        IntegrationConnection, on_delete=models.CASCADE, db_index=False, related_name="events", help_text="Received as."
    )
    tenant_id = models.CharField(max_length=100, help_text="Tenant that owns the connection.")
    # No database constraint: every insert of every tenant would lock the same row of a table of a few rows.
    provider = models.ForeignKey(
        IntegrationProvider,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="Tool it came from.",
    )
    provider_event_type = models.CharField(max_length=120, help_text="The provider's own name for it.")
    source = models.CharField(max_length=10, choices=Source, help_text="Road it came in by.")
    dedupe_key = models.CharField(max_length=200, help_text="Unique a connection: a repetition has the same key.")
    signature_hash = models.BinaryField(
        max_length=32, null=True, blank=True, help_text="SHA-256 of the verified signature, where it covers the body."
    )
    happening = models.CharField(
        max_length=200, blank=True, help_text="Equal for webhook and poll when both tell of the same happening."
    )
    ordering_key = models.CharField(
        max_length=200, blank=True, help_text="Entity whose events are delivered in order; empty if none is given."
    )
    correlation_id = models.CharField(max_length=200, blank=True, help_text="The provider's id of the event.")
    occurred_at = models.DateTimeField(null=True, blank=True, help_text="The provider's clock; empty if it gave none.")
    received_at = models.DateTimeField(db_default=Now(), help_text="Our clock.")
    payload = models.BinaryField(help_text="Redacted JSON of the provider, zstd.")
    registration_id = models.UUIDField(null=True, blank=True, help_text="Door it came in by, if it was a webhook.")
    proof = models.CharField(
        max_length=80, blank=True, help_text="How the delivery proved itself: scheme and version of the secret used."
    )
    delivery_status = models.CharField(
        max_length=10, choices=DeliveryStatus, default=DeliveryStatus.PENDING, help_text="On its way out."
    )
    ignored_reason = models.CharField(max_length=200, blank=True, help_text="Why it becomes no signal.")
    attempts = models.PositiveIntegerField(default=0, help_text="Deliveries tried.")
    next_attempt_at = models.DateTimeField(
        db_default=Now(), help_text="When it is due. While a worker holds it: when its lease ends."
    )
    lease_token = models.UUIDField(null=True, blank=True, editable=False, help_text="Fencing token of the holder.")
    first_attempt_at = models.DateTimeField(null=True, blank=True, help_text="Start of the time for retries.")
    delivered_at = models.DateTimeField(null=True, blank=True, help_text="When the signal was taken.")
    last_error_code = models.CharField(max_length=60, blank=True, help_text="Closed set; groups dead events.")
    last_error = models.TextField(blank=True, help_text="Last failure in words; redacted.")
    signal_id = models.UUIDField(
        null=True, blank=True, help_text="Derived from connection and dedupe key; for the API source as handed in."
    )
    signal_type = models.CharField(max_length=60, blank=True, help_text="Canonical type; empty if ignored.")
    envelope = models.BinaryField(null=True, blank=True, help_text="SignalEnvelope as delivered, zstd.")
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    objects = AdapterEventQuerySet.as_manager()

    class Meta:
        db_table = "adapter_events"
        ordering = ("-event_id",)
        verbose_name = "event"
        constraints = [
            models.UniqueConstraint(fields=["connection", "dedupe_key"], name="event_once_a_dedupe_key"),
            models.UniqueConstraint(
                fields=["connection", "signature_hash"],
                condition=models.Q(signature_hash__isnull=False),
                name="event_once_a_signature",
            ),
        ]
        indexes = [
            # By tenant, so that the claim finds who waits without walking through one tenant's backlog.
            models.Index(
                fields=["tenant_id", "next_attempt_at", "event_id"],
                condition=models.Q(delivery_status__in=["pending", "failed"]),
                name="event_due_by_tenant",
            ),
            models.Index(
                fields=["connection", "ordering_key", "event_id"],
                condition=models.Q(delivery_status__in=["pending", "failed"]) & ~models.Q(ordering_key=""),
                name="event_order",
            ),
            models.Index(fields=["connection", "happening"], condition=~models.Q(happening=""), name="event_happening"),
            models.Index(fields=["tenant_id", "-event_id"], name="event_by_tenant"),
            models.Index(fields=["connection", "-event_id"], name="event_by_connection"),
            # The ledger counts a connection's events without reading them.
            models.Index(fields=["connection", "delivery_status"], name="event_by_status"),
            models.Index(
                fields=["-event_id"], condition=models.Q(delivery_status__in=["failed", "dead"]), name="event_trouble"
            ),
            models.Index(
                fields=["last_error_code", "event_id"], condition=models.Q(delivery_status="dead"), name="event_cause"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider_event_type} ({self.event_id})"

    @property
    def raw(self) -> Any:
        """The provider's payload, as redacted when it was stored."""
        return unpack(self.payload)

    @property
    def sealed(self) -> Any:
        """The envelope as it was delivered, or ``None``."""
        return unpack(self.envelope) if self.envelope else None


class SpentSignature(models.Model):
    """The signature of a delivery that was already told under another one, so that no event carries it.

    A provider that sends a delivery again after a rotation signs it anew; whoever captured that request must not
    get it taken under another delivery id.
    """

    spent_id = models.BigAutoField(primary_key=True)
    connection = models.ForeignKey(
        IntegrationConnection, on_delete=models.CASCADE, db_index=False, related_name="+", help_text="Whose."
    )
    signature_hash = models.BinaryField(max_length=32, help_text="SHA-256 of the verified signature.")
    delivery_id = models.CharField(
        max_length=200, blank=True, db_default="", help_text="The provider's id of the delivery; empty if it has none."
    )
    received_at = models.DateTimeField(db_default=Now(), db_index=True, help_text="PostgreSQL's clock.")

    class Meta:
        db_table = "spent_signatures"
        verbose_name = "spent signature"
        constraints = [
            models.UniqueConstraint(fields=["connection", "signature_hash"], name="signature_spent_once"),
        ]
        indexes = [
            models.Index(
                fields=["connection", "delivery_id"], condition=~models.Q(delivery_id=""), name="signature_of_delivery"
            ),
        ]

    def __str__(self) -> str:
        return f"spent at {self.received_at:%Y-%m-%d %H:%M}"


class IntakeTally(models.Model):
    """What one request or page brought in, written by the statement that stores it and folded into totals later.

    Appended, never updated: a counter in one row would make every delivery of a connection wait for the others.
    """

    tally_id = models.BigAutoField(primary_key=True)
    connection = models.ForeignKey(
        IntegrationConnection, on_delete=models.CASCADE, db_constraint=False, related_name="+", help_text="Whose."
    )
    received = models.PositiveIntegerField(help_text="Events presented.")
    duplicate = models.PositiveIntegerField(help_text="Of those, repetitions that changed nothing.")

    class Meta:
        db_table = "intake_tallies"
        verbose_name = "intake tally"
        verbose_name_plural = "intake tallies"

    def __str__(self) -> str:
        return f"{self.received} received, {self.duplicate} known"


class IntakeTotals(models.Model):
    """All a connection ever received, and what became of events that are no longer kept."""

    connection = models.OneToOneField(
        IntegrationConnection,
        primary_key=True,
        on_delete=models.CASCADE,
        related_name="intake",
        help_text="Whose.",
    )
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant it belongs to.")
    received = models.PositiveBigIntegerField(default=0, help_text="Events presented, folded so far.")
    duplicate = models.PositiveBigIntegerField(default=0, help_text="Repetitions among them.")
    purged_delivered = models.PositiveBigIntegerField(default=0, help_text="Delivered events removed by age.")
    purged_ignored = models.PositiveBigIntegerField(default=0, help_text="Ignored events removed by age.")
    purged_dead = models.PositiveBigIntegerField(default=0, help_text="Dead events removed by age.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        db_table = "intake_totals"
        verbose_name = "intake totals"
        verbose_name_plural = "intake totals"

    def __str__(self) -> str:
        return f"totals of {self.connection_id}"


class LedgerCheck(models.Model):
    """What a connection's ledger said when it was last added up."""

    connection = models.OneToOneField(
        IntegrationConnection,
        primary_key=True,
        on_delete=models.CASCADE,
        related_name="ledger_check",
        help_text="Whose.",
    )
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant it belongs to.")
    received = models.PositiveBigIntegerField(help_text="Events presented.")
    delivered = models.PositiveBigIntegerField(help_text="Taken by the ingestion service.")
    duplicate = models.PositiveBigIntegerField(help_text="Repetitions that changed nothing.")
    ignored = models.PositiveBigIntegerField(help_text="Become no signal.")
    failed = models.PositiveBigIntegerField(help_text="Tried, will be tried again.")
    dead = models.PositiveBigIntegerField(help_text="Refused for good, or given up.")
    pending = models.PositiveBigIntegerField(help_text="Not yet tried.")
    unaccounted = models.BigIntegerField(help_text="Received and nowhere; below zero: rows nobody received.")
    checked_at = models.DateTimeField(db_index=True, help_text="When it was added up.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        db_table = "ledger_checks"
        verbose_name = "ledger check"

    def __str__(self) -> str:
        return f"{self.unaccounted} unaccounted of {self.received}"


class DeliveryAttempt(models.Model):
    """Evidence of one failed delivery; the successful one is the event's own ``delivered_at``."""

    attempt_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant it belongs to.")
    event = models.ForeignKey(
        AdapterEvent, on_delete=models.CASCADE, related_name="failed_attempts", help_text="What could not be delivered."
    )
    number = models.PositiveIntegerField(help_text="First, second, …")
    error_code = models.CharField(max_length=60, help_text="Closed set.")
    error = models.TextField(help_text="Redacted.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        db_table = "delivery_attempts"
        ordering = ("-attempt_id",)
        verbose_name = "failed delivery"
        verbose_name_plural = "failed deliveries"

    def __str__(self) -> str:
        return f"attempt {self.number}: {self.error_code}"


class SignalProducer(models.Model):
    """What the ingestion service knows of a connection as a producer of signals."""

    connection = models.OneToOneField(
        IntegrationConnection,
        primary_key=True,
        on_delete=models.CASCADE,
        related_name="producer",
        help_text="The producer.",
    )
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant it belongs to.")
    signal_types = models.JSONField(default=list, help_text="Signal types registered there.")
    schema_version = models.CharField(max_length=20, help_text="Envelope version registered there.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "signal_producers"
        verbose_name = "signal producer"

    def __str__(self) -> str:
        return f"producer {self.connection_id}"


class ReplayStatus(models.TextChoices):
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"


class Replay(models.Model):
    """A replay of many events: the filter that finds them, and how far it has come."""

    replay_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    tenant_id = models.CharField(max_length=100, db_index=True, blank=True, help_text="Tenant; empty: all tenants.")
    conditions = models.JSONField(help_text="Which events; all conditions hold.")
    actor = models.CharField(max_length=200, help_text="Who asked for it.")
    status = models.CharField(max_length=10, choices=ReplayStatus, default=ReplayStatus.RUNNING)
    matched = models.PositiveIntegerField(help_text="Events found when it was asked for.")
    replayed = models.PositiveIntegerField(default=0, help_text="Events made due so far.")
    position = models.UUIDField(help_text="The last event looked at.")
    last_event_id = models.UUIDField(help_text="What came in after this is not meant.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        db_table = "event_replays"
        ordering = ("-replay_id",)
        verbose_name = "replay"
        indexes = [
            models.Index(fields=["replay_id"], condition=models.Q(status="running"), name="replay_running"),
        ]

    def __str__(self) -> str:
        return f"{self.replayed} of {self.matched}, asked for by {self.actor}"
