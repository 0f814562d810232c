"""Beat's table: rows are made once and belong to staff from then on."""

from __future__ import annotations

from typing import NamedTuple

from django_celery_beat.models import IntervalSchedule, PeriodicTask


class Entry(NamedTuple):
    """One periodic task. A message that waited longer than its expiry is dropped: the next one does its work."""

    name: str
    task: str
    every_seconds: int
    expires_seconds: int
    description: str


ENTRIES = (
    Entry("Deliver due events", "events.deliver_due", 1, 10, "Sends pending and failed events whose time has come."),
    Entry("Poll due connections", "polling.poll_due_connections", 5, 10, "Claims due cursors and hands them out."),
    Entry("Run due backfills", "polling.run_due_backfills", 10, 20, "Reads a few pages of each backfill."),
    Entry("Run due actions", "actions.run_due_actions", 1, 10, "Claims due actions and hands them out."),
    Entry("Purge old actions", "actions.purge", 3600, 3600, "Removes actions older than ACTION_RETENTION_DAYS."),
    Entry("Fold intake tallies", "events.fold_tallies", 30, 30, "Adds up what came in, connection by connection."),
    Entry("Run replays", "events.run_replays", 5, 10, "Goes on with replays of many events, batch by batch."),
    Entry("Check the ledgers", "events.check_ledgers", 60, 60, "Looks for events that came in and are nowhere."),
    Entry(
        "Fetch published keys",
        "webhooks.refresh_published_keys",
        60,
        60,
        "Fetches key sets of providers that are missing, old, or lack a key a delivery named.",
    ),
    Entry("Settle hooks", "webhooks.settle_hooks", 30, 60, "Tells providers what they could not be told at once."),
    Entry("Send incidents", "connections.send_incidents", 5, 10, "Tells the alerting service what it does not know."),
    Entry("Renew access tokens", "connections.renew_tokens", 30, 30, "Replaces those that are about to end."),
    Entry("Settle incidents", "polling.settle_incidents", 60, 60, "Ends incidents of polling that are over."),
    Entry("Look at expiries", "connections.look_at_expiries", 900, 900, "Tells of credentials that end soon."),
    Entry(
        "Tidy incidents", "connections.tidy_incidents", 300, 300, "Ends those of suspended connections, removes old."
    ),
    Entry("Send receipts", "connections.send_receipts", 5, 10, "Sends receipts the evidence service does not have."),
    Entry("Tidy receipts", "connections.tidy_receipts", 300, 300, "Removes those older than RECEIPT_RETENTION_DAYS."),
    Entry(
        "Forget secrets",
        "connections.send_forgotten_secrets",
        30,
        60,
        "Overwrites secrets in key management that nobody needs any more.",
    ),
    Entry(
        "Reconcile webhooks",
        "webhooks.reconcile_due_doors",
        15,
        15,
        "Looks after hooks made at providers, and compares what they delivered with what came in.",
    ),
    Entry("Watch the ingress", "webhooks.watch_ingress", 20, 20, "Notices times in which no web process ran."),
    Entry("Fill gaps", "polling.fill_gaps", 15, 15, "Polls windows in which webhooks were missed."),
    Entry("Purge webhook evidence", "webhooks.purge", 3600, 3600, "Removes old refusals and unread deliveries."),
    Entry("Purge old events", "events.purge", 120, 120, "Removes events older than EVENT_RETENTION_DAYS."),
)


def seed_schedule() -> None:
    """Create what is missing; never change what staff have edited or switched off."""
    for entry in ENTRIES:
        interval, _ = IntervalSchedule.objects.get_or_create(every=entry.every_seconds, period=IntervalSchedule.SECONDS)
        PeriodicTask.objects.get_or_create(
            name=entry.name,
            defaults={
                "task": entry.task,
                "interval": interval,
                "expire_seconds": entry.expires_seconds,
                "description": entry.description,
            },
        )
