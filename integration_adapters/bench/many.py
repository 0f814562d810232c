"""Very many connections with a cursor each, copied from one by PostgreSQL: made singly they would take minutes."""

from __future__ import annotations

from typing import Any

from django.db import connection as database

_COPY = """
INSERT INTO {table} ({columns}) SELECT {values} FROM {table} AS model CROSS JOIN {others} WHERE model.{key} = %(model)s
"""


def multiply(connection: Any, cursor: Any, number: int, tenants: int) -> None:
    """Make it ``number`` connections of so many tenants; their cursors are due an hour from now, over an hour.

    The given cursor, of another partition than the empty one, is only copied, and goes.
    """
    _copy(
        connection,
        "generate_series(2, %(number)s) AS other (number)",
        {"number": number},
        connection_id="gen_random_uuid()",
        tenant_id=f"'tenant-' || other.number %% {tenants}",
    )
    _copy(
        cursor,
        "integration_connections AS other",
        {},
        partition="''",
        cursor_id="gen_random_uuid()",
        connection_id="other.connection_id",
        tenant_id="other.tenant_id",
        next_poll_at="statement_timestamp() + interval '1 hour' + random() * interval '1 hour'",
    )
    with database.cursor() as opened:
        opened.execute("DELETE FROM polling_cursors WHERE cursor_id = %s", [cursor.pk])
        opened.execute("ANALYZE integration_connections, polling_cursors")


def _copy(model: Any, others: str, values: dict[str, Any], **own: str) -> None:
    meta = model._meta
    columns = {field.column: own.get(field.column, f"model.{field.column}") for field in meta.concrete_fields}
    statement = _COPY.format(
        table=meta.db_table,
        columns=", ".join(columns),
        values=", ".join(columns.values()),
        others=others,
        key=meta.pk.column,
    )
    with database.cursor() as opened:
        opened.execute(statement, {**values, "model": model.pk})
