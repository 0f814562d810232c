"""Leases: who may move a row, and until when. Time is the database's, for all processes the same.

A claimed row carries a token, and its due time is the end of the lease. Every write of the holder asks for
the token, so a worker that wakes after its lease was given to another writes nothing. The token changes
with every committed page: of two that hold the same one, the second to commit loses.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import DateTimeField, ExpressionWrapper, QuerySet, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Now


class LeaseLost(Exception):
    """Another run holds the row now; what was read is not written."""


def new_token() -> uuid.UUID:
    return uuid.uuid4()


def message_seconds() -> float:
    """How long the cursors of one message may be begun: within their lease, and well within a task's time limit."""
    return min(settings.POLL_LEASE_SECONDS, settings.CELERY_TASK_SOFT_TIME_LIMIT / 2)


def run_seconds() -> float:
    """How long one run may begin new pages."""
    return message_seconds() / 2


def from_now(seconds: float) -> Combinable:
    """The database's clock plus ``seconds``."""
    return ExpressionWrapper(Now() + Value(timedelta(seconds=seconds)), output_field=DateTimeField())


def write(held: QuerySet[Any], values: Mapping[str, Any], *, due_field: str, release: bool) -> uuid.UUID | None:
    """Write to the row in ``held``, which is filtered by its token, and return the next token.

    The lease is prolonged, or ended with ``release``. Raises ``LeaseLost`` if the row is another's now.
    """
    token = None if release else new_token()
    due = {due_field: from_now(settings.POLL_LEASE_SECONDS)}
    if not held.update(**{**due, **values, "lease_token": token, "updated_at": Now()}):
        raise LeaseLost
    return token
