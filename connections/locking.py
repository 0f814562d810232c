"""A connection as it is now; a deleted one is not there any more."""

from __future__ import annotations

from connections.errors import ServiceError
from connections.models import IntegrationConnection


def present(connection: IntegrationConnection) -> IntegrationConnection:
    """Read anew. Raises ``ServiceError`` (404)."""
    return _found(IntegrationConnection.objects.present().filter(pk=connection.pk).first())


def locked(connection: IntegrationConnection) -> IntegrationConnection:
    """Read anew and locked until the transaction ends. Raises ``ServiceError`` (404)."""
    rows = IntegrationConnection.objects.present().select_for_update()
    return _found(rows.filter(pk=connection.pk).first())


def _found(row: IntegrationConnection | None) -> IntegrationConnection:
    if row is None:
        raise ServiceError("NOT_FOUND", "The connection does not exist.", status=404)
    return row
