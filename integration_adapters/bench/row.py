"""The row the road stores, read back, so that its rivals insert the very same one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql

TABLE = "adapter_events"
# What differs from row to row, and how PostgreSQL itself would make it.
OWN = ("event_id", "dedupe_key", "signature_hash", "signal_id", "payload")


def read(url: str) -> dict[str, str | None]:
    """Columns and values, as text, of the newest stored row."""
    with psycopg.connect(url) as connection:
        cursor = connection.execute(f"SELECT * FROM {TABLE} ORDER BY event_id DESC LIMIT 1")  # noqa: S608
        row = cursor.fetchone()
        if row is None or cursor.description is None:
            raise LookupError("The road stored nothing.")
        names = [column.name for column in cursor.description]
        texts = {
            name: connection.execute(
                sql.SQL("SELECT {}::text FROM {} WHERE event_id = %s").format(
                    sql.Identifier(name), sql.Identifier(TABLE)
                ),
                [row[names.index("event_id")]],
            ).fetchone()
            for name in names
        }
    # Times are the database's own in the road, so they are here.
    return {name: text[0] for name, text in texts.items() if text and not name.endswith("_at")}


def insert(row: Mapping[str, str | None], marks: Mapping[str, str], url: str) -> str:
    """The statement: ``marks`` for the columns of ``OWN``, everything else as constants."""
    with psycopg.connect(url) as connection:
        constants = {name: sql.Literal(value).as_string(connection) for name, value in row.items() if name not in OWN}
    values = {**constants, **marks}
    return f"INSERT INTO {TABLE} ({', '.join(values)}) VALUES ({', '.join(values.values())}) ON CONFLICT DO NOTHING"


def save(path: Path, statement: str) -> None:
    path.write_text(json.dumps(statement))
