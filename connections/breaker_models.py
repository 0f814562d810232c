"""What is known of a provider's health as one connection meets it."""

from __future__ import annotations

from django.db import models

from connections.tenancy import TenantManager


class BreakerState(models.TextChoices):
    CLOSED = "closed", "Closed"
    OPEN = "open", "Open"
    HALF_OPEN = "half_open", "Half open"


class ConnectionBreaker(models.Model):
    """The circuit breaker of a connection, shared by all processes. Without a row it is closed and nothing failed.

    What ``held`` says goes before ``state``, until a person takes it back.
    """

    connection = models.OneToOneField(
        "connections.IntegrationConnection",
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="breaker",
        help_text="Whose calls it lets through or stops.",
    )
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant it belongs to.")
    state = models.CharField(
        max_length=20, choices=BreakerState, default=BreakerState.CLOSED, help_text="What the calls have shown."
    )
    held = models.CharField(
        max_length=20,
        choices=[(BreakerState.OPEN, "Held open"), (BreakerState.CLOSED, "Held closed")],
        blank=True,
        help_text="What a person decided instead; empty: nobody did.",
    )
    generation = models.PositiveBigIntegerField(
        default=0, help_text="Grows with every opening, closing and decision; results of earlier calls do not count."
    )
    failures = models.PositiveIntegerField(default=0, help_text="Failed calls in a row.")
    successes = models.PositiveIntegerField(default=0, help_text="Trial calls that worked since it last opened.")
    opened_at = models.DateTimeField(null=True, blank=True, help_text="When it last opened after being closed.")
    retry_at = models.DateTimeField(null=True, blank=True, help_text="When the next trial call may be made.")
    trial_token = models.UUIDField(null=True, blank=True, editable=False, help_text="Fencing token of the trial call.")
    trial_until = models.DateTimeField(
        null=True, blank=True, help_text="When the trial call under way is taken for dead."
    )
    last_error = models.CharField(max_length=500, blank=True, help_text="Last failure that counted.")
    last_error_at = models.DateTimeField(null=True, blank=True, help_text="When that was.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        db_table = "connection_breakers"
        verbose_name = "circuit breaker"
        ordering = ("-connection_id",)
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=BreakerState.values), name="breaker_state_is_known"),
            models.CheckConstraint(
                condition=models.Q(trial_token__isnull=True, trial_until__isnull=True)
                | models.Q(trial_token__isnull=False, trial_until__isnull=False, state="half_open"),
                name="breaker_trial_is_half_open",
            ),
        ]
        indexes = [
            models.Index(
                fields=["state"],
                condition=~models.Q(state="closed") | ~models.Q(held=""),
                name="breaker_not_closed",
            ),
        ]

    def __str__(self) -> str:
        return f"breaker of {self.connection_id}"
