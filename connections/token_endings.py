"""What people are told when a credential gives no tokens: for a while, or for good."""

from __future__ import annotations

import uuid

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from connections import history
from connections.incidents import Cause, raise_incident
from connections.lifecycle import MOVES
from connections.models import AccessToken, ConnectionStatus, IncidentSeverity, IntegrationConnection
from providers.errors import Misconfigured, ProviderError, Rejected

ACTOR = "token refresh"


def ended(row: AccessToken, lease: uuid.UUID, error: ProviderError, way_out: str) -> bool:
    """The provider refuses the credential itself: nothing more is asked with it, and its connections are in error.

    Returns whether that is so; not where somebody has stored a newer token since this request began.
    """
    message = f"{error} {way_out}"
    with transaction.atomic():
        # Connections before the token's row, as everywhere.
        users = list(_users(row).select_for_update(of=("self",)).order_by("pk"))
        changed = AccessToken.objects.filter(
            pk=row.pk, lease_token=lease, generation=row.generation, ended_at=None
        ).update(
            ended_at=Now(),
            last_error=message[:500],
            last_category=error.category,
            lease_token=None,
            lease_until=None,
            refresh_started_at=None,
            refresh_at=None,
            updated_at=Now(),
        )
        for connection in users if changed else ():
            _end(connection, message)
    return bool(changed)


def failing(row: AccessToken, error: ProviderError) -> None:
    """The first of several requests that were not granted; what is valid goes on being used."""
    advice = "A person has to mend this: see the provider's settings of the OAuth client, or replace the credential."
    passes = "It is tried again with growing pauses."
    detail = f"{error} {advice if isinstance(error, Misconfigured | Rejected) else passes}"
    for connection in _users(row):
        history.record(connection, "token_refresh", actor=ACTOR, outcome="failed", detail=detail)


def _end(connection: IntegrationConnection, message: str) -> None:
    if ConnectionStatus.ERROR in MOVES[connection.status]:
        IntegrationConnection.objects.filter(pk=connection.pk).update(
            status=ConnectionStatus.ERROR,
            last_error=message,
            last_error_at=Now(),
            last_verified_at=None,
            streams_stale=True,
            updated_at=Now(),
        )
    history.record(connection, "authorisation_ended", actor=ACTOR, outcome="failed", detail=message)
    summary = f"{connection.display_name[:150]}: the provider refuses to renew the access"
    raise_incident(
        connection, Cause.CREDENTIAL_REFUSED, severity=IncidentSeverity.ERROR, summary=summary, detail=message
    )


def _users(row: AccessToken) -> QuerySet[IntegrationConnection]:
    return IntegrationConnection.objects.present().filter(
        tenant_id=row.tenant_id, auth_ref=row.auth_ref, provider_id=row.provider_id
    )
