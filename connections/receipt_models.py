"""Receipts: what was done through a connection, as evidence."""

from __future__ import annotations

import uuid6
from django.db import models

from connections.outbox_models import OutboxRow
from connections.tenancy import TenantManager


class ReceiptOutcome(models.TextChoices):
    """How an operation ended."""

    COMPLETED = "completed", "Completed"
    NEEDS_REVIEW = "needs_review", "Needs review"
    FAILED = "failed", "Failed"
    REFUSED = "refused", "Refused"


class ReceiptStatus(models.TextChoices):
    PENDING = "pending", "Kept"
    SENT = "sent", "Sent"
    REFUSED = "refused", "Not taken"


class Receipt(OutboxRow):
    """Evidence of one operation. The row is the message: while it is pending it is due at ``next_attempt_at``.

    What it says never changes; only how far its sending is.
    """

    row_id = models.UUIDField(primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7).")
    receipt_id = models.UUIDField(
        unique=True, editable=False, help_text="Derived from connection, operation and operation id."
    )
    connection = models.ForeignKey(
        "connections.IntegrationConnection",
        on_delete=models.CASCADE,
        related_name="receipts",
        help_text="Through which it was done.",
    )
    operation = models.CharField(
        max_length=200, help_text="Kind of operation, such as integration.action.<provider>.<type>."
    )
    operation_id = models.CharField(max_length=100, help_text="Which operation it is the receipt of.")
    outcome = models.CharField(max_length=20, choices=ReceiptOutcome, help_text="How the operation ended.")
    actor = models.CharField(max_length=200, help_text="Who asked for it.")
    request = models.JSONField(help_text="What was asked for, redacted.")
    snapshot_hash = models.CharField(max_length=64, help_text="SHA-256 of the redacted request as canonical JSON.")
    body = models.JSONField(help_text="The receipt as the evidence service takes it.")
    status = models.CharField(
        max_length=20, choices=ReceiptStatus, default=ReceiptStatus.PENDING, help_text="Whether the service has it."
    )
    sent_at = models.DateTimeField(null=True, blank=True, help_text="When the evidence service took it.")

    objects = TenantManager()

    class Meta:
        db_table = "receipts"
        ordering = ("-row_id",)
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status="pending", next_attempt_at__isnull=False)
                | models.Q(status__in=("sent", "refused"), next_attempt_at__isnull=True),
                name="receipt_is_due_while_pending",
            )
        ]
        indexes = [
            models.Index(
                fields=["tenant_id", "next_attempt_at"],
                condition=models.Q(next_attempt_at__isnull=False),
                name="receipt_due",
            ),
            models.Index(fields=["operation_id"], name="receipt_of_operation"),
            models.Index(fields=["row_id"], condition=models.Q(status="refused"), name="receipt_refused"),
        ]

    def __str__(self) -> str:
        return f"{self.operation} ({self.outcome})"
