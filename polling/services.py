"""Polling from code: all that is due, one connection now, and how it stands."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from connections import history
from connections.errors import ServiceError
from connections.models import IntegrationConnection
from polling import reading
from polling.cursors import make_due, sync_now, sync_stale
from polling.models import PollOutcome
from polling.runner import LEASE_LOST, NOT_POLLED, RunResult, poll_once
from polling.schedule import claim_connection, claim_due, hand_over
from polling.status import polling_status

STALE_A_TICK = 200
FAILED = set(PollOutcome.values) - {PollOutcome.COMPLETED, PollOutcome.CONTINUES, PollOutcome.BUDGET}


@dataclass(frozen=True, slots=True)
class PollSummary:
    """What polling one connection came to. ``held``: cursors another run was busy with."""

    connection_id: uuid.UUID
    cursors: int
    polled: int
    held: int
    failed: int
    pages: int
    events_found: int
    events_new: int
    requests: int
    errors: tuple[str, ...]


class PollingService:
    """The use cases of the pull road."""

    def poll_connection(
        self, connection_id: uuid.UUID | str, tenant_id: str, poll_interval_minutes: int = 5
    ) -> PollSummary:
        """Poll every cursor of one connection now, in this process, under the rules of any other run.

        ``poll_interval_minutes`` is the pause to the next poll where the connection's settings name none.
        Raises ``ServiceError``: 404 for a connection the tenant does not have, 409 if it may not be polled.
        """
        connection = _connection(connection_id, tenant_id)
        _require_pollable(connection)
        cursors = sync_now(connection)
        claims = claim_connection(connection)
        runs = [
            poll_once(claim.cursor_id, claim.lease_token, default_interval_seconds=poll_interval_minutes * 60)
            for claim in claims
        ]
        return _summary(connection, cursors, runs)

    def poll_all_due_connections(self) -> dict[str, int]:
        """One tick: look at connections that changed, claim what is due and hand it to the workers."""
        synced = sync_stale(STALE_A_TICK)
        claims = claim_due(settings.POLL_BATCH_SIZE)
        return {"synced": synced, "claimed": len(claims), "messages": hand_over(claims)}

    def get_polling_status(self, connection_id: uuid.UUID | str, tenant_id: str) -> dict[str, Any]:
        """How polling stands, for people and the API. Raises ``ServiceError`` (404)."""
        return polling_status(_connection(connection_id, tenant_id))


def poll_now(connection: IntegrationConnection, *, actor: str) -> int:
    """Make all cursors of the connection due now and return how many. Raises ``ServiceError`` (409)."""
    _require_pollable(connection)
    sync_now(connection)
    due = make_due(connection)
    history.record(connection, "poll_asked_for", actor=actor, detail=f"{due} cursors due.")
    return due


def _connection(connection_id: uuid.UUID | str, tenant_id: str) -> IntegrationConnection:
    try:
        key = uuid.UUID(str(connection_id))
    except ValueError:
        key = uuid.UUID(int=0)
    connection: IntegrationConnection | None = (
        IntegrationConnection.objects.present().for_tenant(tenant_id).filter(pk=key).first()
    )
    if connection is None:
        raise ServiceError("NOT_FOUND", "The connection does not exist.", status=404)
    return connection


def _require_pollable(connection: IntegrationConnection) -> None:
    if not connection.uses("polling"):
        raise ServiceError("POLLING_DISABLED", "Polling is not switched on for this connection.", status=409)
    if not reading.may_poll(connection):
        message = f"The connection is {connection.status}; only active connections are polled."
        raise ServiceError("CONNECTION_NOT_ACTIVE", message, {"status": connection.status}, status=409)


def _summary(connection: IntegrationConnection, cursors: int, runs: list[RunResult]) -> PollSummary:
    polled = [run for run in runs if run.outcome not in (LEASE_LOST, NOT_POLLED, PollOutcome.BUDGET)]
    return PollSummary(
        connection_id=connection.connection_id,
        cursors=cursors,
        polled=len(polled),
        held=cursors - len(runs),
        failed=sum(run.outcome in FAILED for run in runs),
        pages=sum(run.pages for run in runs),
        events_found=sum(run.events_found for run in runs),
        events_new=sum(run.events_new for run in runs),
        requests=sum(run.requests for run in runs),
        errors=tuple(sorted({run.error for run in runs if run.error})),
    )
