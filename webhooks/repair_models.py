"""Hooks that are looked after, deliveries that were missed, and times nobody could deliver anything."""

from __future__ import annotations

import uuid6
from django.db import models
from django.db.models.functions import Now

from connections.models import IntegrationConnection
from connections.tenancy import TenantManager
from events.models import DeliveryGap


class Standing(models.TextChoices):
    """How a hook stands at the provider; the first five are what the provider says."""

    ENABLED = "enabled", "Delivers"
    PAUSED = "paused", "Paused by the provider"
    DISABLED = "disabled", "Switched off"
    GONE = "gone", "Not there"
    ELSEWHERE = "elsewhere", "Posts to another address"
    UNKNOWN = "unknown", "Not known"


class WatchedHook(models.Model):
    """One hook at a provider: how it stands, and how far its ledger of deliveries was compared with what came in."""

    watch_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant it belongs to.")
    connection = models.ForeignKey(
        IntegrationConnection, on_delete=models.CASCADE, related_name="watched_hooks", help_text="Asked as."
    )
    registration = models.ForeignKey(
        "webhooks.WebhookRegistration", on_delete=models.CASCADE, related_name="watched_hooks", help_text="Its door."
    )
    place = models.CharField(max_length=500, help_text="Where at the provider, such as a repository.")
    hook_id = models.CharField(max_length=200, help_text="Its id at the provider.")
    standing = models.CharField(
        max_length=20, choices=Standing, default=Standing.UNKNOWN, help_text="How it stands there, when last asked."
    )
    standing_since = models.DateTimeField(db_default=Now(), help_text="When it was first seen to stand so.")
    paused_until = models.DateTimeField(null=True, blank=True, help_text="When the provider's pause ends.")
    expires_at = models.DateTimeField(null=True, blank=True, help_text="When it ends unless it is renewed.")
    enabled_seen_at = models.DateTimeField(db_default=Now(), help_text="When it was last known to deliver.")
    cured_at = models.JSONField(default=list, blank=True, help_text="When it was last made to deliver again.")
    checked_at = models.DateTimeField(null=True, blank=True, help_text="When it was last looked after.")
    read_at = models.DateTimeField(
        help_text="Begin of the last reading of its ledger that came to the end: what is older came in, or is shown."
    )
    read_to = models.DateTimeField(help_text="Newest delivery the ledger has shown, by the provider's clock.")
    walk = models.JSONField(default=dict, blank=True, editable=False, help_text="A reading that goes on next time.")
    start = models.JSONField(default=dict, blank=True, editable=False, help_text="Where a new reading begins.")
    failing_since = models.DateTimeField(
        null=True, blank=True, help_text="First of the deliveries that have failed in a row; empty: the last was taken."
    )
    failed_in_row = models.PositiveIntegerField(default=0, help_text="How many have.")
    last_error = models.CharField(
        max_length=500, blank=True, help_text="What stands in the way of looking after it, in words to act on."
    )
    failures = models.PositiveSmallIntegerField(default=0, help_text="Failures to do so since the last success.")
    retry_at = models.DateTimeField(null=True, blank=True, help_text="After a failure: not looked after before.")
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        db_table = "watched_hooks"
        ordering = ("-watch_id",)
        verbose_name = "watched hook"
        constraints = [models.UniqueConstraint(fields=["registration", "place"], name="watched_once_a_place")]

    def __str__(self) -> str:
        return f"hook {self.hook_id} in {self.place}"


class MissedState(models.TextChoices):
    """How far a missed delivery is."""

    MISSING = "missing", "Missing"
    ASKED = "asked", "Asked for again"
    ARRIVED = "arrived", "Arrived after all"
    FETCHED = "fetched", "Fetched"
    POLLED = "polled", "Left to polling its window"
    LOST = "lost", "Not recoverable"


UNSETTLED_MISSED = (MissedState.MISSING, MissedState.ASKED)


class MissedCause(models.TextChoices):
    """What went wrong, as far as the provider's ledger and our door tell."""

    NOT_REACHED = "not_reached", "No answer reached the provider"
    OUR_FAULT = "our_fault", "Answered 5xx"
    PUT_OFF = "put_off", "Answered 429: too many at once"
    REFUSED = "refused", "Refused by our door"
    NOT_HERE = "not_here", "Held for delivered, but not here"


class MissedDelivery(models.Model):
    """A delivery the provider's ledger shows that did not come in. Never its content."""

    missed_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    tenant_id = models.CharField(max_length=100, db_index=True, help_text="Tenant it belongs to.")
    connection = models.ForeignKey(
        IntegrationConnection, on_delete=models.CASCADE, related_name="+", help_text="Whose it is."
    )
    watch = models.ForeignKey(WatchedHook, on_delete=models.CASCADE, related_name="missed", help_text="Hook it is of.")
    gap = models.ForeignKey(DeliveryGap, on_delete=models.CASCADE, related_name="missed", help_text="Window it is in.")
    delivery_id = models.CharField(max_length=200, help_text="The provider's id of the delivery.")
    attempt_id = models.CharField(max_length=100, help_text="The provider's id of its last attempt.")
    event_type = models.CharField(max_length=120, help_text="The provider's own name for what it tells.")
    dedupe_keys = models.JSONField(default=list, editable=False, help_text="What its events would be known by.")
    delivered_at = models.DateTimeField(help_text="When the provider tried, by its clock.")
    status_code = models.PositiveSmallIntegerField(help_text="What it was answered; 0: nothing.")
    cause = models.CharField(max_length=20, choices=MissedCause, help_text="Closed set.")
    state = models.CharField(
        max_length=20, choices=MissedState, default=MissedState.MISSING, help_text="How far it is."
    )
    asked_at = models.DateTimeField(null=True, blank=True, help_text="When it was last asked for.")
    tries = models.PositiveSmallIntegerField(default=0, help_text="Tries to get it that failed.")
    next_step_at = models.DateTimeField(db_default=Now(), help_text="When the next step is taken.")
    last_error = models.CharField(max_length=500, blank=True, help_text="Why the last try failed; redacted.")
    detected_at = models.DateTimeField(db_default=Now(), help_text="When it was noticed.")
    settled_at = models.DateTimeField(null=True, blank=True, help_text="When it was here, or given up.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        db_table = "missed_deliveries"
        ordering = ("-missed_id",)
        verbose_name = "missed delivery"
        verbose_name_plural = "missed deliveries"
        constraints = [models.UniqueConstraint(fields=["watch", "delivery_id"], name="missed_once_a_delivery")]
        indexes = [
            models.Index(
                fields=["watch", "next_step_at"],
                condition=models.Q(state__in=["missing", "asked"]),
                name="missed_unsettled",
            ),
            models.Index(fields=["connection", "-missed_id"], name="missed_by_connection"),
            models.Index(
                fields=["connection", "asked_at"], condition=models.Q(asked_at__isnull=False), name="missed_asked_for"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.delivery_id}"


class IngressClock(models.Model):
    """When a web process last said that it runs. One row: what counts is that any of them does."""

    clock_id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    beaten_at = models.DateTimeField(help_text="PostgreSQL's clock.")

    class Meta:
        db_table = "ingress_clock"
        verbose_name = "ingress clock"

    def __str__(self) -> str:
        return f"{self.beaten_at:%Y-%m-%d %H:%M:%S}"


class IngressOutage(models.Model):
    """A time in which no web process ran, or none could reach the database: nothing could be delivered to us."""

    outage_id = models.UUIDField(
        primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7)."
    )
    since = models.DateTimeField(help_text="Last sign of life before.")
    until = models.DateTimeField(null=True, blank=True, help_text="First sign of life after; empty while it lasts.")
    told_until = models.UUIDField(
        null=True, blank=True, editable=False, help_text="Connections up to this one have been told of it."
    )
    told_at = models.DateTimeField(null=True, blank=True, help_text="When all connections had been told.")
    connections = models.PositiveIntegerField(default=0, help_text="Connections that could have missed something.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "ingress_outages"
        ordering = ("-outage_id",)
        verbose_name = "ingress outage"
        constraints = [models.UniqueConstraint(fields=["since"], name="outage_once_a_start")]

    def __str__(self) -> str:
        end = f"{self.until:%Y-%m-%d %H:%M:%S}" if self.until else "now"
        return f"{self.since:%Y-%m-%d %H:%M:%S} to {end}"
