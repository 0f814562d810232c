"""The quick way into ``adapter_events`` for a single event: one prepared statement and no model instance.

Nearly every webhook is one event, and a request can spend as long in the ORM as in PostgreSQL. Values are bound
by the server, so the statement is parsed and planned once a connection (``prepare_threshold`` of the settings).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from django.db import connection as database
from django.db import models
from psycopg import sql

from events.models import AdapterEvent

# What a caller gives; the rest of the row is the same for all.
_GIVEN = (
    "event_id", "connection_id", "tenant_id", "provider_id", "provider_event_type", "source", "dedupe_key",
    "signature_hash", "happening", "ordering_key", "correlation_id", "occurred_at", "payload", "registration_id",
    "proof", "delivery_status", "ignored_reason", "signal_id", "signal_type",
)  # fmt: skip


def _statement() -> str:
    fields = [f for f in AdapterEvent._meta.concrete_fields if f.db_default is models.NOT_PROVIDED]
    blank = AdapterEvent()
    constants = {f.column: sql.Literal(getattr(blank, f.attname)) for f in fields if f.column not in _GIVEN}
    columns = [*_GIVEN, *constants]
    values = [*(sql.Placeholder(name) for name in _GIVEN), *constants.values()]
    statement = sql.SQL(
        "WITH stored AS (INSERT INTO adapter_events ({}) VALUES ({}) ON CONFLICT DO NOTHING RETURNING event_id), "
        # The same statement notes what came in, so that rows and tallies cannot part.
        "noted AS (INSERT INTO intake_tallies (connection_id, received, duplicate) "
        "SELECT {}, 1, 1 - COUNT(*) FROM stored) SELECT event_id FROM stored"
    )
    joined = sql.SQL(", ").join
    return statement.format(
        joined(map(sql.Identifier, columns)), joined(values), sql.Placeholder("connection_id")
    ).as_string()


_STATEMENT = _statement()


def insert_one(values: Mapping[str, Any]) -> bool:
    """Insert one row, given by column, with its tally. Returns whether it is new; on PostgreSQL only.

    Raises Django's database errors. Its own transaction, or part of the caller's.
    """
    database.close_if_health_check_failed()
    database.ensure_connection()
    bound = psycopg.Cursor(database.connection)
    with database.make_debug_cursor(bound) if database.queries_logged else database.make_cursor(bound) as cursor:
        cursor.execute(_STATEMENT, values)
        return cursor.fetchone() is not None
