"""The rival somebody writes in an hour: read pages with requests, upsert each into one table, commit.

Two ways to upsert; neither redacts, orders, tallies, or can say afterwards where it stood.
``python -m … WAY URL DATABASE`` prints what it took as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import psycopg
import requests

_TABLE = """
CREATE TABLE IF NOT EXISTS plain_records (
    id bigint PRIMARY KEY, updated_at timestamptz NOT NULL, state text NOT NULL, record jsonb NOT NULL
)
"""
_UPSERT = """
ON CONFLICT (id) DO UPDATE SET updated_at = excluded.updated_at, state = excluded.state, record = excluded.record
WHERE plain_records.updated_at < excluded.updated_at
"""
Rows = list[tuple[int, str, str, str]]


def by_copy(connection: psycopg.Connection, rows: Rows) -> None:
    connection.execute("CREATE TEMPORARY TABLE IF NOT EXISTS page (LIKE plain_records) ON COMMIT DELETE ROWS")
    with connection.cursor() as cursor:
        with cursor.copy("COPY page FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(f"INSERT INTO plain_records SELECT * FROM page {_UPSERT}")  # noqa: S608
    connection.commit()


def by_executemany(connection: psycopg.Connection, rows: Rows) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO plain_records VALUES (%s, %s, %s, %s) {_UPSERT}", rows)  # noqa: S608
    connection.commit()


WAYS: dict[str, Callable[[psycopg.Connection, Rows], None]] = {"copy": by_copy, "executemany": by_executemany}


def read(url: str, database: str, way: str) -> dict[str, Any]:
    """All pages, following ``Link``."""
    store = WAYS[way]
    with psycopg.connect(database) as connection, requests.Session() as session:
        connection.execute(_TABLE)
        connection.commit()
        began_at, began_processor, number = time.monotonic(), time.process_time(), 0
        following: str | None = f"{url}?per_page=100&state=all&sort=updated&direction=asc"
        while following:
            answer = session.get(following, timeout=20)
            answer.raise_for_status()
            items = answer.json()
            store(connection, [(one["id"], one["updated_at"], one["state"], json.dumps(one)) for one in items])
            number += len(items)
            following = answer.links.get("next", {}).get("url")
        ended_at = time.monotonic()
    return {
        "records": number,
        "began_at": began_at,
        "ended_at": ended_at,
        "seconds": ended_at - began_at,
        "processor_seconds": time.process_time() - began_processor,
    }


if __name__ == "__main__":
    json.dump(read(sys.argv[2], sys.argv[3], sys.argv[1]), sys.stdout)
