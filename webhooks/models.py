"""Doors, what was refused at them, and what came through but could not be read."""

from __future__ import annotations

from typing import Any

import uuid6
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from connections.models import IntegrationConnection
from connections.tenancy import TenantManager
from events.compression import unpack
from providers.models import IntegrationProvider
from webhooks.reasons import explained
from webhooks.repair_models import IngressClock as IngressClock
from webhooks.repair_models import IngressOutage as IngressOutage
from webhooks.repair_models import MissedDelivery as MissedDelivery
from webhooks.repair_models import WatchedHook as WatchedHook


class RegistrationStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    ACTIVE = "active", "Active"
    SUSPENDED = "suspended", "Suspended"
    DELETED = "deleted", "Deleted"


class WebhookRegistration(models.Model):
    """A URL handed to a provider, and how its requests prove themselves.

    Without a connection it is the one door of an app many tenants have installed; the verified body then
    says whose event it is (``connections.ConnectionRoute``).
    """

    registration_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    tenant_id = models.CharField(
        max_length=100, db_index=True, help_text="Tenant that owns the connection; * for a shared door."
    )
    provider = models.ForeignKey(
        IntegrationProvider, on_delete=models.PROTECT, related_name="+", help_text="Tool that posts here."
    )
    connection = models.ForeignKey(
        IntegrationConnection,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="registrations",
        help_text="Connection it feeds; empty: shared, each delivery is routed by what it says.",
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
    secret_ref = models.CharField(
        max_length=300, blank=True, help_text="Reference to the signing secret; never the secret. Empty if unsigned."
    )
    secret_version = models.PositiveIntegerField(
        default=1, help_text="Counts rotations; events name the one they used."
    )
    secret_since = models.DateTimeField(
        null=True, blank=True, help_text="When the current secret was set; empty: when the door was made."
    )
    secret_used_at = models.DateTimeField(
        null=True, blank=True, help_text="Last delivery proven with the current secret, to the minute."
    )
    previous_secret_ref = models.CharField(
        max_length=300, blank=True, help_text="Secret before the last rotation; still verifies until the grace ends."
    )
    previous_secret_version = models.PositiveIntegerField(
        null=True, blank=True, help_text="Version of that secret; empty: the one before the current."
    )
    previous_secret_until = models.DateTimeField(null=True, blank=True, help_text="End of the rotation's grace.")
    previous_secret_used_at = models.DateTimeField(
        null=True, blank=True, help_text="Last delivery proven with the previous secret, to the minute."
    )
    events_subscribed = models.JSONField(
        default=list, blank=True, help_text="Events asked for at the provider, in its words; empty means all."
    )
    status = models.CharField(
        max_length=20,
        choices=RegistrationStatus,
        default=RegistrationStatus.PENDING,
        help_text="Pending until the first valid delivery; suspended and deleted doors answer like unknown ones.",
    )
    provider_hooks = models.JSONField(
        default=dict,
        blank=True,
        help_text="Hooks made at the provider through its API: place to hook id; an empty id: perhaps made, not known.",
    )
    hooks_told = models.JSONField(
        null=True,
        blank=True,
        help_text="Places where no hook has an older secret than the one of this version, while others may have.",
    )
    hooks_held_until = models.DateTimeField(
        null=True, blank=True, help_text="A process is busy with the hooks, until then at most; empty: none is."
    )
    hook_attempts = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="Tries to bring the provider's side up to date since the last change."
    )
    hook_retry_at = models.DateTimeField(
        null=True, blank=True, help_text="When the provider is told again; empty: nothing is left to tell, or given up."
    )
    hook_error = models.CharField(
        max_length=500,
        blank=True,
        db_default="",
        help_text="Why the provider's side is not as it should be, in words to act on.",
    )
    reconcile_at = models.DateTimeField(
        db_default=Now(),
        help_text="When its hooks and their ledgers are looked at next. While a worker does: when its lease ends.",
    )
    reconcile_token = models.UUIDField(null=True, blank=True, editable=False, help_text="Fencing token of the worker.")
    last_received_at = models.DateTimeField(null=True, blank=True, help_text="Last verified delivery, to the minute.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        db_table = "webhook_registrations"
        ordering = ("-registration_id",)
        verbose_name = "webhook registration"
        indexes = [
            models.Index(
                fields=["hook_retry_at"],
                condition=models.Q(hook_retry_at__isnull=False),
                name="registration_hooks_left",
            ),
            # Only doors whose hooks were made through the provider's API have anything to be looked at.
            models.Index(
                fields=["reconcile_at"],
                condition=models.Q(status__in=["pending", "active"]) & ~models.Q(provider_hooks={}),
                name="registration_to_reconcile",
            ),
        ]

    def __str__(self) -> str:
        if self.connection is None:
            return f"shared webhook of {self.provider_id}"
        return f"webhook of {self.connection.display_name} ({self.provider_id})"

    @property
    def places_told(self) -> frozenset[str]:
        """Places where no hook has an older secret than the current one; what was noted of another does not count."""
        told = self.hooks_told or {}
        return frozenset(told["places"]) if told.get("version") == self.secret_version else frozenset()

    @property
    def is_untold(self) -> bool:
        """Whether a rotation is unfinished: hooks at the provider may still have an older secret."""
        unfinished = bool(self.hook_error) and self.secret_version > 1 and self.status != RegistrationStatus.DELETED
        return unfinished and not self.places_told.issuperset(self.provider_hooks)

    @property
    def hooks_are_held(self) -> bool:
        """Whether a process is busy with the hooks at the provider."""
        return self.hooks_held_until is not None and self.hooks_held_until > timezone.now()


class RejectedDelivery(models.Model):
    """Requests to a known door that were refused for one reason within one hour: evidence, never content.

    One row a reason and hour, so a flood costs a row. ``number`` is a floor: what a process counted in the last
    second of a flood may be missing.
    """

    rejection_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant it belongs to.")
    registration = models.ForeignKey(
        WebhookRegistration, on_delete=models.CASCADE, related_name="rejections", help_text="Door that was tried."
    )
    connection = models.ForeignKey(
        IntegrationConnection,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="Connection of the door.",
    )
    reason = models.CharField(max_length=40, help_text="Closed set.")
    hour = models.DateTimeField(help_text="Hour they arrived in.")
    number = models.PositiveIntegerField(default=0, help_text="At least so many.")
    first_at = models.DateTimeField(help_text="First of them.")
    last_at = models.DateTimeField(help_text="Last of them.")
    header_names = models.JSONField(default=list, help_text="Names of the last one's headers; no values.")
    body_bytes = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Size of the last one's body, if read."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        db_table = "rejected_deliveries"
        ordering = ("-last_at",)
        verbose_name = "rejected delivery"
        verbose_name_plural = "rejected deliveries"
        constraints = [
            models.UniqueConstraint(fields=["registration", "reason", "hour"], name="rejection_once_an_hour")
        ]
        indexes = [
            models.Index(fields=["connection", "-last_at"], name="rejection_by_connection"),
            models.Index(fields=["-last_at"], name="rejection_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.number} {'taken' if explained(self.reason).taken else 'refused'}: {self.reason}"


class QuarantinedDelivery(models.Model):
    """A verified delivery the adapter could not read, kept so that it can be read again after a fix.

    Bounded a door; when it is full the provider is told to try again later.
    """

    quarantine_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant it belongs to.")
    registration = models.ForeignKey(
        WebhookRegistration, on_delete=models.CASCADE, related_name="quarantine", help_text="Door it came in by."
    )
    connection = models.ForeignKey(
        IntegrationConnection,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="Connection of the door; empty if no connection could be told.",
    )
    reason = models.CharField(max_length=40, help_text="unreadable, adapter_failed, too_many_events or unrouted.")
    detail = models.CharField(max_length=500, blank=True, help_text="What the adapter said; redacted.")
    body_hash = models.BinaryField(max_length=32, editable=False, help_text="SHA-256: a repetition is kept once.")
    signature_hash = models.BinaryField(max_length=32, null=True, blank=True, editable=False)
    proof = models.CharField(max_length=80, blank=True, help_text="How the delivery proved itself.")
    headers = models.JSONField(default=dict, help_text="Redacted, without those that prove the sender.")
    query = models.JSONField(default=dict, blank=True, help_text="Parameters of the URL; redacted.")
    body = models.BinaryField(help_text="Redacted text, zstd.")
    body_bytes = models.PositiveBigIntegerField(help_text="Size as received.")
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        db_table = "quarantined_deliveries"
        ordering = ("-quarantine_id",)
        verbose_name = "quarantined delivery"
        verbose_name_plural = "quarantined deliveries"
        constraints = [models.UniqueConstraint(fields=["registration", "body_hash"], name="quarantined_once_a_body")]
        indexes = [models.Index(fields=["connection", "-quarantine_id"], name="quarantine_by_connection")]

    def __str__(self) -> str:
        return f"quarantined delivery {self.quarantine_id}"

    @property
    def text(self) -> str:
        """The body as kept: redacted."""
        value: Any = unpack(self.body)
        return str(value)


class PublishedKeys(models.Model):
    """Keys a provider publishes for its signatures, fetched ahead of the requests that need them."""

    url = models.CharField(primary_key=True, max_length=500, help_text="As the adapter declares it.")
    document = models.JSONField(default=dict, help_text="The key set (JWKS).")
    fetched_at = models.DateTimeField(null=True, blank=True, help_text="Last successful fetch.")
    tried_at = models.DateTimeField(null=True, blank=True, help_text="Last try.")
    wanted_at = models.DateTimeField(null=True, blank=True, help_text="When a request last named an unknown key.")
    last_error = models.CharField(max_length=300, blank=True, help_text="Why the last try failed.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "published_keys"
        verbose_name = "published keys"
        verbose_name_plural = "published keys"

    def __str__(self) -> str:
        return self.url
