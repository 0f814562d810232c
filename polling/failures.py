"""What a provider's failure means beyond the cursor or backfill it stopped."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Min, Q, QuerySet, Sum
from django.db.models.functions import Now
from django.utils import timezone

from connections import history
from connections.health import call_failed
from connections.models import ConnectionStatus, IntegrationConnection
from polling import intervals, outages, reading
from polling.lease import from_now
from polling.models import UNFINISHED, Backfill, PollingCursor
from providers.errors import AuthFailed, Misconfigured, ProviderError, RateLimited, Unreachable

REFUSALS_UNTIL_ERROR = 5
ACTOR = "system:polling"
# After a refusal that names no time.
UNTOLD_PAUSE_SECONDS = 60.0
# A stream that got no answer asks again so long after those that waited for it: each has its turn.
BEHIND_SECONDS = 30.0


def is_refusal(error: ProviderError) -> bool:
    """Whether only a person can mend it, by another credential or other settings."""
    return isinstance(error, AuthFailed | Misconfigured)


def note(connection: IntegrationConnection, error: ProviderError, cursor: PollingCursor | None = None) -> None:
    """Health, what follows for other cursors, and for people.

    ``cursor`` is the row as it was before the run that failed, if it was one of live polling.
    """
    call_failed(connection, error, actor=ACTOR)
    if isinstance(error, RateLimited):
        _pause_credential(connection, error.retry_after_seconds or UNTOLD_PAUSE_SECONDS)
    if isinstance(error, Unreachable) and cursor is not None:
        _let_others_wait(connection, cursor)
    if is_refusal(error):
        _stop_spending(connection, error)
    if cursor is not None:
        outages.consider(connection, cursor, error.category, str(error))


def _let_others_wait(connection: IntegrationConnection, cursor: PollingCursor) -> None:
    """Of streams that get no answer one asks at a time: each holds a worker until the call's time is over.

    The pause doubles with each call of the connection that fails, up to its own interval; a success of any stream
    starts it anew. So one stream that never gets an answer costs the others the shortest pause, and no more.
    """
    bounds = reading.bounds_of(connection)
    backoff = intervals.after_failure(bounds, failures=connection.consecutive_failures + 1, retryable=True)
    pause = min(backoff.seconds, bounds.clamp(bounds.base))
    others = PollingCursor.objects.filter(connection=connection).exclude(pk=cursor.pk)
    if _park(others, pause, outages.WAITS_FOR_AN_ANSWER):
        behind = from_now(intervals.with_jitter(0, at_least=pause) + BEHIND_SECONDS)
        PollingCursor.objects.filter(pk=cursor.pk, lease_token=None, next_poll_at__lt=behind).update(
            next_poll_at=behind, updated_at=Now()
        )


def _pause_credential(connection: IntegrationConnection, seconds: float) -> None:
    """A rate limit is the credential's: nothing that uses it asks before the provider's time."""
    until = min(seconds, intervals.LONGEST_WISH_SECONDS)
    same = Q(pk=connection.pk)
    if connection.auth_ref:
        same |= Q(tenant_id=connection.tenant_id, provider_id=connection.provider_id, auth_ref=connection.auth_ref)
    sharing = IntegrationConnection.objects.filter(same).values("pk")
    _park(PollingCursor.objects.filter(connection__in=sharing), until, "the provider's rate limit is reached")
    Backfill.objects.filter(
        connection__in=sharing, status__in=UNFINISHED, lease_token=None, next_run_at__lt=from_now(until)
    ).update(next_run_at=from_now(intervals.with_jitter(0, at_least=until)))


def _park(cursors: QuerySet[PollingCursor], seconds: float, reason: str) -> int:
    """Let those that would ask before then wait; returns how many.

    Those that were handed out lose their lease, whenever it ends, so they wait too.
    """
    soon = Q(next_poll_at__lt=from_now(seconds)) | Q(lease_token__isnull=False)
    with transaction.atomic():
        # Locked in one order and without waiting: two streams may fail at the same moment.
        waiting = (
            cursors.filter(soon, active=True)
            .order_by("cursor_id")
            .select_for_update(skip_locked=True)
            .values_list("pk", flat=True)
        )
        return PollingCursor.objects.filter(pk__in=list(waiting)).update(
            next_poll_at=from_now(intervals.with_jitter(0, at_least=seconds)),
            lease_token=None,
            interval_reason=reason,
            updated_at=Now(),
        )


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
            outages.stopped(connection, error.category, str(error))
