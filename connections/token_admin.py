"""The access token of a connection on its page: until when it lasts and how its renewal goes. Never the token."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString

from connections.models import IntegrationConnection
from connections.token_waits import state_of
from providers.console.display import EMPTY, age, column, label, words


class TokenColumns:
    """What ``ConnectionAdmin`` shows of it."""

    @column("access token")
    def access_token(self, connection: IntegrationConnection) -> str | SafeString:
        row = state_of(connection) if connection.auth_ref else None
        if row is None:
            return EMPTY
        if row.ended_at is not None:
            return format_html("{} {}: {}", label("refused", "danger"), age(row.ended_at), row.last_error)
        parts: list[str | SafeString] = [
            label("good", "success") if row.is_good_for(0, row.now) else label("none", "warning")
        ]
        if row.last_refreshed_at is not None:
            parts.append(format_html("stored {}", age(row.last_refreshed_at)))
        if row.expires_at is not None:
            parts.append(format_html("ends {}", age(row.expires_at)))
        if row.refresh_at is not None and not row.attempts:
            parts.append(format_html("renewed {}", age(row.refresh_at)))
        if row.last_error:
            parts.append(format_html("tried again {}: {}", age(row.refresh_at), row.last_error))
        if row.scopes:
            parts.append(words(row.scopes))
        return format_html(", ".join(["{}"] * len(parts)), *parts)
