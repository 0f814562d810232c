"""Canonical commands and their outcome."""

from __future__ import annotations

import uuid6
from django.db import models

from connections.models import IntegrationConnection
from connections.tenancy import TenantManager
from providers.models import IntegrationProvider


class ActionStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    PROCESSING = "processing", "Processing"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    NEEDS_REVIEW = "needs_review", "Needs review"


class NormalisedAction(models.Model):
    """One canonical command: asked for once, done once."""

    action_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant it belongs to.")
    provider = models.ForeignKey(
        IntegrationProvider, on_delete=models.PROTECT, related_name="actions", help_text="Done there."
    )
    connection = models.ForeignKey(
        IntegrationConnection, on_delete=models.CASCADE, related_name="actions", help_text="Done there."
    )
    canonical_type = models.CharField(max_length=60, help_text="What is to be done, provider-free.")
    target = models.JSONField(default=dict, help_text="What it is done to.")
    payload = models.JSONField(default=dict, help_text="What is said or set.")
    idempotency_key = models.CharField(max_length=200, help_text="The same key is the same action.")
    correlation_id = models.CharField(max_length=200, blank=True, help_text="The caller's own id for it.")
    status = models.CharField(
        max_length=20, choices=ActionStatus, default=ActionStatus.PENDING, help_text="How far it is."
    )
    result = models.JSONField(default=dict, blank=True, help_text="Provider's id and URL of what was made.")
    attempts = models.PositiveIntegerField(default=0, help_text="Calls tried.")
    error = models.TextField(blank=True, help_text="Last failure, in words a person can act on.")
    completed_at = models.DateTimeField(null=True, blank=True, help_text="Ended, well or not.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        db_table = "normalised_actions"
        ordering = ("-action_id",)
        verbose_name = "action"
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "connection", "idempotency_key"], name="action_once_a_key")
        ]
        indexes = [models.Index(fields=["tenant_id", "-action_id"], name="action_by_tenant")]

    def __str__(self) -> str:
        return f"{self.canonical_type} ({self.status})"
