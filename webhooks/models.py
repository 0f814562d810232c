"""Doors: one public URL and signing secret of a connection."""

from __future__ import annotations

import uuid6
from django.db import models

from connections.models import IntegrationConnection
from connections.tenancy import TenantManager


class RegistrationStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    ACTIVE = "active", "Active"
    SUSPENDED = "suspended", "Suspended"
    DELETED = "deleted", "Deleted"


class WebhookRegistration(models.Model):
    """A URL handed to a provider, and how its requests prove themselves."""

    registration_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant that owns the connection.")
    connection = models.ForeignKey(
        IntegrationConnection, on_delete=models.CASCADE, related_name="registrations", help_text="Connection it feeds."
    )
    token_hash = models.BinaryField(
        max_length=32, unique=True, editable=False, help_text="SHA-256 of the token in the URL; the token is not kept."
    )
    url_ref = models.CharField(
        max_length=300, editable=False, help_text="Reference to the public URL in the secret store; it holds the token."
    )
    scheme = models.CharField(
        max_length=50, help_text="Signature scheme of the adapter this door insists on; a request cannot choose."
    )
    secret_ref = models.CharField(max_length=300, help_text="Reference to the signing secret; never the secret.")
    previous_secret_ref = models.CharField(
        max_length=300, blank=True, help_text="Secret before the last rotation; still verifies until the grace ends."
    )
    previous_secret_until = models.DateTimeField(null=True, blank=True, help_text="End of the rotation's grace.")
    events_subscribed = models.JSONField(
        default=list, blank=True, help_text="Events asked for at the provider, in its words; empty means all."
    )
    status = models.CharField(
        max_length=20,
        choices=RegistrationStatus,
        default=RegistrationStatus.PENDING,
        help_text="Pending until the first valid delivery; suspended and deleted doors answer like unknown ones.",
    )
    last_received_at = models.DateTimeField(null=True, blank=True, help_text="Last verified delivery, to the minute.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        db_table = "webhook_registrations"
        ordering = ("-registration_id",)
        verbose_name = "webhook registration"

    def __str__(self) -> str:
        return f"webhook of {self.connection_id}"
