"""What the console's pages share about connections."""

from __future__ import annotations

from typing import Any

from django.utils.safestring import SafeString

from providers.console.display import EMPTY, column, link


class OfConnection:
    """Mixin for pages of rows that belong to a connection."""

    @column("connection")
    def connection_link(self, row: Any) -> str | SafeString:
        if row.connection is None:
            return EMPTY
        return link("connections_integrationconnection_change", row.connection, row.connection_id)
