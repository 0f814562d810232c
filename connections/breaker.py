"""The circuit breaker of a connection: whether its provider may be called now.

| what a call met                  | counts as                                        |
|----------------------------------|--------------------------------------------------|
| an answer; ``client``, ``auth``  | success: the provider is there and answers       |
| ``server``, ``network``          | failure                                          |
| ``rate_limit``, ``budget``, ``config`` | nothing: it says nothing about whether it is down |

``OPENS_AFTER`` failures in a row open it. ``RESTS_SECONDS`` later one call at a time, over all processes, is let
through as a trial; ``CLOSES_AFTER`` of them that work close it, one that fails opens it again. A trial that is not
told how it ended within ``TRIAL_SECONDS`` is taken for dead.

The state is a row, the time the database's. Every opening and closing begins a new generation, and only results of
calls that were let through in the present one count. A row is first made by a failure: while nothing fails, a call
costs one look at an index and its success nothing.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from connections import history
from connections.breaker_models import BreakerState, ConnectionBreaker
from connections.incidents import Cause, from_now, raise_incident, resolve_incident
from connections.metrics import BREAKER_OPENS
from connections.models import IncidentSeverity, IntegrationConnection
from providers.errors import ProviderError
from providers.redaction import redact_text

log = structlog.get_logger(__name__)

OPENS_AFTER = 5
RESTS_SECONDS = 60
CLOSES_AFTER = 2
# Longer than the call and what is asked around it take.
TRIAL_SECONDS = 120
# When to ask again while a trial is under way.
ASK_AGAIN_SECONDS = 5.0

ACTOR = "circuit breaker"
_FAILURES = ("server", "network")
_ANSWERS = ("client", "auth")
_MAX_ERROR = 500


class BreakerOpen(ProviderError):
    """Not sent: the provider kept failing, or a person holds the breaker open.

    ``retry_after_seconds`` is always given: when to ask again.
    """

    category = "server"
    retryable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A call that was let through. Told exactly once how it ended: succeeded, failed or abandoned."""

    connection_id: uuid.UUID
    generation: int = 0
    trial: uuid.UUID | None = None
    # Whether a success changes anything.
    counts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the breaker stands. ``retry_after_seconds`` is ``None`` where calls are let through."""

    state: BreakerState
    held: bool = False
    failures: int = 0
    opened_at: datetime | None = None
    retry_after_seconds: float | None = None
    last_error: str = ""


def admit(connection: IntegrationConnection) -> Admission:
    """Let a call through. Raises ``BreakerOpen``. Not inside a transaction that spans the call."""
    row = _read(connection)
    if row is None:
        return Admission(connection_id=connection.pk)
    now = standing(row)
    if now.retry_after_seconds:
        raise _refusal(row, now.retry_after_seconds)
    if now.state == BreakerState.CLOSED:
        counts = bool(row.failures) and not row.held
        return Admission(connection_id=row.pk, generation=row.generation, counts=counts)
    token = uuid.uuid4()
    free = Q(state=BreakerState.OPEN, retry_at__lte=Now()) | Q(
        Q(trial_until=None) | Q(trial_until__lte=Now()), state=BreakerState.HALF_OPEN
    )
    taken = ConnectionBreaker.objects.filter(free, pk=row.pk, held="").update(
        state=BreakerState.HALF_OPEN,
        trial_token=token,
        trial_until=from_now(timedelta(seconds=TRIAL_SECONDS)),
        updated_at=Now(),
    )
    if not taken:
        raise _refusal(row, ASK_AGAIN_SECONDS)
    return Admission(connection_id=row.pk, generation=row.generation, trial=token, counts=True)


def succeeded(admission: Admission) -> None:
    """The provider answered. Costs nothing while nothing had failed when the call was let through."""
    if not admission.counts:
        return
    with transaction.atomic():
        connection, row = locked(admission.connection_id)
        if not _counts(admission, row):
            return
        if admission.trial is None:
            _write(row, failures=0)
        elif row.successes + 1 < CLOSES_AFTER:
            _write(row, successes=F("successes") + 1, trial_token=None, trial_until=None)
        else:
            close(row)
            history.record(connection, "breaker_closed", actor=ACTOR, detail="The provider answers again.")
            resolve_incident(connection, Cause.BREAKER_OPEN, reason="The provider answers again.")


def failed(admission: Admission, error: ProviderError) -> None:
    """The call ended with this error; the table above says what that counts as."""
    if error.category in _ANSWERS:
        succeeded(admission)
    elif error.category not in _FAILURES:
        abandoned(admission)
    else:
        _count_failure(admission, redact_text(str(error), emails=settings.REDACT_EMAILS)[:_MAX_ERROR])


def abandoned(admission: Admission) -> None:
    """The call was not made, or its end says nothing. A trial makes room for the next one."""
    if admission.trial is not None:
        ConnectionBreaker.objects.filter(pk=admission.connection_id, trial_token=admission.trial).update(
            trial_token=None, trial_until=None, updated_at=Now()
        )


def state_of(connection: IntegrationConnection) -> Standing:
    """How it stands now; one read."""
    row = _read(connection)
    return standing(row) if row is not None else Standing(state=BreakerState.CLOSED)


def locked(connection_id: uuid.UUID) -> tuple[IntegrationConnection, ConnectionBreaker]:
    """Connection and breaker, locked in the order in which incidents lock them; the breaker is made if need be."""
    connection = IntegrationConnection.objects.select_for_update(no_key=True).get(pk=connection_id)
    row = ConnectionBreaker.objects.select_for_update().filter(pk=connection_id).first()
    return connection, row or ConnectionBreaker.objects.create(connection=connection, tenant_id=connection.tenant_id)


def close(row: ConnectionBreaker, *, held: str = "") -> None:
    """Begin a new generation in which nothing failed yet. The row is locked."""
    _write(
        row,
        state=BreakerState.CLOSED,
        held=held,
        generation=F("generation") + 1,
        failures=0,
        successes=0,
        retry_at=None,
        trial_token=None,
        trial_until=None,
    )


def _count_failure(admission: Admission, told: str) -> None:
    with transaction.atomic():
        connection, row = locked(admission.connection_id)
        if not _counts(admission, row):
            return
        failure = {"failures": F("failures") + 1, "last_error": told, "last_error_at": Now()}
        if admission.trial is None and row.failures + 1 < OPENS_AFTER:
            _write(row, **failure)
            return
        first = row.state == BreakerState.CLOSED
        _write(
            row,
            **failure,
            state=BreakerState.OPEN,
            generation=F("generation") + 1,
            successes=0,
            opened_at=Now() if first else F("opened_at"),
            retry_at=from_now(timedelta(seconds=RESTS_SECONDS)),
            trial_token=None,
            trial_until=None,
        )
        _tell_opened(connection, told, first=first)


def _tell_opened(connection: IntegrationConnection, told: str, *, first: bool) -> None:
    """A trial that failed belongs to the opening before it: the same incident, counted once more."""
    raise_incident(
        connection,
        Cause.BREAKER_OPEN,
        severity=IncidentSeverity.ERROR,
        summary=f"{connection.display_name[:150]}: the provider keeps failing, calls are held back",
        detail=f"{OPENS_AFTER} calls in a row failed. Last: {told}\nEvery {RESTS_SECONDS} seconds one call tries "
        f"whether it is over; after {CLOSES_AFTER} that work, calls go through again by themselves. See the "
        "provider's status page; if it is well, check base_url and the network between.",
    )
    if first:
        history.record(connection, "breaker_opened", actor=ACTOR, outcome="failed", detail=told)
        transaction.on_commit(BREAKER_OPENS.labels(connection.provider_id, connection.tenant_id).inc)


def _read(connection: IntegrationConnection) -> Any:
    return ConnectionBreaker.objects.filter(pk=connection.pk).annotate(clock=Now()).first()


def _counts(admission: Admission, row: ConnectionBreaker) -> bool:
    if row.held:
        return False
    if admission.trial is not None:
        return row.trial_token == admission.trial
    return row.state == BreakerState.CLOSED and row.generation == admission.generation


def _write(row: ConnectionBreaker, **values: Any) -> None:
    ConnectionBreaker.objects.filter(pk=row.pk).update(**values, updated_at=Now())


def standing(row: Any) -> Standing:
    """How it stands after its row, which carries the database's time as ``clock``."""
    state, wait = BreakerState(row.held or row.state), None
    if row.held == BreakerState.OPEN:
        wait = float(RESTS_SECONDS)
    elif not row.held and state == BreakerState.OPEN:
        wait = max((row.retry_at - row.clock).total_seconds(), 0.0) or None
        state = BreakerState.OPEN if wait else BreakerState.HALF_OPEN
    elif not row.held and state == BreakerState.HALF_OPEN and row.trial_until and row.trial_until > row.clock:
        wait = ASK_AGAIN_SECONDS
    return Standing(
        state=state,
        held=bool(row.held),
        failures=row.failures,
        opened_at=row.opened_at if state != BreakerState.CLOSED else None,
        retry_after_seconds=wait,
        last_error=row.last_error,
    )


def _refusal(row: ConnectionBreaker, seconds: float) -> BreakerOpen:
    why = "a person holds it open" if row.held else "the provider kept failing"
    return BreakerOpen(f"The circuit breaker of this connection is open: {why}.", retry_after_seconds=seconds)
