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


OVER = (ActionStatus.COMPLETED, ActionStatus.FAILED, ActionStatus.NEEDS_REVIEW)


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
    fingerprint = models.CharField(
        max_length=64, blank=True, editable=False, help_text="SHA-256 of what was asked: the same key asks the same."
    )
    requested_by = models.CharField(max_length=200, blank=True, help_text="API client or staff user that asked.")
    correlation_id = models.CharField(max_length=200, blank=True, help_text="The caller's own id for it.")
    status = models.CharField(
        max_length=20, choices=ActionStatus, default=ActionStatus.PENDING, help_text="How far it is."
    )
    result = models.JSONField(default=dict, blank=True, help_text="Provider's id and URL of what was made.")
    attempts = models.PositiveIntegerField(default=0, help_text="Calls tried.")
    error = models.TextField(blank=True, help_text="Last failure, in words a person can act on.")
    error_category = models.CharField(max_length=20, blank=True, help_text="Kind of the last failure; see the table.")
    evidence = models.JSONField(default=list, blank=True, help_text="What was tried and what came of it; redacted.")
    next_attempt_at = models.DateTimeField(
        null=True, blank=True, help_text="When it is due. While it runs: when its lease ends. Empty: it is over."
    )
    give_up_at = models.DateTimeField(null=True, blank=True, help_text="After which nothing is tried any more.")
    lease_token = models.UUIDField(null=True, blank=True, editable=False, help_text="Fencing token of who runs it.")
    sent_at = models.DateTimeField(null=True, blank=True, help_text="When the last request that changes was begun.")
    in_doubt = models.BooleanField(
        default=False, help_text="Whether a request was begun of which nobody knows if it took effect."
    )
    settles_at = models.DateTimeField(
        null=True, blank=True, help_text="From when on an effect that cannot be found is taken not to be there."
    )
    rounds = models.PositiveSmallIntegerField(default=0, help_text="How often a person decided over it.")
    reviewed_by = models.CharField(max_length=200, blank=True, help_text="Who decided what came of it.")
    completed_at = models.DateTimeField(null=True, blank=True, help_text="Ended, well or not.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        db_table = "normalised_actions"
        ordering = ("-action_id",)
        verbose_name = "action"
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "connection", "idempotency_key"], name="action_once_a_key"),
            models.CheckConstraint(
                condition=models.Q(status__in=("pending", "processing"), next_attempt_at__isnull=False)
                | models.Q(
                    status__in=("completed", "failed", "needs_review"), next_attempt_at__isnull=True, lease_token=None
                ),
                name="action_is_due_or_over",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant_id", "-action_id"], name="action_by_tenant"),
            models.Index(
                fields=["connection", "next_attempt_at"],
                condition=models.Q(next_attempt_at__isnull=False),
                name="action_due",
            ),
            models.Index(fields=["status"], condition=models.Q(status="needs_review"), name="action_to_review"),
        ]

    def __str__(self) -> str:
        return f"{self.canonical_type} ({self.status})"
