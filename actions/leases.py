"""Holding an action: every write asks for the token, so whoever wakes after its lease ended writes nothing."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now

from actions.models import ActionStatus, NormalisedAction
from connections.incidents import from_now
from providers.actions import OutboundAction


class LeaseLost(Exception):
    """Another run holds the action now, or it is over."""


@dataclass(frozen=True, slots=True)
class Held:
    """An action under a lease, at the begin of an attempt; times are seconds from then, by the database's clock.

    ``time_left``: until nothing is tried any more. ``settles_in``: until "not found" means that it is not there.
    """

    row: NormalisedAction
    time_left: float
    settles_in: float = 0.0


def begin(action_id: uuid.UUID | str, token: uuid.UUID | str) -> Held | None:
    """Begin an attempt at an action that was claimed with this token; ``None`` where it is another's by now.

    The attempt gets a token of its own, so a message that is delivered twice begins one.
    """
    claimed = NormalisedAction.objects.filter(pk=action_id, lease_token=token, status=ActionStatus.PROCESSING)
    own = uuid.uuid4()
    if not claimed.update(lease_token=own, next_attempt_at=_lease_end(), attempts=F("attempts") + 1, updated_at=Now()):
        return None
    held = NormalisedAction.objects.filter(pk=action_id, lease_token=own)
    row = held.select_related("connection").annotate(clock=Now()).first()
    if row is None:
        return None
    return Held(row, _seconds(row.clock, row.give_up_at), _seconds(row.clock, row.settles_at))


def begun(row: NormalisedAction) -> Held:
    """The first attempt, by who took the command and leased it in doing so."""
    return Held(row, float(settings.ACTION_GIVE_UP_SECONDS))


def intend(row: NormalisedAction, action: OutboundAction) -> None:
    """Commit that a request that changes is about to be sent. Raises ``LeaseLost``.

    Whoever finds this written and no end of it must look whether the request took effect. "Not there" counts once the
    lease is over and the provider had time to show it: this process may sleep until then before it sends, and the
    provider may still be at work after nobody waits for its answer any more.
    """
    shown = timedelta(seconds=settings.ACTION_LEASE_SECONDS + action.visible_within_seconds)
    write(row, sent_at=Now(), in_doubt=True, settles_at=from_now(shown), next_attempt_at=_lease_end())


def write(row: NormalisedAction, **values: Any) -> None:
    """Write to the held row. Raises ``LeaseLost``."""
    held = NormalisedAction.objects.filter(pk=row.pk, lease_token=row.lease_token, status=ActionStatus.PROCESSING)
    if not held.update(**values, updated_at=Now()):
        raise LeaseLost


def _lease_end() -> Any:
    return from_now(timedelta(seconds=settings.ACTION_LEASE_SECONDS))


def _seconds(clock: datetime, moment: datetime | None) -> float:
    return (moment - clock).total_seconds() if moment else 0.0
