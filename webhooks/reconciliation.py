"""The scheduled reconciliation of doors whose hooks were made at providers: nothing that was told may be missed.

Of each hook: how it stands, what its ledger shows that did not come in, getting that, and putting the hook right.
Registrations are claimed with a lease, tenants in turn; a run is bounded, and what it leaves the next one goes on with.
A place that fails does not keep the others.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog
from celery import current_app
from django.conf import settings
from django.db import DatabaseError, DataError, InterfaceError
from django.db.models import Min
from django.utils import timezone

from connections.errors import ServiceError
from connections.models import ConnectionStatus
from connections.runtime import client_for
from connections.turns import within
from providers import registry
from providers.errors import (
    Misconfigured,
    OutOfTime,
    ProviderError,
    ProviderFault,
    QuotaSpent,
    RateLimited,
    Unreachable,
)
from providers.quotas import Traffic
from providers.redaction import redact_text
from providers.registry import UnknownProvider
from webhooks.hook_standing import look, put_right
from webhooks.hook_work import HookWork, watched_hooks
from webhooks.ingress import is_open
from webhooks.ledger_reading import read_ledger
from webhooks.models import MissedDelivery, WatchedHook, WebhookRegistration
from webhooks.registrations import public_url
from webhooks.repair import leave_to_polling, repair
from webhooks.repair_lease import Claim, LeaseLost, claim_due, release
from webhooks.repair_models import UNSETTLED_MISSED, Standing

log = structlog.get_logger(__name__)

DOORS_A_TICK = 200
DOORS_A_MESSAGE = 10
MESSAGE_SECONDS = 90.0
# For the hooks of one door; then the others have their turn.
DOOR_SECONDS = 30.0
# With many hooks they are looked at less often: two requests each, and no more than a quarter of a usual quota.
SECONDS_A_HOOK = 6.0
JITTER = 0.1
# Of the interval: a hook that was looked at no longer ago waits for the next run, unless something of it is due.
RESTED = 0.75
LATER = datetime.max.replace(tzinfo=UTC)
AT_ONCE = timedelta(seconds=1)
SOONEST = timedelta(seconds=5)
# What a person has to change first, and what passes by itself.
AFTER_A_REFUSAL = timedelta(minutes=15)
AFTER_A_FAULT = (timedelta(seconds=60), timedelta(seconds=120), timedelta(seconds=240))
STANDS_ASIDE = timedelta(minutes=10)
LONGEST_WAIT = timedelta(hours=6)
# They would be the same in the next place.
_OF_ALL_PLACES = (RateLimited, QuotaSpent, Unreachable, OutOfTime)


@dataclass(slots=True)
class Reconciled:
    """What one run came to: ``looked_after``, ``stood_aside``, ``failed`` or ``lease_lost``."""

    outcome: str
    hooks: int = 0
    error: str = ""
    due_in: timedelta = timedelta()


def reconcile_due(limit: int = DOORS_A_TICK) -> list[Reconciled]:
    """Claim what is due and look after it in this process."""
    return [reconcile(claim) for claim in claim_due(limit)]


def hand_over(claims: Sequence[Claim]) -> int:
    """Send claimed registrations to the workers, some a message, and return the number of messages."""
    chunks = [claims[start : start + DOORS_A_MESSAGE] for start in range(0, len(claims), DOORS_A_MESSAGE)]
    for chunk in chunks:
        current_app.send_task(
            "webhooks.reconcile_doors",
            args=[[str(claim.registration_id) for claim in chunk], str(chunk[0].token)],
            expires=MESSAGE_SECONDS,
            ignore_result=True,
        )
    return len(chunks)


def run_message(registration_ids: Sequence[str], token: str) -> int:
    """Look after the registrations of one message; those there is no time for are given back."""
    ends_at = time.monotonic() + MESSAGE_SECONDS
    done = 0
    for claim in (Claim(uuid.UUID(key), uuid.UUID(token)) for key in registration_ids):
        if time.monotonic() >= ends_at:
            release(claim, AT_ONCE)
            continue
        reconcile(claim)
        done += 1
    return done


def reconcile(claim: Claim) -> Reconciled:
    """Look after the hooks of one door, if the claim still holds."""
    row: WebhookRegistration | None = (
        WebhookRegistration.objects.select_related("connection")
        .filter(pk=claim.registration_id, reconcile_token=claim.token)
        .first()
    )
    if row is None:
        return Reconciled("lease_lost")
    result = Reconciled("stood_aside", due_in=STANDS_ASIDE)
    try:
        if _can_be_asked(row):
            result = _look_after(claim, row)
    except LeaseLost:
        return Reconciled("lease_lost")
    except Exception as error:  # ours or an adapter's: one door must not keep the others, nor be tried without end
        if _is_of_the_database(error):
            raise
        log.exception("reconciliation_failed", registration_id=str(row.pk), provider_id=row.provider_id)
        result = Reconciled("failed", error=type(error).__name__, due_in=AFTER_A_REFUSAL)
    release(claim, result.due_in)
    log.log(
        30 if result.error else 10,
        "door_reconciled",
        tenant_id=row.tenant_id,
        registration_id=str(row.pk),
        outcome=result.outcome,
        hooks=result.hooks,
        error=result.error,
    )
    return result


def _can_be_asked(row: WebhookRegistration) -> bool:
    connection = row.connection
    if connection is None or connection.status != ConnectionStatus.ACTIVE or not connection.auth_ref:
        return False
    try:
        webhook = registry.get(row.provider_id).webhook
    except UnknownProvider:
        return False
    if webhook is None or webhook.registrar is None:
        return False
    return webhook.ledger is not None or webhook.registrar.watcher is not None


def _look_after(claim: Claim, row: WebhookRegistration) -> Reconciled:
    connection, adapter = row.connection, registry.get(row.provider_id)
    assert connection is not None  # noqa: S101 - asked before
    assert adapter.webhook is not None  # noqa: S101 - asked before
    try:
        with within(DOOR_SECONDS), client_for(connection, Traffic.REPAIR) as client:
            work = HookWork(
                claim=claim,
                registration=row,
                connection=connection,
                adapter=adapter,
                webhook=adapter.webhook,
                client=client,
                url=public_url(row),
                # The last request may take its time.
                ends_at=time.monotonic() + DOOR_SECONDS / 2,
                door_is_open=is_open(),
            )
            return _each_hook(work)
    except ProviderError as error:
        # Nobody was asked: the credential cannot be read.
        return Reconciled("failed", error=redact_text(str(error)), due_in=AFTER_A_REFUSAL)


def _each_hook(work: HookWork) -> Reconciled:
    """One hook after the other, the one that waited longest first; a place that fails does not keep the others."""
    result = Reconciled("looked_after")
    hooks = watched_hooks(work)
    watches = _to_look_at(work, hooks)
    for watch in watches:
        if work.is_over:
            return replace(result, due_in=AT_ONCE)
        try:
            unfinished = _one_hook(work, watch)
        except OutOfTime:
            return replace(result, due_in=AT_ONCE)
        except ProviderError as error:
            of_all = isinstance(error, _OF_ALL_PLACES) or error.status == 401
            _note(work, watch, error, max(row.failures for row in (watches if of_all else [watch])))
            result.outcome, result.error = "failed", redact_text(str(error))
            if of_all:
                return replace(result, due_in=_wait_after(error, watch.failures))
            continue
        result.hooks += 1
        if unfinished:
            result.due_in = AT_ONCE
    return result if result.due_in else replace(result, due_in=_due_in(work, hooks))


def _to_look_at(work: HookWork, hooks: Sequence[WatchedHook]) -> list[WatchedHook]:
    """Those that have rested, and those that something is due of; not those that are to be left alone for a while."""
    with work.holding() as now:
        steps = _next_steps(hooks)
    rested_at = now - RESTED * _interval(hooks)

    def is_due(watch: WatchedHook) -> bool:
        if watch.retry_at is not None:
            return watch.retry_at <= now
        if watch.checked_at is None or watch.checked_at <= rested_at or watch.walk:
            return True
        pause_is_over = watch.paused_until is not None and watch.checked_at < watch.paused_until <= now
        return pause_is_over or steps.get(watch.pk, LATER) <= now

    return [watch for watch in hooks if is_due(watch)]


def _next_steps(hooks: Sequence[WatchedHook]) -> dict[uuid.UUID, datetime]:
    """When the next step with what each hook missed is due."""
    unsettled = MissedDelivery.objects.filter(watch__in=hooks, state__in=UNSETTLED_MISSED).order_by()
    return dict(unsettled.values_list("watch").annotate(Min("next_step_at")))


def _interval(hooks: Sequence[WatchedHook]) -> timedelta:
    return timedelta(seconds=max(settings.WEBHOOK_RECONCILE_SECONDS, SECONDS_A_HOOK * len(hooks)))


def _one_hook(work: HookWork, watch: WatchedHook) -> bool:
    """Returns whether there is more to do at once. Raises ``ProviderError`` for whatever went wrong."""
    unfinished = False
    try:
        look(work, watch)
        if watch.standing in (Standing.GONE, Standing.ELSEWHERE):
            leave_to_polling(work, watch)
        else:
            unfinished = not read_ledger(work, watch) or repair(work, watch)
        put_right(work, watch)
    except ServiceError as error:
        # Somebody else is busy with the hooks of this door, or its secret cannot be read.
        raise Misconfigured(error.message) from None
    except (ProviderError, LeaseLost):
        raise
    except Exception as error:
        if _is_of_the_database(error):
            raise
        log.exception("hook_not_looked_after", watch_id=str(watch.pk), provider_id=work.connection.provider_id)
        raise ProviderFault(f"Our own fault ({type(error).__name__}).") from None
    with work.holding():
        watch.last_error, watch.failures, watch.retry_at, watch.checked_at = "", 0, None, timezone.now()
        watch.save(update_fields=["last_error", "failures", "retry_at", "checked_at", "updated_at"])
    return unfinished


def _note(work: HookWork, watch: WatchedHook, error: ProviderError, failures: int) -> None:
    with work.holding() as now:
        # A provider's words may hold what PostgreSQL does not keep.
        watch.last_error = redact_text(str(error)).replace("\0", "")[:500]
        watch.failures = min(failures + 1, 1000)
        watch.checked_at, watch.retry_at = now, now + _wait_after(error, watch.failures)
        watch.save(update_fields=["last_error", "failures", "retry_at", "checked_at", "updated_at"])


def _wait_after(error: ProviderError, failures: int) -> timedelta:
    if error.retry_after_seconds:
        return min(timedelta(seconds=error.retry_after_seconds), LONGEST_WAIT)
    if not error.retryable:
        return AFTER_A_REFUSAL
    return AFTER_A_FAULT[min(failures, len(AFTER_A_FAULT)) - 1]


def _is_of_the_database(error: Exception) -> bool:
    """Whether the database is in trouble, and not the value it was given."""
    return isinstance(error, DatabaseError | InterfaceError) and not isinstance(error, DataError)


def _due_in(work: HookWork, hooks: Sequence[WatchedHook]) -> timedelta:
    """Until one of the hooks is to be looked at again: by the interval, or because something of it is due."""
    with work.holding() as now:
        steps = _next_steps(hooks)
    interval = wait = _interval(hooks)
    for watch in hooks:
        due = min(steps.get(watch.pk, LATER), (watch.checked_at or now) + interval)
        if watch.paused_until is not None and watch.paused_until > now:
            due = min(due, watch.paused_until)
        wait = min(wait, (watch.retry_at or max(due, now)) - now)
    return max(wait * random.uniform(1 - JITTER, 1), SOONEST)  # noqa: S311 - spreads load
