"""The row the road stores, read back, so that its rivals insert the very same one."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import sql

TABLE = "adapter_events"
# What differs from row to row; each rival makes it in its own way.
OWN = ("event_id", "dedupe_key", "signature_hash", "signal_id", "payload")


def read(url: str) -> dict[str, str | None]:
    """Columns and values, as text, of the newest stored row. Times are the database's own and stay out."""
    with psycopg.connect(url) as connection:
        cursor = connection.execute(f"SELECT * FROM {TABLE} LIMIT 0")  # noqa: S608
        names = [column.name for column in cursor.description or () if not column.name.endswith("_at")]
        texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in names)
        newest = sql.SQL("SELECT {} FROM {} ORDER BY event_id DESC LIMIT 1").format(texts, sql.Identifier(TABLE))
        values = connection.execute(newest).fetchone()
    if values is None:
        raise LookupError("The road stored nothing.")
    return dict(zip(names, values, strict=True))


def insert(row: Mapping[str, str | None], marks: Mapping[str, str]) -> str:
    """The statement: ``marks`` for the columns of ``OWN``, everything else as constants."""
    values = {**{name: _constant(value) for name, value in row.items()}, **marks}
    names, texts = ", ".join(values), ", ".join(values.values())
    return f"INSERT INTO {TABLE} ({names}) VALUES ({texts}) ON CONFLICT DO NOTHING"  # noqa: S608


def _constant(value: str | None) -> str:
    """A literal without ``:`` and ``%``, which stand for parameters in a client's text, also within quotes."""
    if value is None:
        return "NULL"
    escaped = "".join(char if char.isalnum() or char in " _-." else f"\\x{ord(char):02x}" for char in value)
    return f"E'{escaped}'"
