"""The operator's clients at authorisation servers, and authorisations under way."""

from __future__ import annotations

import uuid6
from django.db import models

from connections.tenancy import SHARED_TENANT, TenantManager


class OAuthClient(models.Model):
    """An app registered at a provider, with which its users authorise connections."""

    client_row_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    tenant_id = models.CharField(
        max_length=100, db_index=True, default=SHARED_TENANT, help_text="Tenant that may use it; * is every tenant."
    )
    provider = models.ForeignKey(
        "providers.IntegrationProvider", on_delete=models.PROTECT, related_name="oauth_clients", help_text="Tool."
    )
    origin = models.CharField(
        max_length=300, blank=True, help_text="Scheme and host of a self-managed server; empty: the provider's own."
    )
    client_id = models.CharField(max_length=300, help_text="Public id the provider gave the app.")
    secret_ref = models.CharField(
        max_length=300, blank=True, help_text="Reference to the app's secret in the secret store; never the secret."
    )
    scopes = models.JSONField(default=list, blank=True, help_text="Scopes to ask for; empty: the adapter's.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        db_table = "oauth_clients"
        verbose_name = "OAuth client"
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "provider", "origin"], name="oauth_client_once_a_tenant")
        ]

    def __str__(self) -> str:
        return f"{self.provider_id} app {self.client_id}"


class AuthorisationOutcome(models.TextChoices):
    UNDER_WAY = "under_way", "Under way"
    CONNECTED = "connected", "Connected"
    FAILED = "failed", "Failed"


class OAuthAuthorisation(models.Model):
    """One visit to a provider's authorisation page, from its start to what came of it. No secret is in it.

    The state that comes back is known here by its hash only, and the code verifier is derived from it
    (``connections.oauth``). ``claimed_at`` is set once, before the code is used.
    """

    authorisation_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant it was started for.")
    provider = models.ForeignKey(
        "providers.IntegrationProvider", on_delete=models.PROTECT, related_name="+", help_text="Tool."
    )
    client = models.ForeignKey(
        OAuthClient, on_delete=models.SET_NULL, null=True, related_name="+", help_text="App that asks for access."
    )
    connection = models.ForeignKey(
        "connections.IntegrationConnection",
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        help_text="Connection to authorise again; else the one that was made.",
    )
    renews = models.BooleanField(default=False, help_text="Whether an existing connection is authorised again.")
    state_hash = models.BinaryField(max_length=32, unique=True, help_text="SHA-256 of the state.")
    browser_hash = models.BinaryField(
        max_length=32, blank=True, default=b"", help_text="SHA-256 of the staff session that must come back; or empty."
    )
    display_name = models.CharField(max_length=200, help_text="Name of the connection to be made.")
    settings = models.JSONField(default=dict, blank=True, help_text="Its settings, as far as they are known before.")
    site = models.CharField(max_length=300, blank=True, help_text="Which of several sites is wanted.")
    scopes = models.JSONField(default=list, blank=True, help_text="Scopes that were asked for.")
    redirect_uri = models.CharField(max_length=500, help_text="Where the provider sends the browser back to.")
    return_url = models.CharField(max_length=2000, blank=True, help_text="Where the browser goes in the end.")
    actor = models.CharField(max_length=200, help_text="Who started it.")
    expires_at = models.DateTimeField(db_index=True, help_text="Until when the browser may come back.")
    claimed_at = models.DateTimeField(null=True, blank=True, help_text="When the browser came back; only once.")
    outcome = models.CharField(
        max_length=20,
        choices=AuthorisationOutcome,
        default=AuthorisationOutcome.UNDER_WAY,
        help_text="What came of it.",
    )
    detail = models.TextField(blank=True, help_text="What happened, in words a person can act on.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        db_table = "oauth_authorisations"
        verbose_name = "authorisation"
        ordering = ("-authorisation_id",)

    def __str__(self) -> str:
        return f"{self.display_name} ({self.tenant_id})"
