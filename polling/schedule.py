"""Who is due: claiming cursors and handing them to workers. The rows are the schedule; nothing else knows it.

A claim sets a lease and is committed before anything is sent, so a message that is lost, or a worker that
dies, means only that the lease ends and the cursor is due again.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from celery import current_app
from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from connections.models import ConnectionStatus, IntegrationConnection
from polling.lease import from_now, new_token
from polling.models import PollingCursor

CURSORS_A_MESSAGE = 25
# How far past a batch the queue is looked at, so that tenants can take turns.
WINDOW_BATCHES = 4


@dataclass(frozen=True, slots=True)
class Claim:
    """A cursor held under a lease."""

    cursor_id: uuid.UUID
    lease_token: uuid.UUID


# The head of the queue, in which tenants take turns. Where a few tenants fill all of it, the queue is searched
# for those that wait behind them. Only what is chosen is locked; a locked row is another dispatcher's and is
# stepped over. A row it took a moment ago is read again when it is locked, and then no longer due: OFFSET 0
# keeps that question out of the look-up, which would otherwise scan all due rows for each one.
# The clock and the connection's state are asked in brackets so that the planner cannot estimate them from
# statistics, which are wrong about what is due as soon as they are made: it walks the index of what is due, in
# order, and no further than the batch needs. For the same reason the rows are taken by an array of their keys.
_DUE = """
    SELECT c.cursor_id, c.tenant_id, c.next_poll_at
    FROM polling_cursors c
    WHERE {further} c.active AND c.next_poll_at <= (SELECT statement_timestamp())
      AND (SELECT o.status = 'active' FROM integration_connections o WHERE o.connection_id = c.connection_id)
    ORDER BY c.next_poll_at
"""
_BEHIND = """
    (SELECT count(*) FROM head) = %(window)s AND (SELECT count(DISTINCT tenant_id) FROM head) < %(limit)s
    AND c.tenant_id NOT IN (SELECT tenant_id FROM head) AND
"""
_CLAIM = f"""
WITH head AS MATERIALIZED ({_DUE.format(further="")} LIMIT %(window)s
), behind AS MATERIALIZED ({_DUE.format(further=_BEHIND)} LIMIT %(limit)s
), waiting AS (
    SELECT cursor_id, row_number() OVER (PARTITION BY tenant_id ORDER BY next_poll_at) AS turn
    FROM (SELECT * FROM head UNION ALL SELECT * FROM behind) AS both_parts
    ORDER BY turn, next_poll_at
), chosen AS MATERIALIZED (
    SELECT locked.cursor_id, waiting.turn
    FROM waiting CROSS JOIN LATERAL (
        SELECT c.cursor_id, c.active, c.next_poll_at
        FROM polling_cursors c
        WHERE c.cursor_id = waiting.cursor_id
        OFFSET 0
        FOR UPDATE SKIP LOCKED
    ) AS locked
    WHERE locked.active AND locked.next_poll_at <= statement_timestamp()
    LIMIT %(limit)s
), taken AS (
    UPDATE polling_cursors
    SET lease_token = %(token)s, updated_at = statement_timestamp(),
        next_poll_at = statement_timestamp() + %(lease_seconds)s * interval '1 second'
    WHERE cursor_id = ANY (ARRAY(SELECT cursor_id FROM chosen))
    RETURNING cursor_id
)
SELECT cursor_id FROM chosen JOIN taken USING (cursor_id) ORDER BY turn
"""  # noqa: S608 - put together from the texts above


def claim_due(limit: int) -> list[Claim]:
    """Take up to ``limit`` due cursors of active connections, one of each tenant in turn, oldest first."""
    token = new_token()
    if not database.features.has_select_for_update_skip_locked:
        return _claim_in_turn(_due(), limit, token)
    values: dict[str, int | uuid.UUID] = {
        "limit": limit,
        "window": limit * WINDOW_BATCHES,
        "token": token,
        "lease_seconds": settings.POLL_LEASE_SECONDS,
    }
    with database.cursor() as cursor:
        cursor.execute(_CLAIM, values)
        return [Claim(cursor_id, token) for (cursor_id,) in cursor.fetchall()]


def claim_connection(connection: IntegrationConnection) -> list[Claim]:
    """Take all cursors of one connection now, due or not, except those another run holds."""
    free = Q(lease_token=None) | Q(next_poll_at__lte=Now())
    return _claim_each(PollingCursor.objects.filter(connection=connection, active=True), free, new_token())


def hand_over(claims: Sequence[Claim]) -> int:
    """Send claimed cursors to the workers, a few a message, and return the number of messages.

    A message that outlives its lease is dropped by the worker.
    """
    by_token: dict[uuid.UUID, list[str]] = defaultdict(list)
    for claim in claims:
        by_token[claim.lease_token].append(str(claim.cursor_id))
    messages = [
        (ids[start : start + CURSORS_A_MESSAGE], str(token))
        for token, ids in by_token.items()
        for start in range(0, len(ids), CURSORS_A_MESSAGE)
    ]
    if messages:
        # All in one round trip to the broker. If it fails, their leases end.
        with current_app.producer_or_acquire() as producer, producer.batch():
            for message in messages:
                current_app.send_task(
                    "polling.poll_cursors",
                    args=message,
                    expires=settings.POLL_LEASE_SECONDS,
                    producer=producer,
                    ignore_result=True,
                    # For people who watch workers; left out, each of the ids would be shortened for them.
                    argsrepr=f"{len(message[0])} cursors",
                )
    return len(messages)


def release(cursor_ids: Sequence[str], lease_token: str) -> None:
    """Give back cursors a worker has no time for: due again at once."""
    PollingCursor.objects.filter(pk__in=cursor_ids, lease_token=lease_token).update(
        lease_token=None, next_poll_at=Now(), updated_at=Now()
    )


def _due() -> QuerySet[PollingCursor]:
    return PollingCursor.objects.filter(
        active=True, next_poll_at__lte=Now(), connection__status=ConnectionStatus.ACTIVE
    ).order_by("next_poll_at")


def _claim_in_turn(due: QuerySet[PollingCursor], limit: int, token: uuid.UUID) -> list[Claim]:
    """For databases without SKIP LOCKED, where writers wait for each other anyway."""
    turns: dict[str, int] = defaultdict(int)
    ranked: list[tuple[int, uuid.UUID]] = []
    for cursor_id, tenant_id in due.values_list("pk", "tenant_id")[: limit * WINDOW_BATCHES]:
        ranked.append((turns[tenant_id], cursor_id))
        turns[tenant_id] += 1
    chosen = [cursor_id for _, cursor_id in sorted(ranked, key=lambda row: row[0])[:limit]]
    return _claim_each(PollingCursor.objects.filter(pk__in=chosen, active=True), Q(next_poll_at__lte=Now()), token)


def _claim_each(cursors: QuerySet[PollingCursor], free: Q, token: uuid.UUID) -> list[Claim]:
    """Take those that are free, and still free when the statement that takes them reaches them."""
    with transaction.atomic():
        # Locked without waiting: no two that take several rows can wait for each other.
        seen = list(cursors.filter(free).select_for_update(skip_locked=True).values_list("pk", flat=True))
        cursors.filter(free, pk__in=seen).update(
            lease_token=token, next_poll_at=from_now(settings.POLL_LEASE_SECONDS), updated_at=Now()
        )
    taken = cursors.filter(lease_token=token).order_by("stream", "partition")
    return [Claim(cursor_id, token) for cursor_id in taken.values_list("pk", flat=True)]
