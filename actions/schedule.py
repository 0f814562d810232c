"""Which actions are due, and handing them to workers. The rows are the queue; a lost message only costs a lease."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import Count, Min
from django.db.models.functions import Now

from actions.leases import begin
from actions.models import ActionStatus, NormalisedAction
from actions.runner import run
from connections.incidents import from_now

CONNECTIONS_A_TICK = 50
ACTIONS_A_MESSAGE = 5
# So many of one connection are under way at once: a slow provider takes no more workers than two.
IN_FLIGHT = 2 * ACTIONS_A_MESSAGE


@dataclass(frozen=True, slots=True)
class Claim:
    """Actions of one connection, held under one lease."""

    token: uuid.UUID
    action_ids: Sequence[uuid.UUID]


def claim_due() -> list[Claim]:
    """Lease a few due actions of each of the connections that have waited longest.

    An action whose lease ended is due as well: whoever ran it is gone.
    """
    rows = NormalisedAction.objects.order_by()
    running = rows.filter(status=ActionStatus.PROCESSING, next_attempt_at__gt=Now())
    busy = dict(running.values_list("connection").annotate(Count("pk")))
    full = [connection for connection, number in busy.items() if number >= IN_FLIGHT]
    due = rows.filter(next_attempt_at__lte=Now()).exclude(connection__in=full)
    waiting = due.values_list("connection").annotate(first=Min("next_attempt_at")).order_by("first")
    claims = (_claim(key, IN_FLIGHT - busy.get(key, 0)) for key, _ in waiting[:CONNECTIONS_A_TICK])
    return [claim for claim in claims if claim is not None]


def hand_over(claims: Sequence[Claim]) -> None:
    """One message for each connection. If the broker fails, the leases end."""
    if not claims:
        return
    with current_app.producer_or_acquire() as producer, producer.batch():
        for claim in claims:
            current_app.send_task(
                "actions.run_claimed",
                args=([str(action_id) for action_id in claim.action_ids], str(claim.token)),
                expires=settings.ACTION_LEASE_SECONDS,
                producer=producer,
                ignore_result=True,
                argsrepr=f"{len(claim.action_ids)} actions",
            )


def run_claimed(action_ids: Sequence[str], token: str) -> None:
    """Run the actions of one message, one after the other; those another took over meanwhile are left to it."""
    for action_id in action_ids:
        held = begin(action_id, token)
        if held is not None:
            run(held)


def _claim(connection_id: uuid.UUID, places: int) -> Claim | None:
    rows, token = NormalisedAction.objects.filter(connection_id=connection_id), uuid.uuid4()
    with transaction.atomic():
        due = rows.filter(next_attempt_at__lte=Now()).order_by("next_attempt_at", "action_id")
        chosen = list(
            due.select_for_update(skip_locked=True).values_list("pk", flat=True)[: min(places, ACTIONS_A_MESSAGE)]
        )
        rows.filter(pk__in=chosen).update(
            status=ActionStatus.PROCESSING,
            lease_token=token,
            next_attempt_at=from_now(timedelta(seconds=settings.ACTION_LEASE_SECONDS)),
            updated_at=Now(),
        )
    return Claim(token, chosen) if chosen else None
