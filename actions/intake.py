"""Taking a command: the same key is the same action, whoever asks first."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from actions import commands
from actions.models import OVER, ActionStatus, NormalisedAction
from connections.errors import ServiceError
from connections.incidents import from_now
from connections.models import ConnectionStatus, IntegrationConnection
from connections.validation import invalid, problem
from providers import registry
from providers.actions import OutboundAction


@dataclass(frozen=True, slots=True)
class Taken:
    """An action and whether this request made it."""

    action: NormalisedAction
    new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a caller asks for, before anything is checked. ``repr`` leaves out what is said: it may hold a secret."""

    provider_id: str
    canonical_type: str
    target: Mapping[str, Any]
    payload: Mapping[str, Any] = field(repr=False)
    idempotency_key: str
    correlation_id: str = ""

    def fingerprint(self, connection: IntegrationConnection) -> str:
        """The correlation id is no part of it: a caller that asks again may have another."""
        asked = [str(connection.pk), self.provider_id, self.canonical_type, dict(self.target), dict(self.payload)]
        return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()


def take(connection: IntegrationConnection, wish: Wish, *, actor: str, lease: uuid.UUID | None) -> Taken:
    """Keep the command, due at once, or find the one that has its key.

    With a ``lease`` the caller runs it itself, at once. Raises ``ServiceError``: 400 what is wrong with the command,
    409 for a connection that takes none or an action that still runs, 422 for a key that was used for something else.
    """
    check_provider(connection, wish)
    fingerprint = wish.fingerprint(connection)
    try:
        usable(connection, wish)
        # Most keys are new: the row is written first, and looked for only if its key is taken.
        with transaction.atomic():
            return Taken(_create(connection, wish, fingerprint, actor, lease), new=True)
    except (IntegrityError, ServiceError):
        # What was done before stays known, also where the connection takes no commands any more.
        first = known(connection, wish.idempotency_key)
        if first is None:
            raise
    if first.fingerprint != fingerprint:
        message = "This idempotency_key was used for another command."
        raise ServiceError("IDEMPOTENCY_KEY_REUSED", message, {"action_id": str(first.pk)}, status=422)
    if first.status not in OVER:
        details = {"action_id": str(first.pk), "status": first.status}
        raise ServiceError("ACTION_IN_PROGRESS", "The action with this key still runs.", details, status=409)
    return Taken(first, new=False)


def check_provider(connection: IntegrationConnection, wish: Wish) -> None:
    """The caller names provider and connection; they must belong together. Raises ``ServiceError`` (400)."""
    if wish.provider_id != connection.provider_id:
        raise invalid(problem("/provider_id", "is not the connection's provider"))


def usable(connection: IntegrationConnection, wish: Wish) -> OutboundAction:
    """The adapter's action for a command that can be carried out. Raises ``ServiceError``."""
    if not connection.uses("outbound_actions"):
        message = "This connection is not used for actions: switch on the capability outbound_actions."
        raise ServiceError("CAPABILITY_OFF", message, status=409)
    if connection.status != ConnectionStatus.ACTIVE:
        message = f"The connection is {connection.status}; only an active one takes actions."
        raise ServiceError("CONNECTION_NOT_ACTIVE", message, {"status": connection.status}, status=409)
    try:
        action = commands.action_of(connection.provider_id, wish.canonical_type)
    except registry.UnknownProvider:
        message = "This deployment no longer has the provider's adapter."
        raise ServiceError("PROVIDER_UNAVAILABLE", message, status=409) from None
    commands.check(action, wish.target, wish.payload)
    return action


def known(connection: IntegrationConnection, key: str) -> NormalisedAction | None:
    """The action of the connection that has this key."""
    rows = NormalisedAction.objects.filter(
        tenant_id=connection.tenant_id, connection=connection, idempotency_key=key
    ).select_related("connection")
    found: NormalisedAction | None = rows.first()
    return found


def _create(
    connection: IntegrationConnection, wish: Wish, fingerprint: str, actor: str, lease: uuid.UUID | None
) -> NormalisedAction:
    row = NormalisedAction(
        tenant_id=connection.tenant_id,
        provider_id=connection.provider_id,
        connection=connection,
        canonical_type=wish.canonical_type,
        target=dict(wish.target),
        payload=dict(wish.payload),
        idempotency_key=wish.idempotency_key,
        correlation_id=wish.correlation_id,
        fingerprint=fingerprint,
        requested_by=actor[:200],
        status=ActionStatus.PROCESSING if lease else ActionStatus.PENDING,
        lease_token=lease,
        next_attempt_at=from_now(timedelta(seconds=settings.ACTION_LEASE_SECONDS)) if lease else Now(),
        give_up_at=from_now(timedelta(seconds=settings.ACTION_GIVE_UP_SECONDS)),
        attempts=1 if lease else 0,
    )
    row.save(force_insert=True)
    return row
