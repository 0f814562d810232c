"""Conservation: everything a connection received is somewhere, and this is where.

Two independent accounts are compared. Tallies say what was presented, written by the very statement that
stored it; rows, and counts of rows removed by age, say where it is now. A row that vanished or was made
by another way shows as a difference.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection as database

FOLDED_A_BATCH = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """received = delivered + duplicate + ignored + failed + dead + pending, at every instant."""

    received: int
    delivered: int
    duplicate: int
    ignored: int
    failed: int
    dead: int
    pending: int

    @property
    def unaccounted(self) -> int:
        """Events that came in and are nowhere (below zero: rows nobody received). Zero, or something is wrong."""
        known = self.delivered + self.duplicate + self.ignored + self.failed + self.dead + self.pending
        return self.received - known


_ENTRIES = tuple(Ledger.__dataclass_fields__)

# One statement, so that every part of it sees the same instant.
_ACCOUNTS = """
SELECT connection_id, entry, SUM(number) FROM (
    SELECT connection_id, 'received' AS entry, received AS number FROM intake_tallies {where}
    UNION ALL SELECT connection_id, 'duplicate', duplicate FROM intake_tallies {where}
    UNION ALL SELECT connection_id, 'received', received FROM intake_totals {where}
    UNION ALL SELECT connection_id, 'duplicate', duplicate FROM intake_totals {where}
    UNION ALL SELECT connection_id, 'delivered', purged_delivered FROM intake_totals {where}
    UNION ALL SELECT connection_id, 'ignored', purged_ignored FROM intake_totals {where}
    UNION ALL SELECT connection_id, 'dead', purged_dead FROM intake_totals {where}
    UNION ALL SELECT connection_id, delivery_status, COUNT(*) FROM adapter_events {where}
        GROUP BY connection_id, delivery_status
) AS accounts GROUP BY connection_id, entry
"""


def ledger(connection_id: uuid.UUID) -> Ledger:
    """Where everything one connection received went."""
    return ledgers([connection_id])[connection_id]


def ledgers(connection_ids: Sequence[uuid.UUID] | None = None) -> dict[uuid.UUID, Ledger]:
    """The same for these connections; without an argument, for every one that received anything.

    Counts an index over the kept events of the connections: about 0.2 s a million.
    """
    if connection_ids is not None and not connection_ids:
        return {}
    marks = ", ".join(["%s"] * len(connection_ids or ()))
    where = f"WHERE connection_id IN ({marks})" if connection_ids else ""
    keys = [key if database.features.has_native_uuid_field else key.hex for key in connection_ids or ()]
    found: dict[uuid.UUID, dict[str, int]] = {key: {} for key in connection_ids or ()}
    with database.cursor() as cursor:
        cursor.execute(_ACCOUNTS.format(where=where), keys * _ACCOUNTS.count("{where}"))
        for key, entry, number in cursor.fetchall():
            owner = key if isinstance(key, uuid.UUID) else uuid.UUID(key)
            found.setdefault(owner, {})[entry] = int(number)
    return {owner: _ledger(entries) for owner, entries in found.items()}


def _ledger(entries: dict[str, int]) -> Ledger:
    return Ledger(**{name: entries.get(name, 0) for name in _ENTRIES})


_FOLD = """
WITH picked AS MATERIALIZED (
    SELECT tally_id FROM intake_tallies ORDER BY tally_id LIMIT %s FOR UPDATE SKIP LOCKED
), folded AS (
    DELETE FROM intake_tallies WHERE tally_id IN (SELECT tally_id FROM picked)
    RETURNING connection_id, received, duplicate
), summed AS (
    SELECT connection_id, COUNT(*) AS tallies, SUM(received) AS received, SUM(duplicate) AS duplicate
    FROM folded GROUP BY connection_id
), kept AS (
    INSERT INTO intake_totals AS totals (connection_id, tenant_id, received, duplicate, purged_delivered,
        purged_ignored, purged_dead, created_at, updated_at)
    SELECT connection_id, owner.tenant_id, summed.received, summed.duplicate, 0, 0, 0,
        CURRENT_TIMESTAMP, CURRENT_TIMESTAMP
    FROM summed JOIN integration_connections AS owner USING (connection_id)
    ORDER BY connection_id
    ON CONFLICT (connection_id) DO UPDATE SET received = totals.received + EXCLUDED.received,
        duplicate = totals.duplicate + EXCLUDED.duplicate, updated_at = CURRENT_TIMESTAMP
)
SELECT COALESCE(SUM(tallies), 0) FROM summed
"""


def fold_tallies() -> int:
    """Fold up to 10 000 tallies into totals, in one statement, and return how many.

    SQLite, where nothing is busy, keeps them as they are: the ledger reads both.
    """
    if database.vendor != "postgresql":
        return 0
    with database.cursor() as cursor:
        cursor.execute(_FOLD, [FOLDED_A_BATCH])
        return int(cursor.fetchone()[0])
