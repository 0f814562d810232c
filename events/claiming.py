"""Who goes next: a turn for each tenant, and of each entity the first event only.

A claim pushes ``next_attempt_at`` to the end of its lease and sets a fencing token; whatever is written
later is written only where the token still stands. An event that must wait for an earlier one of its
entity is parked, so that the next claims do not look at it again, and woken by what finishes the earlier one.
It is parked for as long as a lease, or until the first of its entity is due, if that is later: should the
worker die before it wakes anything, the lease's time is all that is lost.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection as database
from django.db import models, transaction
from django.db.models import Exists, ExpressionWrapper, F, OuterRef, Q
from django.db.models.functions import Coalesce, Now

from events.models import UNDELIVERED, AdapterEvent

# How far past its share a tenant's queue is looked at, for what others hold and what has to wait.
WINDOW_BATCHES = 4
# The token of what is parked. It is nobody's lease, and tells a failed event whose pause is over, and which only
# waits for its turn, from one that is still in its pause.
PARKED = uuid.UUID(int=0)


@dataclass(slots=True)
class Batch:
    """Events held under one lease."""

    token: uuid.UUID
    ends_at: float  # monotonic
    events: list[AdapterEvent] = field(default_factory=list)
    last_tries: set[uuid.UUID] = field(default_factory=set)
    parked: int = 0
    finished: list[AdapterEvent] = field(default_factory=list)
    producers: dict[uuid.UUID, set[str]] = field(default_factory=dict)  # signal types registered, by connection

    @property
    def time_is_up(self) -> bool:
        """Whether one more call could outlast the lease."""
        return time.monotonic() + settings.PM3_TIMEOUT_SECONDS > self.ends_at


# The ring walks from tenant to tenant with one probe of the index each, beginning after the tenant it ended
# with last time, until enough of them have something due or it is back where it began. The tenants' queues
# then take turns. Only what is chosen is locked; a locked row is another worker's and is stepped over. A row
# that changed since this statement began is left alone: it may just have been taken, or woken.
_NEXT_TENANT = """
SELECT tenant_id, next_attempt_at FROM ((
    SELECT tenant_id, next_attempt_at, 0 AS lap FROM adapter_events
    WHERE delivery_status IN ('pending', 'failed') AND tenant_id > {after}
    ORDER BY tenant_id, next_attempt_at LIMIT 1
) UNION ALL (
    SELECT tenant_id, next_attempt_at, 1 FROM adapter_events
    WHERE delivery_status IN ('pending', 'failed') ORDER BY tenant_id, next_attempt_at LIMIT 1
)) AS step ORDER BY lap LIMIT 1
"""
_CLAIM = f"""
WITH RECURSIVE ring (tenant_id, due, begun, place, found) AS (
    SELECT tenant_id, next_attempt_at <= statement_timestamp(), tenant_id, 1,
        (next_attempt_at <= statement_timestamp())::int
    FROM ({_NEXT_TENANT.format(after="%(after)s")}) AS start
  UNION ALL
    SELECT next.tenant_id, next.next_attempt_at <= statement_timestamp(), ring.begun, ring.place + 1,
        ring.found + (next.next_attempt_at <= statement_timestamp())::int
    FROM ring CROSS JOIN LATERAL ({_NEXT_TENANT.format(after="ring.tenant_id")}) AS next
    WHERE ring.found < %(limit)s AND next.tenant_id <> ring.begun
), waiting AS MATERIALIZED (
    SELECT queue.*, turns.place, row_number() OVER (
        PARTITION BY turns.place ORDER BY queue.next_attempt_at, queue.event_id
    ) AS turn
    FROM (SELECT tenant_id, place, count(*) OVER () AS tenants FROM ring WHERE due) AS turns
    CROSS JOIN LATERAL (
        SELECT e.event_id, e.connection_id, e.ordering_key, e.delivery_status, e.next_attempt_at, e.updated_at
        FROM adapter_events e
        WHERE e.tenant_id = turns.tenant_id AND e.delivery_status IN ('pending', 'failed')
          AND e.next_attempt_at <= statement_timestamp()
        ORDER BY e.next_attempt_at, e.event_id LIMIT GREATEST(%(window)s / turns.tenants, 1)
    ) AS queue
), judged AS MATERIALIZED (
    SELECT waiting.*, CASE WHEN waiting.ordering_key <> '' THEN (
        SELECT e.next_attempt_at FROM adapter_events e
        WHERE e.connection_id = waiting.connection_id AND e.ordering_key = waiting.ordering_key
          AND e.ordering_key <> '' AND e.delivery_status IN ('pending', 'failed') AND e.event_id < waiting.event_id
        ORDER BY e.event_id LIMIT 1
    ) END AS first_is_due FROM waiting
), chosen AS MATERIALIZED (
    SELECT locked.event_id
    FROM (SELECT * FROM judged WHERE first_is_due IS NULL ORDER BY turn, place) AS first
    CROSS JOIN LATERAL (
        SELECT e.event_id, e.updated_at FROM adapter_events e
        WHERE e.event_id = first.event_id OFFSET 0 FOR UPDATE SKIP LOCKED
    ) AS locked
    WHERE locked.updated_at = first.updated_at
    LIMIT %(limit)s
), shut AS MATERIALIZED (
    SELECT locked.event_id, later.first_is_due
    FROM (SELECT * FROM judged WHERE first_is_due IS NOT NULL) AS later
    CROSS JOIN LATERAL (
        SELECT e.event_id, e.updated_at FROM adapter_events e
        WHERE e.event_id = later.event_id OFFSET 0 FOR UPDATE SKIP LOCKED
    ) AS locked
    WHERE locked.updated_at = later.updated_at
), held AS (
    UPDATE adapter_events e
    SET lease_token = %(token)s, attempts = attempts + 1,
        next_attempt_at = statement_timestamp() + %(lease_seconds)s * interval '1 second',
        first_attempt_at = COALESCE(first_attempt_at, statement_timestamp()), updated_at = statement_timestamp()
    FROM chosen WHERE e.event_id = chosen.event_id
    RETURNING e.event_id
), parked AS (
    UPDATE adapter_events e
    SET lease_token = %(parked)s, updated_at = statement_timestamp(), next_attempt_at = GREATEST(
        statement_timestamp() + %(lease_seconds)s * interval '1 second', shut.first_is_due
    )
    FROM shut WHERE e.event_id = shut.event_id
    RETURNING e.event_id
)
SELECT ARRAY(SELECT event_id FROM held), (SELECT count(*) FROM parked),
    (SELECT tenant_id FROM ring WHERE due ORDER BY place DESC LIMIT 1)
"""  # noqa: S608 - put together from the text above

# The first event of each entity that waits for its turn: the earliest of its tenant's queue. One that failed and was
# not parked since, or is held back, keeps the pause it was given, but is touched, lest a claim that began before park
# it.
# Rows are locked in the order in which everybody locks them.
_WAKE = """
WITH next AS MATERIALIZED (
    SELECT first.event_id
    FROM unnest(%(connections)s::uuid[], %(keys)s::text[]) AS entity (connection_id, ordering_key)
    CROSS JOIN LATERAL (
        SELECT n.event_id FROM adapter_events n
        WHERE n.connection_id = entity.connection_id AND n.ordering_key = entity.ordering_key
          AND n.ordering_key <> '' AND n.delivery_status IN ('pending', 'failed')
        ORDER BY n.event_id LIMIT 1
    ) AS first
), locked AS MATERIALIZED (
    SELECT e.event_id FROM adapter_events e
    WHERE e.event_id IN (SELECT event_id FROM next) AND e.delivery_status IN ('pending', 'failed')
      AND (e.lease_token IS NULL OR e.lease_token = %(parked)s)
    ORDER BY e.event_id FOR UPDATE
)
UPDATE adapter_events e
SET lease_token = NULL, updated_at = statement_timestamp(), next_attempt_at = CASE
    WHEN e.lease_token IS NULL AND (e.delivery_status = 'failed' OR e.next_attempt_at > statement_timestamp())
        THEN e.next_attempt_at
    ELSE e.received_at - interval '1 millisecond' END
FROM locked WHERE e.event_id = locked.event_id
"""

_place = threading.local()


def claim(limit: int) -> Batch:
    """Take up to ``limit`` due events, of as many tenants as have any; in the batch they are in order of receipt."""
    token = uuid.uuid4()
    ends_at = time.monotonic() + settings.DELIVERY_LEASE_SECONDS
    keys, parked = _claim_turns(limit, token) if database.vendor == "postgresql" else (_claim_plainly(limit, token), 0)
    if not keys:
        return Batch(token, ends_at, parked=parked)
    tried_for_long = Q(first_attempt_at__lte=Now() - timedelta(hours=settings.DELIVERY_GIVE_UP_HOURS))
    rows = list(
        AdapterEvent.objects.filter(pk__in=keys, lease_token=token)
        # One instance a connection, however many of its events there are.
        .prefetch_related("connection")
        .defer("envelope", "signature_hash", "created_at", "updated_at", "next_attempt_at", "first_attempt_at")
        # The database's clock decides: a host whose own clock jumped must not give an event up.
        .annotate(last_try=ExpressionWrapper(tried_for_long, output_field=models.BooleanField()))
        # By receipt, so that one entity's events reach the neighbour as they came in.
        .order_by("pk")
    )
    return Batch(token, ends_at, rows, {event.pk for event in rows if event.last_try}, parked)


def wake_next(finished: Iterable[AdapterEvent]) -> None:
    """Make due what waited for these events.

    Called when what finished them is committed: it may have to wait for rows, and nobody may wait for it then.
    """
    entities = {(event.connection_id, event.ordering_key) for event in finished if event.ordering_key}
    if entities and database.vendor == "postgresql":
        connections, keys = (list(column) for column in zip(*sorted(entities), strict=True))
        with database.cursor() as cursor:
            cursor.execute(_WAKE, {"connections": connections, "keys": keys, "parked": PARKED})


def held(batch: Batch, events: Sequence[AdapterEvent]) -> Any:
    """Those rows this batch still holds."""
    return AdapterEvent.objects.filter(pk__in=[e.pk for e in events], lease_token=batch.token)


def release(batch: Batch, events: Sequence[AdapterEvent]) -> None:
    """Hand back what there was no time for."""
    held(batch, events).update(lease_token=None, next_attempt_at=Now(), attempts=F("attempts") - 1, updated_at=Now())


def _claim_turns(limit: int, token: uuid.UUID) -> tuple[list[uuid.UUID], int]:
    values = {
        "after": getattr(_place, "tenant_id", ""),
        "limit": limit,
        "window": limit * WINDOW_BATCHES,
        "token": token,
        "parked": PARKED,
        "lease_seconds": settings.DELIVERY_LEASE_SECONDS,
    }
    with database.cursor() as cursor:
        cursor.execute(_CLAIM, values)
        keys, parked, last = cursor.fetchone()
    _place.tenant_id = last or ""
    return keys, parked


def _claim_plainly(limit: int, token: uuid.UUID) -> list[uuid.UUID]:
    """For databases without SKIP LOCKED, where writers wait for each other anyway."""
    earlier = AdapterEvent.objects.filter(
        connection_id=OuterRef("connection_id"),
        ordering_key=OuterRef("ordering_key"),
        delivery_status__in=UNDELIVERED,
        event_id__lt=OuterRef("event_id"),
    )
    due = AdapterEvent.objects.filter(delivery_status__in=UNDELIVERED, next_attempt_at__lte=Now()).filter(
        Q(ordering_key="") | ~Exists(earlier)
    )
    with transaction.atomic():
        tenants = list(due.order_by().values_list("tenant_id", flat=True).distinct())
        share = -(-limit // max(1, len(tenants)))
        keys: list[uuid.UUID] = []
        for tenant_id in tenants:
            keys += due.filter(tenant_id=tenant_id).order_by("next_attempt_at").values_list("pk", flat=True)[:share]
        AdapterEvent.objects.filter(pk__in=keys[:limit]).update(
            lease_token=token,
            next_attempt_at=Now() + timedelta(seconds=settings.DELIVERY_LEASE_SECONDS),
            first_attempt_at=Coalesce("first_attempt_at", Now()),
            attempts=F("attempts") + 1,
            updated_at=Now(),
        )
    return keys[:limit]
