"""What a person may decide about a circuit breaker. Each decision is in the connection's history."""

from __future__ import annotations

import uuid

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from connections import breaker, history
from connections.breaker_models import BreakerState, ConnectionBreaker
from connections.incidents import Cause, resolve_incident


def force_open(connection_id: uuid.UUID, *, actor: str, reason: str = "") -> None:
    """Let no call through until somebody decides otherwise. Calls under way end as they may."""
    with transaction.atomic():
        connection, row = breaker.locked(connection_id)
        trial = {"trial_token": None, "trial_until": None}
        ConnectionBreaker.objects.filter(pk=row.pk).update(
            held=BreakerState.OPEN, generation=F("generation") + 1, opened_at=Now(), updated_at=Now(), **trial
        )
        history.record(connection, "breaker_held_open", actor=actor, detail=reason)


def force_closed(connection_id: uuid.UUID, *, actor: str, reason: str = "") -> None:
    """Let every call through, whatever fails, until somebody decides otherwise."""
    with transaction.atomic():
        connection, row = breaker.locked(connection_id)
        breaker.close(row, held=BreakerState.CLOSED)
        history.record(connection, "breaker_held_closed", actor=actor, detail=reason)
        resolve_incident(connection, Cause.BREAKER_OPEN, reason=f"Held closed by {actor}.")


def reset(connection_id: uuid.UUID, *, actor: str, reason: str = "") -> None:
    """Forget decisions and failures: closed, and it opens again by itself when calls fail."""
    with transaction.atomic():
        connection, row = breaker.locked(connection_id)
        breaker.close(row)
        history.record(connection, "breaker_reset", actor=actor, detail=reason)
        resolve_incident(connection, Cause.BREAKER_OPEN, reason=f"Reset by {actor}.")
