"""When trouble with polling lasts long enough that a person should know, and when it is over.

A connection has one incident of each cause, however many of its streams are concerned. What passes by itself within
minutes raises none: a stream must have failed alike ``IN_A_ROW`` times, or twice so far apart that it adds up to as
much (the pauses double, so the last one is about half of the whole time). Streams that get no answer take turns, so
their calls count together. Limits that hold polling up are ordinary; they are trouble where a stream could not be read
for hours. An incident is over once no stream is in its trouble.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from connections.incidents import Cause, raise_incident, resolve_incident
from connections.models import ConnectionStatus, Incident, IncidentSeverity, IncidentStatus, IntegrationConnection
from polling import intervals
from polling.lease import from_now
from polling.models import PollingCursor, PollOutcome

IN_A_ROW = 5
APART = timedelta(minutes=15)
# Beyond the longest ordinary interval, after which a stream that was read at its end is read again anyway.
HELD_UP = {PollOutcome.RATE_LIMIT: timedelta(hours=1), PollOutcome.BUDGET: timedelta(hours=6)}
WAITS_FOR_AN_ANSWER = "the provider did not answer another stream"
WAKE_SPREAD_SECONDS = 10.0
SETTLED_A_RUN = 500

_DOWN = (PollOutcome.NETWORK, PollOutcome.SERVER)


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What an incident of it says: what is wrong, and what a person can do."""

    cause: Cause
    severity: IncidentSeverity
    summary: str
    advice: str


_PROVIDER_DOWN = _Trouble(
    Cause.PROVIDER_DOWN,
    IncidentSeverity.ERROR,
    "the provider does not answer, or fails",
    "Nothing is lost: polling tries again by itself, at growing intervals, and then reads what was missed. "
    "See the provider's status page; if it is well, check base_url and the network between.",
)
_LIMITED = _Trouble(
    Cause.RATE_LIMITED,
    IncidentSeverity.WARNING,
    "rate limits or budgets keep it from being read",
    "Polling waits as long as it is asked to and then goes on by itself. If this lasts: poll less often "
    "(poll_interval_seconds), read less, look for others who use the same credential, or have the limit raised.",
)
_TROUBLES = {
    PollOutcome.NETWORK: _PROVIDER_DOWN,
    PollOutcome.SERVER: _PROVIDER_DOWN,
    PollOutcome.RATE_LIMIT: _LIMITED,
    PollOutcome.BUDGET: _LIMITED,
    PollOutcome.AUTH: _Trouble(
        Cause.CREDENTIAL_REFUSED,
        IncidentSeverity.ERROR,
        "the provider refuses the credential",
        "Check that the credential is complete, unexpired and has the scopes the provider's page lists, then verify "
        "the connection.",
    ),
    PollOutcome.CONFIG: _Trouble(
        Cause.CONFIGURATION,
        IncidentSeverity.ERROR,
        "its settings or its credential cannot work",
        "Correct the settings or the credential, then verify the connection.",
    ),
    PollOutcome.CLIENT: _Trouble(
        Cause.REQUEST_REFUSED,
        IncidentSeverity.WARNING,
        "the provider refuses what is asked of it",
        "Check the settings: what they name may be gone, renamed or out of the credential's reach.",
    ),
    PollOutcome.INTERNAL: _Trouble(
        Cause.OWN_FAULT,
        IncidentSeverity.ERROR,
        "what the provider sends could not be read or stored",
        "This is a fault of this service, not of the connection; its logs say more.",
    ),
}


def consider(connection: IntegrationConnection, cursor: PollingCursor, outcome: str, told: str) -> None:
    """Raise an incident if the cursor's trouble lasts. ``cursor`` is the row as it was before the run that ended so."""
    trouble = _TROUBLES[PollOutcome(outcome)]
    if _lasts(trouble, cursor, PollOutcome(outcome)):
        where = f"{cursor} was last read to its end {_said(cursor.last_success_at)}."
        _raise(connection, trouble, f"{where} Last: {told}")


def stopped(connection: IntegrationConnection, outcome: str, told: str) -> None:
    """Raise an incident because polling of the connection was stopped for good."""
    _raise(connection, _TROUBLES[PollOutcome(outcome)], f"{told} Polling of this connection has stopped.")


def worked(connection: IntegrationConnection, cursor: PollingCursor) -> None:
    """A run worked; ``cursor`` is the row as it was before. What is over with it ends."""
    if cursor.last_outcome not in _TROUBLES:
        return
    if cursor.last_outcome in _DOWN or _waits_in_trouble(cursor):
        _wake_others(connection)
    _settle(Incident.objects.filter(connection=connection), "Polling works again.")


def settle_all() -> int:
    """End what is over and was not ended by a run: its stream was switched off, or a worker died. Returns how many."""
    return _settle(Incident.objects.all(), "No stream is in this trouble any more.")


def _lasts(trouble: _Trouble, cursor: PollingCursor, outcome: PollOutcome) -> bool:
    now = timezone.now()
    if outcome in HELD_UP:
        unread = now - (cursor.last_success_at or cursor.started_from)
        return _trouble_of(cursor.last_outcome) is trouble and unread >= _unread(outcome)
    if outcome == PollOutcome.NETWORK and _unanswered(cursor) >= IN_A_ROW:
        return True
    if _trouble_of(cursor.last_outcome) is not trouble and not _waits_in_trouble(cursor):
        return False
    apart = now - cursor.last_polled_at if cursor.last_polled_at else timedelta(0)
    return cursor.consecutive_failures + 1 >= IN_A_ROW or apart >= APART


def _unanswered(cursor: PollingCursor) -> int:
    """Failed runs of all streams of the connection that get no answer; they take turns at asking."""
    silent = PollingCursor.objects.filter(
        connection=cursor.connection_id, active=True, last_outcome=PollOutcome.NETWORK
    )
    return int(silent.aggregate(together=Sum("consecutive_failures"))["together"] or 0)


def _waits_in_trouble(cursor: PollingCursor) -> bool:
    """Whether it failed, and then waited to be allowed to ask again: what failed is taken to be the same still."""
    return cursor.last_outcome == PollOutcome.BUDGET and cursor.consecutive_failures > 0


def _trouble_of(outcome: str) -> _Trouble | None:
    return _TROUBLES.get(PollOutcome(outcome)) if outcome in _TROUBLES else None


def _unread(outcome: PollOutcome) -> timedelta:
    return HELD_UP[outcome] + timedelta(seconds=settings.POLL_INTERVAL_MAX_SECONDS)


def _raise(connection: IntegrationConnection, trouble: _Trouble, known: str) -> None:
    raise_incident(
        connection,
        trouble.cause,
        severity=trouble.severity,
        summary=f"{connection.display_name[:150]}: {trouble.summary}",
        detail=f"{known}\n{trouble.advice}",
    )


def _said(at: datetime | None) -> str:
    return f"at {at:%Y-%m-%d %H:%M} UTC" if at else "never"


def _settle(incidents: QuerySet[Incident], reason: str) -> int:
    """End those of a cause no stream in use has any more. In error nothing is polled: a person has to act first."""
    ended = Q(pk__in=())
    for cause, outcomes in _outcomes().items():
        cursors = PollingCursor.objects.annotate(read_at=Coalesce("last_success_at", "started_from"))
        troubled = cursors.filter(outcomes, connection=OuterRef("connection"), active=True)
        ended |= Q(~Exists(troubled), cause=cause)
    open_ones = incidents.filter(ended, status=IncidentStatus.OPEN).exclude(connection__status=ConnectionStatus.ERROR)
    over = open_ones.select_related("connection")[:SETTLED_A_RUN]
    return sum(resolve_incident(row.connection, row.cause, reason=reason) for row in over)


def _outcomes() -> dict[Cause, Q]:
    """Which cursors are in trouble of each cause; ``read_at`` is when one was last read to its end."""
    waits_in_trouble = Q(last_outcome=PollOutcome.BUDGET, consecutive_failures__gt=0)
    found: dict[Cause, Q] = {}
    for outcome, trouble in _TROUBLES.items():
        troubled = Q(last_outcome=outcome)
        if outcome in HELD_UP:
            troubled &= Q(read_at__lte=Now() - _unread(outcome))
        else:
            troubled |= waits_in_trouble
        found[trouble.cause] = found.get(trouble.cause, Q(pk__in=())) | troubled
    return found


def _wake_others(connection: IntegrationConnection) -> None:
    """The provider answers again: whoever waited for that asks soon. What it asked to wait for stays."""
    waiting = Q(interval_reason=WAITS_FOR_AN_ANSWER) | Q(
        last_outcome__in=_DOWN, interval_reason__endswith=intervals.BACKING_OFF
    )
    soon = from_now(intervals.spread(WAKE_SPREAD_SECONDS))
    PollingCursor.objects.filter(
        waiting, connection=connection, active=True, lease_token=None, next_poll_at__gt=soon
    ).update(next_poll_at=soon, interval_reason="the provider answers again", updated_at=Now())
