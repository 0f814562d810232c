"""The backend of ``DATABASES``; Django asks for a module of this name."""

from __future__ import annotations

import select
from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """Looks at the socket where Django's own would ask ``SELECT 1`` before the first statement of every request.

    Whoever ends a session, an administrator or a restart, leaves something to read on its socket: a farewell or
    the end of the stream. An idle connection with nothing to read is as good as one that has just answered. After
    an error the question is asked in earnest.
    """

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        if settings.DATABASE_PREPARED_STATEMENTS:
            # Of statements whose values travel beside them; Django writes its values into the text.
            params["prepare_threshold"] = 0
        return params

    def is_usable(self) -> bool:
        connection = self.connection
        if connection is None or connection.closed:
            return False
        if self.errors_occurred:
            return super().is_usable()
        return not select.select([connection.fileno()], [], [], 0)[0]
