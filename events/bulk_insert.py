"""The quick way into ``adapter_events`` for a page: one statement, its values sent a column at a time.

A page of a list is a hundred events and more. As literals of a statement they would be quoted, parsed and planned
anew each time, which takes three times as long as storing them. Here each column travels as one array in PostgreSQL's
binary form, and the statement is the same for any number of rows.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import sql
from psycopg.adapt import Dumper
from psycopg.pq import Format

from events.single_insert import GIVEN, column_values

# Alike in all rows of a page. A page is not signed.
COMMON = ("connection_id", "tenant_id", "provider_id", "source", "registration_id", "proof")
_OWN = tuple(name for name in GIVEN if name not in (*COMMON, "signature_hash"))

# https://www.postgresql.org/docs/current/catalog-pg-type.html
_OIDS = {name: psycopg.adapters.types[name].oid for name in ("uuid", "text", "bytea", "timestamptz")}
_EPOCH, _MICROSECOND = datetime(2000, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_head, _length, _moment = struct.Struct("!5i").pack, struct.Struct("!i").pack, struct.Struct("!q").pack
_NULL = _length(-1)


class _Array(NamedTuple):
    """An array in PostgreSQL's binary form."""

    data: bytes


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: _Array) -> bytes:
        return obj.data

    def quote(self, obj: _Array) -> bytes:
        # Asked for where statements are logged, and a page need not be repeated there.
        return b"'%d bytes'" % len(obj.data)


def _statement() -> str:
    marks: dict[str, sql.Composable] = {name: sql.SQL(f"%({name})s::{GIVEN[name]}") for name in COMMON}
    marks |= {name: sql.Identifier("page", name) for name in _OWN}
    values = column_values(marks)
    statement = sql.SQL(
        "WITH stored AS (INSERT INTO adapter_events ({}) SELECT {} FROM unnest({}) AS page ({}) "
        "ON CONFLICT DO NOTHING RETURNING event_id), "
        # The same statement notes what came in, so that rows and tallies cannot part.
        "noted AS (INSERT INTO intake_tallies (connection_id, received, duplicate) "
        "SELECT {}, %(number)s, %(number)s - COUNT(*) FROM stored) SELECT event_id FROM stored"
    )
    joined = sql.SQL(", ").join
    return statement.format(
        joined(map(sql.Identifier, values)),
        joined(values.values()),
        joined(sql.SQL(f"%({name})s::{GIVEN[name]}[]") for name in _OWN),
        joined(map(sql.Identifier, _OWN)),
        marks["connection_id"],
    ).as_string()


_STATEMENT = _statement()


def insert_many(common: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[uuid.UUID]:
    """Insert rows of one connection with their tally; return the ids that were not there before. PostgreSQL only.

    ``common`` has the columns of ``COMMON``, each row the others that ``record`` gives; rows are in the order in which
    their keys are taken. Raises Django's database errors. Its own transaction, or part of the caller's.
    """
    values = {name: _array(GIVEN[name], [row[name] for row in rows]) for name in _OWN}
    wrapper = connections[DEFAULT_DB_ALIAS]
    wrapper.close_if_health_check_failed()
    wrapper.ensure_connection()
    connection: psycopg.Connection[Any] = wrapper.connection
    connection.adapters.register_dumper(_Array, _ArrayDumper)
    # Django's own cursor would write the values into the statement.
    wrap: Any = wrapper.make_debug_cursor if wrapper.queries_logged else wrapper.make_cursor
    with wrap(psycopg.Cursor(connection)) as cursor:
        cursor.execute(_STATEMENT, {**common, **values, "number": len(rows)})
        return [key for (key,) in cursor.fetchall()]


def _array(kind: str, values: Sequence[Any]) -> _Array:
    # Dimensions, whether there may be nulls, type, length, first index.
    parts = [_head(1, 1, _OIDS[kind], len(values), 1)]
    sent = _SENT[kind]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            item = sent(value)
            parts += (_length(len(item)), item)
    return _Array(b"".join(parts))


_SENT: dict[str, Callable[[Any], bytes]] = {
    "text": str.encode,
    "bytea": bytes,
    "uuid": attrgetter("bytes"),
    "timestamptz": lambda moment: _moment((moment - _EPOCH) // _MICROSECOND),
}
