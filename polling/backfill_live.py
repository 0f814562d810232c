"""Whether live polling waits for what a backfill is using: the same connection, or another one with its credential."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.db.models.functions import Now

from connections.models import ConnectionStatus, IntegrationConnection
from polling.models import PollingCursor

# Of a credential shared by more, these stand for all.
SIBLINGS_LOOKED_AT = 50


def sharing_credential(connection: IntegrationConnection) -> list[uuid.UUID]:
    """The connection and those of its tenant that call the provider with the same credential."""
    if not connection.auth_ref:
        return [connection.pk]
    same = IntegrationConnection.objects.filter(
        tenant_id=connection.tenant_id, auth_ref=connection.auth_ref, status=ConnectionStatus.ACTIVE
    )
    others = same.exclude(pk=connection.pk).order_by("pk").values_list("pk", flat=True)
    return [connection.pk, *others[:SIBLINGS_LOOKED_AT]]


def live_polling_waits(connection_ids: Sequence[uuid.UUID]) -> bool:
    """Whether a cursor of theirs is due and nobody reads it yet."""
    return PollingCursor.objects.filter(
        connection_id__in=connection_ids, active=True, lease_token=None, next_poll_at__lte=Now()
    ).exists()
