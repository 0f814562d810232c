"""Whose account it is: connections and the secrets they refer to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import uuid6
from django.db import models

from connections.breaker_models import BreakerState as BreakerState
from connections.breaker_models import ConnectionBreaker as ConnectionBreaker
from connections.oauth_models import AuthorisationOutcome as AuthorisationOutcome
from connections.oauth_models import OAuthAuthorisation as OAuthAuthorisation
from connections.oauth_models import OAuthClient as OAuthClient
from connections.outbox_models import OutboxRow
from connections.receipt_models import Receipt as Receipt
from connections.receipt_models import ReceiptOutcome as ReceiptOutcome
from connections.receipt_models import ReceiptStatus as ReceiptStatus
from connections.secret_models import ForgottenSecret as ForgottenSecret
from connections.tenancy import TenantManager, TenantQuerySet
from connections.token_models import AccessToken as AccessToken
from connections.verification_models import ConnectionVerification as ConnectionVerification
from connections.verification_models import VerificationOutcome as VerificationOutcome
from providers.models import IntegrationProvider


class ConnectionStatus(models.TextChoices):
    PENDING_VERIFICATION = "pending_verification", "Pending verification"
    ACTIVE = "active", "Active"
    SUSPENDED = "suspended", "Suspended"
    ERROR = "error", "Error"
    DELETED = "deleted", "Deleted"


class ConnectionQuerySet(TenantQuerySet):
    def present(self) -> ConnectionQuerySet:
        """All but the soft-deleted."""
        return self.exclude(status=ConnectionStatus.DELETED)

    def get_all_active(self) -> ConnectionQuerySet:
        """Connections that may be polled and acted through now."""
        return self.filter(status=ConnectionStatus.ACTIVE)


def no_capabilities() -> dict[str, bool]:
    return {"webhook": False, "polling": False, "outbound_actions": False}


class IntegrationConnection(models.Model):
    """One tenant's authorised link to a provider."""

    connection_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant that owns the connection.")
    provider = models.ForeignKey(
        IntegrationProvider, on_delete=models.PROTECT, related_name="connections", help_text="Tool it leads to."
    )
    display_name = models.CharField(max_length=200, help_text="Name people know it by.")
    auth_ref = models.CharField(
        max_length=300, blank=True, help_text="Reference to the credential in the secret store; never the secret."
    )
    status = models.CharField(
        max_length=30, choices=ConnectionStatus, default=ConnectionStatus.PENDING_VERIFICATION, help_text="Life cycle."
    )
    enabled_capabilities = models.JSONField(
        default=no_capabilities, help_text="What this connection is used for: webhook, polling, outbound_actions."
    )
    metadata_tags = models.JSONField(default=dict, blank=True, help_text="Free labels, text to text.")
    api_version = models.CharField(max_length=50, help_text="Version of the provider's API this connection speaks.")
    settings = models.JSONField(
        default=dict, blank=True, help_text="Validated by the adapter's schema: base_url, repositories, projects …"
    )
    account = models.CharField(
        max_length=200, blank=True, help_text="Account the provider named when the credential was last verified."
    )
    last_verified_at = models.DateTimeField(null=True, blank=True, help_text="Last successful verification.")
    last_success_at = models.DateTimeField(null=True, blank=True, help_text="Last successful call to the provider.")
    last_webhook_at = models.DateTimeField(null=True, blank=True, help_text="Last verified webhook, to the minute.")
    last_error = models.TextField(blank=True, help_text="Last failure, in words a person can act on.")
    last_error_at = models.DateTimeField(null=True, blank=True, help_text="When it last failed.")
    consecutive_failures = models.PositiveIntegerField(default=0, help_text="Failed calls since the last success.")
    consecutive_refusals = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Calls since the last success at which the credential itself was refused."
    )
    failures_total = models.PositiveBigIntegerField(default=0, db_default=0, help_text="Failed calls of all time.")
    credential_expires_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When the credential ends, as the provider said or else a person; empty: not known, or never.",
    )
    unsigned_waiver_by = models.CharField(
        max_length=200,
        blank=True,
        help_text="Who accepted that deliveries prove nothing beyond knowing the URL; empty: nobody, they are refused.",
    )
    unsigned_waiver_reason = models.CharField(max_length=500, blank=True, help_text="Why that was accepted.")
    unsigned_waiver_at = models.DateTimeField(null=True, blank=True, help_text="When that was accepted.")
    streams_stale = models.BooleanField(
        default=True,
        editable=False,
        help_text="Set with every change of status, settings or capabilities; polling then looks at its cursors.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ConnectionQuerySet.as_manager()

    class Meta:
        db_table = "integration_connections"
        ordering = ("-connection_id",)
        verbose_name = "connection"
        indexes = [
            models.Index(fields=["tenant_id", "-connection_id"], name="connection_by_tenant"),
            models.Index(fields=["provider", "status"], name="connection_by_provider"),
            models.Index(
                fields=["connection_id"], condition=models.Q(streams_stale=True), name="connection_streams_stale"
            ),
            models.Index(
                fields=["credential_expires_at"],
                condition=models.Q(credential_expires_at__isnull=False),
                name="connection_expiring",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=ConnectionStatus.values), name="connection_status_is_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.display_name} ({self.tenant_id})"

    def uses(self, capability: str) -> bool:
        """Whether the capability is switched on for this connection."""
        return bool(self.enabled_capabilities.get(capability))

    @property
    def only_receives(self) -> bool:
        """Whether it is used for webhooks alone: its first valid delivery is then its verification."""
        return not self.uses("polling") and not self.uses("outbound_actions")

    @property
    def waives_signatures(self) -> bool:
        """Whether somebody accepted, by name, that deliveries of this connection are not signed."""
        return bool(self.unsigned_waiver_by)


class ConnectionRoute(models.Model):
    """A name under which deliveries to a shared door belong to a connection, as its provider said.

    Written only when a credential is verified: a route decides whose events those are.
    """

    route_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant it belongs to.")
    connection = models.ForeignKey(
        IntegrationConnection, on_delete=models.CASCADE, related_name="routes", help_text="Whose deliveries they are."
    )
    provider = models.ForeignKey(
        IntegrationProvider, on_delete=models.PROTECT, related_name="+", help_text="Tool the name is of."
    )
    route = models.CharField(max_length=200, help_text="The provider's name for app and account.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        db_table = "connection_routes"
        verbose_name = "route"
        constraints = [models.UniqueConstraint(fields=["connection", "route"], name="route_once_a_connection")]
        indexes = [models.Index(fields=["provider", "route"], name="route_by_name")]

    def __str__(self) -> str:
        return self.route


class StoredSecret(models.Model):
    """A secret at rest in the embedded store: ciphertext only, found by reference."""

    secret_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant it belongs to.")
    name = models.CharField(
        max_length=100, blank=True, help_text="Well-known name, such as platform/pm3; empty for generated references."
    )
    ciphertext = models.BinaryField(help_text="Fernet token; readable with any key in SECRETS_KEYS.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "stored_secrets"
        verbose_name = "stored secret"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "name"], condition=~models.Q(name=""), name="secret_once_a_name"
            )
        ]

    def __str__(self) -> str:
        return f"secret {self.secret_id}"


class HistoryQuerySet(TenantQuerySet):
    def newest_first(self) -> HistoryQuerySet:
        return self.order_by("-entry_id")


class ConnectionHistory(models.Model):
    """Evidence: every change of a connection, who made it and why. Rows are only ever added."""

    entry_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant it belongs to.")
    connection = models.ForeignKey(
        IntegrationConnection, on_delete=models.CASCADE, related_name="history", help_text="What was changed."
    )
    operation = models.CharField(max_length=50, help_text="What was done: created, verified, suspended …")
    actor = models.CharField(max_length=200, help_text="Staff user, API client or service part.")
    outcome = models.CharField(max_length=20, help_text="ok or failed.")
    detail = models.TextField(blank=True, help_text="Redacted.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = HistoryQuerySet.as_manager()

    class Meta:
        db_table = "connection_history"
        ordering = ("-entry_id",)
        verbose_name = "history entry"
        verbose_name_plural = "history"

    def __str__(self) -> str:
        return f"{self.operation} by {self.actor}"


class IncidentStatus(models.TextChoices):
    OPEN = "open", "Open"
    RESOLVED = "resolved", "Resolved"


class IncidentSeverity(models.TextChoices):
    """The words signals use."""

    INFO = "info", "Info"
    WARNING = "warning", "Warning"
    ERROR = "error", "Error"
    CRITICAL = "critical", "Critical"


class Incident(OutboxRow):
    """Trouble of one connection that a person should know of, and what the alerting service was told of it.

    The row is the message: while what the service was ``told`` is not the ``status``, it is due at ``next_attempt_at``.
    """

    incident_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7); the id of its alert."
    )
    connection = models.ForeignKey(
        IntegrationConnection, on_delete=models.CASCADE, related_name="incidents", help_text="What is in trouble."
    )
    cause = models.CharField(max_length=60, help_text="Kind of trouble, a short name such as provider_down.")
    severity = models.CharField(max_length=20, choices=IncidentSeverity, help_text="How bad it is.")
    summary = models.CharField(max_length=300, help_text="What is wrong, in one line.")
    detail = models.TextField(blank=True, help_text="What is known of it and what a person can do; redacted.")
    status = models.CharField(
        max_length=20, choices=IncidentStatus, default=IncidentStatus.OPEN, help_text="Whether it is over."
    )
    current = models.BooleanField(
        default=True, help_text="Whether the same trouble, should it come back, still belongs to this incident."
    )
    occurrences = models.PositiveBigIntegerField(default=0, help_text="How often it was raised.")
    reopened = models.PositiveIntegerField(default=0, help_text="How often it came back shortly after its end.")
    started_at = models.DateTimeField(help_text="First raised.")
    last_seen_at = models.DateTimeField(help_text="Last raised.")
    resolved_at = models.DateTimeField(null=True, blank=True, help_text="When it ended; empty while it is open.")
    resolution = models.CharField(max_length=300, blank=True, help_text="Why it is over.")
    told = models.CharField(
        max_length=20,
        choices=IncidentStatus,
        blank=True,
        help_text="Status the alerting service was last told; empty: nothing yet.",
    )
    offered = models.BooleanField(
        default=False, help_text="Whether the alerting service may know of it: a message was begun."
    )
    alert_id = models.CharField(
        max_length=100, blank=True, help_text="Id under which the alerting service keeps the alert."
    )

    objects = TenantManager()

    class Meta:
        db_table = "incidents"
        ordering = ("-incident_id",)
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "cause"], condition=models.Q(current=True), name="incident_once_a_cause"
            ),
            models.CheckConstraint(
                condition=models.Q(status="resolved", resolved_at__isnull=False)
                | models.Q(status="open", resolved_at__isnull=True, current=True),
                name="incident_is_open_or_over",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=models.Q(next_attempt_at__isnull=False), name="incident_due"
            ),
            models.Index(fields=["cause"], condition=models.Q(status="open"), name="incident_open"),
        ]

    def __str__(self) -> str:
        return self.summary


def record_success(connection_id: Any, at: datetime) -> None:
    """Health: a call to the provider worked."""
    IntegrationConnection.objects.filter(pk=connection_id).update(
        last_success_at=at, consecutive_failures=0, consecutive_refusals=0
    )


def record_failure(connection_id: Any, at: datetime, message: str, *, refused: str | None = None) -> bool:
    """Health: something failed. Where a provider did, ``connections.health.call_failed`` draws the conclusions.

    ``refused``: the reference of the credential the provider refused; then only a connection that still uses it is
    concerned. Returns whether it was written.
    """
    rows = IntegrationConnection.objects.filter(pk=connection_id)
    counted: dict[str, Any] = {
        "consecutive_failures": models.F("consecutive_failures") + 1,
        "failures_total": models.F("failures_total") + 1,
    }
    if refused is not None:
        rows, counted["consecutive_refusals"] = rows.filter(auth_ref=refused), models.F("consecutive_refusals") + 1
    return bool(rows.update(last_error=message[:1000], last_error_at=at, **counted))
