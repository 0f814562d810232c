"""Whether the rows behind a door were written since: one small statement instead of reading them through the ORM."""

from __future__ import annotations

from django.db import connection as database

# Every write puts a row at another place, and every transaction leaves another mark; a place is used again later.
# https://www.postgresql.org/docs/current/ddl-system-columns.html
_STATEMENT = (
    "SELECT concat_ws(' ', door.xmin, door.ctid, owner.xmin, owner.ctid) FROM webhook_registrations AS door "
    "LEFT JOIN integration_connections AS owner USING (connection_id) WHERE door.token_hash = %s"
)


def row_versions(token_hash: bytes) -> str | None:
    """Marks of the registration and its connection; ``None``: there is none, or the database cannot tell."""
    if database.vendor != "postgresql":
        return None
    with database.cursor() as cursor:
        cursor.execute(_STATEMENT, [token_hash])
        found = cursor.fetchone()
    return str(found[0]) if found is not None else None
