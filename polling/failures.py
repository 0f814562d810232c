"""What a provider's failure means beyond the cursor or backfill it stopped."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Min, Sum
from django.utils import timezone

from connections import history
from connections.models import ConnectionStatus, IntegrationConnection, record_failure
from polling import intervals
from polling.lease import from_now
from polling.models import UNFINISHED, Backfill, PollingCursor
from providers.errors import AuthFailed, Misconfigured, ProviderError, RateLimited

REFUSALS_UNTIL_ERROR = 5
ACTOR = "system:polling"


def is_refusal(error: ProviderError) -> bool:
    """Whether only a person can mend it, by another credential or other settings."""
    return isinstance(error, AuthFailed | Misconfigured)


def note(connection: IntegrationConnection, error: ProviderError) -> None:
    """Health, and what follows for the connection's other cursors."""
    record_failure(connection.pk, timezone.now(), str(error))
    if isinstance(error, RateLimited) and error.retry_after_seconds:
        _pause(connection, error.retry_after_seconds)
    if is_refusal(error):
        _stop_spending(connection, error)


def _pause(connection: IntegrationConnection, seconds: float) -> None:
    """A rate limit is the connection's: nothing of it that waits asks before the provider's time.

    Cursors that were handed out but not read yet lose their lease, so they wait too.
    """
    until = min(seconds, intervals.LONGEST_WISH_SECONDS)
    with transaction.atomic():
        # Locked in one order and without waiting: two streams may hit the limit at the same moment.
        waiting = (
            PollingCursor.objects.filter(connection=connection, active=True, next_poll_at__lt=from_now(until))
            .order_by("cursor_id")
            .select_for_update(skip_locked=True)
            .values_list("pk", flat=True)
        )
        PollingCursor.objects.filter(pk__in=list(waiting)).update(
            next_poll_at=from_now(intervals.with_jitter(0, at_least=until)),
            lease_token=None,
            interval_reason="the provider's rate limit is reached",
        )
    Backfill.objects.filter(
        connection=connection, status__in=UNFINISHED, lease_token=None, next_run_at__lt=from_now(until)
    ).update(next_run_at=from_now(intervals.with_jitter(0, at_least=until)))


def _stop_spending(connection: IntegrationConnection, error: ProviderError) -> None:
    """Mark the connection once every cursor in use is refused, five times together or more.

    One stream without the right scope, beside others that work, is that stream's trouble alone.
    """
    cursors = PollingCursor.objects.filter(connection=connection, active=True)
    refused = cursors.aggregate(fewest=Min("consecutive_refused"), together=Sum("consecutive_refused"))
    if not refused["fewest"] or refused["together"] < REFUSALS_UNTIL_ERROR:
        return
    with transaction.atomic():
        marked = IntegrationConnection.objects.filter(pk=connection.pk, status=ConnectionStatus.ACTIVE).update(
            status=ConnectionStatus.ERROR, streams_stale=True, updated_at=timezone.now()
        )
        if marked:
            history.record(
                connection, "polling_stopped", actor=ACTOR, outcome="failed", detail=f"{error} Verify to go on."
            )
