"""What was tried to prove a connection, step by step: evidence for people."""

from __future__ import annotations

import uuid6
from django.db import models

from connections.tenancy import TenantManager


class VerificationOutcome(models.TextChoices):
    OK = "ok", "Good"
    WARNING = "warning", "Good, with a warning"
    FAILED = "failed", "Failed"


class VerificationPurpose(models.TextChoices):
    VERIFY = "verify", "Verification"
    ROTATE = "rotate", "New credential"


class ConnectionVerification(models.Model):
    """One verification. Of each connection the newest are kept."""

    verification_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant it belongs to.")
    connection = models.ForeignKey(
        "connections.IntegrationConnection",
        on_delete=models.CASCADE,
        related_name="verifications",
        help_text="What was verified.",
    )
    purpose = models.CharField(
        max_length=20,
        choices=VerificationPurpose,
        help_text="Whether the connection was verified, or a credential that was to replace its own.",
    )
    outcome = models.CharField(max_length=20, choices=VerificationOutcome, help_text="The worst of its steps.")
    actor = models.CharField(max_length=200, help_text="Staff user, API client or service part.")
    account = models.CharField(max_length=200, blank=True, help_text="Account the provider named; empty: none.")
    steps = models.JSONField(default=list, help_text="What was tried, in order, each with its outcome; redacted.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        db_table = "connection_verifications"
        ordering = ("-verification_id",)
        verbose_name = "verification"
        indexes = [models.Index(fields=["connection", "-verification_id"], name="verification_by_connection")]

    def __str__(self) -> str:
        return f"{self.get_purpose_display()}: {self.get_outcome_display().lower()}"
