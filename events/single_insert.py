"""The quick way into ``adapter_events`` for a single event: one prepared statement and no model instance.

Nearly every webhook is one event, and a request can spend as long in the ORM, or in the driver's cursor, as in
PostgreSQL. So the statement is parsed and planned once a connection, and its values are handed to libpq as they are.
Inside a transaction, and behind a pooler that knows no prepared statements, it goes through an ordinary cursor.
"""

from __future__ import annotations

import hashlib
import uuid
import weakref
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections, models
from psycopg import sql
from psycopg.pq import DiagnosticField, ExecStatus, Format
from psycopg.pq.abc import PGresult

from events.models import AdapterEvent

# What a caller gives, with its type; the rest of the row is the same for all.
GIVEN = {
    "event_id": "uuid", "connection_id": "uuid", "tenant_id": "text", "provider_id": "text",
    "provider_event_type": "text", "source": "text", "dedupe_key": "text", "signature_hash": "bytea",
    "happening": "text", "ordering_key": "text", "correlation_id": "text", "occurred_at": "timestamptz",
    "payload": "bytea", "registration_id": "uuid", "proof": "text", "delivery_status": "text",
    "ignored_reason": "text", "signal_id": "uuid", "signal_type": "text",
}  # fmt: skip
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_UNKNOWN, _KNOWN = b"26000", b"42P05"  # invalid_sql_statement_name, duplicate_prepared_statement


def column_values(marks: Mapping[str, sql.Composable]) -> dict[str, sql.Composable]:
    """What a new row has in each column: a mark, or the column's default. Columns PostgreSQL fills are left out."""
    fields = [f for f in AdapterEvent._meta.concrete_fields if f.db_default is models.NOT_PROVIDED]
    blank = AdapterEvent()
    return {str(f.column): marks.get(str(f.column), sql.Literal(getattr(blank, f.attname))) for f in fields}


def _statement(marks: Mapping[str, sql.Composable]) -> str:
    values = column_values(marks)
    statement = sql.SQL(
        "WITH stored AS (INSERT INTO adapter_events ({}) SELECT {} WHERE NOT EXISTS (SELECT FROM spent_signatures "
        "WHERE connection_id = {} AND signature_hash = {}) ON CONFLICT DO NOTHING RETURNING event_id), "
        # The same statement notes what came in, so that rows and tallies cannot part.
        "noted AS (INSERT INTO intake_tallies (connection_id, received, duplicate) "
        "SELECT {}, 1, 1 - COUNT(*) FROM stored) SELECT event_id FROM stored"
    )
    joined = sql.SQL(", ").join
    return statement.format(
        joined(map(sql.Identifier, values)),
        joined(values.values()),
        marks["connection_id"],
        marks["signature_hash"],
        marks["connection_id"],
    ).as_string()


_BY_CURSOR = _statement({name: sql.SQL(f"{sql.Placeholder(name).as_string()}::{kind}") for name, kind in GIVEN.items()})
_NUMBERED: dict[str, sql.Composable] = {
    name: sql.SQL(f"${number}::{kind}") for number, (name, kind) in enumerate(GIVEN.items(), 1)
}
_PREPARED = _statement(_NUMBERED).encode()
# Behind a pooler, a session may know the statement of another release; that one has another name.
_NAME = b"store_one_event_" + hashlib.sha256(_PREPARED).hexdigest()[:16].encode()
_FORMATS = [Format.BINARY if kind in ("bytea", "uuid") else Format.TEXT for kind in GIVEN.values()]
_ready: weakref.WeakSet[psycopg.Connection[Any]] = weakref.WeakSet()


def insert_one(values: Mapping[str, Any]) -> bool:
    """Insert one row, given by column, with its tally. Returns whether it is new; on PostgreSQL only.

    Raises Django's database errors. Its own transaction, or part of the caller's.
    """
    wrapper = connections[DEFAULT_DB_ALIAS]
    wrapper.close_if_health_check_failed()
    wrapper.ensure_connection()
    connection: psycopg.Connection[Any] = wrapper.connection
    if not settings.DATABASE_PREPARED_STATEMENTS or not connection.autocommit or wrapper.queries_logged:
        with wrapper.cursor() as cursor:
            cursor.execute(_BY_CURSOR, values)
            return cursor.fetchone() is not None
    with wrapper.wrap_database_errors:
        return _execute(connection, [_sent(values[name]) for name in GIVEN])


def _execute(connection: psycopg.Connection[Any], values: list[Any]) -> bool:
    pgconn = connection.pgconn
    if connection not in _ready:
        _prepare(connection)
    # Waits in libpq without the interpreter's lock.
    result = pgconn.exec_prepared(_NAME, values, _FORMATS)
    if _state(result) == _UNKNOWN:
        # The session is another one, or was told to forget. Nothing has happened yet.
        _prepare(connection)
        result = pgconn.exec_prepared(_NAME, values, _FORMATS)
    if result.status != ExecStatus.TUPLES_OK:
        raise psycopg.errors.error_from_result(result)
    return result.ntuples > 0


def _prepare(connection: psycopg.Connection[Any]) -> None:
    result = connection.pgconn.prepare(_NAME, _PREPARED)
    if result.status != ExecStatus.COMMAND_OK and _state(result) != _KNOWN:
        raise psycopg.errors.error_from_result(result)
    _ready.add(connection)


def _state(result: PGresult) -> bytes | None:
    return result.error_field(DiagnosticField.SQLSTATE)


def _sent(value: Any) -> bytes | None:
    """A value as it goes to the server, in the format of its type."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, uuid.UUID):
        return value.bytes
    return value.isoformat().encode() if isinstance(value, datetime) else value
