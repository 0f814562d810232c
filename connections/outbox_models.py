"""Rows that are messages to a neighbour: due at a time of the database's clock, sent under a lease."""

from __future__ import annotations

from django.db import models


class OutboxRow(models.Model):
    """What every such row knows of its own sending. ``connections.outbox`` is what works on it."""

    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant it belongs to.")
    attempts = models.PositiveIntegerField(default=0, help_text="Messages begun since the last that was taken.")
    next_attempt_at = models.DateTimeField(
        null=True, blank=True, help_text="When a message is due. While one is on its way: when its lease ends."
    )
    lease_token = models.UUIDField(null=True, blank=True, editable=False, help_text="Fencing token of the sender.")
    last_send_error = models.CharField(
        max_length=500, blank=True, help_text="Why the last message was not taken; empty if it was."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True
