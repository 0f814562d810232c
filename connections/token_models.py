"""Access tokens that are made from a credential and do not last."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Self

import uuid6
from django.db import models
from django.db.models.functions import Now

from connections.tenancy import TenantQuerySet

if TYPE_CHECKING:
    from connections.models import IntegrationConnection


class TokenQuerySet(TenantQuerySet):
    def of(self, connection: IntegrationConnection) -> Self:
        """The row of the connection's credential, if there is one."""
        return self.filter(
            tenant_id=connection.tenant_id, auth_ref=connection.auth_ref, provider_id=connection.provider_id
        )

    def seen(self) -> Self:
        """Rows that know when they were read, by the database's clock (``now``)."""
        seen: Self = self.annotate(now=Now())
        return seen


class AccessToken(models.Model):
    """The current access token of one credential for one tool, shared by all connections and processes that use it.

    ``auth_ref`` leads to what it is made from; it stays the same. ``token_ref`` leads to the current token set, a new
    reference with every refresh; the set before it is kept until a call has succeeded with the new one.
    ``generation`` counts the sets: whoever refreshed stores its result only where it is still the one it began with.
    """

    token_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant it belongs to.")
    provider = models.ForeignKey(
        "providers.IntegrationProvider", on_delete=models.PROTECT, related_name="+", help_text="Tool it is for."
    )
    auth_ref = models.CharField(max_length=300, help_text="Reference to the credential it is made from.")
    source_digest = models.CharField(
        max_length=64,
        blank=True,
        help_text="Hash of that credential and where its tokens are good; with another one it begins anew.",
    )
    token_ref = models.CharField(max_length=300, blank=True, help_text="Reference to the current token set.")
    previous_ref = models.CharField(
        max_length=300, blank=True, help_text="Reference to the set before it, until the current one is proven."
    )
    generation = models.PositiveBigIntegerField(default=0, help_text="Token sets stored so far.")
    renewable = models.BooleanField(
        default=False, help_text="Whether a refresh token keeps it alive, which may die when it is not used."
    )
    scopes = models.JSONField(default=list, blank=True, help_text="Scopes that were granted, as far as it was told.")
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="End of the current token; empty: never, or not told."
    )
    refresh_at = models.DateTimeField(
        null=True, blank=True, help_text="When a new one is to be asked for, or again after a failure; empty: never."
    )
    last_refreshed_at = models.DateTimeField(null=True, blank=True, help_text="When the current token was stored.")
    refresh_started_at = models.DateTimeField(
        null=True, blank=True, help_text="Set before a token is asked for and cleared with its result."
    )
    lease_token = models.UUIDField(null=True, blank=True, editable=False, help_text="Fencing token of who asks.")
    lease_until = models.DateTimeField(null=True, blank=True, help_text="When somebody else may ask instead.")
    attempts = models.PositiveIntegerField(default=0, help_text="Requests since the last that was granted.")
    last_error = models.CharField(max_length=500, blank=True, help_text="Why the last request was not granted.")
    last_category = models.CharField(max_length=20, blank=True, help_text="Category of that error.")
    ended_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when nothing is asked any more: the provider refuses the credential."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TokenQuerySet.as_manager()

    now: datetime
    """Only of rows read with ``seen``."""

    class Meta:
        db_table = "access_tokens"
        verbose_name = "access token"
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "auth_ref", "provider"], name="access_token_once_a_credential")
        ]
        indexes = [
            models.Index(
                fields=["refresh_at"],
                condition=models.Q(renewable=True, ended_at__isnull=True),
                name="access_token_due",
            ),
        ]

    def __str__(self) -> str:
        return f"access token {self.token_id}"

    def is_good_for(self, seconds: float, now: datetime) -> bool:
        """Whether there is a token that lasts so much longer."""
        return bool(self.token_ref) and (self.expires_at is None or (self.expires_at - now).total_seconds() > seconds)

    def is_due(self, now: datetime) -> bool:
        """Whether a new one is to be asked for."""
        return not self.token_ref or (self.refresh_at is not None and self.refresh_at <= now)

    def paused_for(self, now: datetime) -> float:
        """For how many seconds nothing is asked after a failure."""
        if not self.attempts or self.refresh_at is None or self.lease_token is not None:
            return 0.0
        return max(0.0, (self.refresh_at - now).total_seconds())
