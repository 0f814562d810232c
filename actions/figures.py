"""How the actions of a connection ended, for its health."""

from __future__ import annotations

from django.db.models import Count

from actions.models import ActionStatus, NormalisedAction
from connections.models import IntegrationConnection


def action_counts(connection: IntegrationConnection) -> dict[str, int]:
    """Actions kept of the connection, by status; each status is named."""
    kept = NormalisedAction.objects.filter(tenant_id=connection.tenant_id, connection=connection).order_by()
    counted = dict(kept.values_list("status").annotate(Count("pk")))
    return {status: counted.get(status, 0) for status in ActionStatus.values}
