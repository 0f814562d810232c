"""Running a command for somebody who waits, or for somebody who does not."""

from __future__ import annotations

import uuid
from contextlib import nullcontext

from django.conf import settings

from actions.intake import Wish, take
from actions.leases import begun
from actions.models import OVER, NormalisedAction
from actions.runner import run
from connections.models import IntegrationConnection
from connections.turns import turn_if_free


def execute(connection: IntegrationConnection, wish: Wish, *, actor: str, wait: bool) -> NormalisedAction:
    """Take a command and, with ``wait``, try it once here, for ``ACTION_SYNC_SECONDS`` at most.

    What is not over then goes on by itself: the row says how far it is. The same key gives the first action again.
    Raises ``ServiceError`` (``intake.take``).
    """
    with turn_if_free(settings.ACTION_SYNC_SECONDS) if wait else nullcontext(False) as free:
        taken = take(connection, wish, actor=actor, lease=uuid.uuid4() if free else None)
        if taken.new and free:
            run(begun(taken.action))
    if taken.new and taken.action.status not in OVER:
        taken.action.refresh_from_db()
    return taken.action
