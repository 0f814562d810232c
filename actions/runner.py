"""One attempt at an action: look, ask, commit the intent, send, record.

An action is claimed, and the claim committed, before anything is called; that a request which changes is about to be
sent is committed before it is sent; what came of it is committed afterwards, under the same fencing token. No
transaction spans a call. A process may end anywhere in this: before the intent nothing was done; after it the action is
in doubt, and whoever takes it up looks first whether the effect is there.
"""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.conf import settings
from django.utils import timezone

from actions import endings, retries
from actions.commands import command_of
from actions.leases import Held, LeaseLost, intend
from actions.metrics import ACTION_SECONDS, ACTIONS_FOUND
from connections import breaker
from connections.breaker import Admission, BreakerOpen
from connections.budget import budget
from connections.budget_port import resource_type
from connections.health import call_failed
from connections.models import ConnectionStatus, IntegrationConnection, record_failure, record_success
from connections.runtime import adapter_for, client_for
from connections.turns import within
from providers import registry
from providers.actions import REPEATABLE, Command, Done, OneEffect, OutboundAction
from providers.client import ProviderClient
from providers.errors import OutOfTime, ProviderError, QuotaSpent, Rejected
from providers.quotas import Traffic

log = structlog.get_logger(__name__)

# How long a connection that is not active is left alone; whoever makes it active does not wait longer.
INACTIVE_SECONDS = 30.0
HEALTH_EVERY = timedelta(minutes=1)


class _Unsettled(Exception):
    """In doubt, not found, and too early to say that it is not there."""


class _AnswerLost(Exception):
    """A request that changes was sent, and no answer says what came of it."""

    def __init__(self, error: ProviderError) -> None:
        super().__init__(str(error))
        self.error = error


def run(held: Held) -> None:
    """One attempt at an action under a lease. Afterwards it is over, or due again; never raises for a provider."""
    row = held.row
    try:
        with within(settings.ACTION_ATTEMPT_SECONDS), ACTION_SECONDS.labels(row.provider_id).time():
            _attempt(held)
    except LeaseLost:
        log.warning("action_lease_lost", action_id=str(row.pk), tenant_id=row.tenant_id)


def _attempt(held: Held) -> None:
    row = held.row
    if held.time_left <= 0:
        endings.give_up(held, "The time for this action was over before it could be done.", in_doubt=row.in_doubt)
        return
    if row.connection.status == ConnectionStatus.DELETED:
        endings.give_up(held, "The connection was deleted.", in_doubt=row.in_doubt)
        return
    if row.connection.status != ConnectionStatus.ACTIVE or not row.connection.uses("outbound_actions"):
        _put_off(held, INACTIVE_SECONDS, "The connection takes no actions at present: it is not active.")
        return
    try:
        action = adapter_for(row.connection).action(row.canonical_type)
    except (KeyError, registry.UnknownProvider):
        endings.give_up(held, "This deployment no longer has the adapter for this action.", in_doubt=row.in_doubt)
        return
    if row.in_doubt and action.one_effect is OneEffect.UNKNOWABLE:
        endings.to_review(held, "A request was begun and its end is lost; this provider lets nobody look for it.")
        return
    try:
        admission = breaker.admit(row.connection)
    except BreakerOpen as error:
        _put_off(held, error.retry_after_seconds or breaker.ASK_AGAIN_SECONDS, str(error), error)
        return
    kind = resource_type(row.provider_id, Traffic.ACTION)
    decision = budget().ask(row.tenant_id, kind, str(row.connection_id))
    if not decision.allowed:
        breaker.abandoned(admission)
        _put_off(held, decision.retry_after_seconds, decision.reason, QuotaSpent(decision.reason))
        return
    _carry_out(held, action, admission)


def _put_off(held: Held, seconds: float, reason: str, error: ProviderError | None = None) -> None:
    endings.later(held, seconds, reason, in_doubt=held.row.in_doubt, error=error)
    endings.put_off_others(held.row, seconds)


def _carry_out(held: Held, action: OutboundAction, admission: Admission) -> None:
    """Call the provider, and tell the breaker and the connection's health how that was."""
    row = held.row
    try:
        with client_for(row.connection) as client:
            done, how = _work(held, action, command_of(row), client)
    except _Unsettled:
        breaker.succeeded(admission)
        reason = "It is not to be found, and may still come to be: it is looked for again."
        seconds = min(held.settles_in, retries.pause_seconds(row.attempts))
        # A request that was refused in between leaves no doubt of its own.
        endings.later(held, seconds, reason, in_doubt=True, settles_at=row.settles_at)
    except _AnswerLost as lost:
        breaker.failed(admission, lost.error)
        _after_loss(held, action, lost.error)
    except ProviderError as error:
        if _is_ours(error):
            breaker.abandoned(admission)
        else:
            breaker.failed(admission, error)
        _after_error(held, error)
    except LeaseLost:
        breaker.abandoned(admission)
        raise
    except Exception as fault:
        breaker.abandoned(admission)
        log.exception("action_fault", action_id=str(row.pk), tenant_id=row.tenant_id)
        reason = f"A fault of this service ({type(fault).__name__})."
        endings.later(held, retries.pause_seconds(row.attempts), reason, in_doubt=row.in_doubt)
    else:
        try:
            # First of all: it must be kept, whatever hinders the rest.
            endings.complete(held, done, how=how)
        finally:
            breaker.succeeded(admission)
            _note_success(row.connection)


def _work(held: Held, action: OutboundAction, command: Command, client: ProviderClient) -> tuple[Done, str]:
    """The effect, and by which evidence. ``row.in_doubt`` says at any moment what an exception leaves."""
    row = held.row
    if row.in_doubt:
        found = _find(held, action, command, client)
        if found is not None:
            ACTIONS_FOUND.labels(row.provider_id, row.tenant_id).inc()
            return found, "An earlier attempt had done it: its effect was found."
    was_in_doubt = row.in_doubt
    asked = action.request(client, command)
    if isinstance(asked, Done):
        return asked, "There was nothing to do: it was so already."
    intend(row, action)
    row.in_doubt = True
    try:
        answer = client.write(asked.method, asked.path, json=asked.json, headers=asked.headers, lane=asked.lane)
    except Rejected as refused:
        settled = action.settled_by(command, refused)
        if settled is None and (was_in_doubt or action.one_effect is OneEffect.CLIENT_ID):
            settled = action.find(client, command)
            if settled is None and was_in_doubt and held.settles_in > 0 and _looks(action):
                # The refusal may be for what is there already and does not show yet.
                raise _Unsettled from None
        row.in_doubt = False
        if settled is None:
            raise
        return settled, "The provider says that it is so already."
    except ProviderError as error:
        if retries.leaves_doubt(error):
            raise _AnswerLost(error) from None
        row.in_doubt = was_in_doubt
        raise
    try:
        return action.done(command, answer), f"The provider answered {answer.status}."
    except Rejected:
        # The answer is of success and says that it was not done.
        row.in_doubt = False
        raise
    except ProviderError as unreadable:
        raise _AnswerLost(unreadable) from None


def _find(held: Held, action: OutboundAction, command: Command, client: ProviderClient) -> Done | None:
    """The effect of the attempt whose answer was lost; ``None`` where sending again makes no second one."""
    found = action.find(client, command)
    if found is None and action.one_effect not in REPEATABLE:
        if held.settles_in > 0:
            raise _Unsettled
        held.row.in_doubt = False
    return found


def _looks(action: OutboundAction) -> bool:
    return type(action).find is not OutboundAction.find


def _is_ours(error: ProviderError) -> bool:
    """Whether our own time was over before anything was sent: that says nothing of the provider."""
    return isinstance(error, OutOfTime) and not error.sent


def _after_loss(held: Held, action: OutboundAction, error: ProviderError) -> None:
    """A request was sent, and nobody knows what came of it."""
    reason = endings.explained(error)
    record_failure(held.row.connection_id, timezone.now(), reason)
    if action.one_effect is OneEffect.UNKNOWABLE:
        endings.to_review(held, f"{reason} This provider lets nobody look whether it was done.", error)
        return
    endings.later(held, retries.pause_seconds(held.row.attempts, error), reason, in_doubt=True, error=error)


def _after_error(held: Held, error: ProviderError) -> None:
    row, reason = held.row, endings.explained(error)
    if error.category in ("auth", "server", "network") and not _is_ours(error):
        call_failed(row.connection, error, actor="system:actions", told=reason)
    if not row.in_doubt and not error.retryable:
        endings.fail(held, error)
        return
    seconds = retries.pause_seconds(row.attempts, error)
    if error.category in ("rate_limit", "budget"):
        _put_off(held, seconds, reason, error)
    else:
        endings.later(held, seconds, reason, in_doubt=row.in_doubt, error=error)


def _note_success(connection: IntegrationConnection) -> None:
    """Health, at most once a minute while all is well."""
    now, last = timezone.now(), connection.last_success_at
    if connection.consecutive_failures or last is None or now - last > HEALTH_EVERY:
        record_success(connection.pk, now)
